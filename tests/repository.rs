//! The repository beside the source: documents that must not drift from what they describe.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot read the repository has to fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|cause| panic!("{name}: {cause}"))
}

/// Names declared in a section of Cargo.toml, sorted.
fn declared(section: &str) -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, after) = manifest.split_once(&format!("\n[{section}]\n")).expect("Cargo.toml has the section");
    let body = after.split("\n[").next().unwrap_or(after);
    let mut names: Vec<String> =
        body.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names
}

/// First cells of the table below a heading, without backticks, sorted.
fn rows(document: &str, heading: &str) -> Vec<String> {
    let (_, after) = document.split_once(&format!("\n## {heading}\n")).expect("the document has the heading");
    let body = after.split("\n## ").next().unwrap_or(after);
    let mut names: Vec<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once("` |"))
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_dependency_is_explained() {
    let document = read("docs/dependencies.md");
    assert_eq!(rows(&document, "What the binary is built from"), declared("dependencies"));
    assert_eq!(rows(&document, "What only tests use"), declared("dev-dependencies"));
}

/// Markdown files at the top and in `docs`.
fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["", "docs"]
        .iter()
        .flat_map(|folder| fs::read_dir(path(folder)).expect("the folder can be listed"))
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "md"))
        .collect();
    found.sort();
    found
}

/// Targets of `](target)` that are files of the repository, without their `#fragment`.
fn linked_files(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split('#').next().unwrap_or(target))
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    assert_eq!(linked_files("[a](b.md#c) [d](https://e.f) [g](#h) [i](../j)"), ["b.md", "../j"]);
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document can be read");
        let folder = document.parent().expect("a document has a folder");
        for target in linked_files(&text) {
            if !folder.join(target).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn the_licences_are_those_of_the_manifest() {
    assert!(read("Cargo.toml").contains("\nlicense = \"MIT OR Apache-2.0\"\n"));
    assert!(read("LICENSE-MIT").starts_with("MIT License\n"));
    assert!(read("LICENSE-APACHE").contains("Version 2.0, January 2004"));
    assert!(read("deny.toml").contains("\"Apache-2.0\"") && read("deny.toml").contains("\"MIT\""));
}

/// What `include_str!("…")` and its like name in a source text.
fn included_files(text: &str) -> Vec<&str> {
    ["include_str!(\"", "include_bytes!(\""]
        .iter()
        .flat_map(|start| text.split(start).skip(1))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(target, _)| target)
        .collect()
}

/// The flake builds from a part of the repository: what the source takes in must be in it.
#[test]
fn the_flake_takes_along_what_the_source_includes() {
    assert_eq!(included_files("include_str!(\"../a\"), include_bytes!(\"b\")"), ["../a", "b"]);
    let flake = read("flake.nix");
    let taken: Vec<PathBuf> = flake
        .lines()
        .filter_map(|line| line.trim().strip_prefix("./"))
        .map(|name| path(name.trim_end_matches(';')))
        .filter_map(|file| file.canonicalize().ok())
        .collect();
    assert!(taken.contains(&path("src")), "the flake takes src along: {taken:?}");

    let mut folders = vec![path("src")];
    let mut forgotten = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of src can be listed") {
            let file = entry.expect("an entry of src can be read").path();
            if file.is_dir() {
                folders.push(file);
                continue;
            }
            let text = fs::read_to_string(&file).expect("a source file can be read");
            for target in included_files(&text) {
                let wanted = folder.join(target).canonicalize().expect("an included file exists");
                if !taken.iter().any(|root| wanted.starts_with(root)) {
                    forgotten.push(format!("{}: {target}", file.display()));
                }
            }
        }
    }
    assert_eq!(forgotten, [""; 0]);
}

/// Standard output of the program itself.
fn regatta(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_regatta"))
        .args(arguments)
        .env_remove("REGATTA_STATE_DIR")
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn data_that_cannot_be_written_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has /dev/full");
    let output = Command::new(env!("CARGO_BIN_EXE_regatta")).arg("schema").stdout(full).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    let expected = "error: cannot write to standard output\n  caused by: No space left on device (os error 28)\n";
    assert_eq!((output.status.code(), told.as_ref()), (Some(1), expected));
}

/// Names of commands in a help text.
fn commands(help: &str) -> Vec<&str> {
    let (_, after) = help.split_once("\nCommands:\n").expect("the help lists commands");
    after
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

/// Long options in a help text.
fn options(help: &str) -> Vec<&str> {
    help.split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|name| name.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap_or(name))
        .filter(|name| !name.is_empty() && !matches!(*name, "help" | "version"))
        .collect()
}

#[test]
fn every_command_and_option_is_documented() {
    let document = read("docs/commands.md");
    let (general, _) = document.split_once("\n## ").expect("the document has sections");
    let help = regatta(&["--help"]);
    let mut forgotten = Vec::new();
    for name in commands(&help) {
        let Some((_, after)) = document.split_once(&format!("\n## `{name}`\n")) else {
            forgotten.push(name.to_owned());
            continue;
        };
        let section = after.split("\n## ").next().unwrap_or(after);
        for option in options(&regatta(&[name, "--help"])) {
            let written = format!("`--{option}");
            if !section.contains(&written) && !general.contains(&written) {
                forgotten.push(format!("{name} --{option}"));
            }
        }
    }
    assert_eq!(forgotten, [""; 0], "docs/commands.md");
}

#[test]
fn the_example_has_no_mistake() {
    let fleet = path("examples/fleet.kdl");
    regatta(&["check", "--file", fleet.to_str().expect("UTF-8")]);
}

/// A real shell is asked, because the script is only as good as what a shell makes of it.
#[test]
fn bash_completes_commands_and_options() {
    let asked = |words: &str| {
        let script = "source <(\"$0\" completions bash); COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                      _regatta regatta \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; echo \"${COMPREPLY[@]}\"";
        let output = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_regatta"), words]).output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    };
    assert_eq!(asked("regatta dri"), "drift\n");
    assert_eq!(asked("regatta plan --detailed"), "--detailed-exitcode\n");
    assert_eq!(asked("regatta --color ne"), "never\n");
}

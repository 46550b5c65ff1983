//! What is written about the language is true: generated files are current, and every `kdl` block is decoded.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a document that cannot be read is a failed test")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use camino::Utf8Path;
use regatta::config::{self, LoadError, Loader};
use regatta::resource::{self, Address, Inputs, Resource};
use regatta::syntax::{Diagnostic, SourceMap};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A generated file equals what generates it; `REGATTA_BLESS=1` writes it.
fn current(path: &str, text: &str) {
    let path = root().join(path);
    if env::var_os("REGATTA_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{} is not current: run the tests with REGATTA_BLESS=1", path.display());
}

#[test]
fn the_schema_is_current() {
    current("schema/fleet.kdl", &config::schema());
    let mut sources = SourceMap::default();
    let source = sources.add("schema.kdl", config::schema(), None);
    assert_eq!(regatta::syntax::parse(&sources, source).1, []);
}

#[test]
fn the_reference_is_current() {
    current("docs/language.md", &config::reference());
}

/// A block as `fleet.kdl`, beside files that have any name.
struct BlockLoader<'a>(&'a str);

impl Loader for BlockLoader<'_> {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        match path.as_str() {
            "fleet.kdl" => Ok(self.0.to_owned()),
            path if path.ends_with(".kdl") => Ok(String::new()),
            _ => Ok("text of a file\n".into()),
        }
    }

    fn list(&mut self, _directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        Ok(vec!["a.kdl".into()])
    }

    fn variable(&mut self, _name: &str) -> Option<String> {
        Some("value of a variable".into())
    }
}

fn decode(text: &str) -> (SourceMap, Vec<Diagnostic>) {
    let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "document", &mut BlockLoader(text));
    (sources, fleet.err().unwrap_or_default())
}

/// Markdown files below a directory, hidden and build directories left out.
fn markdown(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            markdown(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// Line, what stands after the fence, and text of each fenced block.
fn blocks(text: &str) -> Vec<(usize, String, String)> {
    let mut blocks: Vec<(usize, String, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(info), false) => {
                blocks.push((index + 2, info.trim().to_owned(), String::new()));
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = &mut blocks.last_mut().unwrap().2;
                block.push_str(line);
                block.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

/// `kdl` blocks are whole fleet files without mistakes; `kdl must-fail` blocks have one; `kdl fragment` blocks, parts
/// of something larger, are KDL at least.
#[test]
fn every_kdl_block_of_the_documents_is_right() {
    let mut files = Vec::new();
    markdown(root(), &mut files);
    let (mut checked, mut wrong) = (0, Vec::new());
    for file in files {
        for (line, info, text) in blocks(&fs::read_to_string(&file).unwrap()) {
            let (sources, found) = match info.split_whitespace().next() {
                Some("kdl") => decode(&text),
                _ => continue,
            };
            checked += 1;
            let place = format!("{}:{line}", file.display());
            let shown = |d: &Diagnostic| format!("{place}: {} ({})", d.message, sources.source_ref(d.labels[0].span));
            match info.as_str() {
                "kdl" => wrong.extend(found.iter().map(shown)),
                "kdl must-fail" if found.is_empty() => wrong.push(format!("{place}: has no mistake")),
                "kdl fragment" => wrong.extend(found.iter().filter(|d| d.code.starts_with("syntax::")).map(shown)),
                "kdl must-fail" => {}
                other => wrong.push(format!("{place}: found the fence `{other}`")),
            }
        }
    }
    assert!(checked > 0, "no block was found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What `regatta init` writes, and the example, are right and written the one way.
#[test]
fn the_examples_are_right_and_formatted() {
    assert_eq!(decode(config::STARTER).1, []);
    let mut files = vec!["src/config/starter.kdl".to_owned()];
    for folder in ["examples", "examples/team", "examples/team/guests", "modules"] {
        let names = fs::read_dir(root().join(folder)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        files.extend(names.filter(|name| name.ends_with(".kdl")).map(|name| format!("{folder}/{name}")));
    }
    for path in &files {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let mut sources = SourceMap::default();
        let source = sources.add(path.as_str(), text.clone(), None);
        assert_eq!(regatta::syntax::format(&sources, source), Ok(text), "{path} is not formatted");
    }
}

/// What a module for guests of a cluster is imported beside.
const CLUSTER: &str = "cluster \"lab\" { endpoint \"https://pve.example:8006\"; token env=\"TOKEN\"; }\n";

/// Modules can be imported by themselves; those with parameters that have no default get these.
#[test]
fn every_module_is_right() {
    for entry in fs::read_dir(root().join("modules")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".kdl") else {
            // scripts/flake-check evaluates it.
            assert_eq!(name, "nixos.nix", "it is no module");
            continue;
        };
        let parameters = match name {
            "oci" => "{ reference \"registry.example/web:1\"; }",
            "proxmox-container" => {
                "{ cluster \"lab\"; template \"local:vztmpl/debian.tar.zst\"; key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlYq270u1j45Cjvm4jquGixzYL2GnVGEQPbNy2ZTQif a\"; count 2; }"
            }
            _ => "",
        };
        let (sources, found) = decode(&format!("{CLUSTER}import \"std/{name}\" {parameters}\n"));
        let found: Vec<_> = found.iter().map(|d| (&d.message, sources.source_ref(d.labels[0].span))).collect();
        assert!(found.is_empty(), "std/{name}: {found:?}");
    }
}

/// Asked of the real server, because it refuses to start with one wrong word.
#[test]
fn the_hardened_settings_are_ones_that_sshd_takes() {
    let text = "import \"std/hardened-sshd\"\nvm \"a\" { use \"hardened\"; }\n";
    let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "document", &mut BlockLoader(text));
    let lowered = resource::lower(&fleet.unwrap(), &sources, &Inputs::default()).unwrap();
    let Resource::Image(image) = &lowered.desired.resources[&Address::image("hardened")].resource else { panic!() };
    let [file] = &image.files[..] else { panic!("{:?}", image.files) };
    assert_eq!((file.path.as_str(), file.mode), ("/etc/ssh/sshd_config.d/10-hardened.conf", 0o600));

    let dir = tempfile::tempdir().unwrap();
    let (settings, key) = (dir.path().join("sshd_config"), dir.path().join("key"));
    let key_line = format!("HostKey {}", key.display());
    fs::write(&settings, file.content.replace("HostKey /etc/ssh/ssh_host_ed25519_key", &key_line)).unwrap();
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    // sshd wants to be called by its whole path.
    let asked = Command::new("/usr/sbin/sshd").arg("-T").arg("-f").arg(&settings).output();
    let (Ok(made), Ok(asked)) = (made, asked) else {
        eprintln!("SKIPPED: sshd and ssh-keygen are not here (Debian: openssh-server)");
        return;
    };
    let told = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(made.success() && asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    for setting in
        ["passwordauthentication no", "permitrootlogin without-password", "allowtcpforwarding no", "maxsessions 10"]
    {
        assert!(told.lines().any(|line| line == setting), "{setting} is not in force:\n{told}");
    }
}

//! Every fleet file that people are shown is read by the real thing: the `kdl` blocks of the documents, the examples, and
//! the modules. A block that starts with ```` ```kdl,must-fail ```` has to have a mistake.

#![expect(clippy::expect_used, reason = "a test that cannot read the documents has to fail")]

use std::fs;
use std::path::{Path, PathBuf};

use camino::Utf8Path;
use regatta::config::{LoadError, Loader, load};

/// The documents that are one text, and those that are files.
struct Documents {
    /// Text of the fleet file; imports are read from the disk.
    text: String,
    /// Its path.
    path: String,
}

impl Loader for Documents {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        if path == self.path {
            return Ok(self.text.clone());
        }
        fs::read_to_string(path).map_err(|_| LoadError::Missing)
    }

    fn list(&mut self, directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        let entries = fs::read_dir(directory).map_err(|_| LoadError::Missing)?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    fn variable(&mut self, _name: &str) -> Option<String> {
        None
    }
}

/// The mistakes of a fleet file, one line each.
fn mistakes(path: &str, text: &str) -> Vec<String> {
    let mut loader = Documents { text: text.to_owned(), path: path.to_owned() };
    let (_, fleet) = load(Utf8Path::new(path), "docs", &mut loader);
    fleet.err().into_iter().flatten().map(|mistake| format!("{path}: {}: {}", mistake.code, mistake.message)).collect()
}

/// Files below a folder of the repository with this extension; not those of tests.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be listed") {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
            if path.is_dir() && !matches!(name, "target" | "tests" | ".git") {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A fenced block: its line, what follows the backticks, and its text.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    fence: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (line, text) in (1..).zip(document.lines()) {
        match text.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(fence) => {
                open = true;
                found.push(Block { line, fence: fence.to_owned(), text: String::new() });
            }
            None if open => {
                if let Some(block) = found.last_mut() {
                    block.text.push_str(text);
                    block.text.push('\n');
                }
            }
            None => {}
        }
    }
    found
}

#[test]
fn blocks_are_found() {
    let block = |line, fence: &str, text: &str| Block { line, fence: fence.to_owned(), text: text.to_owned() };
    assert_eq!(
        blocks("a\n```kdl\nb\nc\n```\nd\n```\n```\n```kdl,must-fail\ne"),
        [block(2, "kdl", "b\nc\n"), block(7, "", ""), block(9, "kdl,must-fail", "e\n")]
    );
}

#[test]
fn fleets_in_documents_are_right() {
    let mut complaints = Vec::new();
    let mut read = 0;
    for document in files("", "md") {
        let text = fs::read_to_string(&document).expect("a document can be read");
        for block in blocks(&text) {
            let path = format!("{}:{}", document.display(), block.line);
            let found = mistakes(&path, &block.text);
            match block.fence.as_str() {
                "kdl" => complaints.extend(found),
                "kdl,must-fail" if found.is_empty() => complaints.push(format!("{path}: no mistake was found")),
                "kdl,must-fail" => {}
                fence if fence.starts_with("kdl") => complaints.push(format!("{path}: unknown fence `{fence}`")),
                _ => continue,
            }
            read += 1;
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(read > 0, "the README has a fleet");
}

#[test]
fn a_wrong_fleet_is_noticed() {
    assert_eq!(mistakes("a.kdl", "vm \"a\" { image \"b\"; }").len(), 1);
    assert_eq!(mistakes("a.kdl", "vn \"a\"").len(), 1);
}

#[test]
fn examples_and_modules_are_right() {
    let mut complaints = Vec::new();
    for file in files("examples", "kdl").iter().chain(&files("modules", "kdl")) {
        let text = fs::read_to_string(file).expect("a fleet file can be read");
        complaints.extend(mistakes(file.to_str().expect("UTF-8"), &text));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

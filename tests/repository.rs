//! The repository beside the source: documents that must not drift from what they describe.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot read the repository has to fail")]

use std::fs;
use std::path::{Path, PathBuf};

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

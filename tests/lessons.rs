//! The lessons that earlier systems taught, by number: each has a test that names it, so that whoever breaks one is told
//! which it was. A test names a lesson in the comment above it or in its body, as `LESSON 7` or `LESSONS 1 and 2`; a golden
//! case does so in its fleet file.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the repository has to fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lessons about guest disks (1 to 10), files, keys and SSH (11 to 19).
const FILES_AND_SSH: std::ops::RangeInclusive<u32> = 1..=19;

/// Files below a directory with one of these endings.
fn files(below: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(below)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
                found.push(path);
            }
        }
    }
    found
}

/// The numbers after each `LESSON` or `LESSONS` of a text: `1`, `1 and 2`, `14, 43`.
fn lessons(text: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for after in text.split("LESSON").skip(1) {
        let words = after.strip_prefix('S').unwrap_or(after).split([' ', ',', '\n']).filter(|word| !word.is_empty());
        for word in words.filter(|word| !matches!(*word, "and" | "///" | "//")) {
            let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
            let Ok(number) = digits.parse() else { break };
            numbers.insert(number);
            if digits.len() < word.len() {
                break;
            }
        }
    }
    numbers
}

/// The tests of a source file: each from the comment above it to the end of its body.
fn tests(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().collect();
    let is_above = |line: &str| line.trim_start().starts_with("///") || line.trim_start().starts_with("#[");
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if !matches!(line.trim(), "#[test]" | "#[tokio::test]") {
            continue;
        }
        let start = number - lines[..number].iter().rev().take_while(|line| is_above(line)).count();
        let indent = line.len() - line.trim_start().len();
        let ends = |line: &&str| line.trim_end() == format!("{}}}", " ".repeat(indent));
        let end = number + lines[number..].iter().position(ends).unwrap_or(0);
        found.push(lines[start..=end].join("\n"));
    }
    found
}

#[test]
fn every_lesson_about_files_and_ssh_has_a_test_that_names_it() {
    let mut named: BTreeMap<u32, usize> = BTreeMap::new();
    let sources = files("src", &["rs"]).into_iter().chain(files("tests", &["rs"]));
    let tests = sources.flat_map(|path| tests(&fs::read_to_string(path).unwrap()));
    let golden = files("tests/golden", &["kdl"]).into_iter().map(|path| fs::read_to_string(path).unwrap());
    for text in tests.chain(golden) {
        for lesson in lessons(&text) {
            *named.entry(lesson).or_default() += 1;
        }
    }
    let missing: Vec<u32> = FILES_AND_SSH.filter(|lesson| !named.contains_key(lesson)).collect();
    assert_eq!(missing, Vec::<u32>::new(), "lessons without a test that names them");
}

#[test]
fn numbers_are_read_as_people_write_them() {
    let text = "LESSONS 101 and 102: a\nLESSON 114, 143). LESSON 107. (LESSON 130) LESSONS of 109";
    assert_eq!(lessons(text), BTreeSet::from([101, 102, 107, 114, 130, 143]));
}

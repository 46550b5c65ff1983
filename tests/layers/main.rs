//! The layers of `docs/architecture.md`, asserted over `src`: who imports whom, where each package is at home, and that
//! the pure layers are pure. Each rule is shown to catch a planted violation beside its code.

#![expect(clippy::expect_used, reason = "a test that cannot read the source has to fail")]

mod fence;
mod paths;
mod rules;
mod shape;
mod tokens;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files of `src`, by path.
fn sources() -> Vec<rules::Source> {
    let source_root = Path::new(ROOT).join("src");
    let mut folders = vec![source_root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of src can be listed") {
            let path: PathBuf = entry.expect("an entry of src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&source_root).expect("src contains it").to_str().expect("UTF-8");
                found.push((below.to_owned(), fs::read_to_string(&path).expect("a source file can be read")));
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "src was read");
    found
}

#[test]
fn every_layer_imports_only_what_stands_below_it() {
    let found = rules::violations(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_folders_of_src_are_the_layers() {
    let folders: BTreeSet<String> =
        sources().iter().filter_map(|(file, _)| file.split_once('/')).map(|(folder, _)| folder.to_owned()).collect();
    assert_eq!(folders, rules::layer_names());
}

#[test]
fn every_package_has_a_home() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).expect("Cargo.toml can be read");
    let (_, after) = manifest.split_once("[dependencies]\n").expect("Cargo.toml has dependencies");
    let section = after.split("\n[").next().unwrap_or(after);
    let declared: Vec<String> = section
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().replace('-', "_"))
        .collect();
    let at_home: Vec<String> = rules::HOMES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(at_home, declared, "tests/layers/rules.rs lists the packages in the order of Cargo.toml");
}

#[test]
fn what_runs_as_root_and_what_speaks_to_networks_stay_apart() {
    let found = fence::crossings(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let found: Vec<String> = sources().iter().filter_map(|(file, text)| shape::too_long(file, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_public_function_takes_a_bool() {
    let found: Vec<String> = sources().iter().flat_map(|(file, text)| shape::bool_parameters(file, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

//! Golden cases: directories of inputs beside the whole output they must give.
//!
//! `tests/golden/STAGE/CASE/` holds inputs and outputs; a file named `expected.*` is an output, everything else is an
//! input. Outputs are compared whole. `REGATTA_BLESS=1` rewrites them and removes those that nothing produces any
//! more; without it a missing, differing or orphaned output fails. All failures of a stage are shown together.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a golden case that cannot be read or differs is a failed test")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Output files of one case: name (`expected.txt`) → whole content.
pub(crate) type Outputs = BTreeMap<String, String>;

/// The start of every output's file name.
const OUTPUT: &str = "expected.";

/// Runs `produce` on every case directory of a stage and compares what it returns with the files that are there.
pub(crate) fn check(stage: &str, produce: impl Fn(&Path) -> Outputs) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(stage);
    let bless = env::var_os("REGATTA_BLESS").is_some();
    let mut failures = Vec::new();
    for case in cases(&root) {
        let outputs = produce(&case);
        if bless {
            write(&case, &outputs);
        } else {
            compare(&case, &outputs, &mut failures);
        }
    }
    assert!(
        failures.is_empty(),
        "{} golden outputs differ (REGATTA_BLESS=1 rewrites them):\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// The case directories of a stage; anything beside them, or none at all, is a mistake.
fn cases(root: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "no cases in {}", root.display());
    for case in &cases {
        assert!(case.is_dir(), "{} is not a case directory", case.display());
    }
    cases
}

/// Names of the outputs that lie in a case directory.
fn recorded(case: &Path) -> Vec<String> {
    let names = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(OUTPUT)).collect()
}

fn write(case: &Path, outputs: &Outputs) {
    for name in recorded(case).iter().filter(|name| !outputs.contains_key(*name)) {
        fs::remove_file(case.join(name)).unwrap();
    }
    for (name, content) in outputs {
        assert!(name.starts_with(OUTPUT), "output `{name}` must be named `{OUTPUT}*`");
        fs::write(case.join(name), content).unwrap();
    }
}

fn compare(case: &Path, outputs: &Outputs, failures: &mut Vec<String>) {
    for name in recorded(case).iter().filter(|name| !outputs.contains_key(*name)) {
        failures.push(format!("{}: nothing produces this file", case.join(name).display()));
    }
    for (name, content) in outputs {
        let path = case.join(name);
        match fs::read_to_string(&path) {
            Ok(expected) if expected == *content => {}
            Ok(expected) => failures.push(format!("{}:\n{}", path.display(), difference(&expected, content))),
            Err(error) => failures.push(format!("{}: {error}; it would be:\n{content}", path.display())),
        }
    }
}

/// What changed, as a unified diff.
fn difference(expected: &str, found: &str) -> String {
    similar::TextDiff::from_lines(expected, found).unified_diff().header("expected", "found").to_string()
}

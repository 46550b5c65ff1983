//! The official test documents of KDL 2, as the parser's package brings them: valid ones mean what they should, the
//! others have mistakes. They are looked for where cargo unpacked the package, or where `REGATTA_KDL_SUITE` says.

#![allow(clippy::unwrap_used, reason = "a document that cannot be read is a failed test")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use regatta::syntax::{self, Diagnostic, Node, SourceMap};

/// Documents that we judge otherwise than the suite, and why.
const DEVIATIONS: [(&str, &str); 1] =
    [("hex.kdl", "the suite leaves the range of numbers open; ours is that of 128 bits, which this one is in")];

/// The directory with `input/` and `expected_kdl/`.
fn suite() -> Option<PathBuf> {
    if let Some(directory) = env::var_os("REGATTA_KDL_SUITE") {
        return Some(directory.into());
    }
    let home =
        env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let registries = fs::read_dir(home?.join("registry/src")).ok()?;
    let packages = registries.flatten().filter_map(|registry| fs::read_dir(registry.path()).ok()).flatten().flatten();
    let mut found: Vec<PathBuf> = packages
        .filter(|package| package.file_name().to_string_lossy().starts_with("kdl-6."))
        .map(|package| package.path().join("tests/test_cases"))
        .filter(|suite| suite.join("input").is_dir())
        .collect();
    found.sort();
    found.pop()
}

fn parse(text: &str) -> (Vec<Node>, Vec<Diagnostic>) {
    let mut sources = SourceMap::default();
    let source = sources.add("document.kdl", text.to_owned(), None);
    let (tree, problems) = syntax::parse(&sources, source);
    (tree.nodes, problems)
}

/// What nodes say, without their places; of a repeated property the last counts, and their order does not.
fn said(nodes: &[Node]) -> String {
    let node = |node: &Node| {
        let annotation = node.annotation.as_ref().map(|annotation| &annotation.value);
        let arguments: Vec<_> =
            node.arguments.iter().map(|a| (&a.value.value, a.annotation.as_ref().map(|t| &t.value))).collect();
        let properties: std::collections::BTreeMap<_, _> = node
            .properties
            .iter()
            .map(|p| (&p.key.value, (&p.value.value, p.annotation.as_ref().map(|t| &t.value))))
            .collect();
        let children = node.children.as_deref().unwrap_or_default();
        format!("{annotation:?} {:?} {arguments:?} {properties:?} [{}]", node.name.value, said(children))
    };
    nodes.iter().map(node).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_official_documents_mean_what_they_should() {
    let Some(suite) = suite() else {
        eprintln!("SKIPPED: the KDL test suite was not found; name its directory with REGATTA_KDL_SUITE");
        return;
    };
    let mut inputs: Vec<PathBuf> =
        fs::read_dir(suite.join("input")).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    let mut wrong = Vec::new();
    for input in &inputs {
        let name = input.file_name().unwrap().to_string_lossy().into_owned();
        // What is no UTF-8 never gets as far as the parser.
        let Ok(text) = fs::read_to_string(input) else { continue };
        let (nodes, problems) = parse(&text);
        let judgement = match fs::read_to_string(suite.join("expected_kdl").join(&name)) {
            Ok(_) if !problems.is_empty() => Some(format!("has mistakes: {}", problems[0].message)),
            Ok(expected) if said(&nodes) != said(&parse(&expected).0) => Some("means something else".into()),
            Ok(_) => None,
            Err(_) => problems.is_empty().then(|| "has no mistake".to_owned()),
        };
        if DEVIATIONS.iter().any(|(known, _)| *known == name) != judgement.is_some() {
            wrong.push(format!("{name}: {}", judgement.as_deref().unwrap_or("is no deviation any more")));
        }
    }
    assert!(inputs.len() > 300, "{} documents are not the suite", inputs.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

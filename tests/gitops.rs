//! The pipeline files of `docs/gitops.md` are well formed, and every command in them is one that regatta knows.

#![allow(clippy::unwrap_used, reason = "what cannot be read here is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Blocks of the document that are files, by name.
fn files() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gitops.md");
    let text = fs::read_to_string(path).unwrap();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match (&open, line.strip_prefix("```")) {
            (None, Some(info)) => open = info.split_once(" file=").map(|(_, name)| name.to_owned()),
            (Some(_), Some(_)) => open = None,
            (Some(name), None) => found.entry(name.clone()).or_default().push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    found
}

/// Every call of regatta in a text: its arguments up to the end of the command.
fn calls(text: &str) -> Vec<Vec<String>> {
    let commands = text.lines().flat_map(|line| {
        let mut starts: Vec<usize> = line.match_indices("regatta ").map(|(at, _)| at).collect();
        starts.retain(|at| *at == 0 || line[..*at].ends_with([' ', '/']));
        starts.into_iter().map(|at| &line[at + "regatta ".len()..])
    });
    let ends = |word: &&str| !["&&", "||", "|", ">", ";"].iter().any(|end| word.starts_with(end));
    commands.map(|line| line.split_whitespace().take_while(ends).map(str::to_owned).collect()).collect()
}

#[test]
fn every_command_is_one_that_regatta_knows() {
    let mut checked = 0;
    for (name, text) in files() {
        for call in calls(&text) {
            // Help is shown when everything before it is understood, and nothing is done.
            let output = Command::new(env!("CARGO_BIN_EXE_regatta")).args(&call).arg("--help").output().unwrap();
            assert!(output.status.success(), "{name}: regatta {}", call.join(" "));
            for form in call.iter().filter_map(|word| word.split_once('=')).map(|(form, _)| form) {
                let help = String::from_utf8_lossy(&output.stdout);
                assert!(help.contains(form), "{name}: regatta {} knows no form {form}", call[0]);
            }
            checked += 1;
        }
    }
    assert_eq!(checked, 12, "calls of regatta in docs/gitops.md");
    let wrong = Command::new(env!("CARGO_BIN_EXE_regatta")).args(["plan", "--nonsense", "--help"]).output().unwrap();
    assert!(!wrong.status.success(), "help hides mistakes before it");
}

#[test]
fn yaml_is_indented_evenly_and_has_no_key_twice() {
    for (name, text) in files().iter().filter(|(name, _)| name.ends_with(".yml")) {
        let mistakes = yaml_mistakes(text);
        assert!(mistakes.is_empty(), "{name}: {mistakes:?}");
    }
    assert_eq!(yaml_mistakes("a:\n   b: 1\n"), ["2: odd indentation"]);
    assert_eq!(yaml_mistakes("a:\n  b: 1\n  b: 2\n"), ["3: `b` stands twice"]);
    assert_eq!(yaml_mistakes("a:\n\tb: 1\n"), ["2: a tab"]);
    assert_eq!(yaml_mistakes("what\n"), ["1: no key and no item"]);
}

/// What the block style of these files must not do: they use maps, lists, flow lists, and `|` blocks.
fn yaml_mistakes(text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut keys: Vec<(usize, Vec<String>)> = Vec::new();
    let mut block: Option<usize> = None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let depth = line.len() - line.trim_start_matches(' ').len();
        let content = line.trim();
        if content.is_empty() || block.is_some_and(|start| depth > start) {
            continue;
        }
        block = content.ends_with(": |").then_some(depth);
        if line.contains('\t') {
            mistakes.push(format!("{number}: a tab"));
            continue;
        }
        if depth % 2 == 1 {
            mistakes.push(format!("{number}: odd indentation"));
            continue;
        }
        let (item, content) = content.strip_prefix("- ").map_or((false, content), |content| (true, content));
        let depth = if item { depth + 2 } else { depth };
        let Some((key, _)) = content.split_once(": ").or_else(|| content.strip_suffix(':').map(|key| (key, ""))) else {
            if !item {
                mistakes.push(format!("{number}: no key and no item"));
            }
            continue;
        };
        keys.retain(|(at, _)| *at < depth || (*at == depth && !item));
        match keys.iter_mut().find(|(at, _)| *at == depth) {
            Some((_, known)) if known.iter().any(|known| known == key) => {
                mistakes.push(format!("{number}: `{key}` stands twice"));
            }
            Some((_, known)) => known.push(key.into()),
            None => keys.push((depth, vec![key.into()])),
        }
    }
    mistakes
}

#[test]
fn units_have_sections_and_settings() {
    for (name, text) in files().iter().filter(|(name, _)| name.starts_with("regatta-drift.")) {
        let kind = name.rsplit('.').next().unwrap();
        let section = format!("[{}{}]", kind[..1].to_uppercase(), &kind[1..]);
        assert!(text.lines().any(|line| line == section), "{name} has no {section}");
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('[')) {
            let (key, value) = line.split_once('=').unwrap();
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric()) && !value.is_empty(), "{name}: {line}");
        }
    }
}

#[test]
fn shell_is_parsed_by_a_shell() {
    let files = files();
    let mut script = Command::new("sh").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    script.stdin.take().unwrap().write_all(files["drift-ticket"].as_bytes()).unwrap();
    assert!(script.wait().unwrap().success());
    let fields = files["crontab"].lines().last().unwrap().split(' ').take(5).collect::<Vec<_>>();
    assert_eq!(fields, ["*/15", "*", "*", "*", "*"]);
}

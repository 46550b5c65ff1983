//! Every JSON output is what its schema in `schema/` says. The checker below knows the words those schemas use and
//! refuses any other, so that nothing in them goes unchecked.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Golden outputs and the schema each follows.
const OUTPUTS: [(&str, &str); 3] =
    [("expected.json", "plan"), ("expected.drift.json", "drift"), ("expected.graph.json", "graph")];

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(format!("{name}.schema.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Everything that is wrong with a value.
fn mistakes(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let alone = |candidate: &Value| {
        let mut wrong = Vec::new();
        check(root, candidate, value, at, &mut wrong);
        wrong.is_empty()
    };
    for (word, rule) in schema.as_object().unwrap() {
        let fits = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(root, &root["$defs"][name], value, at, found);
                true
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "type" => types(rule).any(|name| is(name, value)),
            "minimum" => value.as_i64().is_some_and(|number| number >= rule.as_i64().unwrap()),
            "pattern" => {
                assert_eq!(rule, "^[0-9a-f]{64}$", "the checker knows one pattern");
                let text = value.as_str().unwrap_or_default();
                text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
            "anyOf" => rule.as_array().unwrap().iter().any(alone),
            "oneOf" => rule.as_array().unwrap().iter().filter(|candidate| alone(candidate)).count() == 1,
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}/{index}"), found);
                }
                true
            }
            "required" => rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        check(root, rule, member, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let members = value.as_object().into_iter().flatten();
                for (name, member) in members.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name))) {
                    match rule {
                        Value::Bool(false) => found.push(format!("{at}: unknown member {name}")),
                        rule => check(root, rule, member, &format!("{at}/{name}"), found),
                    }
                }
                true
            }
            other => panic!("the checker does not know {other}"),
        };
        if !fits {
            found.push(format!("{at}: {word} {rule} does not hold for {value}"));
        }
    }
}

fn types(rule: &Value) -> impl Iterator<Item = &str> {
    let many = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
    rule.as_str().into_iter().chain(many)
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        other => panic!("the checker does not know the type {other}"),
    }
}

#[test]
fn golden_outputs_follow_their_schemas() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/plan");
    for (output, name) in OUTPUTS {
        let schema = schema(name);
        let mut checked = 0;
        for case in fs::read_dir(&cases).unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(text) = fs::read_to_string(case.join(output)) else { continue };
            let found = mistakes(&schema, &serde_json::from_str(&text).unwrap());
            assert!(found.is_empty(), "{}/{output}:\n{}", case.display(), found.join("\n"));
            checked += 1;
        }
        assert!(checked > 1, "no {output} was checked");
    }
}

/// Every operation of a golden graph is one that the schema names.
#[test]
fn the_schema_of_graphs_knows_their_operations() {
    let schema = schema("graph").to_string();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = std::collections::BTreeSet::new();
    for stage in ["plan", "clusters"] {
        for case in fs::read_dir(golden.join(stage)).unwrap().map(|entry| entry.unwrap().path()) {
            let graph = fs::read_to_string(case.join("expected.graph.txt")).unwrap_or_default();
            let steps = graph.lines().filter(|line| line.starts_with('['));
            seen.extend(steps.filter_map(|line| Some(line.split(' ').nth(1)?.to_owned())));
        }
    }
    let unknown: Vec<&String> = seen.iter().filter(|op| !schema.contains(&format!("\"{op}\""))).collect();
    assert!(unknown.is_empty() && seen.len() > 20, "{unknown:?} of {seen:?}");
}

#[test]
fn other_outputs_follow_their_schemas() {
    use regatta::config::ByteSize;
    use regatta::plan::{Action, GuestState, GuestStatus, StoreUsage, Usage};
    use regatta::resource::cluster::{DiskHealth, MountHealth, MountState, NodeHealth};
    use regatta::syntax::{Diagnostic, SourceMap, Span};

    let guest = GuestStatus {
        name: "web".into(),
        state: GuestState::Running,
        ssh_host: Some([127, 0, 0, 1].into()),
        ssh_port: Some(40_000),
        drift: 1,
        pending: 0,
        action: Action::Update,
        note: None,
        usage: Some(Usage {
            cpus: 2,
            cpu_time_ms: 1,
            memory: ByteSize::mib(1),
            memory_resident: ByteSize::mib(1),
            disk: ByteSize::mib(1),
            uptime_s: 1,
        }),
    };
    let disk = DiskHealth { disk: "/dev/sda".into(), healthy: Some(true), ..DiskHealth::default() };
    let sensors = vec![("coretemp Core 0".to_owned(), "41".to_owned())];
    let (at, uuid, state) = ("/mnt/backup".into(), "1234-ABCD".into(), MountState::Mounted);
    let mounts = vec![MountHealth { at, uuid, state, note: None }];
    let (cluster, node) = ("pve".into(), "pve1".into());
    let health = NodeHealth { cluster, node, disks: vec![disk], sensors, mounts, note: None };
    let status = regatta::render::status_json("shop", &[guest], &[health], Some(StoreUsage::default())).unwrap();
    let mut sources = SourceMap::default();
    let main = sources.add("fleet.kdl", "import \"a.kdl\"\n".into(), None);
    let source = sources.add("a.kdl", "wat\n".into(), Some(Span { source: main, start: 0, end: 6 }));
    let wrong = Diagnostic::error("config::x", "wrong", Span { source, start: 0, end: 3 }, "here");
    let diagnostics = regatta::render::diagnostics_json(&[wrong], &sources).unwrap();
    let ran = [("web".to_owned(), regatta::render::Ran::not("it is stopped".into()))].into();
    let exec = regatta::render::exec_json(&["true".to_owned()], &ran).unwrap();
    let session = regatta::render::SessionRow {
        guest: "web".into(),
        name: "build".into(),
        state: regatta::render::SessionState::Exited(2),
        created: None,
        stdout: 1,
        stderr: 0,
        command: vec!["make".into()],
        input: true,
    };
    let silent = [("db".to_owned(), "no SSH server answers".to_owned())];
    let sessions = regatta::render::sessions_json(&[session], &silent).unwrap();
    let store = regatta::render::store_json(&[stored()]).unwrap();
    let outputs =
        [("status", status), ("diagnostics", diagnostics), ("exec", exec), ("sessions", sessions), ("store", store)];
    for (name, text) in outputs {
        let found = mistakes(&schema(name), &serde_json::from_str(&text).unwrap());
        assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
    }
}

fn stored() -> regatta::resource::Stored {
    use regatta::config::ByteSize;
    use regatta::resource::{ContentKey, ImageSpec, Recipe, SourceSpec, Stored};

    let source = SourceSpec::Oci { reference: "registry/web:1".into(), digest: "sha256:aa".into() };
    let (name, size, key) = ("web".into(), ByteSize::gib(1), ContentKey::of(&"recipe"));
    Stored {
        recipe: Recipe::Image(ImageSpec { name, source, files: vec![], size, key }),
        prepared: vec!["cloud-init is off".into()],
        packages: [("openssh-server".to_owned(), "1:9.2".to_owned())].into(),
        disk: ByteSize::mib(1),
        age_s: 1,
        used_by: ["shop/web-1".to_owned()].into(),
        unbroken: true,
    }
}

#[test]
fn the_checker_finds_mistakes() {
    let schema = schema("status");
    for wrong in [
        r#"{"format_version": 2, "fleet": "a", "guests": []}"#,
        r#"{"format_version": 1, "fleet": "a", "guests": [], "more": 1}"#,
        r#"{"format_version": 1, "fleet": "a"}"#,
        r#"{"format_version": 1, "fleet": 7, "guests": []}"#,
    ] {
        assert!(!mistakes(&schema, &serde_json::from_str(wrong).unwrap()).is_empty(), "{wrong}");
    }
}

//! As much of YAML and of OpenAPI as Firecracker's published description uses: which requests it allows. The description is
//! not part of this project; it is read where it lies beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A line of the document with what is indented below it.
#[derive(Debug)]
struct Node {
    key: String,
    value: String,
    below: Vec<Node>,
}

/// The description of an API.
#[derive(Debug)]
pub(crate) struct Api {
    document: Node,
}

impl Api {
    /// The published description, where it is there.
    pub(crate) fn published() -> Option<Self> {
        let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/firecracker/firecracker.yaml");
        let text = std::fs::read_to_string(&path).ok()?;
        Some(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        let lines: Vec<(usize, &str)> = lines.map(|line| (line.len() - line.trim_start().len(), line.trim())).collect();
        Self { document: Node { key: String::new(), value: String::new(), below: nodes(&lines) } }
    }

    /// What is wrong with a request; nothing when it is as described.
    pub(crate) fn mistakes(&self, method: &str, path: &str, body: Option<&Value>) -> Vec<String> {
        let paths = &self.document.get("paths").expect("the description has paths").below;
        let Some(described) = paths.iter().find(|node| is_template_of(&node.key, path)) else {
            return vec![format!("there is no path `{path}`")];
        };
        let Some(operation) = described.get(&method.to_lowercase()) else {
            return vec![format!("`{path}` takes no {method}")];
        };
        let schema = operation.get("parameters").and_then(|parameters| parameters.find("$ref"));
        match (schema, body) {
            (Some(schema), Some(body)) => {
                let mut mistakes = Vec::new();
                self.check_definition(schema, body, path, &mut mistakes);
                mistakes
            }
            (None, None) => Vec::new(),
            (Some(_), None) => vec![format!("{method} {path} needs a body")],
            (None, Some(_)) => vec![format!("{method} {path} takes no body")],
        }
    }

    fn check_definition(&self, reference: &str, value: &Value, at: &str, mistakes: &mut Vec<String>) {
        let name = reference.trim_matches('"').trim_start_matches("#/definitions/");
        let definitions = self.document.get("definitions").expect("the description has definitions");
        let definition = definitions.get(name).unwrap_or_else(|| panic!("`{name}` is not defined"));
        if definition.get("enum").is_some() {
            return check_value(definition, value, at, mistakes);
        }
        let Some(object) = value.as_object() else { return mistakes.push(format!("{at}: expected an object")) };
        for required in definition.get("required").map(Node::list).unwrap_or_default() {
            if !object.contains_key(&required) {
                mistakes.push(format!("{at}: `{required}` is missing"));
            }
        }
        for (key, value) in object {
            let at = format!("{at} {key}");
            match definition.get("properties").and_then(|properties| properties.get(key)) {
                None => mistakes.push(format!("{at}: `{name}` has no such property")),
                Some(property) => match property.get("$ref") {
                    Some(reference) => self.check_definition(&reference.value, value, &at, mistakes),
                    None => check_value(property, value, &at, mistakes),
                },
            }
        }
    }
}

fn check_value(property: &Node, value: &Value, at: &str, mistakes: &mut Vec<String>) {
    let fits = match property.get("type").map(|node| node.value.as_str()) {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        _ => value.is_object(),
    };
    if !fits {
        mistakes.push(format!("{at}: found {value}, expected another type"));
    }
    if let (Some(allowed), Some(text)) = (property.get("enum").map(Node::list), value.as_str())
        && !allowed.iter().any(|word| word == text)
    {
        mistakes.push(format!("{at}: found `{text}`, expected one of {}", allowed.join(", ")));
    }
    let bound = |key: &str| property.get(key).and_then(|node| node.value.parse::<i64>().ok());
    if let Some(number) = value.as_i64()
        && (bound("minimum").is_some_and(|least| number < least) || bound("maximum").is_some_and(|most| number > most))
    {
        mistakes.push(format!("{at}: {number} is out of bounds"));
    }
}

/// `/drives/{drive_id}` is a template of `/drives/root`.
fn is_template_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(part, given)| part == given || (part.starts_with('{') && !given.is_empty()))
}

/// The nodes of some lines, each with its indentation.
fn nodes(lines: &[(usize, &str)]) -> Vec<Node> {
    let Some(&(indent, _)) = lines.first() else { return Vec::new() };
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let (_, line) = lines[at];
        let below = lines[at + 1..].iter().take_while(|(deeper, _)| *deeper > indent).count();
        let inner = &lines[at + 1..=at + below];
        at += below + 1;
        let (key, value) = match line.strip_prefix("- ") {
            Some(item) => ("-", item),
            None => line.split_once(':').unwrap_or((line, "")),
        };
        // A list item that is a map has its first key on its own line.
        let mut nested = nodes(inner);
        if key == "-"
            && let Some((first, rest)) = value.split_once(": ")
        {
            nested.insert(0, Node { key: first.into(), value: rest.trim().into(), below: Vec::new() });
        }
        found.push(Node { key: key.trim().into(), value: value.trim().into(), below: nested });
    }
    found
}

impl Node {
    fn get(&self, key: &str) -> Option<&Self> {
        self.below.iter().find(|node| node.key == key)
    }

    /// The value of the first such key at any depth.
    fn find(&self, key: &str) -> Option<&str> {
        self.below.iter().find_map(|node| if node.key == key { Some(node.value.as_str()) } else { node.find(key) })
    }

    /// The items of a list, in either form.
    fn list(&self) -> Vec<String> {
        let plain = |text: &str| text.trim().trim_matches('"').to_owned();
        match self.value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
            Some(items) => items.split(',').map(plain).collect(),
            None => self.below.iter().filter(|node| node.key == "-").map(|node| plain(&node.value)).collect(),
        }
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let Some(api) = Api::published() else {
        return eprintln!("SKIPPED: Firecracker's API description is not beside this project");
    };
    let check = |method: &str, path: &str, body: Value| api.mistakes(method, path, Some(&body));
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(check("PUT", "/machine-config", json(r#"{"vcpu_count": 2, "mem_size_mib": 256}"#)), [""; 0]);
    let wrong = json(r#"{"vcpu_count": 33, "mem_size_mib": "256", "colour": 1}"#);
    assert_eq!(
        check("PUT", "/machine-config", wrong),
        [
            "/machine-config colour: `MachineConfiguration` has no such property",
            "/machine-config mem_size_mib: found \"256\", expected another type",
            "/machine-config vcpu_count: 33 is out of bounds",
        ]
    );
    assert_eq!(
        check("PUT", "/drives/root", json(r#"{"drive_id": "root"}"#)),
        ["/drives/root: `is_root_device` is missing"]
    );
    let action = check("PUT", "/actions", json(r#"{"action_type": "Reboot"}"#));
    let known = "FlushMetrics, InstanceStart, SendCtrlAltDel";
    assert_eq!(action, [format!("/actions action_type: found `Reboot`, expected one of {known}")]);
    assert_eq!(check("PATCH", "/vm", json(r#"{"state": "Paused"}"#)), [""; 0]);
    assert_eq!(check("POST", "/vm", Value::Null), ["`/vm` takes no POST"]);
    assert_eq!(check("PUT", "/vcpus", Value::Null), ["there is no path `/vcpus`"]);
}

//! Requests held against the schemas of genuine servers: path, method, and every parameter down to the keys of its
//! property string. Parameters that no rule here can judge are an error, so that nothing passes unseen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use regatta::driver::proxmox::exchange::{Call, Verb};
use regatta::resource::cluster::percent;
use serde_json::{Map, Value};

use crate::recorded::recordings;

/// Methods by path, of one release.
pub(crate) struct Schema {
    paths: Vec<(Vec<String>, Map<String, Value>)>,
}

static SCHEMAS: LazyLock<Vec<(&'static str, Schema)>> = LazyLock::new(|| {
    let Some(dir) = recordings() else { return Vec::new() };
    ["8.4", "9.2"].map(|release| (release, Schema::read(&dir.join(format!("apidata-{release}.json"))))).into()
});

/// Fails when a genuine server of either release would refuse the shape of a request. Without the schemas nothing is
/// held against them, and [`recordings`] says so.
pub(crate) fn assert_valid(call: &Call) {
    for (release, schema) in SCHEMAS.iter() {
        // Rules came with 9; who asks a server of 8 for them is told by the fake.
        if *release == "8.4" && call.path.starts_with("/cluster/ha/rules") {
            continue;
        }
        let wrong = schema.check(call);
        assert!(wrong.is_empty(), "{call} is refused by {release}: {wrong:#?}\n{:#?}", call.parameters);
    }
}

/// The schema of a release.
pub(crate) fn of(release: &str) -> Option<&'static Schema> {
    SCHEMAS.iter().find(|(known, _)| *known == release).map(|(_, schema)| schema)
}

impl Schema {
    fn read(file: &PathBuf) -> Self {
        let tree: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut paths = Vec::new();
        let mut open: Vec<&Value> = tree.as_array().unwrap().iter().collect();
        while let Some(node) = open.pop() {
            open.extend(node["children"].as_array().into_iter().flatten());
            let path = node["path"].as_str().unwrap_or_default();
            let parts = path.split('/').skip(1).map(str::to_owned).collect();
            paths.push((parts, node["info"].as_object().cloned().unwrap_or_default()));
        }
        Self { paths }
    }

    /// What is wrong, by parameter; under `path` when there is no such method.
    pub(crate) fn check(&self, call: &Call) -> BTreeMap<String, String> {
        let path: Vec<String> = call.path.split('/').skip(1).map(percent::decode).collect();
        let fits = |parts: &&(Vec<String>, Map<String, Value>)| {
            parts.0.len() == path.len()
                && parts.0.iter().zip(&path).all(|(part, is)| part.starts_with('{') || part == is)
        };
        let holes = |parts: &Vec<String>| parts.iter().filter(|part| part.starts_with('{')).count();
        let found = self.paths.iter().filter(fits).min_by_key(|(parts, _)| holes(parts));
        let Some((parts, method)) = found.and_then(|(parts, methods)| Some((parts, methods.get(call.verb.name())?)))
        else {
            return [("path".to_owned(), "no such method".to_owned())].into();
        };
        let in_path = parts.iter().zip(&path).filter(|(part, _)| part.starts_with('{'));
        let in_path = in_path.map(|(part, is)| (part.trim_matches(['{', '}']).to_owned(), is.clone()));
        let given: Vec<(String, String)> = in_path.chain(call.parameters.iter().cloned()).collect();
        let in_form = matches!(call.verb, Verb::Post | Verb::Put);
        let (mut properties, mut closed) = (Map::new(), false);
        gather(&method["parameters"], &given, &mut properties, &mut closed);
        check_all(&properties, &given, closed, in_form)
    }
}

/// The rules of all parameters: those of a schema, of all of several, and of the one of several that a parameter names.
fn gather(schema: &Value, given: &[(String, String)], properties: &mut Map<String, Value>, closed: &mut bool) {
    properties.extend(schema["properties"].as_object().cloned().into_iter().flatten());
    *closed |= schema["additionalProperties"] == 0;
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(part, given, properties, closed);
    }
    if let (Some(key), Some(parts)) = (schema["type-property"].as_str(), schema["oneOf"].as_array()) {
        properties.insert(key.to_owned(), schema["type-property-schema"].clone());
        let named = given.iter().find(|(is, _)| is == key).map(|(_, value)| value.as_str());
        for part in parts.iter().filter(|part| part["instance-type"].as_str() == named) {
            gather(part, given, properties, closed);
        }
    }
}

fn check_all(
    properties: &Map<String, Value>,
    given: &[(String, String)],
    closed: bool,
    in_form: bool,
) -> BTreeMap<String, String> {
    let mut wrong = BTreeMap::new();
    for (key, value) in given {
        let why = match rule(properties, key) {
            Some(rule) => value_fits(rule, value, in_form),
            None if closed => Err("property is not defined in schema".to_owned()),
            None => Ok(()),
        };
        if let Err(why) = why {
            wrong.insert(key.clone(), why);
        }
    }
    for (key, rule) in properties {
        let optional = rule["optional"] == 1 || rule.get("optional").is_some_and(|o| o.as_str() == Some("1"));
        if !optional && !key.contains('[') && !given.iter().any(|(is, _)| is == key) {
            wrong.insert(key.clone(), "property is missing and it is not optional".into());
        }
    }
    wrong
}

/// The rule of a parameter, or of its like with a number.
fn rule<'a>(properties: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    properties.get(key).or_else(|| properties.get(&format!("{stem}[n]")).filter(|_| stem != key))
}

fn value_fits(rule: &Value, value: &str, in_form: bool) -> Result<(), String> {
    if value.is_empty() && in_form {
        return Err("value may not be empty".into());
    }
    let number = |bound: &Value| bound.as_f64().or_else(|| bound.as_str()?.parse().ok());
    match rule["type"].as_str().unwrap_or("string") {
        "boolean" if !matches!(value, "0" | "1") => return Err("type check ('boolean') failed".into()),
        kind @ ("integer" | "number") => {
            let whole = kind == "integer" && value.parse::<i64>().is_err();
            let Some(is) = value.parse::<f64>().ok().filter(|_| !whole) else {
                return Err(format!("type check ('{kind}') failed"));
            };
            if number(&rule["minimum"]).is_some_and(|least| is < least)
                || number(&rule["maximum"]).is_some_and(|most| is > most)
            {
                return Err("out of range".into());
            }
        }
        _ => {}
    }
    let length = |key: &str| rule[key].as_u64().and_then(|most| usize::try_from(most).ok());
    if length("maxLength").is_some_and(|most| value.chars().count() > most) {
        return Err("too long".into());
    }
    if let Some(words) = rule["enum"].as_array()
        && !words.iter().any(|word| word == value)
    {
        return Err(format!("value '{value}' does not have a value in the enumeration"));
    }
    if let Some(pattern) = rule["pattern"].as_str() {
        pattern_fits(pattern, value)?;
    }
    match &rule["format"] {
        Value::Object(keys) => properties_fit(keys, value),
        Value::String(name) => format_fits(name, value),
        _ => Ok(()),
    }
}

/// A property string: keys, one of which may be left out, aliases, and keys that stand for another with its value.
fn properties_fit(keys: &Map<String, Value>, value: &str) -> Result<(), String> {
    let default = keys.iter().find(|(_, rule)| rule["default_key"] == 1).map(|(key, _)| key.clone());
    let mut given: Vec<(String, String)> = Vec::new();
    for part in value.split(',').filter(|part| !part.is_empty()) {
        let (key, is) = match (part.split_once('='), &default) {
            (Some((key, is)), _) => (key.to_owned(), is.to_owned()),
            (None, Some(default)) => (default.clone(), part.to_owned()),
            (None, None) => return Err(format!("value without key: '{part}'")),
        };
        let Some(rule) = keys.get(&key) else { return Err(format!("{key}: property is not defined in schema")) };
        if let Some(other) = rule["keyAlias"].as_str() {
            given.push((other.to_owned(), key.clone()));
        }
        let key = rule["alias"].as_str().unwrap_or(&key).to_owned();
        if given.iter().any(|(known, _)| *known == key) {
            return Err(format!("duplicate key in comma-separated list property: {key}"));
        }
        given.push((key, is));
    }
    let own: Map<String, Value> =
        keys.iter().filter(|(_, rule)| rule.get("alias").is_none()).map(|(k, v)| (k.clone(), v.clone())).collect();
    let wrong = check_all(&own, &given, true, true);
    if wrong.is_empty() { Ok(()) } else { Err(format!("invalid format - {wrong:?}")) }
}

fn pattern_fits(pattern: &str, value: &str) -> Result<(), String> {
    let fits = match pattern {
        r"[-_.\w\d]+" => value.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)),
        r"\+?\d+(\.\d+)?[KMGT]?" => {
            let number = value.strip_prefix('+').unwrap_or(value).trim_end_matches(['K', 'M', 'G', 'T']);
            number.parse::<f64>().is_ok() && number.starts_with(|c: char| c.is_ascii_digit())
        }
        r"[A-Za-z][A-Za-z0-9\-\_]+" => {
            value.len() > 1
                && value.starts_with(|c: char| c.is_ascii_alphabetic())
                && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        }
        "https?://.*" => value.starts_with("http://") || value.starts_with("https://"),
        "0[0-7]{3}" => value.len() == 4 && value.starts_with('0') && value.bytes().all(|b| (b'0'..=b'7').contains(&b)),
        _ => return Err(format!("no rule judges the pattern `{pattern}`")),
    };
    if fits { Ok(()) } else { Err("value does not match the regex pattern".into()) }
}

fn format_fits(name: &str, value: &str) -> Result<(), String> {
    let config_id = |id: &str| {
        let rest = id.get(1..).unwrap_or_default();
        id.starts_with(|c: char| c.is_ascii_alphabetic())
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let address = |wide: bool, value: &str| match wide {
        false => value.parse::<std::net::Ipv4Addr>().is_ok(),
        true => value.parse::<std::net::Ipv6Addr>().is_ok(),
    };
    let network = |wide: bool, value: &str| {
        value.split_once('/').is_some_and(|(ip, bits)| address(wide, ip) && bits.parse::<u8>().is_ok_and(|b| b <= 128))
    };
    let keyed = |keys: &[&str]| value.split(',').all(|part| keys.contains(&part.split('=').next().unwrap_or_default()));
    let fits = match name {
        "pve-configid" => config_id(value),
        // Some lists allow what one of them would not.
        "pve-configid-list" => value.split([',', ';', ' ']).all(config_id),
        "pve-vmid" => value.parse::<u32>().is_ok_and(|vmid| vmid >= 100),
        "pve-node" | "dns-name" => value.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)),
        "pve-storage-id" | "pve-bridge-id" => config_id(value),
        "dns-name-list" => value.split([',', ';', ' ']).all(|name| format_fits("dns-name", name).is_ok()),
        "address-list" | "lxc-ip-with-ll-iface-list" => {
            value.split([',', ';', ' ']).all(|ip| address(false, ip) || address(true, ip))
        }
        "ipv4" => address(false, value),
        "ipv6" => address(true, value),
        "pve-ipv4-config" => matches!(value, "dhcp" | "manual") || network(false, value),
        "pve-ipv6-config" => matches!(value, "auto" | "dhcp" | "manual") || network(true, value),
        "pve-qm-ipconfig" => keyed(&["ip", "gw", "ip6", "gw6"]),
        "pve-startup-order" => value.split(',').all(|part| {
            let (key, number) = part.split_once('=').unwrap_or(("order", part));
            matches!(key, "order" | "up" | "down") && number.parse::<u32>().is_ok()
        }),
        "mac-addr" => {
            value.split(':').count() == 6 && value.split(':').all(|part| u8::from_str_radix(part, 16).is_ok())
        }
        "disk-size" => pattern_fits(r"\+?\d+(\.\d+)?[KMGT]?", value).is_ok(),
        "pve-tag-list" => value.split([',', ';', ' ']).all(|tag| {
            tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c))
        }),
        "urlencoded" => value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)),
        "pve-lxc-mp-string" => !value.split('/').any(|part| matches!(part, "." | "..")),
        "pve-volume-id" | "pve-volume-id-or-qm-path" | "pve-volume-id-or-absolute-path" | "pve-lxc-dev-string" => {
            value.contains(':') || value.starts_with('/') || matches!(value, "none" | "cdrom")
        }
        "pve-vm-cpu-conf" => !value.contains(' '),
        "pve-qm-ide" => value.contains(':') || value == "none",
        "pve-qm-boot" => keyed(&["order", "legacy"]),
        "pve-vmid-list" => value.split(',').all(|vmid| vmid.parse::<u32>().is_ok()),
        "pve-fw-addr-spec" => value.split(',').all(|part| {
            let one =
                |part: &str| address(false, part) || address(true, part) || network(false, part) || network(true, part);
            one(part) || part.starts_with('+') || part.split('-').all(one) || config_id(part)
        }),
        "pve-fw-dport-spec" | "pve-fw-sport-spec" => value.split([',', ':']).all(|part| part.parse::<u16>().is_ok()),
        "pve-fw-protocol-spec" | "pve-fw-icmp-type-spec" | "pve-iface" => {
            value.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        }
        "pve-storage-content" => matches!(value, "iso" | "vztmpl" | "import" | "backup" | "images" | "rootdir"),
        "pve-poolid" | "pve-cpuset" | "pve-ct-timezone" | "CIDR" => !value.is_empty(),
        "pve-task-status-type-list" => {
            value.split(',').all(|word| matches!(word, "ok" | "warning" | "error" | "unknown"))
        }
        _ => return high_availability_fits(name, value),
    };
    if fits { Ok(()) } else { Err(format!("invalid format - '{value}' is no {name}")) }
}

/// The formats of high availability.
fn high_availability_fits(name: &str, value: &str) -> Result<(), String> {
    let resource = |id: &str| {
        id.split_once(':').is_some_and(|(kind, vmid)| matches!(kind, "ct" | "vm") && vmid.parse::<u32>().is_ok())
    };
    let fits = match name {
        "pve-ha-resource-or-vm-id" => resource(value),
        "pve-ha-resource-id-list" => value.split(',').all(resource),
        "pve-ha-node-list" | "pve-ha-group-node-list" => value.split(',').all(|part| {
            let (node, priority) = part.split_once(':').unwrap_or((part, "0"));
            !node.is_empty() && format_fits("pve-node", node).is_ok() && priority.parse::<u32>().is_ok()
        }),
        _ => return Err(format!("no rule judges the format `{name}`")),
    };
    if fits { Ok(()) } else { Err(format!("invalid format - '{value}' is no {name}")) }
}

/// What a genuine server lets a client know about configurations of guests that it has not asked for: nothing. So there
/// is nothing that a cache of configurations could be held against, and every plan reads those of its guests.
#[test]
fn no_answer_about_many_guests_says_which_configurations_changed() {
    for (release, schema) in SCHEMAS.iter() {
        let about_many = schema.paths.iter().filter_map(|(parts, methods)| {
            let returns = &methods.get("GET")?["returns"];
            let many = !parts.iter().any(|part| part == "{vmid}");
            (many && mentions(returns, "vmid")).then(|| (parts.join("/"), returns))
        });
        let about_many: Vec<_> = about_many.collect();
        assert!(about_many.len() > 5, "{release}: {}", about_many.len());
        for (path, returns) in about_many {
            for word in ["digest", "mtime", "changed", "modified", "etag"] {
                assert!(!mentions(returns, word), "{release}: `{path}` has `{word}`: a cache can be held against it");
            }
        }
    }
    for file in
        recordings().into_iter().flat_map(|dir| ["8.4.21", "9.2.11"].map(|it| dir.join(format!("pve-{it}.jsonl"))))
    {
        for exchange in crate::recorded::exchanges(&file) {
            let headers = exchange["response"]["headers"].to_string().to_lowercase();
            assert!(!headers.contains("\"etag\"") && !headers.contains("last-modified"), "{headers}");
        }
    }
}

/// Whether a description of an answer has a field of this name.
fn mentions(described: &Value, field: &str) -> bool {
    match described {
        Value::Object(all) => {
            all.iter().any(|(key, inner)| (key == field && inner.is_object()) || mentions(inner, field))
        }
        Value::Array(all) => all.iter().any(|inner| mentions(inner, field)),
        _ => false,
    }
}

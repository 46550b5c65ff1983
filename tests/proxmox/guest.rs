//! A container of the fake: its configuration, and what is done to it on the way in.

use std::collections::{BTreeMap, BTreeSet};

use regatta::resource::Digest;
use serde_json::{Value, json};

use crate::fake::Refusal;

/// Fields that a running container takes at once.
const HOT: [&str; 11] = [
    "memory",
    "swap",
    "cores",
    "cpulimit",
    "cpuunits",
    "hostname",
    "tags",
    "description",
    "onboot",
    "startup",
    "protection",
];

/// Fields there are, numbers left out.
const KNOWN: [&str; 21] = [
    "arch",
    "cores",
    "cpulimit",
    "cpuunits",
    "description",
    "features",
    "hostname",
    "memory",
    "mp",
    "nameserver",
    "net",
    "onboot",
    "ostype",
    "protection",
    "rootfs",
    "searchdomain",
    "startup",
    "swap",
    "tags",
    "unprivileged",
    "unused",
];

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) node: String,
    pub(crate) config: BTreeMap<String, String>,
    /// What the next start brings; `None` takes a field away.
    pub(crate) pending: BTreeMap<String, Option<String>>,
    pub(crate) running: bool,
    pub(crate) lock: Option<String>,
    pub(crate) template: bool,
}

impl Guest {
    pub(crate) fn of(node: &str, config: &[(&str, &str)], running: bool) -> Self {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { node: node.into(), config, pending: BTreeMap::new(), running, lock: None, template: false }
    }

    /// Changes with every write.
    pub(crate) fn digest(&self) -> String {
        Digest::of(format!("{:?} {:?} {:?}", self.config, self.pending, self.lock).as_bytes()).as_str()[..40].to_owned()
    }

    /// As `GET config` has it: with what is pending, and numbers as numbers.
    pub(crate) fn shown(&self) -> Value {
        let mut view = self.config.clone();
        for (key, value) in &self.pending {
            match value {
                Some(value) => drop(view.insert(key.clone(), value.clone())),
                None => drop(view.remove(key)),
            }
        }
        let mut shown: BTreeMap<String, Value> = view
            .into_iter()
            .map(|(key, value)| {
                let value = typed(&value);
                (key, value)
            })
            .collect();
        shown.insert("digest".into(), json!(self.digest()));
        shown.extend(self.lock.iter().map(|lock| ("lock".to_owned(), json!(lock))));
        json!(shown)
    }

    /// As `GET pending` has it.
    pub(crate) fn pending_view(&self) -> Value {
        let keys: BTreeSet<&String> = self.config.keys().chain(self.pending.keys()).collect();
        let mut items: Vec<Value> = keys
            .into_iter()
            .map(|key| {
                let mut item = json!({"key": key});
                if let Some(value) = self.config.get(key) {
                    item["value"] = typed(value);
                }
                match self.pending.get(key) {
                    Some(Some(value)) => item["pending"] = typed(value),
                    Some(None) => item["delete"] = json!(1),
                    None => {}
                }
                item
            })
            .collect();
        items.push(json!({"key": "digest", "value": self.digest()}));
        Value::Array(items)
    }

    /// Sets or deletes a field: at once, or at the next start.
    pub(crate) fn set(&mut self, key: &str, value: Option<String>) {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let hot = HOT.contains(&key) || stem == "net" || (stem == "mp" && !self.config.contains_key(key));
        if self.running && !hot {
            if self.config.get(key) == value.as_ref() {
                self.pending.remove(key);
            } else {
                self.pending.insert(key.to_owned(), value);
            }
            return;
        }
        self.put(key, value);
    }

    fn put(&mut self, key: &str, value: Option<String>) {
        let before = self.config.remove(key);
        match value {
            Some(value) => drop(self.config.insert(key.to_owned(), value)),
            // The volume of a mount point stays.
            None if key.starts_with("mp") => {
                let volume = before.and_then(|raw| raw.split(',').next().map(str::to_owned));
                let free = (0..).map(|n| format!("unused{n}")).find(|key| !self.config.contains_key(key));
                self.config.extend(free.zip(volume));
            }
            None => {}
        }
    }

    /// Switches it on or off. A start brings what is pending.
    pub(crate) fn power(&mut self, on: bool) {
        self.running = on;
        if on {
            for (key, value) in std::mem::take(&mut self.pending) {
                self.put(&key, value);
            }
        }
    }
}

fn typed(value: &str) -> Value {
    value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number))
}

/// What a genuine server makes of a value.
pub(crate) fn normalised(key: &str, value: &str, vmid: u32, macs: &mut u32) -> Result<String, Refusal> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let wrong = |why: &str| {
        let errors = [(key.to_owned(), why.to_owned())].into();
        Err((400, "Parameter verification failed.".to_owned(), errors))
    };
    if !KNOWN.contains(&stem) {
        return wrong("property is not defined in schema and the schema does not allow additional properties");
    }
    if value.is_empty() {
        return wrong("value may not be empty");
    }
    let boolean = matches!(key, "onboot" | "protection" | "unprivileged");
    if boolean && !matches!(value, "0" | "1") {
        return wrong("type check ('boolean') failed");
    }
    if matches!(key, "memory" | "swap" | "cores") && value.parse::<u64>().is_err() {
        return wrong("type check ('integer') failed");
    }
    let mut parts: BTreeMap<&str, String> = BTreeMap::new();
    for (index, part) in value.split(',').enumerate() {
        let (key, value) = part.split_once('=').unwrap_or(("", part));
        let key = if index == 0 && key.is_empty() { "volume" } else { key };
        parts.insert(key, value.to_owned());
    }
    Ok(match stem {
        "description" => format!("{}\n", value.trim_end_matches('\n')),
        "tags" => {
            let lower = value.to_lowercase();
            lower
                .split([';', ',', ' '])
                .filter(|tag| !tag.is_empty())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
                .join(";")
        }
        "net" => {
            *macs += 1;
            parts.entry("hwaddr").or_insert_with(|| format!("BC:24:11:00:{:02X}:{:02X}", *macs / 256, *macs % 256));
            parts.insert("type", "veth".into());
            parts.iter().rev().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
        }
        "rootfs" | "mp" => disk(parts, key, vmid),
        _ => value.to_owned(),
    })
}

/// `storage:8` becomes a volume with its size.
fn disk(mut parts: BTreeMap<&str, String>, key: &str, vmid: u32) -> String {
    let volume = parts.remove("volume").unwrap_or_default();
    let volume = match volume.split_once(':') {
        Some((storage, size)) if size.parse::<f64>().is_ok() => {
            let mib = size.parse::<f64>().unwrap() * 1024.0;
            let whole = mib % 1024.0 == 0.0;
            parts.insert("size", if whole { format!("{}G", mib / 1024.0) } else { format!("{mib}M") });
            format!("{storage}:{vmid}/vm-{vmid}-{key}.raw")
        }
        _ => volume,
    };
    let others = parts.iter().map(|(key, value)| format!("{key}={value}"));
    [volume].into_iter().chain(others).collect::<Vec<_>>().join(",")
}

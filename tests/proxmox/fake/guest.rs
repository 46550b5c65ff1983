//! A guest of the fake: its configuration, and what waits for its next start.

use std::collections::{BTreeMap, BTreeSet};

use regatta::resource::Digest;
use regatta::resource::cluster::GuestKind;
use serde_json::{Value, json};

/// Fields that a running guest of either kind takes at once.
const HOT: [&str; 5] = ["description", "onboot", "protection", "startup", "tags"];

/// Fields that a running container takes at once.
const HOT_CONTAINER: [&str; 6] = ["memory", "swap", "cores", "cpulimit", "cpuunits", "hostname"];

/// A guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) kind: GuestKind,
    pub(crate) node: String,
    pub(crate) config: BTreeMap<String, String>,
    /// What the next start brings; `None` takes a field away.
    pub(crate) pending: BTreeMap<String, Option<String>>,
    pub(crate) running: bool,
    pub(crate) lock: Option<String>,
    pub(crate) template: bool,
    pub(crate) snapshots: BTreeMap<String, BTreeMap<String, String>>,
}

impl Guest {
    pub(crate) fn of(node: &str, config: &[(&str, &str)], running: bool) -> Self {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self {
            kind: GuestKind::Container,
            node: node.into(),
            config,
            pending: BTreeMap::new(),
            running,
            lock: None,
            template: false,
            snapshots: BTreeMap::new(),
        }
    }

    pub(crate) fn vm(node: &str, config: &[(&str, &str)], running: bool) -> Self {
        Self { kind: GuestKind::Vm, ..Self::of(node, config, running) }
    }

    pub(crate) fn name_key(&self) -> &'static str {
        if self.kind == GuestKind::Container { "hostname" } else { "name" }
    }

    pub(crate) fn name(&self) -> &str {
        self.config.get(self.name_key()).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.config.get("description").is_some_and(|text| text.contains("<!-- regatta"))
    }

    /// `CT` or `VM`, as messages call it.
    pub(crate) fn word(&self) -> &'static str {
        if self.kind == GuestKind::Container { "CT" } else { "VM" }
    }

    /// Changes with every write.
    pub(crate) fn digest(&self) -> String {
        let all = format!("{:?} {:?} {:?} {:?}", self.config, self.pending, self.lock, self.snapshots);
        Digest::of(all.as_bytes()).as_str()[..40].to_owned()
    }

    /// As `GET config` has it: with what is pending, and numbers as numbers.
    pub(crate) fn shown(&self, current: Option<&str>, snapshot: Option<&str>) -> Value {
        let mut view = match snapshot.and_then(|name| self.snapshots.get(name)) {
            Some(then) => {
                let taken = [("snaptime".to_owned(), "1".to_owned()), ("description".to_owned(), "taken\n".to_owned())];
                then.clone().into_iter().chain(taken).collect()
            }
            None => self.config.clone(),
        };
        if current != Some("1") && snapshot.is_none() {
            for (key, value) in &self.pending {
                match value {
                    Some(value) => drop(view.insert(key.clone(), value.clone())),
                    None => drop(view.remove(key)),
                }
            }
        }
        let mut shown: BTreeMap<String, Value> = view
            .into_iter()
            .map(|(key, value)| {
                let value = self.typed(&key, &value);
                (key, value)
            })
            .collect();
        shown.insert("digest".into(), json!(self.digest()));
        shown.extend(self.lock.iter().map(|lock| ("lock".to_owned(), json!(lock))));
        if self.template {
            shown.insert("template".into(), json!(1));
        }
        json!(shown)
    }

    /// Whether its root disk is an image in a directory, of which no snapshot can be taken.
    pub(crate) fn is_on_directory(&self) -> bool {
        self.config.get("rootfs").is_some_and(|disk| disk.starts_with("local:"))
    }

    /// As `GET snapshot` has it: the last one is what is there now.
    pub(crate) fn snapshot_list(&self) -> Value {
        let vm = self.kind == GuestKind::Vm;
        let taken = self.snapshots.iter().map(|(name, then)| {
            let mut item = json!({"name": name, "snaptime": 1_795_319_981, "description": "taken\n"});
            item["parent"] = json!(then.get("parent"));
            if vm {
                item["vmstate"] = json!(0);
            }
            item.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            item
        });
        let running = u8::from(self.running);
        let mut now = json!({"name": "current", "description": "You are here!", "digest": self.digest()});
        now["running"] = json!(running);
        if let Some(parent) = self.config.get("parent") {
            now["parent"] = json!(parent);
        }
        taken.chain([now]).collect()
    }

    /// As `GET pending` has it.
    pub(crate) fn pending_view(&self) -> Value {
        let keys: BTreeSet<&String> = self.config.keys().chain(self.pending.keys()).collect();
        let mut items: Vec<Value> = keys
            .into_iter()
            .map(|key| {
                let mut item = json!({"key": key});
                if let Some(value) = self.config.get(key) {
                    item["value"] = self.typed(key, value);
                }
                match self.pending.get(key) {
                    Some(Some(value)) => item["pending"] = self.typed(key, value),
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
        if !self.running || self.takes_at_once(key) {
            return self.put(key, value);
        }
        if self.config.get(key) == value.as_ref() {
            self.pending.remove(key);
        } else {
            self.pending.insert(key.to_owned(), value);
        }
    }

    fn takes_at_once(&self, key: &str) -> bool {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let new_disk = !self.config.contains_key(key);
        HOT.contains(&key)
            || match self.kind {
                GuestKind::Container => HOT_CONTAINER.contains(&key) || stem == "net" || (stem == "mp" && new_disk),
                GuestKind::Vm => key == "name" || stem == "net" || (stem == "scsi" && new_disk),
            }
    }

    fn put(&mut self, key: &str, value: Option<String>) {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let before = self.config.remove(key);
        match value {
            Some(value) => drop(self.config.insert(key.to_owned(), value)),
            // The volume of a disk stays.
            None if matches!(stem, "mp" | "scsi") => {
                let volume = before.and_then(|raw| raw.split(',').next().map(str::to_owned));
                let volume = volume.filter(|volume| !volume.starts_with('/'));
                let free = (0..).map(|n| format!("unused{n}")).find(|key| !self.config.contains_key(key));
                self.config.extend(free.zip(volume));
            }
            None => {}
        }
    }

    /// Switches it on or off. A start brings what is pending; of a container the end does.
    pub(crate) fn power(&mut self, on: bool) {
        self.running = on;
        if on || self.kind == GuestKind::Container {
            for (key, value) in std::mem::take(&mut self.pending) {
                self.put(&key, value);
            }
        }
    }

    /// Numbers as JSON has them: the memory of a virtual machine is none.
    fn typed(&self, key: &str, value: &str) -> Value {
        let is_text = self.kind == GuestKind::Vm && key == "memory";
        match value.parse::<u64>() {
            Ok(number) if !is_text => json!(number),
            _ => json!(value),
        }
    }
}

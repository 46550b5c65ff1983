//! What differs between a guest that is wished and the one that is there, and what has to be sent for it.

use std::collections::BTreeSet;

use super::beside::rule_position;
use super::field::{self, Field, Home, Several};
use super::forms::{Form, disk_size, wire_size};
use super::{ClusterGuestSpec, Effect, ObservedClusterGuest, Properties, Value};

/// Everything that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// By path, in order.
    pub all: Vec<Difference>,
    /// What is asked for and cannot be: path, what was found and asked for, what to do.
    pub refused: Vec<(String, String, String)>,
}

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub path: String,
    /// As it is.
    pub before: Option<Value>,
    /// As it will be.
    pub after: Option<Value>,
    /// When it takes effect.
    pub effect: Effect,
    /// Where it is kept.
    pub home: Home,
    /// What is sent.
    pub act: Act,
}

/// What is sent to make one value right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Set a field.
    Set {
        /// Proxmox's name for it.
        key: String,
        /// As it is sent.
        value: String,
    },
    /// Take a field away. The volume of a mount point stays, as `unusedN`.
    Delete {
        /// Proxmox's name for it.
        key: String,
    },
    /// Let a disk grow.
    Grow {
        /// Proxmox's name for it.
        disk: String,
        /// To this size.
        size: String,
    },
}

/// Compares. Values that were never applied and are not wished are the user's: they do not count.
pub fn compare(spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> Differences {
    let mut comparing =
        Comparing { spec, seen, taken: seen.keys.values().cloned().collect(), found: Differences::default() };
    let mut paths: BTreeSet<&String> = spec.values.keys().chain(seen.mark.applied.keys()).collect();
    // The order of firewall rules counts: whoever declares one, or did, has all of them.
    if paths.iter().any(|path| rule_position(path).is_some()) {
        paths.extend(seen.values.keys().filter(|path| rule_position(path).is_some()));
    }
    for path in paths {
        if let Some((field, which)) = field::by_path(spec.kind, path) {
            comparing.path(path, field, which);
        }
    }
    comparing.found
}

struct Comparing<'a> {
    spec: &'a ClusterGuestSpec,
    seen: &'a ObservedClusterGuest,
    /// Numbered keys that are in use.
    taken: BTreeSet<String>,
    found: Differences,
}

impl Comparing<'_> {
    fn path(&mut self, path: &str, field: &Field, which: Option<&str>) {
        let absent = field.absent.map(|text| Value::Text(text.to_owned()));
        let is = self.seen.values.get(path).cloned();
        let applied = self.seen.mark.applied.get(path);
        match (self.spec.values.get(path), field.form) {
            (Some(Value::Text(wish)), Form::Set) => {
                let wish = joined(wish, is.as_ref(), applied);
                self.set(path, field, which, is, Some(Value::Text(wish)).filter(|w| !is_empty(w)));
            }
            (None, Form::Set) => {
                let wish = joined("", is.as_ref(), applied);
                self.set(path, field, which, is, Some(Value::Text(wish)).filter(|w| !is_empty(w)));
            }
            (Some(Value::Properties(wish)), Form::Disk(shape)) => {
                let seen = is.as_ref().and_then(Value::as_properties);
                let whole = field::carry(shape, wish, seen);
                self.disk(path, field, which, seen.cloned(), whole);
            }
            (Some(Value::Properties(wish)), Form::Properties(shape)) => {
                let whole = field::carry(shape, wish, is.as_ref().and_then(Value::as_properties));
                self.set(path, field, which, is, Some(Value::Properties(whole)));
            }
            (Some(wish), _) => self.set(path, field, which, is.or(absent), Some(wish.clone())),
            // Required by Proxmox, and nobody's loss: it stays as it is.
            (None, _) if matches!(field.key, "rootfs" | "memory" | "hostname" | "name") => {}
            (None, Form::Disk(_)) if field.several == Several::Number => {}
            (None, _) => self.set(path, field, which, is, None),
        }
    }

    fn set(&mut self, path: &str, field: &Field, which: Option<&str>, before: Option<Value>, after: Option<Value>) {
        if before == after {
            return;
        }
        let key = self.key(path, field, which);
        let act = match &after {
            Some(value) => Act::Set { key, value: field.form.wire(value) },
            None => Act::Delete { key },
        };
        let (effect, home) = (field.effect, field.home);
        self.found.all.push(Difference { path: path.to_owned(), before, after, effect, home, act });
    }

    fn disk(&mut self, path: &str, field: &Field, which: Option<&str>, is: Option<Properties>, mut wish: Properties) {
        let Some(is) = is else {
            // One more disk is plugged in while the guest runs; what one is like is decided when it is.
            let plugged = Field { effect: Effect::Live, ..*field };
            return self.set(path, &plugged, which, None, Some(Value::Properties(wish)));
        };
        if let (Some(found), Some(asked)) = (is.get("storage"), wish.get("storage"))
            && found != asked
        {
            let message = format!("found `{path}` on the storage `{found}`, the fleet file asks for `{asked}`");
            let help = format!("write `{found}`, or move the volume with Proxmox's own tools");
            return self.found.refused.push((path.to_owned(), message, help));
        }
        let size = |properties: &Properties| properties.get("size").and_then(disk_size);
        let found = self.seen.sizes.get(path).and_then(|size| disk_size(size)).or_else(|| size(&is));
        if let (Some(found), Some(asked)) = (found, size(&wish)) {
            if asked < found {
                let message = format!("found `{path}` with {found}, the fleet file asks for {asked}");
                let help = format!("disks never shrink: write `{found}`");
                return self.found.refused.push((path.to_owned(), message, help));
            }
            if asked > found {
                let [before, after] = [found, asked].map(|size| Some(Value::Text(size.to_string())));
                let act = Act::Grow { disk: self.key(path, field, which), size: wire_size(asked) };
                let path = format!("{path} size");
                self.found.all.push(Difference { path, before, after, effect: Effect::Live, home: field.home, act });
                wish.set("size", found.to_string());
            }
        }
        if wish.get("size").is_none()
            && let Some(size) = is.get("size")
        {
            wish.set("size", size);
        }
        self.set(path, field, which, Some(Value::Properties(is)), Some(Value::Properties(wish)));
    }

    /// Proxmox's name: the number that is there, or the first that is free.
    fn key(&mut self, path: &str, field: &Field, which: Option<&str>) -> String {
        match (field.several, which) {
            (Several::No, _) | (_, None) => field.key.to_owned(),
            (Several::Number, Some(number)) => format!("{}{number}", field.key),
            (Several::By(_), Some(_)) => {
                if let Some(key) = self.seen.keys.get(path) {
                    return key.clone();
                }
                let free = (0..256).map(|number| format!("{}{number}", field.key));
                // Proxmox allows 32 interfaces and 256 mount points; the last one is refused by it, with its own words.
                let key = free.into_iter().find(|key| !self.taken.contains(key)).unwrap_or_default();
                self.taken.insert(key.clone());
                key
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_text() == Some("")
}

/// What a set becomes: wished words come in, words that we put in and nobody wishes go, the others are somebody's.
fn joined(wish: &str, is: Option<&Value>, applied: Option<&Value>) -> String {
    fn words(text: &str) -> impl Iterator<Item = &str> {
        text.split(';').filter(|word| !word.is_empty())
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_text).unwrap_or_default().to_owned();
    let (is, applied) = (text(is), text(applied));
    let ours: BTreeSet<&str> = words(&applied).collect();
    let mut all: BTreeSet<&str> = words(&is).filter(|word| !ours.contains(word)).collect();
    all.extend(words(wish));
    all.into_iter().collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests;

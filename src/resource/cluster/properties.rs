//! Property strings: `local:8,size=8G,ro=1`, Proxmox's own way to put several values into one field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The values of a property string by key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Reads a property string. A part without `=` belongs to `first`, the key that may be left out; where there is no
    /// such key, it is a key without a value. Of a key that comes twice the last counts.
    pub fn parse(text: &str, first: Option<&str>) -> Self {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let pairs = parts.map(|part| match (part.split_once('='), first) {
            (Some((key, value)), _) => (key.to_owned(), value.to_owned()),
            (None, Some(first)) => (first.to_owned(), part.to_owned()),
            (None, None) => (part.to_owned(), String::new()),
        });
        Self(pairs.collect())
    }

    /// The property string, with `first` in front and without its key, the others in alphabetical order.
    pub fn text(&self, first: Option<&str>) -> String {
        let bare = first.and_then(|first| self.get(first)).map(str::to_owned);
        let others = self.0.iter().filter(|(key, _)| first != Some(key.as_str()));
        let others = others.map(|(key, value)| format!("{key}={value}"));
        bare.into_iter().chain(others).collect::<Vec<_>>().join(",")
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets a key.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Properties {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_may_stand_without_its_key() {
        let disk = Properties::parse("local:101/vm-101-disk-0.raw,size=1G", Some("volume"));
        assert_eq!(disk, Properties::from([("size", "1G"), ("volume", "local:101/vm-101-disk-0.raw")]));
        assert_eq!(disk.text(Some("volume")), "local:101/vm-101-disk-0.raw,size=1G");
        assert_eq!(disk.text(None), "size=1G,volume=local:101/vm-101-disk-0.raw");
    }

    #[test]
    fn parts_without_a_value_are_kept() {
        assert_eq!(Properties::parse("a,,b=1, c=x=y", None), [("a", ""), ("b", "1"), ("c", "x=y")].into());
    }
}

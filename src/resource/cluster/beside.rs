//! What of a guest is kept beside its configuration, in canonical form: its firewall's options and rules, and what high
//! availability knows of it.
//!
//! Their values contain commas, so they are no property strings: both sides make them from keys and values.

use super::forms::{FIREWALL, FIREWALL_RULE, HA, Shape};
use super::{Properties, Value};

/// Keys of a rule; Proxmox adds others (`pos`, `digest`, `ipversion`).
pub const RULE_KEYS: [&str; 13] = [
    "type",
    "action",
    "enable",
    "macro",
    "proto",
    "dport",
    "sport",
    "source",
    "dest",
    "iface",
    "icmp-type",
    "log",
    "comment",
];

/// Keys of the options.
pub const OPTION_KEYS: [&str; 10] = [
    "enable",
    "policy_in",
    "policy_out",
    "log_level_in",
    "log_level_out",
    "dhcp",
    "ndp",
    "radv",
    "macfilter",
    "ipfilter",
];

/// Keys of a resource of high availability that are declared. Its run state follows from the guest's own.
pub const HA_KEYS: [&str; 3] = ["max_restart", "max_relocate", "group"];

/// Keys of its affinity: the nodes that it is kept on, and whether on no others. They are kept in a group or a rule of its own.
pub const AFFINITY_KEYS: [&str; 2] = ["nodes", "strict"];

/// The keys of a group or a rule of its own that does not count for it, because something of it is missing. Nobody declares them, so
/// that they are put right.
pub const IDLE_KEYS: [&str; 2] = ["idle-nodes", "idle-strict"];

/// The path of the rule at a position.
pub fn rule_path(position: usize) -> String {
    format!("firewall-rule {position}")
}

/// The position of a rule by its path.
pub fn rule_position(path: &str) -> Option<usize> {
    path.strip_prefix("firewall-rule ")?.parse().ok()
}

/// A rule.
pub fn rule(pairs: impl IntoIterator<Item = (String, String)>) -> Value {
    Value::Properties(canonical(&FIREWALL_RULE, &RULE_KEYS, pairs))
}

/// The options; nothing when all are as they are without any.
pub fn options(pairs: impl IntoIterator<Item = (String, String)>) -> Option<Value> {
    let all = canonical(&FIREWALL, &OPTION_KEYS, pairs);
    (!all.is_empty()).then_some(Value::Properties(all))
}

/// A resource of high availability. It is there, even when it says nothing.
pub fn high_availability(pairs: impl IntoIterator<Item = (String, String)>) -> Value {
    let mut all = canonical(&HA, &[&HA_KEYS[..], &AFFINITY_KEYS].concat(), pairs);
    for key in ["max_restart", "max_relocate"] {
        if all.get(key).is_none() {
            all.set(key, "1");
        }
    }
    Value::Properties(all)
}

/// Nodes with their priorities in one form: the highest first, names in their order, no priority where it is 0.
pub fn affinity<'a>(nodes: impl IntoIterator<Item = (&'a str, u32)>) -> String {
    let mut nodes: Vec<(&str, u32)> = nodes.into_iter().collect();
    nodes.sort_by(|(a, first), (b, second)| second.cmp(first).then(a.cmp(b)));
    nodes.dedup();
    let one =
        |(name, priority): (&str, u32)| if priority == 0 { name.to_owned() } else { format!("{name}:{priority}") };
    nodes.into_iter().map(one).collect::<Vec<_>>().join(" ")
}

/// As [`affinity`], of what Proxmox writes: `pve1:2,pve2`.
pub fn affinity_of(text: &str) -> String {
    let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
    affinity(parts.map(|part| match part.split_once(':') {
        Some((name, priority)) => (name, priority.parse().unwrap_or_default()),
        None => (part, 0),
    }))
}

fn canonical(shape: &Shape, keys: &[&str], pairs: impl IntoIterator<Item = (String, String)>) -> Properties {
    let mut all = Properties::default();
    for (key, value) in pairs {
        let value = value.trim();
        if keys.contains(&key.as_str()) && !value.is_empty() {
            all.set(&key, value);
        }
    }
    shape.without_defaults(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, String)> + use<'a> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
    }

    /// LESSON 41.
    #[test]
    fn what_is_declared_and_what_comes_back_are_one() {
        let declared = rule(pairs(&[("type", "in"), ("action", "ACCEPT"), ("enable", "1"), ("dport", "80,443")]));
        let read = rule(pairs(&[
            ("pos", "3"),
            ("digest", "x"),
            ("type", "in"),
            ("action", "ACCEPT"),
            ("enable", "1"),
            ("dport", "80,443"),
            ("log", "nolog"),
        ]));
        assert_eq!(declared, read);
        assert_eq!(options(pairs(&[("digest", "x"), ("ndp", "1")])), None);
        let nothing = high_availability(pairs(&[("state", "started"), ("failback", "0")]));
        assert_eq!(nothing, high_availability(pairs(&[("max_restart", "1"), ("max_relocate", "1")])));
    }

    #[test]
    fn nodes_are_in_one_order_however_they_are_written() {
        assert_eq!(affinity_of("pve3,pve2:0,pve1:2"), "pve1:2 pve2 pve3");
        assert_eq!(affinity_of(&affinity([("b", 7), ("a", 0), ("b", 7)])), "b:7 a");
        let strict = |text: &str| high_availability(pairs(&[("nodes", "a"), ("strict", text)]));
        assert_eq!(strict("0"), high_availability(pairs(&[("nodes", "a")])));
        assert_ne!(strict("1"), strict("0"));
    }

    #[test]
    fn rules_are_known_by_their_positions() {
        assert_eq!(rule_position(&rule_path(12)), Some(12));
        assert_eq!(rule_position("firewall"), None);
    }
}

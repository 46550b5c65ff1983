//! The rules of a network's table: as nft takes them, and as it lists them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::resource::{BridgeSpec, Digest, PortForward};

/// The statements that replace the table, in one transaction: all of them hold, or what held before.
pub(in crate::driver) fn text(spec: &BridgeSpec) -> String {
    let table = spec.bridge.table();
    let mut statements = vec![
        // Deleting what does not exist is an error, adding what exists is none.
        format!("add table inet {table}"),
        format!("delete table inet {table}"),
        format!("add table inet {table}"),
    ];
    let chains = [
        ("forward", "type filter hook forward priority filter"),
        ("prerouting", "type nat hook prerouting priority dstnat"),
        ("output", "type nat hook output priority -100"),
        ("postrouting", "type nat hook postrouting priority srcnat"),
    ];
    statements
        .extend(chains.map(|(chain, hook)| format!("add chain inet {table} {chain} {{ {hook} ; policy accept ; }}")));
    let rules = filters(spec).into_iter().chain(translations(spec));
    statements.extend(rules.map(|(chain, rule)| format!("add rule inet {table} {chain} {rule}")));
    statements.join(" ; ")
}

/// A chain, and a rule of it.
type Rule = (&'static str, String);

/// Who reaches whom.
fn filters(spec: &BridgeSpec) -> Vec<Rule> {
    let bridge = &spec.bridge;
    let mut rules = Vec::new();
    if spec.isolate {
        rules.push(format!("iifname {bridge} oifname {bridge} drop"));
    }
    rules.push(format!("oifname {bridge} ct state established,related accept"));
    rules.push(format!("oifname {bridge} ct status dnat accept"));
    rules.push(format!("iifname != {bridge} oifname {bridge} drop"));
    rules.push(format!("iifname {bridge} ct state established,related accept"));
    if !spec.nat {
        rules.push(format!("iifname {bridge} oifname != {bridge} drop"));
    }
    // What claims to come from elsewhere would be answered there.
    rules.push(format!("iifname {bridge} ip saddr != {} drop", spec.subnet));
    if let Some(subnet) = spec.subnet6 {
        rules.push(format!("iifname {bridge} ip6 saddr != {subnet} drop"));
    }
    rules.into_iter().map(|rule| ("forward", rule)).collect()
}

/// Whose addresses stand for whose.
fn translations(spec: &BridgeSpec) -> Vec<Rule> {
    let bridge = &spec.bridge;
    let mut rules = Vec::new();
    for PortForward { host, address, address6, guest } in &spec.forwards {
        let to4 = format!("fib daddr type local tcp dport {host} dnat ip to {address} : {guest}");
        rules.push(("prerouting", format!("iifname != {bridge} {to4}")));
        rules.push(("output", format!("ip daddr != 127.0.0.0/8 {to4}")));
        if let Some(address6) = address6 {
            let to6 = format!("fib daddr type local tcp dport {host} dnat ip6 to {address6} : {guest}");
            rules.push(("prerouting", format!("iifname != {bridge} {to6}")));
            rules.push(("output", format!("ip6 daddr != ::1 {to6}")));
        }
    }
    if spec.nat {
        rules.push(("postrouting", format!("oifname != {bridge} ip saddr {} masquerade", spec.subnet)));
        if let Some(subnet) = spec.subnet6 {
            rules.push(("postrouting", format!("oifname != {bridge} ip6 saddr {subnet} masquerade")));
        }
    }
    rules
}

/// A table as `nft -j list table` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Names what it says, twelve hexadecimal digits: handles and the version of nft left out.
    pub(super) digest: String,
    /// Whether guests reach the outside.
    pub(super) nat: bool,
    /// Ports of the host that lead to guests, IPv4 only.
    pub(super) forwards: BTreeSet<PortForward>,
}

/// Reads a listing.
///
/// # Errors
/// It is not what nft prints.
pub(super) fn listed(json: &[u8]) -> Result<Listed, String> {
    let unreadable = || "nft's listing of our rules cannot be read".to_owned();
    let whole: Value = serde_json::from_slice(json).map_err(|_| unreadable())?;
    let mut items = whole.get("nftables").and_then(Value::as_array).cloned().ok_or_else(unreadable)?;
    items.retain(|item| item.get("metainfo").is_none());
    for item in items.iter_mut().filter_map(Value::as_object_mut).flat_map(|item| item.values_mut()) {
        if let Some(fields) = item.as_object_mut() {
            fields.remove("handle");
        }
    }
    // Maps and lists of text and numbers: serialising them cannot fail.
    let canonical = serde_json::to_vec(&items).unwrap_or_default();
    let digest = Digest::of(&canonical).as_str().chars().take(12).collect();
    let rules: Vec<&Value> = items.iter().filter_map(|item| item.get("rule")).collect();
    let nat = rules.iter().any(|rule| expressions(rule).any(|expression| expression.get("masquerade").is_some()));
    let forwards = rules.iter().filter(|rule| rule["chain"] == "prerouting").filter_map(|rule| forward(rule)).collect();
    Ok(Listed { digest, nat, forwards })
}

fn expressions(rule: &Value) -> impl Iterator<Item = &Value> {
    rule.get("expr").and_then(Value::as_array).into_iter().flatten()
}

/// The forward that a rule makes.
fn forward(rule: &Value) -> Option<PortForward> {
    let port = |value: &Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let host = expressions(rule).find_map(|it| {
        let matched = it.get("match").filter(|it| it["left"]["payload"]["field"] == "dport")?;
        port(&matched["right"])
    })?;
    let to = expressions(rule).find_map(|it| it.get("dnat")).filter(|to| to["family"] == "ip")?;
    let address = to["addr"].as_str()?.parse().ok()?;
    Some(PortForward { host, address, address6: None, guest: port(&to["port"])? })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::driver::privilege::admit;
    use crate::resource::LinkName;

    fn spec(nat: bool, isolate: bool) -> BridgeSpec {
        let forward = PortForward {
            host: 8080,
            address: "172.31.7.5".parse().unwrap(),
            address6: "fd12::5".parse().ok(),
            guest: 80,
        };
        BridgeSpec {
            name: "lan".into(),
            bridge: LinkName::bridge("shop", "lan"),
            subnet: "172.31.7.0/24".parse().unwrap(),
            subnet6: "fd12::/64".parse().ok(),
            nat,
            isolate,
            dhcp: false,
            dns: false,
            taps: BTreeMap::new(),
            forwards: BTreeSet::from([forward]),
        }
    }

    #[test]
    fn whatever_is_declared_the_rules_are_in_the_catalogue() {
        for (nat, isolate) in [(true, true), (true, false), (false, true), (false, false)] {
            let text = text(&spec(nat, isolate));
            assert!(admit("nft", &[&text]).is_ok(), "{text}");
            assert_eq!((text.contains("masquerade"), text.matches("ip6 to").count()), (nat, 2));
        }
    }

    #[test]
    fn a_listing_is_read_without_what_changes_by_itself() {
        let listing = |handle: u32, version: &str| {
            format!(
                r#"{{"nftables": [{{"metainfo": {{"version": "{version}"}}}}, {{"rule": {{"chain": "prerouting", "handle": {handle},
                "expr": [{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": 8080}}}},
                {{"dnat": {{"family": "ip", "addr": "172.31.7.5", "port": 80}}}}]}}}}]}}"#
            )
        };
        let first = listed(listing(1, "1.0.6").as_bytes()).unwrap();
        assert_eq!(listed(listing(7, "1.1.0").as_bytes()), Ok(first.clone()));
        let texts: Vec<String> = first.forwards.iter().map(ToString::to_string).collect();
        assert_eq!((texts, first.nat), (vec!["8080:172.31.7.5:80".to_owned()], false));
        assert!(listed(b"Error: No such file").is_err());
    }
}

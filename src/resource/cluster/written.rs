//! A guest as the fleet file would write it: the way back from Proxmox's configuration to the user's words.

use super::{GuestKind, ObservedClusterGuest, Power, Properties, Value, mark};
use crate::config::{is_label, is_shareable, is_shareable_device, is_snippet};

/// The node of a guest that is to be taken over. What the language has no word for is named in a comment, is left out, and so stays
/// as it is.
pub fn written(seen: &ObservedClusterGuest) -> String {
    let mut block = Block { lines: Vec::new() };
    block.line(&format!("cluster {}", quoted(&seen.cluster)));
    block.line(&format!("vmid {}", seen.vmid));
    block.line("existing");
    // Of a privileged one nothing is said: `#false` would ask for what only root may change, and it stays as it is.
    if seen.unprivileged == Some(true) {
        block.line("unprivileged #true");
    }
    for (path, value) in &seen.values {
        match (path.split_once(' ').map_or((path.as_str(), ""), |(kind, which)| (kind, which)), value) {
            ((kind, which), Value::Properties(all)) => block.properties(seen.kind, kind, which, all),
            ((kind, _), Value::Text(text)) => block.text(seen.kind, kind, text),
        }
    }
    block.dns(seen);
    if seen.power == Power::Off {
        block.line("running #false");
    }
    let kind = if seen.kind == GuestKind::Container { "container" } else { "vm" };
    format!("{kind} {} {{\n{}}}\n", quoted(&seen.mark.guest), block.lines.concat())
}

struct Block {
    lines: Vec<String>,
}

/// Keys of a property string, each with the word of the language; those without a word are Proxmox's own business.
type Words = &'static [(&'static str, &'static str)];

const VOLUME: Words = &[("storage", "storage"), ("size", "size"), ("backup", "backup"), ("ro", "read-only")];
const CARRIED: [&str; 6] = ["volume", "hwaddr", "macaddr", "mp", "name", "path"];
const CONTAINER_NET: Words = &[
    ("bridge", "bridge"),
    ("ip", "ip"),
    ("gw", "gateway"),
    ("ip6", "ip6"),
    ("gw6", "gateway6"),
    ("tag", "vlan"),
    ("mtu", "mtu"),
    ("firewall", "firewall"),
];
const VM_NET: Words =
    &[("bridge", "bridge"), ("model", "model"), ("tag", "vlan"), ("mtu", "mtu"), ("firewall", "firewall")];
const VM_DISK: Words = &[
    ("storage", "storage"),
    ("size", "size"),
    ("backup", "backup"),
    ("discard", "discard"),
    ("ssd", "ssd"),
    ("iothread", "io-thread"),
];
const BIND: Words = &[("from", "from"), ("ro", "read-only")];
const DEVICE: Words = &[("mode", "mode"), ("uid", "uid"), ("gid", "gid")];
const STARTUP: Words = &[("order", "order"), ("up", "up"), ("down", "down")];

impl Block {
    fn line(&mut self, text: &str) {
        self.lines.push(format!("    {text}\n"));
    }

    fn text(&mut self, kind: GuestKind, path: &str, text: &str) {
        match (path, kind) {
            ("cores" | "sockets", _) => self.line(&format!("{path} {text}")),
            ("memory", _) | ("swap", GuestKind::Container) => self.line(&format!("{path} {}", quoted(text))),
            ("protection" | "on-boot", _) if text == "true" => self.line(&format!("{path} #true")),
            ("hook-script", _) if is_snippet(text) => self.line(&format!("hook-script {}", quoted(text))),
            ("pool", _) => self.line(&format!("pool {}", quoted(text))),
            ("tags", _) => {
                let tags = text.split(';').filter(|tag| is_label(tag) && !tag.starts_with(&mark::tag("")));
                let tags: Vec<String> = tags.map(quoted).collect();
                if !tags.is_empty() {
                    self.line(&format!("tags {}", tags.join(" ")));
                }
            }
            _ => {}
        }
    }

    fn properties(&mut self, kind: GuestKind, path: &str, which: &str, all: &Properties) {
        match (path, kind) {
            ("root-disk", _) => self.node("root-disk", "", all, VOLUME),
            ("mount", _) => self.node("mount", &quoted(which), all, VOLUME),
            ("interface", GuestKind::Container) => self.node("interface", &quoted(which), all, CONTAINER_NET),
            ("interface", GuestKind::Vm) => self.node("interface", which, all, VM_NET),
            ("disk", GuestKind::Vm) => self.node("disk", which, all, VM_DISK),
            ("startup", _) => self.node("startup", "", all, STARTUP),
            ("features", _) => self.features(all),
            ("bind", _) if all.get("from").is_some_and(is_shareable) => self.node("bind", &quoted(which), all, BIND),
            ("device", _) if is_shareable_device(which) => self.node("device", &quoted(which), all, DEVICE),
            ("bind" | "device", _) => {
                self.line(&format!("// `{path} {}` is the node's own: it stays as it is", comment(which)));
            }
            _ => {}
        }
    }

    fn node(&mut self, name: &str, which: &str, all: &Properties, words: Words) {
        let word = |key: &str| words.iter().find(|(known, _)| *known == key).map(|(_, word)| *word);
        let needed = if matches!(name, "root-disk" | "mount" | "disk") { &["storage", "size"][..] } else { &[] };
        let unknown: Vec<&str> =
            all.iter().map(|(key, _)| key).filter(|key| word(key).is_none() && !CARRIED.contains(key)).collect();
        let missing = needed.iter().find(|key| all.get(key).is_none());
        if !unknown.is_empty() || missing.is_some() {
            let why = if unknown.is_empty() {
                "is no volume of a storage".into()
            } else {
                format!("has {}", unknown.join(", "))
            };
            let what = format!("{name} {which}");
            return self.line(&format!("// `{}` {}: it stays as it is", comment(what.trim()), comment(&why)));
        }
        let values = all.iter().filter_map(|(key, value)| Some(format!("{}={}", word(key)?, typed(key, value))));
        let parts = [name.to_owned(), which.to_owned()].into_iter().filter(|part| !part.is_empty());
        self.line(&parts.chain(values).collect::<Vec<_>>().join(" "));
    }

    fn features(&mut self, all: &Properties) {
        if all.iter().any(|(_, value)| value != "1") {
            return self.line("// `features` have values: they stay as they are");
        }
        let names: Vec<String> = all.iter().map(|(name, _)| quoted(name)).collect();
        if !names.is_empty() {
            self.line(&format!("feature {}", names.join(" ")));
        }
    }

    /// Two fields of Proxmox are one node.
    fn dns(&mut self, seen: &ObservedClusterGuest) {
        let text = |path: &str| seen.values.get(path).and_then(Value::as_text).unwrap_or_default();
        let servers = text("dns-servers").split(' ').filter(|server| !server.is_empty()).map(quoted);
        let domain = Some(text("search-domain")).filter(|domain| !domain.is_empty());
        let parts: Vec<String> = servers.chain(domain.map(|domain| format!("domain={}", quoted(domain)))).collect();
        if !parts.is_empty() {
            self.line(&format!("dns {}", parts.join(" ")));
        }
    }
}

/// A property's value in the language's types.
fn typed(key: &str, value: &str) -> String {
    match (key, value) {
        ("tag" | "mtu" | "order" | "up" | "down" | "uid" | "gid", number)
            if number.bytes().all(|b| b.is_ascii_digit()) =>
        {
            number.into()
        }
        ("backup" | "ro" | "firewall" | "ssd" | "iothread", "1") | ("discard", "on") => "#true".into(),
        ("backup" | "ro" | "firewall" | "ssd" | "iothread", "0") | ("discard", "ignore") => "#false".into(),
        (_, text) => quoted(text),
    }
}

/// A KDL string. What Proxmox gave may be anything; line ends and control characters are in none of its names.
fn quoted(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    let escaped: String = plain.flat_map(|c| if matches!(c, '"' | '\\') { vec!['\\', c] } else { vec![c] }).collect();
    format!("\"{escaped}\"")
}

/// What may stand in a comment.
fn comment(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && *c != '`').take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_guest_is_called_ends_a_string() {
        assert_eq!(quoted("a\"b\\c\nd"), "\"a\\\"b\\\\cd\"");
        assert_eq!(comment("x\n}`"), "x}");
    }
}

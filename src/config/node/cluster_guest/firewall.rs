//! `firewall … { rule … }` of a guest on a cluster.

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{Firewall, FirewallRule};
use crate::syntax::{Node, Spanned};

/// What happens to a packet that no rule fits.
const POLICY: Kind = Kind::Choice(&["accept", "drop", "reject"]);
const LOG: Kind = Kind::Choice(&["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"]);

/// `firewall in="drop" { rule "in" "accept" proto="tcp" port="22" }`
pub(super) static FIREWALL: NodeRule = NodeRule {
    properties: &[
        PropertyRule::defaulted("enable", Kind::Boolean, "#true", "Whether it is switched on for this guest."),
        PropertyRule::optional("in", POLICY, "What happens to incoming packets that no rule fits."),
        PropertyRule::optional("out", POLICY, "What happens to outgoing ones."),
        PropertyRule::optional("log-in", LOG, "What of incoming packets is logged."),
        PropertyRule::optional("log-out", LOG, "What of outgoing ones."),
        PropertyRule::optional("dhcp", Kind::Boolean, "Whether DHCP is let through."),
        PropertyRule::optional("ndp", Kind::Boolean, "Whether IPv6's discovery of neighbours is; it is, without this."),
        PropertyRule::optional("router-advertisements", Kind::Boolean, "Whether the guest may send them."),
        PropertyRule::optional(
            "mac-filter",
            Kind::Boolean,
            "Whether only its own MAC address may send; so it is, without this.",
        ),
        PropertyRule::optional("ip-filter", Kind::Boolean, "Whether only its own addresses may send."),
    ],
    children: &[ChildRule::any(&RULE)],
    impact: "connectivity",
    ..NodeRule::new(
        "firewall",
        "What Proxmox's firewall lets through. It sees packets of interfaces with `firewall=#true`, and none before it \
         is switched on for the whole cluster.",
    )
};

static RULE: NodeRule = NodeRule {
    arguments: &[
        ArgumentRule::required(
            "direction",
            Kind::Choice(&["in", "out", "group"]),
            "Which packets, or a group of rules.",
        ),
        ArgumentRule::required("action", Kind::Word, "`accept`, `drop` or `reject`; the name of the group."),
    ],
    properties: &[
        PropertyRule::defaulted("enable", Kind::Boolean, "#true", "Whether the rule counts."),
        PropertyRule::optional("macro", Kind::Word, "Ports and protocols by a name of Proxmox's, such as `HTTPS`."),
        PropertyRule::optional("proto", Kind::Word, "Protocol, such as `tcp`."),
        PropertyRule::optional("port", Kind::Text, "Destination ports: `22`, `80,443`, `8000:8010`."),
        PropertyRule::optional("source-port", Kind::Text, "Source ports."),
        PropertyRule::optional("source", Kind::Text, "Source: addresses, networks, `+ipset`, or an alias."),
        PropertyRule::optional("dest", Kind::Text, "Destination, likewise."),
        PropertyRule::optional("interface", Kind::Word, "Only packets of this interface, such as `net0`."),
        PropertyRule::optional("icmp-type", Kind::Word, "Only with `proto=\"icmp\"`, such as `echo-request`."),
        PropertyRule::optional("log", LOG, "What is logged."),
        PropertyRule::optional("comment", Kind::Text, "For people."),
    ],
    ..NodeRule::new(
        "rule",
        "One rule; the first that fits decides. Whoever declares one declares all of them: others are removed.",
    )
};

/// Words of the file, and what Proxmox calls the options that they are.
const POLICIES: [(&str, &str); 2] = [("in", "policy_in"), ("out", "policy_out")];
const LOGS: [(&str, &str); 2] = [("log-in", "log_level_in"), ("log-out", "log_level_out")];
const SWITCHES: [(&str, &str); 6] = [
    ("enable", "enable"),
    ("dhcp", "dhcp"),
    ("ndp", "ndp"),
    ("router-advertisements", "radv"),
    ("mac-filter", "macfilter"),
    ("ip-filter", "ipfilter"),
];
const FITS: [(&str, &str); 10] = [
    ("macro", "macro"),
    ("proto", "proto"),
    ("port", "dport"),
    ("source-port", "sport"),
    ("source", "source"),
    ("dest", "dest"),
    ("interface", "iface"),
    ("icmp-type", "icmp-type"),
    ("log", "log"),
    ("comment", "comment"),
];

/// The firewall of a guest.
pub(super) fn decode(node: &Node, problems: &mut Problems) -> Spanned<Firewall> {
    let block = Block::read(node, &FIREWALL, problems);
    let text = |name| block.text(name).map(|text| text.value);
    let policies = POLICIES.iter().filter_map(|(word, key)| Some((*key, text(word)?.to_uppercase())));
    let logs = LOGS.iter().filter_map(|(word, key)| Some((*key, text(word)?)));
    let switch = |word| block.boolean(word).map(|truth| truth.value).or((word == "enable").then_some(true));
    let switches = SWITCHES.iter().filter_map(|(word, key)| Some((*key, u8::from(switch(*word)?).to_string())));
    let options = policies.chain(logs).chain(switches).collect();
    let rules = block.children(RULE.name).filter_map(|node| rule(&Block::read(node, &RULE, problems)));
    let rules = rules.collect();
    Spanned::new(Firewall { options, rules }, node.span)
}

fn rule(block: &Block<'_>) -> Option<FirewallRule> {
    let direction = block.text("direction")?.value;
    let action = block.text("action")?.value;
    let action = if direction == "group" { action } else { action.to_uppercase() };
    let enabled = block.boolean("enable").is_none_or(|truth| truth.value);
    let fits = FITS.iter().filter_map(|(word, key)| Some((*key, block.text(word)?.value))).collect();
    Some(FirewallRule { direction, action, enabled, fits })
}

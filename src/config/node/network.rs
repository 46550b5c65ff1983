//! `network NAME { … }`

use core::net::IpAddr;

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule};
use crate::config::problems::Problems;
use crate::config::{Bridge, Network, NetworkMode, Setting};
use crate::syntax::{Diagnostic, Node, Spanned};

/// `network "lan" { mode "bridge"; subnet "172.31.7.0/24"; }`
pub(in crate::config) static NETWORK: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What guests call it.")],
    children: &[
        ChildRule::at_most_once(&MODE),
        ChildRule::at_most_once(&SUBNET),
        ChildRule::at_most_once(&SUBNET6),
        ChildRule::at_most_once(&NAT),
        ChildRule::at_most_once(&ISOLATE),
        ChildRule::at_most_once(&DHCP),
        ChildRule::at_most_once(&DNS),
        ChildRule::any(&NAMESERVER),
    ],
    default: Some("network { mode \"user\" }"),
    impact: "restart",
    ..NodeRule::new("network", "How guests are connected.")
};

static MODE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "mode",
        Kind::Choice(&["user", "bridge"]),
        "`user`: the hypervisor's own stack. It needs no privileges; guests reach the outside, the host reaches \
         forwarded ports, guests do not reach each other. `bridge`: a bridge on the host, to which guests are plugged \
         with addresses of their own. It needs the rights that `regatta sudoers` lists.",
    )],
    default: Some("user"),
    impact: "restart",
    ..NodeRule::new("mode", "What connects the guests.")
};

static SUBNET: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("network", Kind::Subnet4, "Its first address is the host's.")],
    impact: "restart",
    ..NodeRule::new("subnet", "The IPv4 addresses of a bridged network, which must have them.")
};

static SUBNET6: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("network", Kind::Subnet6, "Its first address is the host's.")],
    impact: "restart",
    ..NodeRule::new("subnet6", "IPv6 addresses of a bridged network, besides the IPv4 ones.")
};

static NAT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("nat", Kind::Boolean, "Whether they do.")],
    default: Some("#true"),
    impact: "live",
    ..NodeRule::new(
        "nat",
        "Guests of a bridged network reach the outside, with the host's address. Without it they reach the host and \
         each other only.",
    )
};

static ISOLATE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("isolate", Kind::Boolean, "Whether they are.")],
    default: Some("#false"),
    impact: "live",
    ..NodeRule::new("isolate", "Guests of a bridged network are kept from each other; the host reaches all of them.")
};

static DHCP: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("dhcp", Kind::Boolean, "Whether it answers.")],
    default: Some("#false"),
    impact: "live",
    ..NodeRule::new(
        "dhcp",
        "The host answers DHCP with each guest's own address, by dnsmasq. Guests of regatta do not need it: they know their \
         address.",
    )
};

static DNS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("dns", Kind::Boolean, "Whether it answers.")],
    default: Some("#false"),
    impact: "live",
    ..NodeRule::new(
        "dns",
        "The host answers questions for `GUEST.FLEET`, by dnsmasq, and passes on all others to its own DNS servers. Guests ask \
         it, unless a `nameserver` is written.",
    )
};

static NAMESERVER: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("address", Kind::IpAddress, "The server.")],
    impact: "restart",
    ..NodeRule::new("nameserver", "A DNS server that guests of a bridged network ask; they have none otherwise.")
};

/// The network, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<(Spanned<String>, Network)> {
    let before = problems.count();
    let block = Block::read(node, &NETWORK, problems);
    let word = block.children("mode").filter_map(|mode| Block::read(mode, &MODE, problems).text("mode")).next();
    let mode = word.map_or(Setting::default_value(NetworkMode::User), |word| {
        let mode = if word.value == "bridge" { NetworkMode::Bridge } else { NetworkMode::User };
        Setting::written(mode, word.span)
    });
    let bridge = match mode.value {
        NetworkMode::Bridge => bridge(&block, before, problems),
        NetworkMode::User => {
            refuse_in_user_mode(&block, problems);
            None
        }
    };
    let name = block.text("name")?;
    Some((name.clone(), Network { name: name.value, span: node.span, mode, bridge }))
}

/// What a bridged network says. Without a subnet nothing can be told about its guests.
fn bridge(block: &Block<'_>, before: usize, problems: &mut Problems) -> Option<Bridge> {
    let (mut subnet, mut subnet6, mut nameservers) = (None, None, Vec::new());
    let (mut nat, mut isolate) = (Setting::default_value(true), Setting::default_value(false));
    let (mut dhcp, mut dns) = (Setting::default_value(false), Setting::default_value(false));
    for node in block.all_children() {
        match node.name.value.as_str() {
            "subnet" => subnet = parsed(Block::read(node, &SUBNET, problems).text("network")),
            "subnet6" => subnet6 = parsed(Block::read(node, &SUBNET6, problems).text("network")),
            "nat" => set(&mut nat, Block::read(node, &NAT, problems).boolean("nat")),
            "isolate" => set(&mut isolate, Block::read(node, &ISOLATE, problems).boolean("isolate")),
            "dhcp" => set(&mut dhcp, Block::read(node, &DHCP, problems).boolean("dhcp")),
            "dns" => set(&mut dns, Block::read(node, &DNS, problems).boolean("dns")),
            "nameserver" => {
                nameservers.extend(parsed::<IpAddr>(Block::read(node, &NAMESERVER, problems).text("address")));
            }
            _ => {}
        }
    }
    if subnet.is_none() && problems.count() == before && problems.is_complete() {
        let message = "found a bridged network without addresses";
        problems.push(
            Diagnostic::error("config::no-subnet", message, block.head(), "expected `subnet` in its block")
                .help("give it a private network that nothing else uses: `subnet \"172.31.7.0/24\"`"),
        );
    }
    Some(Bridge { subnet: subnet?, subnet6, nat, isolate, dhcp, dns, nameservers })
}

/// The kind of the value made sure that it can be parsed.
fn parsed<T: std::str::FromStr>(text: Option<Spanned<String>>) -> Option<Spanned<T>> {
    text.and_then(|text| Some(Spanned::new(text.value.parse().ok()?, text.span)))
}

fn set(setting: &mut Setting<bool>, written: Option<Spanned<bool>>) {
    if let Some(written) = written {
        *setting = Setting::written(written.value, written.span);
    }
}

fn refuse_in_user_mode(block: &Block<'_>, problems: &mut Problems) {
    for node in block.all_children().filter(|node| node.name.value != "mode") {
        let Some(known) = NETWORK.child(&node.name.value) else { continue };
        Block::read(node, known.rule, problems);
        let message = format!("found `{}` in a network of mode `user`", known.rule.name);
        problems.push(
            Diagnostic::error("config::needs-bridge", message, node.name.span, "only for bridged networks")
                .help("write `mode \"bridge\"` in its block"),
        );
    }
}

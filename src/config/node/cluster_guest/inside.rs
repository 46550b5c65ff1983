//! What a guest's block says of the way into it: `ssh`.

use core::net::IpAddr;

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{GuestSsh, Inside, is_label};
use crate::syntax::{Diagnostic, Node, Spanned, shown};

/// Where SSH servers listen.
const SSH_PORT: u16 = 22;

pub(super) static SSH: NodeRule = NodeRule {
    properties: &[
        PropertyRule::defaulted(
            "via",
            Kind::Choice(&["ssh", "node"]),
            "ssh",
            "`node`: root of the container's node goes in (`pct exec`), by the cluster's `fence`. For unprivileged containers with \
             a number of their own; `regatta sudoers --node` prints the rule.",
        ),
        PropertyRule::optional(
            "host",
            Kind::Word,
            "Address or name. Without it: the address that an `interface` declares, else what the cluster says.",
        ),
        PropertyRule::defaulted("port", Kind::Integer { min: 1, max: 65535 }, "22", "TCP port."),
        PropertyRule::optional(
            "identity",
            Kind::HostPath,
            "File of the private key that logs in, absolute or below `~/`. Without it: regatta's own.",
        ),
    ],
    children: &[ChildRule::at_most_once(&HOST_KEY)],
    ..NodeRule::new(
        "ssh",
        "How regatta logs in to the guest as root. Its `authorized_keys` are kept as declared then, not only when the guest \
         is made.",
    )
};

static HOST_KEY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("key", Kind::KeyLine, "Such as `ssh-ed25519 AAAA…`.")],
    default: Some("a key that was read over a channel that is trusted already"),
    ..NodeRule::new("host-key", "The only host key that is accepted. No key is accepted because it was seen first.")
};

/// What only guests of clusters say of their inside; what they share with others is decoded with it.
pub(super) fn decode(block: &Block<'_>, problems: &mut Problems) -> Inside {
    let ssh = block.children(SSH.name).next();
    Inside { ssh: ssh.and_then(|node| Some(Spanned::new(ssh_of(node, problems)?, node.span))), ..Inside::default() }
}

fn ssh_of(node: &Node, problems: &mut Problems) -> Option<GuestSsh> {
    let block = Block::read(node, &SSH, problems);
    let key = block.children("host-key").filter_map(|key| Block::read(key, &HOST_KEY, problems).text("key")).next();
    let identity = block.text("identity");
    if let Some(path) = identity.as_ref().filter(|path| !path.value.starts_with('/') && !path.value.starts_with("~/")) {
        let message = format!("found `{}`, expected a path that starts with `/` or `~/`", shown(&path.value));
        problems.push(Diagnostic::error("config::wrong-value", message, path.span, "not accepted"));
        return None;
    }
    let host = block.text("host");
    if let Some(host) = host.as_ref().filter(|host| !is_host(&host.value)) {
        let message = format!("found `{}`, expected an address or a host name", shown(&host.value));
        problems.push(Diagnostic::error("config::wrong-value", message, host.span, "not accepted"));
        return None;
    }
    let via_node = block.text("via").is_some_and(|via| via.value == "node");
    let is_elsewhere = host.is_some() || identity.is_some() || key.is_some() || block.integer("port").is_some();
    if via_node && is_elsewhere {
        let message = "`via=\"node\"` takes neither `host`, `port`, `identity` nor `host-key`";
        let problem = Diagnostic::error("config::contradiction", message, block.head(), "no SSH server is asked");
        problems.push(problem.help("who it is, its node says, by the container's number"));
        return None;
    }
    let port = block.integer("port").and_then(|port| u16::try_from(port.value).ok());
    Some(GuestSsh {
        via_node,
        host: host.map(|host| host.value),
        port: port.unwrap_or(SSH_PORT),
        identity: identity.map(|path| path.value),
        host_key: key.map(|key| key_of(&key.value)),
    })
}

/// An address, or labels with dots: it becomes an argument of `ssh` and a pattern of `known_hosts`.
pub(in crate::config) fn is_host(text: &str) -> bool {
    let is_name = text.len() <= 253 && text.split('.').all(|label| is_label(&label.to_ascii_lowercase()));
    text.parse::<IpAddr>().is_ok() || is_name
}

/// Type and key of a key line: what follows is a comment.
pub(in crate::config) fn key_of(line: &str) -> String {
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

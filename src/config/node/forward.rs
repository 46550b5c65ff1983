//! `forward host=PORT guest=PORT`

use crate::config::Forward;
use crate::config::block::Block;
use crate::config::language::{Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::syntax::Node;

const PORT: Kind = Kind::Integer { min: 1, max: 65535 };

/// `forward host=8080 guest=80`
pub(in crate::config) static FORWARD: NodeRule = NodeRule {
    properties: &[
        PropertyRule::required(
            "host",
            PORT,
            "TCP port on the host: of its loopback address, or of all its other addresses when the guest is on a bridge.",
        ),
        PropertyRule::required("guest", PORT, "TCP port in the guest."),
    ],
    prioritised: true,
    impact: "restart",
    ..NodeRule::new("forward", "Makes a port of the guest reachable from the host.")
};

/// The forward, when both ports are good.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<Forward> {
    let block = Block::read(node, &FORWARD, problems);
    let port = |name| block.integer(name).and_then(|port| u16::try_from(port.value).ok());
    Some(Forward { host: port("host")?, guest: port("guest")? })
}

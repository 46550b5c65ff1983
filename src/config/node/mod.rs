//! The nodes of the language: each file has the table of one node and what it decodes to.

pub(super) mod authorized_key;
pub(super) mod cluster;
pub(super) mod cluster_guest;
pub(super) mod control;
pub(super) mod disk;
mod fence;
pub(super) mod file;
pub(super) mod file_sync;
pub(super) mod fleet;
pub(super) mod forget;
pub(super) mod forward;
pub(super) mod git_identity;
pub(super) mod guest;
pub(super) mod host;
pub(super) mod image;
mod image_content;
pub(super) mod import;
pub(super) mod kernel;
pub(super) mod module;
pub(super) mod moved;
pub(super) mod network;
pub(super) mod policy;
pub(super) mod profile;
pub(super) mod secret;
pub(super) mod session;
pub(super) mod vm;

use super::language::{ChildRule, NodeRule};

/// Nodes that may stand in every block, and are gone before the rest is decoded.
pub static CONTROL: [&NodeRule; 3] = [&control::LET, &control::FOR_EACH, &control::WHEN];

/// The document itself: a node without a name whose block is the file.
pub static DOCUMENT: NodeRule = NodeRule {
    children: &[
        ChildRule::at_most_once(&module::MODULE),
        ChildRule::any(&import::IMPORT),
        ChildRule::at_most_once(&fleet::FLEET),
        ChildRule::at_most_once(&policy::POLICY),
        ChildRule::any(&host::HOST),
        ChildRule::any(&image::IMAGE),
        ChildRule::any(&kernel::KERNEL),
        ChildRule::any(&network::NETWORK),
        ChildRule::any(&profile::PROFILE),
        ChildRule::any(&vm::VM),
        ChildRule::any(&moved::MOVED),
        ChildRule::any(&forget::FORGET),
        ChildRule::any(&cluster::CLUSTER),
        ChildRule::any(&cluster_guest::CONTAINER),
        ChildRule::any(&authorized_key::AUTHORIZED_KEY),
        ChildRule::at_most_once(&git_identity::GIT_IDENTITY),
    ],
    ..NodeRule::new("", "A fleet file: declarations in any order.")
};

/// `vm` with a `cluster` in its block: other nodes than in that of a local guest.
pub static CLUSTER_VM: &NodeRule = &cluster_guest::CLUSTER_VM;

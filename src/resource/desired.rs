//! The world as the fleet file wants it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::cluster::{ClusterGuestSpec, ClusterSpec, NodeMountSpec};
use super::{Address, BridgeSpec, FileSet, ImageSpec, KernelSpec, VmSpec};
use crate::config::Chosen;
use crate::syntax::SourceRef;

/// Every resource that should exist, with what each needs first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// The fleet's name.
    pub fleet: String,
    /// By address.
    pub resources: BTreeMap<Address, Declared>,
    /// Guests that had other names before: those names, the latest first, by the name they are declared under.
    pub moved: BTreeMap<String, Vec<String>>,
    /// Guests that are not declared and are forgotten instead of destroyed.
    pub forget: BTreeSet<String>,
    /// The machines of guests that name none, and why, by guest. For people: what a guest is stands in its own spec.
    pub chosen: BTreeMap<String, Chosen>,
}

/// One resource and how it was declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What should be.
    pub resource: Resource,
    /// Where it was written.
    pub source: Option<SourceRef>,
    /// Resources that must be right before this one is touched.
    pub needs: BTreeSet<Address>,
    /// Groups that its guest is in.
    pub tags: BTreeSet<String>,
    /// What the file says about it beside what it should be.
    pub rules: Rules,
}

/// How a resource is to be treated, whatever it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// Whether plans that remove it are refused; `None` leaves that as it is.
    pub protect: Option<bool>,
    /// Whether it starts with its host.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub autostart: bool,
    /// Paths of attributes that may drift, with `*` and `**`.
    pub ignore_drift: Vec<String>,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// A built image in the store.
    Image(ImageSpec),
    /// A built kernel in the store.
    Kernel(KernelSpec),
    /// A bridged network on the host. User-mode networks are part of their guests.
    Network(BridgeSpec),
    /// A running VM.
    Vm(VmSpec),
    /// A cluster, as far as it is reached; nothing is made or removed for it.
    Cluster(ClusterSpec),
    /// A guest of a cluster.
    ClusterGuest(Box<ClusterGuestSpec>),
    /// A disk that a node of a cluster has mounted.
    NodeMount(NodeMountSpec),
    /// Files in a guest.
    Files(FileSet),
}

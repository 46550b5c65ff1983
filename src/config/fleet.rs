//! The typed fleet: one value per thing the user declared, profiles and counts already applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cluster, ClusterVm, Container, Image, Kernel, Network, Priority, Vm};
use crate::syntax::{SourceId, Span, Spanned};

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody wrote it.
    Default,
    /// Written here (in the guest's own block, in a profile, or at the top of the file).
    Written(Span),
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// Where it was decided.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A value nobody wrote.
    pub const fn default_value(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    /// A value that was written.
    pub const fn written(value: T, span: Span) -> Self {
        Self { value, origin: Origin::Written(span) }
    }
}

/// Everything one fleet file (with its imports) declares.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The fleet's name: a DNS label. Objects on the host carry it as part of their mark.
    pub name: Setting<String>,
    /// Whom to ask about it.
    pub owner: Option<Spanned<String>>,
    /// How many steps run side by side; `None` leaves it to the machine.
    pub parallelism: Option<Spanned<u32>>,
    /// Who has to agree before data is lost.
    pub policy: Option<super::Policy>,
    /// By name.
    pub images: BTreeMap<String, Image>,
    /// By name.
    pub kernels: BTreeMap<String, Kernel>,
    /// By name.
    pub networks: BTreeMap<String, Network>,
    /// By name; `count` already expanded (`web` with `count=2` is `web-1` and `web-2`).
    pub vms: BTreeMap<String, Vm>,
    /// Guests that had other names before: those names, the latest first, by the name they are declared under.
    pub moved: BTreeMap<String, Vec<String>>,
    /// Guests that are not declared and are forgotten instead of destroyed.
    pub forget: Vec<Spanned<String>>,
    /// Proxmox VE clusters, by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// Containers on clusters, by name; `count` already expanded.
    pub containers: BTreeMap<String, Container>,
    /// Virtual machines on clusters, by name; `count` already expanded.
    pub cluster_vms: BTreeMap<String, ClusterVm>,
    /// What is needed to say where a value came from.
    pub provenance: Provenance,
}

/// What is needed, beside the places of values, to say where they came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The blocks of profiles, by name: what is written in one of them came from it.
    pub profiles: BTreeMap<String, Span>,
    /// Files that are modules.
    pub modules: BTreeSet<SourceId>,
    /// Values in force that were written with a priority, by their place.
    pub priorities: BTreeMap<Span, Priority>,
}

//! What would change, why, and what it costs.

use serde::{Deserialize, Serialize};

use crate::resource::{Address, Digest};
use crate::syntax::SourceRef;

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is right already.
    None,
    /// Made new.
    Create,
    /// Changed in place.
    Update,
    /// Removed and made new.
    Replace,
    /// Removed.
    Destroy,
    /// It could not be read, so nothing is planned for it.
    Unreadable,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing to do.
    UpToDate,
    /// Declared, and not there.
    Missing,
    /// The declaration changed since it was last applied.
    Pending,
    /// Reality moved since it was last applied.
    Drift,
    /// Both.
    PendingAndDrift,
    /// There, ours, and no longer declared.
    NotDeclared,
    /// Its creation was interrupted.
    Unfinished,
    /// It should run and does not.
    Stopped,
    /// Something it is made from changes.
    Dependency,
    /// `destroy` was asked for.
    Requested,
    /// It could not be read.
    Unreadable,
}

/// The worst thing that happens to a guest's users while it is done; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// Nobody notices.
    None,
    /// Changed while it runs.
    Live,
    /// Restarted.
    Restart,
    /// Its root disk is made anew; the work disk stays.
    Recreate,
    /// The operator's way in may be cut.
    Connectivity,
    /// Data is removed.
    DataLoss,
}

/// One resource's change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The resource.
    pub address: Address,
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// What it costs.
    pub impact: Impact,
    /// What differs, in a stable order.
    pub attributes: Vec<Attribute>,
    /// Where it was declared.
    pub source: Option<SourceRef>,
    /// For `unreadable`: what went wrong.
    pub note: Option<String>,
}

/// One differing attribute: a path such as `memory` or `~/.config/a b` with `content` or `mode`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// The path.
    pub path: String,
    /// As it is.
    pub before: Shown,
    /// As it will be.
    pub after: Shown,
    /// What changing it costs.
    pub impact: Impact,
    /// Whether reality moved (rather than the declaration).
    pub drift: bool,
}

/// A value as a plan may hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type", content = "value")]
pub enum Shown {
    /// Not there.
    Absent,
    /// A short value: number, size, name, mode.
    Plain(String),
    /// Lines of text, diffed when shown.
    Text(String),
    /// Content that is binary, too long or secret.
    Digest {
        /// Of the content.
        digest: Digest,
        /// Bytes.
        size: u64,
    },
    /// Decided when it is applied.
    KnownAfterApply,
}

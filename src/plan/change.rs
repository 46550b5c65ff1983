//! What would change, why, and what it costs.

use serde::{Deserialize, Serialize};

use super::pattern;
use crate::resource::{Address, Digest, Rules};
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
    /// Made one of this fleet's; nothing else of it changes.
    Adopt,
    /// Let go of: it stays as it is, and is nobody's.
    Forget,
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
    /// It was asked for: `destroy`, `adopt`, `forget`, `--replace`.
    Requested,
    /// The file says that it has another name now.
    Renamed,
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
    /// What drifted and is left that way, because the file expects it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<Attribute>,
    /// Where it was declared.
    pub source: Option<SourceRef>,
    /// For `unreadable`: what went wrong.
    pub note: Option<String>,
}

impl Change {
    /// A resource that is right already: what comparing starts from.
    pub(super) fn none(address: &Address, source: Option<&SourceRef>) -> Self {
        Self {
            address: address.clone(),
            action: Action::None,
            reason: Reason::UpToDate,
            impact: Impact::None,
            attributes: Vec::new(),
            ignored: Vec::new(),
            source: source.cloned(),
            note: None,
        }
    }

    /// Leaves what drifted as it is when nothing else differs and the file expects all of it. Says whether it did.
    pub(super) fn leave(&mut self, rules: &Rules) -> bool {
        let expected = |attribute: &Attribute| {
            let named = rules.ignore_drift.iter().any(|path| pattern::glob(path, &attribute.path));
            attribute.cause == Cause::Drift && named
        };
        let all = !self.attributes.is_empty() && self.attributes.iter().all(expected);
        if all {
            self.ignored.append(&mut self.attributes);
        }
        all
    }
}

/// One differing attribute: `memory` of a VM, the content of `~/.config/a b` in a file set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribute {
    /// What differs: a setting's name, or a file's path as people know it (`~/.config/a b`).
    pub path: String,
    /// Which side of it.
    pub aspect: Aspect,
    /// As it is.
    pub before: Shown,
    /// As it will be.
    pub after: Shown,
    /// What changing it costs.
    pub impact: Impact,
    /// Whether the declaration or reality moved.
    pub cause: Cause,
}

/// Which side of a thing differs. Settings have one, files have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// A setting's value.
    Value,
    /// What a path is: a file, a directory, something else.
    Kind,
    /// A file's bytes.
    Content,
    /// Permission bits.
    Mode,
    /// User and group.
    Owner,
}

/// Who moved since the last apply, by comparing what was last applied with both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The declaration: reality still is what was applied.
    Pending,
    /// Reality: the declaration still is what was applied.
    Drift,
    /// Both, to different values.
    Both,
}

impl Cause {
    /// Compares three values that should be one. `applied` is `None` when nothing was ever applied: then what differs
    /// is pending. `desired` and `observed` are known to differ.
    pub fn of<T: PartialEq>(applied: Option<&T>, desired: &T, observed: &T) -> Self {
        match applied {
            None => Self::Pending,
            Some(applied) if applied == observed => Self::Pending,
            Some(applied) if applied == desired => Self::Drift,
            Some(_) => Self::Both,
        }
    }

    /// The cause of two differences together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Pending, Self::Pending) => Self::Pending,
            (Self::Drift, Self::Drift) => Self::Drift,
            _ => Self::Both,
        }
    }
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
    /// A secret.
    Secret {
        /// A keyed digest of what it will be; nothing for what it is, and where it was not fetched.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seal: Option<Digest>,
    },
    /// Decided when it is applied.
    KnownAfterApply,
}

impl Shown {
    /// A short value.
    pub fn plain(value: &(impl ToString + ?Sized)) -> Self {
        Self::Plain(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_tell_who_moved() {
        let table = [
            (None, 2, 1, Cause::Pending),
            (Some(1), 2, 1, Cause::Pending),
            (Some(2), 2, 1, Cause::Drift),
            (Some(3), 2, 1, Cause::Both),
        ];
        for (applied, desired, observed, cause) in table {
            assert_eq!(Cause::of(applied.as_ref(), &desired, &observed), cause, "{applied:?} {desired} {observed}");
        }
    }
}

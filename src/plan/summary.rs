//! Counting.

use serde::{Deserialize, Serialize};

use super::{Action, Impact, Plan};

/// How many resources meet which action.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Made new.
    pub create: usize,
    /// Changed in place.
    pub update: usize,
    /// Removed and made new.
    pub replace: usize,
    /// Removed.
    pub destroy: usize,
    /// Made this fleet's.
    pub adopt: usize,
    /// Let go of.
    pub forget: usize,
    /// Right already.
    pub none: usize,
    /// Not readable.
    pub unreadable: usize,
    /// Attributes that drifted and are left so.
    pub ignored: usize,
}

impl Summary {
    /// How many resources would be touched.
    pub const fn changes(&self) -> usize {
        self.create + self.update + self.replace + self.destroy + self.adopt + self.forget
    }
}

impl Plan {
    /// A count for every action.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for change in &self.changes {
            summary.ignored += change.ignored.len();
            *match change.action {
                Action::None => &mut summary.none,
                Action::Create => &mut summary.create,
                Action::Update => &mut summary.update,
                Action::Replace => &mut summary.replace,
                Action::Destroy => &mut summary.destroy,
                Action::Adopt => &mut summary.adopt,
                Action::Forget => &mut summary.forget,
                Action::Unreadable => &mut summary.unreadable,
            } += 1;
        }
        summary
    }

    /// The worst that happens.
    pub fn impact(&self) -> Impact {
        self.changes.iter().map(|change| change.impact).max().unwrap_or(Impact::None)
    }

    /// Whether nothing is to be done and nothing stands in the way.
    pub fn is_empty(&self) -> bool {
        self.refusals.is_empty() && self.changes.iter().all(|change| change.action == Action::None)
    }
}

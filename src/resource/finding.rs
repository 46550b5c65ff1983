//! What `doctor` finds: one value for each thing that has to be right on a machine.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: a short name that stays the same.
    pub check: String,
    /// Whether it is right.
    pub verdict: Health,
    /// What was found; lower case, no full stop.
    pub found: String,
    /// What to do about it; nothing when it is right.
    pub fix: Option<String>,
}

/// Whether something is right; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It is.
    Pass,
    /// It works, but worse than it could, or not for long.
    Warn,
    /// Something that is asked for will not work.
    Fail,
}

impl Finding {
    /// Something that is right.
    pub fn pass(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), verdict: Health::Pass, found: found.into(), fix: None }
    }

    /// Something that could be better.
    pub fn warn(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Health::Warn, fix: Some(fix.into()), ..Self::pass(check, found) }
    }

    /// Something that is wrong.
    pub fn fail(check: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Health::Fail, fix: Some(fix.into()), ..Self::pass(check, found) }
    }
}

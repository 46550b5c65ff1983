//! What a `policy` node says. Where it stands decides whether it is the host's, a named one or the fleet's.

use serde::{Deserialize, Serialize};

use crate::syntax::Spanned;

/// What a step that loses data needs; ordered from weak to strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// That whoever starts the run agrees to it as a whole.
    Agreement,
    /// That they name what is lost.
    Name,
    /// Signatures.
    Approval,
}

/// What becomes of steps that lose nothing while others are held; ordered from lax to strict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Benign {
    /// They are done.
    #[default]
    Proceed,
    /// Nothing is done.
    Hold,
}

/// Which commits the agent believes; ordered from lax to strict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Commits {
    /// Any.
    #[default]
    Any,
    /// Those that a signer signed.
    Signed,
}

/// So many different people have to approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threshold {
    /// How many.
    pub count: u32,
    /// What, as a pattern of addresses; everything when `None`.
    pub on: Option<String>,
}

/// What some principals may approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Who has it, as the signers' file names them.
    pub principals: Vec<String>,
    /// Patterns of addresses; all when empty.
    pub on: Vec<String>,
    /// Operations; all when empty.
    pub operations: Vec<String>,
    /// It approves no step: its keys are kept for replacing those of the others.
    pub is_recovery: bool,
}

/// One `policy` node. What it does not say is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// It stands in a fleet file, and so comes from whoever may write that.
    pub of_fleet: bool,
    /// What people at a terminal need.
    pub people: Option<Demand>,
    /// What everybody else needs.
    pub pipelines: Option<Demand>,
    /// What becomes of the rest while something is held.
    pub benign: Option<Benign>,
    /// The file of those whose signatures count, as written; relative paths start at the declaring file.
    pub signers: Option<Spanned<String>>,
    /// The file of keys that count no more, likewise.
    pub revoked: Option<Spanned<String>>,
    /// How many approvals are needed.
    pub thresholds: Vec<Threshold>,
    /// Who may approve what.
    pub roles: Vec<Role>,
    /// The longest that an approval may be in force, in hours.
    pub lifetime_hours: Option<u32>,
    /// Which commits the agent believes.
    pub commits: Option<Commits>,
    /// Whether the audit log goes to syslog as well.
    pub syslog: bool,
    /// Directories of the host that the agent lets a repository name.
    pub trust_paths: Vec<String>,
    /// Whether the agent lets a repository name programs of the host.
    pub trust_commands: bool,
}

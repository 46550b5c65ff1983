//! Commands that are kept running in guests, as they are declared.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `session "worker" cwd="~/app" { command "python3" "worker.py"; }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name in the guest: a DNS label.
    pub name: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its working directory in the guest: absolute, `~` or below `~/`; `None` is the home directory.
    pub cwd: Option<String>,
    /// Its environment, besides `HOME`, `PATH` and the like.
    pub env: BTreeMap<String, String>,
    /// Where its standard input comes from.
    pub stdin: Stdin,
    /// Commands that the guest must have before it is started.
    pub require: Vec<String>,
    /// What its end means.
    pub restart: Restart,
}

/// Where a session's standard input comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdin {
    /// Nowhere.
    #[default]
    None,
    /// From whoever attaches.
    Pipe,
}

impl Stdin {
    /// As the fleet file says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pipe => "pipe",
        }
    }
}

/// Which end of a session is drift, so that the next apply starts it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Every one.
    #[default]
    Always,
    /// All but an exit with 0.
    OnFailure,
    /// None: it is started once for each declaration.
    Never,
}

impl Restart {
    /// As the fleet file says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        }
    }
}

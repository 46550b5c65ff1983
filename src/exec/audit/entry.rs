//! One line of the audit log. Names, digests and outcomes; no contents and no secrets.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::exec::{Outcome, RunId};
use crate::plan::StepId;
use crate::plan::gate::{Agreement, Caller, Decision};
use crate::resource::{Address, Digest};

/// A fact and when it became one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub fact: AuditFact,
}

/// What the audit log tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum AuditFact {
    /// A run begins.
    Run {
        /// Its id, as its journal has it.
        run: RunId,
        /// The fleet.
        fleet: String,
        /// Who started it, by kind.
        caller: Caller,
        /// Steps that it has.
        steps: u32,
        /// What whoever started it agreed to.
        agreements: Vec<Agreement>,
    },
    /// The gate decided about a step, right before it begins.
    Decision {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// The resources it serves.
        addresses: Vec<Address>,
        /// The name of its operation.
        operation: String,
        /// Of the operation with its parameters.
        digest: Digest,
        /// What was decided, and why.
        #[serde(flatten)]
        decision: Decision,
    },
    /// A step ended.
    Mutation {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// `done`, `failed` or `unknown`.
        outcome: String,
    },
    /// An approval was looked at.
    Approval {
        /// The digest of the file.
        file: Digest,
        /// Its nonce, as far as it can be believed.
        nonce: Option<String>,
        /// Who signed, as the signers' file names them; `None` when it is nobody known.
        principal: Option<String>,
        /// `accepted`, or the name of the refusal.
        verdict: String,
    },
    /// Other signers were about to take the place of those who count, or were kept from it.
    Rotation {
        /// Its id: approvals are spent by it.
        run: RunId,
        /// Of what is replaced, and by what.
        digest: Digest,
        /// What was decided, and why.
        #[serde(flatten)]
        decision: Decision,
    },
    /// Something outside of a run: `unprotect`, new keys.
    Act {
        /// What.
        act: String,
        /// To what.
        subject: String,
        /// Who asked for it, by kind.
        caller: Caller,
    },
    /// A command is about to run as root.
    Privileged {
        /// Tells its end from those of others.
        call: Uuid,
        /// Its name in the catalogue.
        name: String,
        /// The command.
        command: String,
        /// Whether through sudo.
        sudo: bool,
    },
    /// A command that ran as root ended.
    PrivilegedEnded {
        /// Which.
        call: Uuid,
        /// How: `exit 0`, `signal 9`, or why it was not run.
        status: String,
    },
    /// A run ended.
    Finished {
        /// The run.
        run: RunId,
        /// How.
        outcome: Outcome,
    },
}

/// The sum over everything up to a line: 64 hexadecimal digits; nothing before the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Sum(String);

/// Digits of a sum.
const SUM_DIGITS: usize = 64;
const BEFORE_SUM: &str = r#"{"sum":""#;
const BEFORE_ENTRY: &str = r#"","entry":"#;

impl Sum {
    fn next(&self, body: &str) -> Self {
        let hash = Sha256::new().chain_update(&self.0).chain_update(body).finalize();
        Self(Digest::from_hash(&hash).as_str().to_owned())
    }

    /// Appends a line to a buffer, and moves on to its sum.
    pub(super) fn write(&mut self, entry: &AuditEntry, buffer: &mut String) -> serde_json::Result<()> {
        let body = serde_json::to_string(entry)?;
        *self = self.next(&body);
        buffer.extend([BEFORE_SUM, &self.0, BEFORE_ENTRY, &body, "}\n"]);
        Ok(())
    }

    /// Reads a line without its newline, and moves on to its sum; `Err` says what is wrong.
    pub(super) fn read(&mut self, line: &str) -> Result<AuditEntry, String> {
        let malformed = || "found no line of an audit log".to_owned();
        let rest = line.strip_prefix(BEFORE_SUM).ok_or_else(malformed)?;
        let (sum, rest) = rest.split_at_checked(SUM_DIGITS).ok_or_else(malformed)?;
        let body = rest.strip_prefix(BEFORE_ENTRY).and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
        let expected = self.next(body);
        if expected.0 != sum {
            return Err("its sum does not fit: a line was changed, removed or exchanged".into());
        }
        let entry = serde_json::from_str(body).map_err(|error| format!("it cannot be understood: {error}"))?;
        *self = expected;
        Ok(entry)
    }
}

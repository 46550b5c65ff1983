//! Why an approval does not count. Each has its own name in the audit log and its own words.

use serde::{Deserialize, Serialize};

/// The first check that an approval does not pass, in the order of LESSON 44.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "refusal")]
pub enum Refusal {
    /// It is no approval.
    #[error("it is malformed: {why}")]
    Malformed {
        /// What is wrong.
        why: String,
    },
    /// It is for something else: another purpose, fleet or host.
    #[error("it is foreign: {what}")]
    Foreign {
        /// What it is for.
        what: String,
    },
    /// Its key was revoked.
    #[error("its key is revoked")]
    Revoked,
    /// Its key is nobody's.
    #[error("its signer is unknown")]
    UnknownSigner,
    /// Its key does not count any more.
    #[error("its signer's key has expired")]
    SignerExpired,
    /// Its key does not count yet.
    #[error("its signer's key is not valid yet")]
    SignerNotYetValid,
    /// The signature is not one of the key over the text.
    #[error("its signature is forged: {why}")]
    Forged {
        /// What is wrong.
        why: String,
    },
    /// It is for another plan, or for other steps.
    #[error("it is bound to something else: {what}")]
    Rebound {
        /// What it is bound to.
        what: String,
    },
    /// Its time has not come.
    #[error("it is not yet valid: it was issued for {from}")]
    NotYetValid {
        /// When it comes.
        from: jiff::Timestamp,
    },
    /// Its time has passed.
    #[error("it expired at {at}")]
    Expired {
        /// When.
        at: jiff::Timestamp,
    },
    /// It would be in force for longer than policy lets it.
    #[error("it is in force for too long: policy allows {hours} h")]
    TooLong {
        /// So long it may be.
        hours: u32,
    },
    /// It was spent.
    #[error("it is replayed: run {run} spent it, {}", outcome.as_deref().map_or_else(|| "and did not record its end".to_owned(), |outcome| format!("which ended: {outcome}")))]
    Replayed {
        /// The run that spent it.
        run: String,
        /// How that ended, if it was recorded.
        outcome: Option<String>,
    },
}

impl Refusal {
    /// Its name as data has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Foreign { .. } => "foreign",
            Self::Revoked => "revoked",
            Self::UnknownSigner => "unknown-signer",
            Self::SignerExpired => "signer-expired",
            Self::SignerNotYetValid => "signer-not-yet-valid",
            Self::Forged { .. } => "forged",
            Self::Rebound { .. } => "rebound",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
            Self::TooLong { .. } => "too-long",
            Self::Replayed { .. } => "replayed",
        }
    }
}

//! Approvals as files: whether they count, in the order of LESSON 44, and which were spent.

mod spent;

use jiff::Timestamp;

pub use spent::{Spent, SpentStore};

use crate::effect::{Signature, SignatureError};
use crate::plan::gate::approval::{Approval, NAMESPACE, split};
use crate::plan::gate::{Refusal, Signers, Target};
use crate::resource::Digest;

/// An approval that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The digest of the file.
    pub file: Digest,
    /// What it approves.
    pub approval: Approval,
    /// Who signed.
    pub principal: String,
}

/// An approval that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The digest of the file.
    pub file: Digest,
    /// Its nonce, once its signature was verified.
    pub nonce: Option<String>,
    /// Who signed, once that is known.
    pub principal: Option<String>,
    /// Why it does not.
    pub refusal: Refusal,
}

/// Verifies one approval: armour, namespace, signer by key material, signature over the raw bytes, target, time, and the nonce last.
/// Nothing is written: a bad one burns no nonce.
///
/// # Errors
/// The first check that it does not pass.
pub fn verify(
    file: &[u8],
    signers: &Signers,
    target: &Target,
    spent: &SpentStore,
    now: Timestamp,
) -> Result<Accepted, Box<Rejected>> {
    let mut rejected =
        Rejected { file: Digest::of(file), nonce: None, principal: None, refusal: Refusal::UnknownSigner };
    match checked(file, signers, target, spent, now, &mut rejected) {
        Ok(accepted) => Ok(accepted),
        Err(refusal) => Err(Box::new(Rejected { refusal, ..rejected })),
    }
}

fn checked(
    file: &[u8],
    signers: &Signers,
    target: &Target,
    spent: &SpentStore,
    now: Timestamp,
    known: &mut Rejected,
) -> Result<Accepted, Refusal> {
    let malformed = |why: String| Refusal::Malformed { why };
    let now = spent.latest(now);
    let (text, armour) = split(file).map_err(malformed)?;
    let signature = Signature::read(armour).map_err(|error| malformed(error.to_string()))?;
    if signature.namespace() != NAMESPACE {
        let what = format!("it was signed for `{}`", crate::syntax::shown(signature.namespace()));
        return Err(Refusal::Foreign { what });
    }
    let principal = signers.find(&signature.key(), NAMESPACE, now)?.to_owned();
    known.principal = Some(principal.clone());
    signature.verify(text.as_bytes()).map_err(|error| match error {
        SignatureError::Malformed(why) => malformed(why),
        error @ (SignatureError::Forged | SignatureError::Untouched) => Refusal::Forged { why: error.to_string() },
    })?;
    let approval = Approval::parse(text).map_err(malformed)?;
    known.nonce = Some(approval.nonce.clone());
    // One that was carried out has an answer, whatever became of the plan and the time since.
    let replayed = spent.find(&approval.nonce).filter(|spent| spent.file == known.file);
    if let (Some(spent), true) = (replayed, approval.fleet == target.fleet && approval.host == target.host) {
        return Err(spent.refusal());
    }
    target.check(&approval, now)?;
    match spent.find(&approval.nonce) {
        Some(spent) => Err(spent.refusal()),
        None => Ok(Accepted { file: known.file.clone(), approval, principal }),
    }
}

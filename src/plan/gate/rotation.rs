//! Replacing the files that say whose signatures count: a step of its own, which somebody has to sign whom policy keeps for it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::approval::{Approval, Approved, NAMESPACE};
use super::{Decision, Ground, Loss, Need, Policy, Signers, Target};
use crate::config::Demand;
use crate::resource::{Address, Digest};

/// The name of the operation, as roles and approvals have it.
pub const ROTATE: &str = "rotate-signers";

/// One file, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Of the bytes that are there.
    pub before: Digest,
    /// Of those that come.
    pub after: Digest,
}

/// A change of whose signatures count. It names what is replaced as well, so that it fits once only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// The signers' file.
    pub signers: Change,
    /// The file of revoked keys, where policy names one.
    pub revoked: Option<Change>,
}

impl Rotation {
    /// What stands for it in an approval, in place of a plan's seal and of a step's parameters.
    pub fn digest(&self) -> Digest {
        crate::plan::fingerprint::digest(self)
    }

    /// It as approvals name it.
    pub fn approved(&self) -> Approved {
        Approved { operation: ROTATE.to_owned(), digest: self.digest(), addresses: vec![Address::signers()] }
    }

    /// What an approval of it has to be for.
    pub fn target(&self, fleet: &str, host: &str, policy: &Policy) -> Target {
        Target {
            fleet: fleet.to_owned(),
            host: host.to_owned(),
            plan: self.digest(),
            steps: vec![self.approved()],
            lifetime_hours: policy.lifetime_hours(),
        }
    }
}

/// Whether an approval is of a rotation, as far as it says.
pub fn is_rotation(approval: &Approval) -> bool {
    approval.steps.iter().all(|step| step.operation == ROTATE)
}

/// Decides about a rotation: so many of those who may approve it have to.
pub fn gate_rotation(policy: &Policy, principals: &BTreeSet<String>) -> Decision {
    let count = |principals: &BTreeSet<String>| principals.iter().filter(|it| policy.may_rotate(it)).cloned().collect();
    let (principals, want): (Vec<String>, usize) = (count(principals), policy.rotation_threshold());
    if principals.len() >= want {
        return Decision::Allowed { ground: Ground::Approved { principals } };
    }
    Decision::Held { need: Need { loss: Loss::Trust, demand: Demand::Approval, have: principals.len(), want } }
}

/// Whether too few would be left who may approve the next rotation: nobody could ever put that right again.
pub fn locks_out(policy: &Policy, signers: &Signers, now: Timestamp) -> bool {
    let left = signers.principals(NAMESPACE, now);
    left.iter().filter(|it| policy.may_rotate(it)).count() < policy.rotation_threshold()
}

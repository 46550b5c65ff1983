//! What an approval has to be for: its text held against fleet, host, plan and time.

use jiff::{SignedDuration, Timestamp};

use super::approval::{Approval, Approved};
use super::{ApprovedStep, Refusal, digest_of};
use crate::plan::Graph;
use crate::resource::Digest;

/// Clocks of signers may be ahead by this much.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What is about to be done, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The fleet.
    pub fleet: String,
    /// The host: the fingerprint of regatta's own key there.
    pub host: String,
    /// The seal of the plan.
    pub plan: Digest,
    /// What may be approved of it.
    pub steps: Vec<Approved>,
    /// The longest that an approval may be in force.
    pub lifetime_hours: Option<u32>,
}

impl Target {
    /// Everything that a graph does, as approvals name it.
    pub fn steps_of(graph: &Graph) -> Vec<Approved> {
        let approved = |step: &crate::plan::Step| Approved {
            operation: step.op.name().to_owned(),
            digest: digest_of(step),
            addresses: step.addresses.clone(),
        };
        graph.steps.iter().map(approved).collect()
    }

    /// Holds an approval's text against this. The signature was verified before, the nonce is looked at after.
    ///
    /// # Errors
    /// The first thing that does not fit: target, then time.
    pub fn check(&self, approval: &Approval, now: Timestamp) -> Result<(), Refusal> {
        if approval.fleet != self.fleet {
            return Err(Refusal::Foreign { what: format!("it is for the fleet `{}`", approval.fleet) });
        }
        if approval.host != self.host {
            return Err(Refusal::Foreign { what: format!("it is for the host {}", approval.host) });
        }
        if approval.plan != self.plan {
            return Err(Refusal::Rebound { what: format!("the plan {}", approval.plan) });
        }
        if let Some(other) = approval.steps.iter().find(|step| !self.steps.contains(step)) {
            let address = other.addresses.first().map(ToString::to_string).unwrap_or_default();
            return Err(Refusal::Rebound { what: format!("{} {address}, with other parameters", other.operation) });
        }
        self.check_time(approval, now)
    }

    fn check_time(&self, approval: &Approval, now: Timestamp) -> Result<(), Refusal> {
        if now.checked_add(SKEW).is_ok_and(|latest| latest < approval.issued) {
            return Err(Refusal::NotYetValid { from: approval.issued });
        }
        if approval.expires <= now || approval.expires <= approval.issued {
            return Err(Refusal::Expired { at: approval.expires });
        }
        match self.lifetime_hours {
            Some(hours)
                if approval.expires.duration_since(approval.issued) > SignedDuration::from_hours(hours.into()) =>
            {
                Err(Refusal::TooLong { hours })
            }
            _ => Ok(()),
        }
    }
}

/// What an approval grants, now that everything about it has been verified.
pub fn granted(approval: &Approval, principal: &str) -> Vec<ApprovedStep> {
    let from = approval.issued.checked_sub(SKEW).unwrap_or(approval.issued);
    let step = |step: &Approved| ApprovedStep {
        principal: principal.to_owned(),
        addresses: step.addresses.clone(),
        operation: step.operation.clone(),
        digest: step.digest.clone(),
        from,
        until: approval.expires,
    };
    approval.steps.iter().map(step).collect()
}

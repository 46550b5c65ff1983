//! Who agreed to what.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Policy;
use crate::config::Demand;
use crate::plan::Step;
use crate::resource::{Address, Digest};

/// How somebody who started a run agreed to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Agreement {
    /// They said yes to the plan as a whole at the terminal.
    Asked,
    /// `--yes`.
    Yes,
    /// They typed the object's name at the terminal.
    Typed {
        /// The object.
        address: Address,
    },
    /// `--yes-destroy ADDRESS`.
    YesDestroy {
        /// The object.
        address: Address,
    },
}

impl Agreement {
    /// The strongest demand it satisfies.
    const fn satisfies(&self) -> Demand {
        match self {
            Self::Asked | Self::Yes => Demand::Agreement,
            Self::Typed { .. } | Self::YesDestroy { .. } => Demand::Name,
        }
    }

    fn is_about(&self, step: &Step) -> bool {
        match self {
            Self::Asked | Self::Yes => true,
            Self::Typed { address } | Self::YesDestroy { address } => {
                // Agreeing to lose a guest is agreeing to lose what is in it, and not the other way round.
                let whole = address.guest().is_some() && matches!(address.kind(), "vm" | "container");
                !step.addresses.is_empty()
                    && step.addresses.iter().all(|it| it == address || (whole && it.guest() == address.guest()))
            }
        }
    }
}

/// One step that somebody signed for; everything about the signature has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedStep {
    /// Who, as the signers' file names them.
    pub principal: String,
    /// The addresses, in their order.
    pub addresses: Vec<Address>,
    /// The operation's name.
    pub operation: String,
    /// The digest of the operation with its parameters.
    pub digest: Digest,
    /// In force from here on.
    pub from: Timestamp,
    /// No longer in force from here on.
    pub until: Timestamp,
}

/// Everything that was agreed to for one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    agreements: BTreeSet<Agreement>,
    approved: Vec<ApprovedStep>,
}

impl Grants {
    /// Adds what somebody agreed to.
    pub fn agree(&mut self, agreement: Agreement) {
        self.agreements.insert(agreement);
    }

    /// Adds what somebody signed for.
    pub fn approve(&mut self, steps: impl IntoIterator<Item = ApprovedStep>) {
        self.approved.extend(steps);
    }

    /// What was agreed to.
    pub fn agreements(&self) -> impl Iterator<Item = &Agreement> {
        self.agreements.iter()
    }

    /// What somebody agreed to that satisfies a demand for a step.
    pub(super) fn agreement(&self, step: &Step, demand: Demand) -> Option<Agreement> {
        self.agreements.iter().find(|it| it.satisfies() >= demand && it.is_about(step)).cloned()
    }

    /// The different people whose approval of exactly this step counts now.
    pub(super) fn principals(&self, step: &Step, digest: &Digest, policy: &Policy, now: Timestamp) -> BTreeSet<String> {
        let counts = |it: &&ApprovedStep| {
            it.digest == *digest
                && it.operation == step.op.name()
                && it.addresses == step.addresses
                && it.from <= now
                && now < it.until
                && policy.may_approve(&it.principal, step)
        };
        self.approved.iter().filter(counts).map(|it| it.principal.clone()).collect()
    }
}

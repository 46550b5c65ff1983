//! The gate: whether one step may begin, as a function of its arguments.
//!
//! `class` says what a step does to data, `provenance` whose data that is, `policy` who has to agree, `grants` who did.
//! Nothing of them comes from the plan that asks: a plan says what is wished. `docs/design/gate.md` tells it as a whole.

pub mod approval;
mod class;
mod grants;
mod policy;
mod provenance;
mod refusal;
pub mod rotation;
mod screen;
mod signers;
mod target;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use class::{Class, Harmless, Loss, class};
pub use grants::{Agreement, ApprovedStep, Grants};
pub use policy::{Caller, Policy, PolicyError, Role};
pub use provenance::Provenance;
pub use refusal::Refusal;
pub use screen::{Held, screen};
pub use signers::{Signers, SignersError};
pub use target::{Target, granted};

use super::Step;
use crate::config::Demand;
use crate::resource::Digest;

/// Whether a step may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "decision")]
pub enum Decision {
    /// It may.
    Allowed {
        /// On what ground.
        ground: Ground,
    },
    /// It may not, until somebody agreed.
    Held {
        /// What is lacking.
        need: Need,
    },
}

/// Why a step may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ground")]
pub enum Ground {
    /// It loses nothing.
    Benign {
        /// Why not.
        because: Harmless,
    },
    /// Somebody agreed.
    Agreed {
        /// To what, and how.
        agreement: Agreement,
    },
    /// So many people signed.
    Approved {
        /// Their principals.
        principals: Vec<String>,
    },
}

/// What a held step lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// What would be lost.
    pub loss: Loss,
    /// What has to be given.
    pub demand: Demand,
    /// How many people have approved it.
    pub have: usize,
    /// How many must.
    pub want: usize,
}

/// Decides about one step.
///
/// The same arguments give the same decision. What a step is for does not matter, only what it does: a step that loses nothing
/// is allowed whoever asks, every other needs a grant that policy accepts from this caller, in force now.
pub fn gate(step: &Step, provenance: &Provenance, policy: &Policy, grants: &Grants, now: Timestamp) -> Decision {
    let loss = match class(&step.op, provenance) {
        Class::Benign(because) => return Decision::Allowed { ground: Ground::Benign { because } },
        Class::Destructive(loss) => loss,
    };
    let (digest, want) = (digest_of(step), policy.threshold(step));
    let principals = grants.principals(step, &digest, policy, now);
    if principals.len() >= want {
        return Decision::Allowed { ground: Ground::Approved { principals: principals.into_iter().collect() } };
    }
    let demand = policy.demand().max(loss.least_demand());
    match grants.agreement(step, demand) {
        Some(agreement) => Decision::Allowed { ground: Ground::Agreed { agreement } },
        None => Decision::Held { need: Need { loss, demand, have: principals.len(), want } },
    }
}

/// The digest that stands for what a step does: of its operation with all parameters.
pub fn digest_of(step: &Step) -> Digest {
    super::fingerprint::digest(&step.op)
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.demand {
            Demand::Agreement => f.write_str("needs somebody's agreement"),
            Demand::Name => f.write_str("needs its name typed, or --yes-destroy"),
            Demand::Approval if self.want > 1 => write!(f, "needs approval: {} of {}", self.have, self.want),
            Demand::Approval => f.write_str("needs approval"),
        }
    }
}

#[cfg(test)]
mod tests;

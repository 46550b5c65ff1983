//! Bridged networks on this machine: seen without root as far as the kernel shows them, changed by the commands of
//! [`privilege`](super::privilege), and never anything but our own interfaces and tables.

mod ensure;
mod guard;
mod host;
mod links;
mod observe;
pub(super) mod resolver;
pub(super) mod rules;
mod sudo;
mod take_back;
mod ways;

use std::sync::Arc;

pub use guard::{Guard, KEEP_WAY, keep_way};
pub(super) use sudo::INSTALL_RULES;

use super::privilege::{Mark, Privileged, Refused, UNFINISHED};
use crate::effect::{Clock, Run};
use crate::exec::{Audit, Failure};
use crate::resource::Digest;

/// The bridged networks of one fleet on this machine.
pub struct Networks {
    fleet: String,
    origin: String,
    run: Arc<dyn Run>,
    privileged: Privileged,
    guard: Option<Guard>,
}

impl Networks {
    /// The networks of `fleet`, declared by the file at `origin` (absolute). Calls as root are written down in `audit`.
    pub fn new(fleet: &str, origin: &str, run: Arc<dyn Run>, clock: Arc<dyn Clock>, audit: Arc<dyn Audit>) -> Self {
        let privileged = Privileged::new(Arc::clone(&run), clock, audit);
        Self { fleet: fleet.into(), origin: origin_digest(origin), run, privileged, guard: None }
    }

    /// With a process that takes back what was not confirmed.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        Self { guard: Some(guard), ..self }
    }

    /// The mark of this fleet's networks, before anything was applied.
    pub fn blank_mark(&self, network: &str) -> Mark {
        Mark {
            fleet: self.fleet.clone(),
            network: network.into(),
            origin: self.origin.clone(),
            applied: UNFINISHED.into(),
            rules: UNFINISHED.into(),
        }
    }

    fn is_ours(&self, mark: &Mark) -> bool {
        mark.fleet == self.fleet && mark.origin == self.origin
    }
}

/// Twelve hexadecimal digits for a path.
fn origin_digest(origin: &str) -> String {
    Digest::of(origin.as_bytes()).as_str().chars().take(12).collect()
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::permanent(refused.to_string())
    }
}

//! Order, journal and events: runs a [`Graph`](crate::plan::Graph) through [`Perform`], knowing no driver.
//!
//! One coordinator ([`Runner::run`]) owns the schedule, the journal and the events; workers only perform. A step's
//! beginning is on disk before it begins, and its end before anything that needs it begins. See `docs/design/run.md`.

pub mod audit;
mod cancel;
mod claim;
mod estimate;
mod event;
mod gatekeeper;
pub mod journal;
mod perform;
mod rehearsed;
mod report;
mod retry;
mod run;
mod run_id;
mod schedule;
#[cfg(test)]
mod testkit;
mod worker;

pub use audit::{Audit, AuditFact, AuditFile};
pub use cancel::{Cancel, CancelLevel};
pub use claim::{Claim, Limits};
pub use estimate::{Durations, estimate};
pub use event::{Event, EventKind};
pub use gatekeeper::Gatekeeper;
pub use journal::{Identity, Journal, Journals};
pub use perform::{Failure, FailureKind, Perform, Progress, Task};
pub use rehearsed::{Asked, Rehearsed};
pub use report::{Counts, Outcome, REPORT_FORMAT_VERSION, Report, StepOutcome, StepReport, StopCause};
pub use retry::Retry;
pub use run::Runner;
pub use run_id::RunId;
pub use schedule::{Fallout, MalformedGraph, Schedule};

//! The audit log: what was decided, and on whose word, is on disk before it is acted on.
//!
//! Lines are chained like those of a journal, so that none can be changed, removed or exchanged unnoticed, and a head beside the log
//! says where it ends. `docs/design/gate.md` has its entries.

mod entry;
mod file;
mod verify;

use jiff::Timestamp;

pub use entry::{AuditEntry, AuditFact};
pub use file::{AuditFile, AuditHead};
pub use verify::{AuditBroken, read_audit};

/// Takes what goes into the log. Implemented by [`AuditFile`], and in memory by tests.
pub trait Audit: Send + Sync {
    /// Appends facts; when it returns, they survive a crash of the machine.
    ///
    /// # Errors
    /// When they may not have been written. What they announce must not happen then.
    fn append(&self, at: Timestamp, facts: &[AuditFact]) -> std::io::Result<()>;
}

#[cfg(test)]
mod tests;

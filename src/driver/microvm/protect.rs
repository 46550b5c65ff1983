//! Protecting guests: a mark in their record, which plans heed.

use super::Guests;
use crate::exec::Failure;

/// Whether plans that remove a guest are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// They are.
    On,
    /// They are not.
    Off,
}

impl Guests {
    /// Sets a guest's protection. Who calls this holds the host's lock.
    ///
    /// # Errors
    /// When the guest does not exist, or its record cannot be read or written.
    pub fn protect(&self, guest: &str, protection: Protection) -> Result<(), Failure> {
        let mut record = self.record(guest)?;
        record.protected = protection == Protection::On;
        self.write_record(&record)
    }
}

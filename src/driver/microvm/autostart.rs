//! The mark of guests that start with their host.

use super::Guests;
use crate::driver::boot::Starts;
use crate::exec::Failure;
use crate::resource::Reading;

impl Guests {
    /// Writes into a guest's record what starts it. Who calls this holds the host's lock.
    ///
    /// # Errors
    /// When the guest does not exist, or its record cannot be read or written.
    pub(in crate::driver) fn mark_autostart(&self, guest: &str, starts: Starts) -> Result<(), Failure> {
        let mut record = self.record(guest)?;
        record.autostart = starts == Starts::WithHost;
        self.write_record(&record)
    }

    /// Whether a guest of the fleet starts with the host. One that cannot be read counts as such.
    pub(in crate::driver) fn has_autostart(&self) -> Result<bool, Failure> {
        Ok(self.names()?.into_iter().any(|name| match self.reading(&name) {
            Reading::Present(record) => record.autostart,
            Reading::Absent => false,
            Reading::Unreadable(_) => true,
        }))
    }
}

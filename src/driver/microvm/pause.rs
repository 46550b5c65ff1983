//! Guests that stand still for a while: in memory, with their disks and their place on the network.

use super::Guests;
use super::vmm::{Pace, Wish};
use crate::exec::Failure;
use crate::resource::Record;

/// Whether a guest's processors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// They stand still.
    On,
    /// They run.
    Off,
}

impl Guests {
    /// Pauses a running guest, or lets it go on. Who calls this holds the host's lock. Fine when it is so already.
    ///
    /// # Errors
    /// When the guest is not there or does not run, or its VMM refuses.
    pub async fn pause(&self, guest: &str, pause: Pause) -> Result<(), Failure> {
        let record = self.running(guest)?;
        let wish = match pause {
            Pause::On if self.is_paused(&record).await => return Ok(()),
            Pause::On => Wish::Pause,
            Pause::Off => {
                // What it goes on with is not what was kept.
                self.forget_memory(guest)?;
                Wish::Resume
            }
        };
        let asked = self.ask(&record, wish).await;
        asked.map_err(|why| Failure::permanent(why).context(format!("guest `{guest}` does not {wish}")))
    }

    /// Whether a running guest certainly stands still.
    pub(super) async fn is_paused(&self, record: &Record) -> bool {
        let Ok(socket) = self.dir(&record.name).control_socket() else { return false };
        self.vmm(record).pace(&socket).await == Ok(Pace::Paused)
    }
}

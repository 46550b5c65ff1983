//! Trusting another host key of a guest, because somebody who looked says so.

use super::Guests;
use crate::driver::host_keys;
use crate::effect::{files, fingerprint, known_hosts_line};
use crate::exec::Failure;
use crate::resource::RunState;

impl Guests {
    /// Pins the host key with this fingerprint (`SHA256:…`), if the guest shows one. Who calls this holds the host's lock.
    ///
    /// # Errors
    /// When the guest does not run, or shows no such key: the fingerprints of those it shows are named.
    pub async fn pin(&self, guest: &str, wanted: &str) -> Result<(), Failure> {
        let mut record = self.record(guest)?;
        if self.run_state(&record) == RunState::Stopped {
            return Err(Failure::permanent(format!("guest `{guest}` is stopped, so it shows no host key")));
        }
        let target = self.ssh_target(&record);
        let shown = host_keys::shown(&*self.run, &target.host, target.port).await?;
        let Some((key, _)) = shown.iter().find(|(_, found)| found == wanted) else {
            let pinned = fingerprint(&record.host_key)?;
            let shown = host_keys::listed(&shown);
            return Err(Failure::permanent(format!("guest `{guest}` shows {shown}, pinned is {pinned}")));
        };
        record.host_key.clone_from(key);
        // The record decides: what the program `ssh` reads follows it, and is written again when this is repeated.
        self.write_record(&record)?;
        let line = known_hosts_line(&target.host, target.port, key)?;
        Ok(files::write_atomic(&self.dir(guest).known_hosts(), line.as_bytes())?)
    }
}

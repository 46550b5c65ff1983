//! Trusting another host key of a guest, because somebody who looked says so.

use std::time::Duration;

use super::Guests;
use crate::effect::{Command, files, fingerprint, known_hosts_line};
use crate::exec::Failure;
use crate::resource::RunState;

/// Asking a server for its keys takes at most this long.
const DEADLINE: Duration = Duration::from_secs(30);

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
        let scan = Command::new("ssh-keyscan").args(["-T", "10", "-p", &target.port.to_string(), &target.host]);
        let answer =
            self.run.run_ok(&scan.deadline(DEADLINE)).await.map_err(|error| Failure::transient(error.to_string()))?;
        let shown = keys(&String::from_utf8_lossy(&answer.stdout));
        let Some((key, _)) = shown.iter().find(|(_, found)| found == wanted) else {
            let found: Vec<&str> = shown.iter().map(|(_, found)| found.as_str()).collect();
            let pinned = fingerprint(&record.host_key)?;
            let shown = if found.is_empty() { "no key".to_owned() } else { found.join(" and ") };
            return Err(Failure::permanent(format!("guest `{guest}` shows {shown}, pinned is {pinned}")));
        };
        record.host_key.clone_from(key);
        // The record decides: what the program `ssh` reads follows it, and is written again when this is repeated.
        self.write_record(&record)?;
        let line = known_hosts_line(&target.host, target.port, key)?;
        Ok(files::write_atomic(&self.dir(guest).known_hosts(), line.as_bytes())?)
    }
}

/// Keys and their fingerprints, of lines with a host's name in front.
fn keys(lines: &str) -> Vec<(String, String)> {
    let key = |line: &str| {
        let (_, key) = line.split_once(' ').filter(|_| !line.starts_with('#'))?;
        Some((key.trim().to_owned(), fingerprint(key.trim()).ok()?))
    };
    lines.lines().filter_map(key).collect()
}

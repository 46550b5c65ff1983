//! What a running guest takes of this machine.

use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;

use super::Guests;
use super::guests::process_id;
use crate::effect::process_usage;
use crate::plan::Usage;
use crate::resource::{ObservedGuest, RunState};

impl Guests {
    /// What a guest takes right now; nothing when it does not run or its process cannot be looked at.
    pub fn usage(&self, guest: &ObservedGuest) -> Option<Usage> {
        let RunState::Running(process) = &guest.state else { return None };
        let applied = &guest.record.applied;
        let vm = applied.started.as_ref().or(applied.disks.as_ref())?;
        let taken = process_usage(&process_id(process))?;
        let dir = self.dir(&guest.record.name);
        let further: u64 = vm.disks.iter().map(|disk| allocated(&dir.disk(&disk.name))).sum();
        Some(Usage {
            cpus: vm.cpus,
            cpu_time_ms: u64::try_from(taken.cpu.as_millis()).unwrap_or(u64::MAX),
            memory: vm.memory,
            memory_resident: crate::config::ByteSize::bytes(taken.resident),
            disk: crate::config::ByteSize::bytes(
                allocated(&dir.root_disk(vm.machine)) + allocated(&dir.work_disk()) + further,
            ),
            uptime_s: taken.age.as_secs(),
        })
    }
}

/// Bytes that a file takes on disk; holes take none.
fn allocated(path: &Utf8Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.blocks() * 512)
}

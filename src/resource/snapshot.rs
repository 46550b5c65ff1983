//! What is known of a snapshot of a guest's disks, and of its memory when it was suspended.

use serde::{Deserialize, Serialize};

use super::VmSpec;

/// `snapshot.json` beside the disks of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Format of this file: 1.
    pub format_version: u32,
    /// Its name: the folder's.
    pub name: String,
    /// When it was taken, in seconds since 1970 (UTC).
    pub taken_s: i64,
    /// Whether the guest ran meanwhile: its disks are then as after a power cut.
    pub while_running: bool,
    /// Why it was taken, for people.
    pub why: String,
    /// What the disks were made with, as the guest's record had it.
    pub disks: VmSpec,
    /// What its VMM was started with, where the memory of a suspended guest is part of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<VmSpec>,
}

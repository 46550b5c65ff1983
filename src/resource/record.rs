//! The mark a guest carries: a record beside its disks that says whose it is and what was last applied.

use core::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::VmSpec;

/// `record.json` beside a guest's disks. Written aside, synced and renamed; read with a size limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Format of this file: 1.
    pub format_version: u32,
    /// The fleet it belongs to.
    pub fleet: String,
    /// Absolute path of the fleet file that created it: another file of the same fleet name does not own it.
    pub origin: String,
    /// The guest's name.
    pub name: String,
    /// The name it had, while not everything that carries its name has been brought up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formerly: Option<String>,
    /// Made once, passed to the VMM on its command line: finds the process whatever happened to files.
    pub uuid: uuid::Uuid,
    /// Loopback port forwarded to the guest's SSH server, as long as it is in a user-mode network.
    pub ssh_port: u16,
    /// The guest's SSH host key (`ssh-ed25519 AAAA…`), made by us before first boot: the pin.
    pub host_key: String,
    /// What was last applied.
    pub applied: AppliedGuest,
    /// The VMM process that was last started.
    pub process: Option<ProcessIdentity>,
    /// Whether plans that remove the guest or its root disk are refused.
    #[serde(default)]
    pub protected: bool,
    /// Whether it starts with its host.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub autostart: bool,
}

impl Record {
    /// Where its SSH server answers: its own address on a bridge, else the loopback port that is forwarded to it.
    pub fn ssh_address(&self) -> (IpAddr, u16) {
        let spec = self.applied.started.as_ref().or(self.applied.disks.as_ref());
        match spec.and_then(|spec| spec.network.link.as_ref()) {
            Some(link) => (link.address.into(), SSH_PORT),
            None => (Ipv4Addr::LOCALHOST.into(), self.ssh_port),
        }
    }
}

/// Where SSH servers listen (IANA).
const SSH_PORT: u16 = 22;

/// What was last applied to a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppliedGuest {
    /// Its disks were made whole with this: `None` while creation is unfinished.
    pub disks: Option<VmSpec>,
    /// The VMM was last started with this.
    pub started: Option<VmSpec>,
}

/// Names one process for ever: a pid is reused, a pid with its start time and boot is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessIdentity {
    /// The pid.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

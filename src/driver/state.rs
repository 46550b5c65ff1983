//! Where things are in the state directory. Paths only: nothing here touches them.

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::Machine;

/// The layout of the state directory: the one place that knows its file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    root: Utf8PathBuf,
}

/// The longest path a Unix socket address holds (`sun_path`), its final NUL left out.
const SOCKET_PATH_MAX: usize = 107;

impl StateDir {
    /// The state directory at an absolute path.
    pub fn new(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// regatta's own SSH client key.
    pub fn identity(&self) -> Utf8PathBuf {
        self.root.join("identity")
    }

    /// Held while that key is made.
    pub fn identity_lock(&self) -> Utf8PathBuf {
        self.root.join("locks/identity.lock")
    }

    /// Digests of the user's files that were read before; a cache.
    pub fn digests(&self) -> Utf8PathBuf {
        self.root.join("digests.json")
    }

    /// Images and kernels by content.
    pub fn store(&self) -> Utf8PathBuf {
        self.root.join("store")
    }

    /// Held by everything that changes this host.
    pub fn host_lock(&self) -> Utf8PathBuf {
        self.root.join("locks/host.lock")
    }

    /// Which approvals of a fleet were spent.
    pub fn approvals(&self, fleet: &str) -> Utf8PathBuf {
        self.fleets().join(fleet).join("approvals.json")
    }

    /// What the agent of one repository keeps.
    pub fn watch(&self, repository: &str) -> Utf8PathBuf {
        self.root.join("watch").join(repository)
    }

    /// What was decided, on whose word, and what ran as root.
    pub fn audit_log(&self) -> Utf8PathBuf {
        self.root.join("audit.jsonl")
    }

    /// One directory a fleet.
    pub fn fleets(&self) -> Utf8PathBuf {
        self.root.join("fleets")
    }

    /// Journals of a fleet's runs.
    pub fn runs(&self, fleet: &str) -> Utf8PathBuf {
        self.fleets().join(fleet).join("runs")
    }

    /// Configuration with which `ssh` knows a fleet's guests by name; there once it was installed.
    pub fn ssh_config(&self, fleet: &str) -> Utf8PathBuf {
        self.fleets().join(fleet).join("ssh_config")
    }

    /// Held while the user's configuration of `ssh` is changed.
    pub fn ssh_config_lock(&self) -> Utf8PathBuf {
        self.root.join("locks/ssh-config.lock")
    }

    /// What is known of a fleet's bridged networks while they are changed.
    pub fn networks(&self, fleet: &str) -> Utf8PathBuf {
        self.fleets().join(fleet).join("networks")
    }

    /// Pinned host key of a guest on a cluster, for the `ssh` program. Made anew with every login.
    pub fn cluster_known_hosts(&self, fleet: &str, guest: &str) -> Utf8PathBuf {
        self.fleets().join(fleet).join("known_hosts").join(guest)
    }

    /// All guests of a fleet.
    pub fn guests(&self, fleet: &str) -> Utf8PathBuf {
        self.fleets().join(fleet).join("vms")
    }

    /// One guest.
    pub fn guest(&self, fleet: &str, name: &str) -> GuestDir {
        GuestDir { root: self.guests(fleet).join(name) }
    }
}

/// The files of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDir {
    root: Utf8PathBuf,
}

impl GuestDir {
    /// The directory itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Its mark.
    pub fn record(&self) -> Utf8PathBuf {
        self.root.join("record.json")
    }

    /// Root disk: copy-on-write for QEMU, whole for Firecracker, which knows nothing else.
    pub fn root_disk(&self, machine: Machine) -> Utf8PathBuf {
        self.root.join(match machine {
            Machine::Microvm | Machine::Q35 => "root.qcow2",
            Machine::Firecracker => "root.img",
        })
    }

    /// The root disk before that, kept until the guest has answered with the new one.
    pub fn previous_root_disk(&self, machine: Machine) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.previous", self.root_disk(machine)))
    }

    /// Persistent work disk.
    pub fn work_disk(&self) -> Utf8PathBuf {
        self.root.join("work.img")
    }

    /// Further disks.
    pub fn disks(&self) -> Utf8PathBuf {
        self.root.join("disks")
    }

    /// One of them.
    pub fn disk(&self, name: &str) -> Utf8PathBuf {
        self.disks().join(format!("{name}.img"))
    }

    /// Snapshots of the disks, a folder each.
    pub fn snapshots(&self) -> Utf8PathBuf {
        self.root.join("snapshots")
    }

    /// One snapshot.
    pub fn snapshot(&self, name: &str) -> Utf8PathBuf {
        self.snapshots().join(name)
    }

    /// Which snapshot is being put back, while that is so.
    pub fn restoring(&self) -> Utf8PathBuf {
        self.root.join("restoring.json")
    }

    /// Memory of a suspended guest; while it is there, the guest is suspended.
    pub fn memory(&self) -> Utf8PathBuf {
        self.root.join("memory")
    }

    /// The same while the guest is woken: from the moment its disks may change on, it is never used again.
    pub fn waking_memory(&self) -> Utf8PathBuf {
        self.root.join("memory.waking")
    }

    /// What Firecracker keeps apart from the memory: its devices.
    pub fn devices(&self) -> Utf8PathBuf {
        self.root.join("memory.devices")
    }

    /// What the serial console printed last.
    pub fn console(&self) -> Utf8PathBuf {
        self.root.join("console.log")
    }

    /// What it printed before that.
    pub fn previous_console(&self) -> Utf8PathBuf {
        self.root.join("console.log.1")
    }

    /// Pinned host key for the `ssh` program.
    pub fn known_hosts(&self) -> Utf8PathBuf {
        self.root.join("known_hosts")
    }

    /// The VMM's pid, written by itself.
    pub fn pid_file(&self) -> Utf8PathBuf {
        self.root.join("pid")
    }

    /// The VMM's control socket.
    ///
    /// # Errors
    /// When the path is too long for a Unix socket: the state directory must be nearer to the root.
    pub fn control_socket(&self) -> Result<Utf8PathBuf, String> {
        self.socket("qmp.sock")
    }

    /// The VMM's end of the serial line.
    ///
    /// # Errors
    /// As [`GuestDir::control_socket`].
    pub fn serial_socket(&self) -> Result<Utf8PathBuf, String> {
        self.socket("tty.sock")
    }

    /// Where memory goes from and to QEMU.
    ///
    /// # Errors
    /// As [`GuestDir::control_socket`].
    pub fn memory_socket(&self) -> Result<Utf8PathBuf, String> {
        self.socket("mem.sock")
    }

    /// Where people join the console.
    ///
    /// # Errors
    /// As [`GuestDir::control_socket`].
    pub fn console_socket(&self) -> Result<Utf8PathBuf, String> {
        self.socket("con.sock")
    }

    fn socket(&self, name: &str) -> Result<Utf8PathBuf, String> {
        let path = self.root.join(name);
        match path.as_str().len() {
            len if len <= SOCKET_PATH_MAX => Ok(path),
            len => Err(format!(
                "a control socket's path has {len} bytes, a Unix socket takes {SOCKET_PATH_MAX}: `{path}`; use a shorter --state-dir"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_that_does_not_fit_is_refused_not_cut() {
        let near = StateDir::new("/s").guest("demo", "web-1");
        assert_eq!(near.control_socket(), Ok("/s/fleets/demo/vms/web-1/qmp.sock".into()));
        let far = StateDir::new(format!("/{}", "d".repeat(90))).guest("demo", "web-1");
        assert!(far.control_socket().unwrap_err().contains("use a shorter --state-dir"));
    }
}

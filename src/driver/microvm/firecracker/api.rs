//! The requests of Firecracker's API that we send, after its published description (v1.16).

use serde::Serialize;
use serde_json::Value;

use crate::driver::microvm::vmm::Launch;

/// `PUT /machine-config`.
#[derive(Debug, Serialize)]
pub(super) struct MachineConfiguration {
    /// At most 32. Only with SMT, which is off unless it is asked for, it must be 1 or even.
    pub vcpu_count: u32,
    /// MiB.
    pub mem_size_mib: u64,
}

/// `PUT /boot-source`.
#[derive(Debug, Serialize)]
pub(super) struct BootSource<'a> {
    /// Uncompressed kernel.
    pub kernel_image_path: &'a str,
    /// Initramfs.
    pub initrd_path: &'a str,
    /// Kernel arguments.
    pub boot_args: &'a str,
}

/// `PUT /drives/{drive_id}`.
#[derive(Debug, Serialize)]
pub(super) struct Drive<'a> {
    /// As in the path.
    pub drive_id: &'a str,
    /// Whether Firecracker adds a `root=` of its own: never.
    pub is_root_device: bool,
    /// Whether the guest cannot write.
    pub is_read_only: bool,
    /// Raw file.
    pub path_on_host: &'a str,
    /// `Writeback`: a guest's flush reaches the host's disk.
    pub cache_type: &'static str,
}

/// `PUT /network-interfaces/{iface_id}`
#[derive(Debug, Serialize)]
pub(super) struct NetworkInterface<'a> {
    /// As in the path.
    pub iface_id: &'a str,
    /// The tap's name. It is opened as the user we run as, who owns it.
    pub host_dev_name: &'a str,
    /// The guest's address, which the bridge's rules expect.
    pub guest_mac: String,
}

/// `PUT /entropy`: a virtio-rng device without a limit.
#[derive(Debug, Serialize)]
pub(super) struct EntropyDevice {}

/// `PUT /actions`.
#[derive(Debug, Serialize)]
pub(super) struct Action {
    /// Which.
    pub action_type: ActionType,
}

/// What a microVM is told.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum ActionType {
    /// Boot. Only once in a process.
    InstanceStart,
    /// Press these keys.
    SendCtrlAltDel,
}

/// `PATCH /vm`.
#[derive(Debug, Serialize)]
pub(super) struct VmState {
    /// What it becomes.
    pub state: State,
}

/// What a microVM becomes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum State {
    /// It stands still.
    Paused,
    /// It goes on.
    Resumed,
}

/// `PUT /snapshot/create`, of a microVM that stands still.
#[derive(Debug, Serialize)]
pub(super) struct SnapshotCreateParams<'a> {
    /// All of the memory, and not what changed since the last one.
    pub snapshot_type: SnapshotType,
    /// File that takes its devices.
    pub snapshot_path: &'a str,
    /// File that takes its memory.
    pub mem_file_path: &'a str,
}

/// How much of the memory is kept.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum SnapshotType {
    /// All of it.
    Full,
}

/// `PUT /snapshot/load`, of a process to which nothing else was put.
#[derive(Debug, Serialize)]
pub(super) struct SnapshotLoadParams<'a> {
    /// File of its devices.
    pub snapshot_path: &'a str,
    /// Its memory.
    pub mem_backend: MemoryBackend<'a>,
    /// Whether it goes on at once.
    pub resume_vm: bool,
    /// Whether its clock goes on where the host's is, and not where it stood.
    pub clock_realtime: bool,
}

/// Where memory is read from, page by page, as long as the microVM runs.
#[derive(Debug, Serialize)]
pub(super) struct MemoryBackend<'a> {
    /// What `backend_path` is.
    pub backend_type: BackendType,
    /// The file. It may be unlinked while it is in use, and must not be changed.
    pub backend_path: &'a str,
}

/// What serves memory.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) enum BackendType {
    /// A file.
    File,
}

/// A `PUT` before the start.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::driver::microvm) struct Put {
    /// Where.
    pub path: String,
    /// What.
    pub body: Value,
}

/// Everything that is put before a guest is started, in order: the disks get the names that the kernel arguments use in
/// this order.
///
/// # Errors
/// When one of them cannot be written as JSON.
pub(in crate::driver::microvm) fn requests(launch: &Launch<'_>) -> Result<Vec<Put>, String> {
    let vm = launch.vm;
    let machine = MachineConfiguration { vcpu_count: vm.cpus, mem_size_mib: vm.memory.as_mib() };
    let boot = BootSource {
        kernel_image_path: launch.kernel.as_str(),
        initrd_path: launch.initrd.as_str(),
        boot_args: launch.arguments,
    };
    let mut requests = vec![put("/machine-config", &machine)?, put("/boot-source", &boot)?];
    let own = [("root", launch.root_disk, true), ("work", launch.work_disk, true)];
    // In the order in which the guest numbers them: they have no serial numbers here.
    let further = launch.disks.iter().map(|disk| (disk.name.as_str(), disk.path.as_path(), disk.writable));
    for (name, path, writable) in own.into_iter().chain(further) {
        // What the API takes as an id has no dashes.
        let drive_id = &name.replace('-', "_");
        let drive = Drive {
            drive_id,
            is_root_device: false,
            is_read_only: !writable,
            path_on_host: path.as_str(),
            cache_type: "Writeback",
        };
        requests.push(put(&format!("/drives/{drive_id}"), &drive)?);
    }
    if let Some(link) = &vm.network.link {
        let interface =
            NetworkInterface { iface_id: "net", host_dev_name: link.tap.as_str(), guest_mac: link.mac.to_string() };
        requests.push(put("/network-interfaces/net", &interface)?);
    }
    requests.push(put("/entropy", &EntropyDevice {})?);
    Ok(requests)
}

fn put(path: &str, body: &impl Serialize) -> Result<Put, String> {
    let body = serde_json::to_value(body).map_err(|error| error.to_string())?;
    Ok(Put { path: path.into(), body })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Accelerator, ByteSize, Machine, NetworkMode};
    use crate::driver::microvm::console::Line;
    use crate::driver::microvm::vmm::Attached;
    use crate::resource::{ContentKey, LinkName, LinkSpec, NetworkSpec, VmSpec};

    fn link() -> LinkSpec {
        LinkSpec {
            network: "lan".into(),
            tap: LinkName::tap("demo", "lan", "web"),
            mac: "02:00:00:00:00:0a".parse().unwrap(),
            address: "172.31.7.10".parse().unwrap(),
            subnet: "172.31.7.0/24".parse().unwrap(),
            ipv6: None,
            nameservers: Vec::new(),
        }
    }

    #[test]
    fn everything_that_is_put_before_the_start() {
        let vm = VmSpec {
            name: "web".into(),
            cpus: 3,
            memory: ByteSize::gib(1),
            image: ContentKey::of(&"image"),
            kernel: ContentKey::of(&"kernel"),
            kernel_arguments: Vec::new(),
            network: NetworkSpec { mode: NetworkMode::Bridge, forwards: Vec::new(), link: Some(Box::new(link())) },
            work_disk: ByteSize::gib(4),
            disks: Vec::new(),
            accel: Accelerator::Auto,
            machine: Machine::Firecracker,
            jailer: None,
        };
        let launch = Launch {
            fleet: "demo",
            vm: &vm,
            uuid: uuid::Uuid::nil(),
            ssh_port: 22_022,
            accel: Accelerator::Kvm,
            kernel: "/s/vmlinux".into(),
            initrd: "/s/initrd.img".into(),
            arguments: "console=ttyS0 reboot=k",
            root_disk: "/s/root.img".into(),
            work_disk: "/s/work.img".into(),
            disks: &[Attached { name: "my-data".into(), path: "/s/my_data.img".into(), writable: true }],
            line: &Line::Pipes { output: "/s/tty.out".into(), input: "/s/tty.in".into() },
            control_socket: "/s/qmp.sock".into(),
            pid_file: "/s/pid".into(),
            memory: None,
        };
        let drive = |id: &str| {
            json!({
                "drive_id": id, "is_root_device": false, "is_read_only": false, "cache_type": "Writeback",
                "path_on_host": format!("/s/{id}.img"),
            })
        };
        let boot = json!({
            "kernel_image_path": "/s/vmlinux", "initrd_path": "/s/initrd.img", "boot_args": "console=ttyS0 reboot=k",
        });
        let tap = LinkName::tap("demo", "lan", "web");
        let interface = json!({ "iface_id": "net", "host_dev_name": tap.as_str(), "guest_mac": "02:00:00:00:00:0a" });
        let expected = [
            ("/machine-config", json!({ "vcpu_count": 3, "mem_size_mib": 1024 })),
            ("/boot-source", boot),
            ("/drives/root", drive("root")),
            ("/drives/work", drive("work")),
            ("/drives/my_data", drive("my_data")),
            ("/network-interfaces/net", interface),
            ("/entropy", json!({})),
        ];
        assert_eq!(requests(&launch).unwrap(), expected.map(|(path, body)| Put { path: path.into(), body }));
    }
}

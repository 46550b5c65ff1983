//! QEMU's command line for one guest: pure, so that it can be shown, tested and compared.

use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;
use serde_json::Value;

use super::console::Line;
use super::vmm::{Attached, Habits, Host, Launch, Memory, Pace, Vmm, Wish};
use super::{migration, qmp};
use crate::config::{Accelerator, Machine};
use crate::driver::GuestDir;
use crate::effect::{Command, connect_unix};
use crate::exec::Failure;

/// The program.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// How long a running QEMU may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The VMM.
#[derive(Debug, Clone, Copy)]
pub(super) struct Qemu;

#[async_trait]
impl Vmm for Qemu {
    async fn start(&self, launch: &Launch<'_>, host: Host<'_>) -> Result<(), Failure> {
        let Line::Socket(serial) = launch.line else {
            return Err(Failure::permanent("found pipes as QEMU's serial line, expected a socket"));
        };
        host.run.run_ok(&start(launch, serial)).await?;
        let Some(memory) = launch.memory else { return Ok(()) };
        let loaded = migration::load(launch.control_socket, memory).await;
        loaded.map_err(|why| Failure::permanent(why).context("QEMU cannot take up the guest's memory"))
    }

    async fn save(&self, control: &Utf8Path, memory: &Memory) -> Result<(), String> {
        execute(control, "stop", Value::Null).await?;
        migration::save(control, memory).await
    }

    async fn ask(&self, control: &Utf8Path, wish: Wish) -> Result<(), String> {
        let command = match wish {
            Wish::PowerButton => "system_powerdown",
            Wish::Quit => "quit",
            Wish::Pause => "stop",
            Wish::Resume => "cont",
        };
        execute(control, command, Value::Null).await.map(drop)
    }

    async fn pace(&self, control: &Utf8Path) -> Result<Pace, String> {
        let status = execute(control, "query-status", Value::Null).await?;
        let status = status.get("status").and_then(Value::as_str);
        // After its memory was saved, or taken up, it stands still as well.
        let paused = matches!(status, Some("paused" | "postmigrate" | "prelaunch"));
        Ok(if paused { Pace::Paused } else { Pace::Running })
    }

    fn line(&self, dir: &GuestDir) -> Result<Line, String> {
        dir.serial_socket().map(Line::Socket)
    }

    fn habits(&self) -> Habits {
        Habits { arguments: "", down: "poweroff" }
    }
}

/// Asks a running QEMU for one thing; `arguments` may be null.
pub(super) async fn execute(control: &Utf8Path, command: &str, arguments: Value) -> Result<Value, String> {
    let stream = connect_unix(control, DEADLINE).await.map_err(|error| error.to_string())?;
    qmp::execute(stream, command, arguments, DEADLINE).await.map_err(|error| error.to_string())
}

/// The machine type, and the kind of virtio device that it takes.
const fn machine(machine: Machine) -> (&'static str, &'static str) {
    match machine {
        Machine::Q35 => ("q35", "pci"),
        Machine::Microvm | Machine::Firecracker => ("microvm", "device"),
    }
}

/// The command that starts the guest in the background: it returns when the guest's devices are up, and fails with
/// QEMU's own words when they cannot be.
fn start(launch: &Launch<'_>, serial: &Utf8Path) -> Command {
    let vm = launch.vm;
    let (machine, kind) = machine(vm.machine);
    let (accel, cpu) = match launch.accel {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg | Accelerator::Auto => ("tcg,thread=multi", "max"),
    };
    Command::new(PROGRAM)
        .args(["-name", &format!("regatta.{}.{}", launch.fleet, vm.name), "-uuid", &launch.uuid.to_string()])
        .args(["-machine", machine, "-accel", accel, "-cpu", cpu])
        .args(["-smp", &vm.cpus.to_string(), "-m", &format!("{}M", vm.memory.as_mib())])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        // `spawn` and `elevateprivileges` cannot be denied: QEMU forks and leaves the session to become a daemon.
        .args(["-sandbox", "on,obsolete=deny,resourcecontrol=deny"])
        .args(["-kernel", launch.kernel.as_str(), "-initrd", launch.initrd.as_str(), "-append", launch.arguments])
        .args(["-chardev", &console(serial), "-serial", "chardev:console"])
        .args(disk("root", launch.root_disk, "qcow2", kind))
        .args(disk("work", launch.work_disk, "raw", kind))
        .args(launch.disks.iter().flat_map(|disk| further(disk, kind)))
        .args(["-netdev", &netdev(launch), "-device", &format!("virtio-net-{kind},netdev=net,mac={}", mac(launch))])
        .args(["-device", &format!("virtio-rng-{kind}")])
        .args(["-qmp", &format!("unix:{},server=on,wait=off", escaped(launch.control_socket))])
        .args(["-pidfile", launch.pid_file.as_str(), "-daemonize"])
        // It waits to be handed the memory, and then to be let go on.
        .args(launch.memory.iter().flat_map(|_| ["-S", "-incoming", "defer"]))
        .deadline(Duration::from_secs(30))
}

/// With `wait` nothing is lost that the guest says before its console's keeper is there. Later keepers may come and go.
fn console(serial: &Utf8Path) -> String {
    format!("socket,id=console,path={},server=on,wait=on", escaped(serial))
}

fn disk(id: &str, path: &Utf8Path, format: &str, kind: &str) -> [String; 4] {
    [
        "-drive".into(),
        format!("id={id},file={},format={format},if=none,discard=unmap", escaped(path)),
        "-device".into(),
        format!("virtio-blk-{kind},drive={id},serial={id}"),
    ]
}

fn further(attached: &Attached, kind: &str) -> [String; 4] {
    let name = format!("disk-{}", attached.name);
    let [drive, mut file, device, _] = disk(&name, &attached.path, "raw", kind);
    if !attached.writable {
        file.push_str(",readonly=on");
    }
    [drive, file, device, format!("virtio-blk-{kind},drive={name},serial={}", attached.name)]
}

fn netdev(launch: &Launch<'_>) -> String {
    use std::fmt::Write as _;
    if let Some(link) = &launch.vm.network.link {
        // Made beforehand, and ours to open: QEMU runs no script and needs no privileges.
        return format!("tap,id=net,ifname={},script=no,downscript=no", link.tap);
    }
    let mut text = format!("user,id=net,hostfwd=tcp:127.0.0.1:{}-:22", launch.ssh_port);
    for forward in &launch.vm.network.forwards {
        // Writing to a string cannot fail.
        let _ = write!(text, ",hostfwd=tcp:127.0.0.1:{}-:{}", forward.host, forward.guest);
    }
    text
}

/// The guest's MAC address on a bridge; else QEMU's own prefix, then bytes of the guest's identity. A clone has another
/// name and another uuid, so another MAC (LESSON 31).
fn mac(launch: &Launch<'_>) -> String {
    let [.., a, b, c] = *launch.uuid.as_bytes();
    let link = launch.vm.network.link.as_ref();
    link.map_or_else(|| format!("52:54:00:{a:02x}:{b:02x}:{c:02x}"), |link| link.mac.to_string())
}

/// QEMU splits option values at commas; a doubled comma is a comma.
fn escaped(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::config::{ByteSize, Forward, NetworkMode};
    use crate::resource::{ContentKey, NetworkSpec, VmSpec};

    #[test]
    fn further_disks_have_their_names_as_serial_numbers() {
        let disk =
            |name: &str, writable| Attached { name: name.into(), path: format!("/s/{name}.img").into(), writable };
        let modules = "-drive id=disk-modules,file=/s/modules.img,format=raw,if=none,discard=unmap,readonly=on \
            -device virtio-blk-device,drive=disk-modules,serial=modules";
        assert_eq!(further(&disk("modules", false), "device").join(" "), modules);
        let data = "-drive id=disk-data,file=/s/data.img,format=raw,if=none,discard=unmap \
            -device virtio-blk-pci,drive=disk-data,serial=data";
        assert_eq!(further(&disk("data", true), "pci").join(" "), data);
    }

    #[test]
    fn the_whole_command_line() {
        let vm = VmSpec {
            name: "web-1".into(),
            cpus: 2,
            memory: ByteSize::gib(1),
            image: ContentKey::of(&"image"),
            kernel: ContentKey::of(&"kernel"),
            kernel_arguments: Vec::new(),
            network: NetworkSpec {
                mode: NetworkMode::User,
                forwards: vec![Forward { host: 8080, guest: 80 }],
                link: None,
            },
            work_disk: ByteSize::gib(4),
            disks: Vec::new(),
            accel: Accelerator::Auto,
            machine: Machine::Microvm,
            jailer: None,
        };
        let launch = Launch {
            fleet: "demo",
            vm: &vm,
            uuid: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_00ab_cdef),
            ssh_port: 20022,
            accel: Accelerator::Tcg,
            kernel: "/s/vmlinux".into(),
            initrd: "/s/initrd.img".into(),
            arguments: "console=ttyS0",
            root_disk: "/s/a,b/root.qcow2".into(),
            work_disk: "/s/work.img".into(),
            disks: &[],
            line: &Line::Socket("/s/tty.sock".into()),
            control_socket: "/s/qmp.sock".into(),
            pid_file: "/s/pid".into(),
            memory: None,
        };
        let expected = "qemu-system-x86_64 -name regatta.demo.web-1 -uuid 01900000-0000-7000-8000-000000abcdef \
            -machine microvm -accel tcg,thread=multi -cpu max -smp 2 -m 1024M -nodefaults -no-user-config -display none \
            -sandbox on,obsolete=deny,resourcecontrol=deny \
            -kernel /s/vmlinux -initrd /s/initrd.img -append console=ttyS0 \
            -chardev socket,id=console,path=/s/tty.sock,server=on,wait=on -serial chardev:console \
            -drive id=root,file=/s/a,,b/root.qcow2,format=qcow2,if=none,discard=unmap \
            -device virtio-blk-device,drive=root,serial=root \
            -drive id=work,file=/s/work.img,format=raw,if=none,discard=unmap \
            -device virtio-blk-device,drive=work,serial=work \
            -netdev user,id=net,hostfwd=tcp:127.0.0.1:20022-:22,hostfwd=tcp:127.0.0.1:8080-:80 \
            -device virtio-net-device,netdev=net,mac=52:54:00:ab:cd:ef -device virtio-rng-device \
            -qmp unix:/s/qmp.sock,server=on,wait=off -pidfile /s/pid -daemonize";
        let serial = Utf8Path::new("/s/tty.sock");
        assert_eq!(start(&launch, serial).to_string(), expected);
        let memory = Memory {
            file: "/s/memory.waking".into(),
            devices: "/s/memory.devices".into(),
            socket: "/s/mem.sock".into(),
            deadline: Duration::from_secs(60),
        };
        let woken = Launch { memory: Some(&memory), ..launch.clone() };
        assert_eq!(start(&woken, serial).to_string(), format!("{expected} -S -incoming defer"));
        let q35 = VmSpec { machine: Machine::Q35, ..vm.clone() };
        let expected = expected.replace("-machine microvm", "-machine q35").replace("-device,", "-pci,");
        let expected = expected.replace("virtio-rng-device", "virtio-rng-pci");
        assert_eq!(start(&Launch { vm: &q35, ..launch }, serial).to_string(), expected);
    }
}

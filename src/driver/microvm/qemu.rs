//! QEMU's command line for one guest: pure, so that it can be shown, tested and compared.

use camino::Utf8Path;
use uuid::Uuid;

use crate::config::Accelerator;
use crate::effect::Command;
use crate::resource::VmSpec;

/// Everything outside the declaration that a start needs.
#[derive(Debug, Clone)]
pub(super) struct Launch<'a> {
    /// The fleet, for the process' name.
    pub fleet: &'a str,
    /// What to start.
    pub vm: &'a VmSpec,
    /// The guest's identity: an argument of its own on the command line, so that the process can be found by it.
    pub uuid: Uuid,
    /// Loopback port forwarded to the guest's port 22.
    pub ssh_port: u16,
    /// KVM or TCG, already decided.
    pub accel: Accelerator,
    /// Uncompressed kernel.
    pub kernel: &'a Utf8Path,
    /// Initramfs.
    pub initrd: &'a Utf8Path,
    /// Kernel arguments.
    pub arguments: &'a str,
    /// qcow2 root disk.
    pub root_disk: &'a Utf8Path,
    /// Raw work disk.
    pub work_disk: &'a Utf8Path,
    /// Socket to listen on with the serial console; the guest starts when somebody has connected.
    pub serial_socket: &'a Utf8Path,
    /// QMP socket to listen on.
    pub control_socket: &'a Utf8Path,
    /// File that takes the pid.
    pub pid_file: &'a Utf8Path,
}

/// The program.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// The command that starts the guest in the background: it returns when the guest's devices are up, and fails with
/// QEMU's own words when they cannot be.
pub(super) fn start(launch: &Launch<'_>) -> Command {
    let vm = launch.vm;
    let (accel, cpu) = match launch.accel {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg | Accelerator::Auto => ("tcg,thread=multi", "max"),
    };
    Command::new(PROGRAM)
        .args(["-name", &format!("regatta.{}.{}", launch.fleet, vm.name), "-uuid", &launch.uuid.to_string()])
        .args(["-machine", "microvm", "-accel", accel, "-cpu", cpu])
        .args(["-smp", &vm.cpus.to_string(), "-m", &format!("{}M", vm.memory.as_mib())])
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        // `spawn` and `elevateprivileges` cannot be denied: QEMU forks and leaves the session to become a daemon.
        .args(["-sandbox", "on,obsolete=deny,resourcecontrol=deny"])
        .args(["-kernel", launch.kernel.as_str(), "-initrd", launch.initrd.as_str(), "-append", launch.arguments])
        .args(["-chardev", &console(launch), "-serial", "chardev:console"])
        .args(disk("root", launch.root_disk, "qcow2"))
        .args(disk("work", launch.work_disk, "raw"))
        .args([
            "-netdev",
            &netdev(launch),
            "-device",
            &format!("virtio-net-device,netdev=net,mac={}", mac(launch.uuid)),
        ])
        .args(["-device", "virtio-rng-device"])
        .args(["-qmp", &format!("unix:{},server=on,wait=off", escaped(launch.control_socket))])
        .args(["-pidfile", launch.pid_file.as_str(), "-daemonize"])
        .deadline(std::time::Duration::from_secs(30))
}

/// With `wait` nothing is lost that the guest says before its console's keeper is there. Later keepers may come and go.
fn console(launch: &Launch<'_>) -> String {
    format!("socket,id=console,path={},server=on,wait=on", escaped(launch.serial_socket))
}

fn disk(id: &str, path: &Utf8Path, format: &str) -> [String; 4] {
    [
        "-drive".into(),
        format!("id={id},file={},format={format},if=none,discard=unmap", escaped(path)),
        "-device".into(),
        format!("virtio-blk-device,drive={id},serial={id}"),
    ]
}

fn netdev(launch: &Launch<'_>) -> String {
    use std::fmt::Write as _;
    let mut text = format!("user,id=net,hostfwd=tcp:127.0.0.1:{}-:22", launch.ssh_port);
    for forward in &launch.vm.network.forwards {
        // Writing to a string cannot fail.
        let _ = write!(text, ",hostfwd=tcp:127.0.0.1:{}-:{}", forward.host, forward.guest);
    }
    text
}

/// The guest's MAC: QEMU's own prefix, then bytes of the guest's identity. A clone has another uuid, so another MAC.
pub(super) fn mac(uuid: Uuid) -> String {
    let [.., a, b, c] = *uuid.as_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// QEMU splits option values at commas; a doubled comma is a comma.
fn escaped(path: &Utf8Path) -> String {
    path.as_str().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ByteSize, Forward, NetworkMode};
    use crate::resource::{ContentKey, NetworkSpec};

    #[test]
    fn the_whole_command_line() {
        let vm = VmSpec {
            name: "web-1".into(),
            cpus: 2,
            memory: ByteSize::gib(1),
            image: ContentKey::of(&"image"),
            kernel: ContentKey::of(&"kernel"),
            network: NetworkSpec { mode: NetworkMode::User, forwards: vec![Forward { host: 8080, guest: 80 }] },
            work_disk: ByteSize::gib(4),
            accel: Accelerator::Auto,
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
            serial_socket: "/s/tty.sock".into(),
            control_socket: "/s/qmp.sock".into(),
            pid_file: "/s/pid".into(),
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
        assert_eq!(start(&launch).to_string(), expected);
    }
}

//! What the machine and the state directory offer.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;

use crate::config::ByteSize;
use crate::driver::{StateDir, microvm, namespace};
use crate::effect::{Command, Run, Status, paths, process};
use crate::resource::Finding;

/// Less room than an image and a few disks take.
const LITTLE_ROOM: ByteSize = ByteSize::gib(5);

/// Less room than a guest takes.
const NO_ROOM: ByteSize = ByteSize::gib(1);

/// Whether guests run with hardware virtualisation.
pub(super) fn accelerator(state: &StateDir) -> Vec<Finding> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    let device = match opened {
        Ok(_) => Finding::pass("/dev/kvm", "can be opened"),
        Err(cause) => Finding::warn(
            "/dev/kvm",
            format!("cannot be opened: {cause}; guests are emulated, which is slow"),
            "join its group (`sudo usermod -aG kvm $USER`, then log in again), or switch on virtualisation in the firmware",
        ),
    };
    let usable = device.fix.is_none();
    let probe = match microvm::probed(state) {
        None if usable => {
            vec![Finding::pass("kvm", "not tried yet: the first start of a guest boots a kernel under it")]
        }
        None => Vec::new(),
        Some((true, _)) => vec![Finding::pass("kvm", "a kernel has booted under it")],
        Some((false, why)) => {
            let help = "guests are emulated; `accel \"tcg\"` in the fleet file, or REGATTA_ACCEL=tcg, says so";
            vec![Finding::warn("kvm", why, help)]
        }
    };
    std::iter::once(device).chain(probe).collect()
}

/// Whether an ordinary user can be root of a namespace, to build images.
pub(super) async fn namespaces(run: &dyn Run) -> Finding {
    if namespace::is_root() {
        return Finding::pass("namespaces", "not needed by root");
    }
    match namespace::require(run).await {
        Ok(()) => Finding::pass("namespaces", "subordinate ids and user namespaces work"),
        Err(failure) => {
            Finding::fail("namespaces", failure.causes.join(": "), failure.hint.unwrap_or_else(|| "run as root".into()))
        }
    }
}

/// How disks are copied there, found out by copying something: snapshots and Firecracker's root disks are copies, QEMU's root
/// disks lie over their image.
pub(super) async fn copies(run: &dyn Run, state: &StateDir) -> Option<Finding> {
    // Made with the first guest.
    let scratch = tempfile::Builder::new().prefix(".copies-").tempdir_in(state.root()).ok()?;
    let folder = Utf8Path::from_path(scratch.path())?;
    let (from, to) = (folder.join("from"), folder.join("to"));
    fs::write(&from, [1; 4096]).ok()?;
    let copy = Command::new("cp").args(["--reflink=always", from.as_str(), to.as_str()]);
    let shares = run.run(&copy).await.is_ok_and(|output| output.status == Status::Code(0));
    let means =
        if shares { "share their blocks (reflink)" } else { "are sparse: this file system cannot share blocks" };
    Some(Finding::pass("copies", format!("root disks are qcow2 overlays on QEMU; snapshots and other copies {means}")))
}

/// Whether the state directory is ours alone, and how much room it has.
pub(super) fn state(state: &StateDir) -> Vec<Finding> {
    let root = state.root();
    let mut findings = Vec::new();
    match fs::symlink_metadata(root) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            findings.push(Finding::pass("state directory", format!("`{root}` is made by the first apply")));
        }
        Err(cause) => {
            let fix = format!("look at the permissions of `{root}`, or pass another --state-dir");
            findings.push(Finding::fail("state directory", cause.to_string(), fix));
        }
        Ok(found) if found.uid() != process::user_id() => {
            let fix = "run as its owner, or pass another --state-dir";
            findings.push(Finding::fail("state directory", format!("`{root}` belongs to user {}", found.uid()), fix));
        }
        Ok(found) if found.mode() & 0o077 != 0 => {
            let mode = found.mode() & 0o777;
            let fix = format!("chmod 0700 {root}");
            findings.push(Finding::fail(
                "state directory",
                format!("`{root}` has mode {mode:04o}, expected 0700"),
                fix,
            ));
        }
        Ok(_) => findings.push(Finding::pass("state directory", format!("`{root}` is ours alone"))),
    }
    findings.push(room(state));
    findings
}

/// Free room where the state directory is, or will be.
pub(super) fn room(state: &StateDir) -> Finding {
    let existing = state.root().ancestors().find(|path| paths::exists(path).unwrap_or(false));
    let free = existing.and_then(|path| paths::free(path).ok()).map(ByteSize::bytes);
    let fix = crate::driver::failure::DISK_FULL_HINT;
    match free {
        None => Finding::warn("disk space", "cannot be told", "look at `df`"),
        Some(free) if free < NO_ROOM => Finding::fail("disk space", format!("{free} free"), fix),
        Some(free) if free < LITTLE_ROOM => Finding::warn("disk space", format!("{free} free"), fix),
        Some(free) => Finding::pass("disk space", format!("{} GiB free", free.as_mib() / 1024)),
    }
}

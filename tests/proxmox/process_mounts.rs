//! The whole program and a disk of a node that is this machine: from the fleet file to the mount, and what each command says of it.
//! In a mount namespace of its own, as in `real_mount`; only `lsblk` is a stand-in, because a loop device is not on USB.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::peer::{Peer, TOKEN};
use crate::real_mount::{Loop, NAMESPACE, PLACE, is_apart, succeeds, uuid_of};

/// A process that keeps a namespace, ended with the value.
struct Namespace(Child);

impl Namespace {
    /// `None`, loudly, where there is none to be had.
    fn new(peer: &Peer) -> Option<Self> {
        if !is_apart() {
            return None;
        }
        let etc = peer.dir.join("etc");
        succeeds(Command::new("cp").args(["--archive", "/etc"]).arg(&etc));
        fs::write(etc.join("fstab"), "# the last line\n").unwrap();
        let mut kept = Command::new("unshare");
        kept.args(["--mount", "--propagation", "private", "sh", "-c", NAMESPACE, "sh"]).arg(etc);
        // Says that it is ready, and then waits for the end of its input.
        let mut child =
            kept.args(["sh", "-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        Some(Self(child))
    }

    fn enter(&self, dir: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.0.id().to_string()]);
        command.arg(format!("--wd={}", dir.display())).arg("--");
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What lsblk says from now on.
fn plug_in(peer: &Peer, disks: &str) {
    let program = peer.dir.join("bin/lsblk");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, format!("#!/bin/sh\necho '{{\"blockdevices\": [{disks}]}}'\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// LESSON 41, with the real program, mount, findmnt and sed: plan, apply, an empty plan, drift, and what is told of it.
#[test]
fn the_program_mounts_a_disk_and_tells_of_it() {
    let Some(peer) = Peer::start("mounts", "plain") else { return };
    let Some(namespace) = Namespace::new(&peer) else { return };
    let uuid = uuid_of(2);
    let Some(disk) = Loop::new(&peer.dir.join("disk.img"), &uuid) else { return };
    let usb = format!(r#"{{"path": "{}", "uuid": "{uuid}", "tran": "usb"}}"#, disk.0);
    peer.fleet(&peer.fingerprint, "");
    let file = peer.dir.join("fleet.kdl");
    let fence =
        format!("fence {{ node \"pve1\" via=\"local\" {{ mount \"{PLACE}\" uuid=\"{uuid}\" fstab=#true; }}; }}\n}}");
    let text = fs::read_to_string(&file).unwrap().replacen('}', &fence, 1);
    fs::write(&file, text).unwrap();
    let regatta = |words: &[&str]| {
        let path = format!("{}:{}", peer.dir.join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = namespace.enter(&peer.dir);
        command.arg(env!("CARGO_BIN_EXE_regatta")).args(words).env("NO_COLOR", "1").env("PATH", path);
        command.env("PVE_TOKEN", TOKEN).env("REGATTA_STATE_DIR", peer.dir.join("state"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let says = |words: &[&str], code: i32, what: &str| {
        let (is, text) = regatta(words);
        assert!(is == Some(code) && text.contains(what), "{words:?} ended with {is:?}, without {what}:\n{text}");
    };

    plug_in(&peer, "");
    says(&["plan", "--detailed-exitcode"], 0, &format!("no disk with `UUID={uuid}` is plugged in"));
    says(&["status"], 0, &format!("pve/pve1  {PLACE}  not plugged in  UUID={uuid}"));
    plug_in(&peer, &usb);
    says(&["plan", "--detailed-exitcode"], 2, &format!("+ mount.pve/pve1{PLACE}  create · missing · none"));
    says(&["status"], 0, &format!("pve/pve1  {PLACE}  pending  UUID={uuid}, it is not mounted"));
    says(&["apply", "--yes"], 0, "");
    says(&["plan", "--detailed-exitcode"], 0, "No changes: 2 resources are as declared.");
    says(&["drift"], 0, "");
    says(&["status"], 0, &format!("pve/pve1  {PLACE}  mounted  UUID={uuid}"));
    // How it ends is a matter of the machine.
    let (_, text) = regatta(&["doctor"]);
    assert!(text.contains(&format!("pass  mount.pve/pve1{PLACE}  `UUID={uuid}` is mounted")), "{text}");
    says(
        &["sudoers", "--node", "pve1", "--user", "nobody"],
        0,
        &format!("--source\\=UUID\\={uuid} --target\\={PLACE}"),
    );
    assert!(peer.journals().contains("mount-on-node"));
    let audit = fs::read_to_string(peer.dir.join("state/audit.jsonl")).unwrap();
    assert!(
        audit.contains("/usr/bin/mount --options=nosuid,nodev") && audit.contains("/usr/bin/sed --in-place"),
        "{audit}"
    );

    succeeds(namespace.enter(&peer.dir).args(["umount", PLACE]));
    says(&["drift"], 2, &format!("mount.pve/pve1{PLACE}"));
    says(&["apply", "--yes", "--only", "mount.pve/**"], 0, "");
    says(&["drift"], 0, "");
    // Another one of its kind, that a virtual machine made.
    plug_in(&peer, &format!(r#"{usb}, {{"path": "/dev/zd16", "uuid": "{uuid}", "tran": null}}"#));
    says(&["plan", "--detailed-exitcode"], 0, "No changes");
    succeeds(namespace.enter(&peer.dir).args(["umount", PLACE]));
    says(&["apply", "--yes"], 3, &format!("found `UUID={uuid}` on `{}` and `/dev/zd16`", disk.0));
}

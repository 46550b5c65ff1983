//! A disk of a node with real programs: an ordinary user logs in by a real sshd and has sudo with the printed rules; lsblk, findmnt,
//! mount and sed are the machine's own, and a filesystem on a loop device is really mounted.
//!
//! All of it happens in a mount namespace of the server's own, with a copy of `/etc` over `/etc` and an empty `/mnt`: the machine
//! has neither the user nor the rules, the mount or the line. One thing is not real: the loop device is no USB disk, and without
//! udev its UUID is not told to an ordinary user. So what lsblk prints gets these two words on the way back; that anything else is
//! refused is asserted first.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use regatta::driver::StateDir;
use regatta::driver::nodes::{NodeDoors, Nodes};
use regatta::driver::privilege::Rules;
use regatta::effect::{
    CommandRunner, Connect, ConnectError, Shell, SshClient, SshTarget, Status, Streams, SystemClock,
};
use regatta::resource::Desired;
use tokio::io::AsyncWriteExt as _;

use crate::fake::Fake;
use crate::fleet::{Regatta, of_file, told};
use crate::house::House;
use crate::node::Anything;

const USER: &str = "rgtdisk";

pub(crate) const PLACE: &str = "/mnt/backup";

/// In its own namespace: the copy over `/etc`, nothing in `/mnt`, and then the server.
pub(crate) const NAMESPACE: &str = r#"mount --bind "$1" /etc && mount -t tmpfs tmpfs /mnt && shift && exec "$@""#;

/// Another one for each test of each process: several may have disks at the same time.
pub(crate) fn uuid_of(test: u8) -> String {
    format!("0190c2a4-7c3e-7000-80{test:02x}-{:012x}", std::process::id())
}

fn uuid() -> String {
    uuid_of(1)
}

/// A loop device with a filesystem, given back with the value.
pub(crate) struct Loop(pub(crate) String);

impl Loop {
    /// `None`, loudly, where there are none.
    pub(crate) fn new(image: &Path, uuid: &str) -> Option<Self> {
        fs::File::create(image).unwrap().set_len(16 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-U", uuid]).arg(image).output();
        let shown = Command::new("losetup").args(["--find", "--show"]).arg(image).output();
        match (made, shown) {
            (Ok(made), Ok(shown)) if made.status.success() && shown.status.success() => {
                Some(Self(String::from_utf8(shown.stdout).unwrap().trim().to_owned()))
            }
            _ => {
                eprintln!("SKIPPED: needs `mkfs.ext4` and a loop device");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).output();
    }
}

/// A real login whose lsblk says that the loop device is on USB, once that is wanted.
#[derive(Clone)]
struct Plugged {
    device: String,
    is_usb: Arc<AtomicBool>,
}

struct PluggedShell(Box<dyn Shell>, Plugged);

#[async_trait]
impl Connect for Plugged {
    async fn connect(&self, target: &SshTarget, deadline: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        let shell = SshClient::default().connect(target, deadline).await?;
        Ok(Box::new(PluggedShell(shell, self.clone())))
    }
}

#[async_trait]
impl Shell for PluggedShell {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        if argv[0] != "lsblk" {
            return self.0.stream(argv, streams, deadline).await;
        }
        let Streams { stdin, stdout, stderr } = streams;
        let mut said = Vec::new();
        let status = self.0.stream(argv, Streams { stdin, stdout: &mut said, stderr }, deadline).await?;
        let mut said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        let disks = said["blockdevices"].as_array_mut().unwrap();
        let disk = disks.iter_mut().find(|disk| disk["path"] == *self.1.device).unwrap();
        disk["uuid"] = uuid().into();
        if self.1.is_usb.load(Ordering::Relaxed) {
            disk["tran"] = "usb".into();
        }
        stdout.write_all(said.to_string().as_bytes()).await.unwrap();
        Ok(status)
    }
}

/// The server in its namespace, and a user who is only there.
struct Machine {
    house: House,
    etc: Utf8PathBuf,
}

impl Machine {
    fn new() -> Option<Self> {
        if !is_apart() {
            return None;
        }
        let house = House::behind(|home| {
            let etc = home.join("etc");
            succeeds(Command::new("cp").args(["--archive", "/etc", etc.as_str()]));
            let add = |file: &str, line: &str| {
                let text = fs::read_to_string(etc.join(file)).unwrap();
                fs::write(etc.join(file), format!("{}\n{line}\n", text.trim_end())).unwrap();
            };
            add("passwd", &format!("{USER}:x:61234:61234::/:/bin/sh"));
            add("group", &format!("{USER}:x:61234:"));
            add("shadow", &format!("{USER}:*:19000:0:99999:7:::"));
            add("fstab", "# the last line");
            fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
            let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", NAMESPACE, "sh", etc.as_str()];
            words.map(str::to_owned).into()
        })?;
        let etc = house.path("etc");
        Some(Self { house, etc })
    }

    fn allow(&self, rules: &Rules) {
        let path = self.etc.join("sudoers.d").join(USER);
        fs::write(&path, rules.to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        succeeds(Command::new("visudo").arg("-cf").arg(&path));
    }

    /// As root in the server's namespace.
    fn run(&self, words: &[&str]) -> String {
        let pid = self.house.pid().to_string();
        succeeds(Command::new("nsenter").args(["--mount", "--target", &pid, "--"]).args(words))
    }

    fn target(&self) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".into(),
            port: self.house.port,
            user: USER.into(),
            host_key: self.house.public("host_key"),
            identity: self.house.path("state/identity"),
            via: None,
        }
    }

    fn fleet(&self) -> Desired {
        let (key, identity, port) = (self.house.public("host_key"), self.house.path("state/identity"), self.house.port);
        of_file(&format!(
            "fleet \"shop\"
             cluster \"pve\" {{ endpoint \"https://127.0.0.1:8006\"; token env=\"T\"
                 fence {{ node \"pve1\" host=\"127.0.0.1\" port={port} user=\"{USER}\" identity=\"{identity}\" {{
                     host-key \"{key}\"; mount \"{PLACE}\" uuid=\"{}\" fstab=#true }} }} }}",
            uuid()
        ))
    }
}

/// Whether there are mount namespaces to be had, and programs to try; where not, it says so.
pub(crate) fn is_apart() -> bool {
    let programs =
        ["/usr/bin/sudo", "/usr/bin/mount", "/usr/bin/lsblk", "/usr/bin/unshare", "/usr/bin/nsenter", "/etc/fstab"];
    let missing: Vec<&str> = programs.into_iter().filter(|path| !Path::new(path).exists()).collect();
    let apart = Command::new("unshare").args(["--mount", "--propagation", "private", "true"]).status();
    let is_apart = missing.is_empty() && apart.is_ok_and(|it| it.success());
    if !is_apart {
        eprintln!("SKIPPED: needs a mount namespace of its own, and {missing:?}");
    }
    is_apart
}

pub(crate) fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// LESSONS 32 to 34 and 41: nothing runs before the rules are there; the disk is mounted then, and in `/etc/fstab`; the plan is
/// empty; what the node mounts by that line when it boots is right as well; and nothing but these two commands runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_really_mounted_by_the_rules_alone() {
    let Some(machine) = Machine::new() else { return };
    let Some(disk) = Loop::new(machine.house.path("disk.img").as_std_path(), &uuid()) else { return };
    let fstab = fs::read_to_string("/etc/fstab").unwrap();
    let plugged = Plugged { device: disk.0.clone(), is_usb: Arc::default() };
    let doors = NodeDoors {
        connect: Arc::new(plugged.clone()),
        run: Arc::new(CommandRunner),
        clock: Arc::new(SystemClock),
        audit: Arc::new(Anything),
    };
    let (fake, wish) = (Fake::new(), machine.fleet());
    let state = StateDir::new(machine.house.path("state"));
    let regatta = Regatta::new(&fake).with_nodes(|clusters| Nodes::new(&wish, clusters, doors, state, None));
    let nodes = regatta.nodes();
    let node = nodes.named("pve1")[0].clone();
    let needed = nodes.commands(&node).unwrap();

    // It is no USB disk.
    let uuid = uuid();
    let refused =
        format!("mount.pve/pve1{PLACE} HostInTheWay: found `UUID={uuid}` on `{}`, expected a disk on USB", disk.0);
    assert_eq!(told(&regatta.plan(&wish).await), [refused]);
    plugged.is_usb.store(true, Ordering::Relaxed);

    let failures = regatta.apply(&wish).await;
    assert!(
        failures[0].1.causes[0].starts_with("sudo does not allow `/usr/bin/mount --options=nosuid"),
        "{failures:?}"
    );
    assert_eq!(nodes.not_allowed(&node).await.unwrap(), (2, needed.clone()));
    assert!(!machine.run(&["cat", "/proc/mounts"]).contains(PLACE));

    machine.allow(&Rules::new(USER, "shop", &needed).unwrap());
    assert_eq!(nodes.not_allowed(&node).await.unwrap(), (2, Vec::new()));
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), [""; 0]);
    let mounted = machine.run(&["findmnt", "--noheadings", "--output", "SOURCE,FSTYPE,OPTIONS", PLACE]);
    let words: Vec<&str> = mounted.split_whitespace().collect();
    assert_eq!(words, [disk.0.as_str(), "ext4", "rw,nosuid,nodev,relatime"]);
    let lines = fs::read_to_string(machine.etc.join("fstab")).unwrap();
    let line = format!("UUID={uuid}\t{PLACE}\tauto\tnosuid,nodev,nofail\t0\t2");
    assert_eq!(lines.lines().rev().take(2).collect::<Vec<_>>(), [line.as_str(), "# the last line"]);

    // As when the node boots.
    machine.run(&["umount", PLACE]);
    assert_eq!(
        told(&regatta.plan(&wish).await),
        [format!("mount.pve/pve1{PLACE} Create Missing None: options, source")]
    );
    machine.run(&["mount", "--all"]);
    assert_eq!(told(&regatta.plan(&wish).await), [""; 0]);
    machine.run(&["mount", "-o", "remount,suid", PLACE]);
    let unsafe_now =
        format!("mount.pve/pve1{PLACE} HostInTheWay: found `{}` mounted at `{PLACE}` without `nosuid`", disk.0);
    assert_eq!(told(&regatta.plan(&wish).await), [unsafe_now]);

    refuses_everything_else(&machine).await;
    assert_eq!(fs::read_to_string(machine.etc.join("fstab")).unwrap(), lines);
    assert!(!fs::read_to_string("/proc/mounts").unwrap().contains(&disk.0));
    assert_eq!(fs::read_to_string("/etc/fstab").unwrap(), fstab);
}

async fn refuses_everything_else(machine: &Machine) {
    let shell = SshClient::default().connect(&machine.target(), Duration::from_secs(10)).await.unwrap();
    let safe = "--options=nosuid,nodev,X-mount.mkdir=0755";
    let uuid = uuid();
    let (source, target) = (format!("--source=UUID={uuid}"), format!("--target={PLACE}"));
    let line = format!(r"--expression=$aUUID={uuid}\t{PLACE}\tauto\tnosuid,nodev,nofail\t0\t2");
    let joined = format!("{line} /etc/fstab");
    for hostile in [
        &["/usr/bin/mount", safe, &source, "--target=/etc"][..],
        &["/usr/bin/mount", "--options=suid,dev", &source, &target],
        &["/usr/bin/mount", safe, &source, &target, "--options=suid"],
        &["/usr/bin/mount", "--bind", "/tmp", "/etc/sudoers.d"],
        &["/usr/bin/mount", "--all"],
        &["/usr/bin/umount", PLACE],
        &["/usr/bin/sed", "--in-place", &line, "/etc/sudoers"],
        &["/usr/bin/sed", "--in-place", &line, "/etc/fstab", "/etc/passwd"],
        &["/usr/bin/sed", "--in-place", "--expression=1eid", "/etc/fstab"],
        // LESSON 34: cut elsewhere, sudo lets it through and sed has nothing to edit.
        &["/usr/bin/sed", "--in-place", &joined],
    ] {
        let argv: Vec<&str> = ["sudo", "-n", "--"].into_iter().chain(hostile.iter().copied()).collect();
        let output = shell.exec(&argv, b"", Duration::from_secs(20)).await.unwrap();
        assert_ne!(output.status, Status::Code(0), "{hostile:?}");
    }
}

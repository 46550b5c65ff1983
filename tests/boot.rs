//! Scenario: an image and a kernel are built from nothing, and a guest boots from them with the identity that was put on
//! its work disk. Needs a package archive, so it is asked for by name:
//!
//! ```text
//! cargo test --test boot -- --ignored --nocapture
//! ```
//!
//! Run as root, both ways of building are tested: as root, and as the first ordinary user that has subordinate ids.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here is the test")]
#![allow(clippy::print_stderr, reason = "a scenario says what it skips and how long it took")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use regatta::config::{Accelerator, ByteSize, ImageCommand, ImageFile};
use regatta::driver::kernel::{host_tsc, kernel_arguments};
use regatta::driver::{Store, image, kernel};
use regatta::effect::{CommandRunner, Connect as _, ConnectError, SshClient, SshTarget};
use regatta::exec::Progress;
use regatta::resource::{ContentKey, ImageSpec, KernelSpec, SourceSpec};

/// From QEMU's start to the SSH banner, on a busy machine with an emulated processor.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);

/// Says what a build does, and when.
struct Narrator(&'static str, Instant);

impl Progress for Narrator {
    fn say(&self, text: &str) {
        eprintln!("[{:6.2}s] {}: {text}", self.1.elapsed().as_secs_f64(), self.0);
    }
}

#[test]
#[ignore = "builds an image and boots it: needs a package archive and a minute"]
fn a_guest_boots_from_what_was_built() {
    if missing(&["mmdebstrap", "qemu-system-x86_64", "qemu-img", "ssh-keygen"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let store = Store::new(dir.join("store"));
    let (image, kernel) = (image_spec(), kernel_spec());
    build(&store, &image, &kernel);
    check_image(&store.image_path(&image.key));
    a_boot_that_cannot_go_on_says_why_and_ends(dir, &store, &kernel);
    let host_key = make_disks(dir, &store.image_path(&image.key));
    let banner = boot(dir, &store, &kernel, |port| {
        let identity = dir.join("work/.regatta/guest/ssh_host_ed25519_key");
        let target = SshTarget { host: "127.0.0.1".into(), port, user: "root".into(), host_key, identity, via: None };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let login = runtime.block_on(SshClient::default().connect(&target, BOOT_DEADLINE));
        // The host key is looked at first: a refused login means that it is the one on the work disk.
        assert_eq!(login.err(), Some(ConnectError::KeyRefused { user: "root".into() }));
    });
    eprintln!("SSH banner {:.2} s after QEMU was started", banner.as_secs_f64());
}

/// The same as an ordinary user, when the tests run as root.
#[test]
#[ignore = "builds an image and boots it: needs a package archive and a minute"]
fn an_ordinary_user_can_do_the_same() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("SKIPPED: not root, so the other test of this file is that already");
    }
    let subuid = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let Some(user) = subuid.lines().filter_map(|line| line.split(':').next()).find(|name| *name != "root") else {
        return eprintln!("SKIPPED: no ordinary user has subordinate ids in /etc/subuid");
    };
    // The build directory may be closed to that user.
    let dir =
        tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    let program = dir.path().join("boot");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let status = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--init-groups", "--reset-env"])
        .arg(program)
        .args(["--ignored", "--nocapture", "--exact", "a_guest_boots_from_what_was_built"])
        .current_dir("/")
        .status();
    assert!(status.unwrap().success(), "failed as user {user}");
}

fn missing(programs: &[&str]) -> bool {
    let found = |program: &&str| Command::new("which").arg(program).output().unwrap().status.success();
    let missing: Vec<_> = programs.iter().filter(|program| !found(program)).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: not installed: {missing:?}");
    }
    !missing.is_empty()
}

fn image_spec() -> ImageSpec {
    let packages = ["dbus", "iproute2", "openssh-server", "systemd-sysv", "udev"].map(str::to_owned).to_vec();
    let file = |path: &str, mode, content: &str| ImageFile { path: path.into(), mode, content: content.into() };
    let command = |words: &[&str]| ImageCommand(words.iter().copied().map(str::to_owned).collect());
    let unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    ImageSpec {
        name: "bookworm".into(),
        key: ContentKey::of(&("bookworm", &packages)),
        source: SourceSpec::Debootstrap {
            suite: "bookworm".into(),
            mirror: None,
            packages,
            commands: vec![
                command(&["systemctl", "enable", "declared"]),
                command(&["sh", "-c", "printf '%s|' \"$0\" \"$HOME\" >/etc/ran", "a b'\"\n$x"]),
            ],
        },
        files: vec![
            // `/lib` is a symbolic link of the tree.
            file("/lib/systemd/system/declared.service", 0o644, unit),
            file("/opt/declared/secret", 0o600, "s\n"),
            file("/var/mail/declared", 0o640, "m\n"),
        ],
        size: ByteSize::gib(2),
    }
}

fn kernel_spec() -> KernelSpec {
    let package = "linux-image-cloud-amd64".to_owned();
    let key = ContentKey::of(&("bookworm", &package));
    KernelSpec { name: "default".into(), suite: "bookworm".into(), mirror: None, package, file: None, image: None, key }
}

/// LESSONS 28: the image is asked for twice at once, and built once.
fn build(store: &Store, image: &ImageSpec, kernel: &KernelSpec) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = Instant::now();
    let narrator = ["image", "image again", "kernel"].map(|what| Narrator(what, start));
    let (first, second, built) = runtime.block_on(async {
        tokio::join!(
            image::build(&CommandRunner, store, image, &narrator[0]),
            image::build(&CommandRunner, store, image, &narrator[1]),
            kernel::build(&CommandRunner, store, kernel, &narrator[2]),
        )
    });
    assert_eq!((first, second, built), (Ok(()), Ok(()), Ok(())));
    eprintln!("[{:6.2}s] all is built", start.elapsed().as_secs_f64());
    let built: Vec<ContentKey> = store.built().unwrap().into_keys().collect();
    let mut expected = vec![image.key.clone(), kernel.key.clone()];
    expected.sort();
    assert_eq!(built, expected);
}

struct Disk(fs::File);

impl ext4_view::Ext4Read for Disk {
    fn read(&mut self, start: u64, into: &mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.0.read_exact_at(into, start)?)
    }
}

/// LESSONS 6 and 31: owners and setuid bits are right, and nothing is in it that clones would share.
fn check_image(path: &Utf8Path) {
    let disk = ext4_view::Ext4::load(Box::new(Disk(fs::File::open(path).unwrap()))).unwrap();
    let owner_and_mode = |path: &str| {
        let found = disk.metadata(path).unwrap();
        (found.uid(), found.gid() == 0, found.mode() & 0o7777)
    };
    let found: BTreeMap<&str, _> =
        ["/", "/usr/bin/passwd", "/usr/bin/chage", "/etc/shadow"].map(|path| (path, owner_and_mode(path))).into();
    let expected = BTreeMap::from([
        ("/", (0, true, 0o755)),
        ("/usr/bin/passwd", (0, true, 0o4755)),
        ("/usr/bin/chage", (0, false, 0o2755)),
        ("/etc/shadow", (0, false, 0o640)),
    ]);
    assert_eq!(found, expected);
    // Declared files and what declared commands did.
    let declared =
        ["/usr/lib/systemd/system/declared.service", "/opt/declared", "/opt/declared/secret", "/var/mail/declared"];
    let expected = [(0, true, 0o644), (0, true, 0o755), (0, true, 0o600), (0, true, 0o640)];
    assert_eq!(declared.map(owner_and_mode), expected);
    assert_eq!(disk.read_to_string("/etc/ran").unwrap(), "a b'\"\n$x|/root|");
    assert!(disk.exists("/etc/systemd/system/multi-user.target.wants/declared.service").unwrap());
    assert!(!disk.exists("/regatta-output").unwrap());
    let keys: Vec<String> = disk
        .read_dir("/etc/ssh")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().as_str().unwrap().to_owned())
        .filter(|name| name.starts_with("ssh_host"))
        .collect();
    assert_eq!(keys, Vec::<String>::new());
    assert!(!disk.exists("/var/lib/dbus/machine-id").unwrap_or(true));
}

/// Makes the overlay and the work disk, and returns the host key's public line.
fn make_disks(dir: &Utf8Path, image: &Utf8Path) -> String {
    let tree = dir.join("work");
    let guest = tree.join(".regatta/guest");
    fs::create_dir_all(&guest).unwrap();
    let key = guest.join("ssh_host_ed25519_key");
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key.as_str()]);
    for (name, value) in [
        ("hostname", "web-1"),
        ("machine-id", "0123456789abcdef0123456789abcdef"),
        ("address", "10.0.2.15/24"),
        ("gateway", "10.0.2.2"),
        ("nameserver", "10.0.2.3"),
    ] {
        fs::write(guest.join(name), format!("{value}\n")).unwrap();
    }
    let public = fs::read_to_string(key.with_extension("pub")).unwrap().trim().to_owned();
    let work = dir.join("work.img");
    fs::File::create_new(&work).unwrap().set_len(256 << 20).unwrap();
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-E", "root_owner=0:0", "-d", tree.as_str(), work.as_str()]);
    let overlay = dir.join("root.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.as_str(), overlay.as_str()]);
    public
}

/// LESSONS 27: the cause is on the console, and the machine does not stay there with nothing to do.
fn a_boot_that_cannot_go_on_says_why_and_ends(dir: &Utf8Path, store: &Store, kernel: &KernelSpec) {
    let blank = dir.join("blank.img");
    fs::File::create_new(&blank).unwrap().set_len(1 << 20).unwrap();
    let files = store.kernel_paths(&kernel.key);
    let arguments = kernel_arguments(Accelerator::Tcg, host_tsc());
    let output = Command::new("timeout")
        .args([&BOOT_DEADLINE.as_secs().to_string(), "qemu-system-x86_64", "-machine", "microvm", "-accel", "tcg"])
        .args(["-cpu", "max", "-m", "256M", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-kernel", files.vmlinux.as_str(), "-initrd", files.initrd.as_str(), "-append", &arguments])
        .args([
            "-drive",
            &format!("id=root,file={blank},format=raw,if=none"),
            "-device",
            "virtio-blk-device,drive=root",
        ])
        .args(["-serial", "stdio"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "QEMU did not end by itself; the console says:\n{console}");
    assert_eq!(said_by_init(&console), ["fatal: cannot mount the root disk /dev/vda"]);
}

/// What `init.sh` said.
fn said_by_init(console: &str) -> Vec<&str> {
    console.lines().filter_map(|line| line.trim_end().strip_prefix("regatta-init: ")).collect()
}

fn run(program: &str, args: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(args).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A QEMU of ours, ended when the test is.
struct Guest(String);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(&self.0).status();
    }
}

/// Boots, waits for the SSH banner, looks at the guest, and returns how long the banner took.
fn boot(dir: &Utf8Path, store: &Store, kernel: &KernelSpec, look: impl FnOnce(u16)) -> Duration {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let files = store.kernel_paths(&kernel.key);
    let arguments = kernel_arguments(Accelerator::Tcg, host_tsc());
    let at = |name: &str| -> Utf8PathBuf { dir.join(name) };
    let start = Instant::now();
    run(
        "qemu-system-x86_64",
        &[
            "-machine",
            "microvm",
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "512M",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-sandbox",
            "on,obsolete=deny,resourcecontrol=deny",
            "-kernel",
            files.vmlinux.as_str(),
            "-initrd",
            files.initrd.as_str(),
            "-append",
            &arguments,
            "-chardev",
            &format!("file,id=console,path={}", at("console.log")),
            "-serial",
            "chardev:console",
            "-drive",
            &format!("id=root,file={},format=qcow2,if=none", at("root.qcow2")),
            "-device",
            "virtio-blk-device,drive=root",
            "-drive",
            &format!("id=work,file={},format=raw,if=none", at("work.img")),
            "-device",
            "virtio-blk-device,drive=work",
            "-netdev",
            &format!("user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22"),
            "-device",
            "virtio-net-device,netdev=net",
            "-device",
            "virtio-rng-device",
            "-qmp",
            &format!("unix:{},server=on,wait=off", at("qmp.sock")),
            "-pidfile",
            at("pid").as_str(),
            "-daemonize",
        ],
    );
    let guest = Guest(fs::read_to_string(at("pid")).unwrap().trim().to_owned());
    let banner = await_banner(port, start);
    let console = fs::read_to_string(at("console.log")).unwrap_or_default();
    assert!(banner.is_some(), "no SSH banner within {BOOT_DEADLINE:?}; the console says:\n{console}");
    let elapsed = start.elapsed();
    assert_eq!(said_by_init(&console), ["starting the guest's init"]);
    look(port);
    drop(guest);
    elapsed
}

/// QEMU accepts connections before the guest does, so only the banner counts.
fn await_banner(port: u16, start: Instant) -> Option<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let try_once = Duration::from_millis(1500);
    while start.elapsed() < BOOT_DEADLINE {
        let mut banner = [0; 64];
        let read = TcpStream::connect_timeout(&address, try_once).and_then(|mut stream| {
            stream.set_read_timeout(Some(try_once))?;
            stream.read(&mut banner)
        });
        match read {
            Ok(length) if banner[..length].starts_with(b"SSH-2.0-") => {
                return Some(String::from_utf8_lossy(&banner[..length]).into_owned());
            }
            // Nobody listens in the guest yet; asking without a pause would take the time it needs to start.
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    None
}

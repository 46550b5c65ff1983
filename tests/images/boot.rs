//! An image of a registry boots, twice, and is inside of the guest what was pushed.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::layer::{Layer, Type};
use crate::registry::{PROGRAMS, Registry, run};
use crate::world::World;
use crate::{missing, user};

#[test]
#[ignore = "builds an image and boots two guests of it: needs a package archive and some minutes"]
fn an_image_of_a_registry_boots_and_has_everything() {
    if missing(&[&PROGRAMS[..], &["mmdebstrap", "qemu-system-x86_64", "qemu-img", "e2fsck"]].concat()) {
        return;
    }
    let (world, mut clock) = (World::new(), Clock(Instant::now()));
    let registry_dir = tempfile::tempdir().unwrap();
    let registry = Registry::start(registry_dir.path());
    let base = debian(registry_dir.path());
    clock.lap("a Debian tree");
    let (kernel, version) = kernel(registry_dir.path());
    let layers = [std::fs::read(&base).unwrap(), strange(&base), removals(), kernel];
    registry.push("1", &layers);
    clock.lap("umoci and skopeo: pushed");

    let reference = registry.reference("1");
    world.fleet(&fleet(&reference, "1GiB", "64MiB"));
    world.ok(&["apply", "--yes"]);
    clock.lap("apply, from the registry to SSH in two guests");
    world.is_as_declared();
    assert_eq!(inside(&world, "web-1"), EXPECTED);
    let effect =
        world.ok(&["ssh", "web-1", "--", "setpriv", "--reuid=1000", "--clear-groups", "/opt/strange/id", "-u"]);
    assert_eq!(effect.text(), "0\n", "a setuid program works");
    capability(&world);
    kernels(&world, &version);
    disks(&world);
    check_second_disk(&world);
    clock.lap("looked at everything");

    grow(&world, &reference);
    clock.lap("the work disk grew");
    move_tag(&world, &registry, &layers);
    clock.lap("the tag moved");
}

/// The same as an ordinary user, when the tests run as root.
#[test]
#[ignore = "builds an image and boots two guests of it: needs a package archive and some minutes"]
fn an_ordinary_user_can_do_the_same() {
    user::run_as_ordinary_user("boot::an_image_of_a_registry_boots_and_has_everything");
}

/// Two guests of one image: the first boots the kernel in it, and has disks of its own.
fn fleet(reference: &str, work_disk: &str, disk: &str) -> String {
    format!(
        "fleet \"images\"\n\
         import \"std/oci\" {{ reference \"{reference}\"; name \"web\"; size \"1GiB\"; }}\n\
         vm \"web-1\" {{\n    use \"web\"\n    work-disk size=\"{work_disk}\"\n    kernel \"own\"\n    \
         disk \"data\" size=\"{disk}\" at=\"/srv/data\"\n    disk \"bare\" size=\"16MiB\"\n}}\n\
         vm \"web-2\" {{\n    use \"web\"\n    work-disk size=\"{work_disk}\"\n}}\n\
         kernel \"own\" {{ image \"web\"; arguments \"mitigations=off\" \"quiet\"; }}\n"
    )
}

/// A tree with an init and an SSH server, as anybody's build of a container image for machines would have it.
fn debian(dir: &Path) -> std::path::PathBuf {
    let tar = dir.join("base.tar");
    let packages = "--include=dbus,iproute2,kmod,openssh-server,systemd-sysv,udev";
    run("mmdebstrap", &["--quiet", "--variant=minbase", packages, "bookworm", tar.to_str().unwrap()]);
    tar
}

/// LESSONS 6 and 29, and names that trip up whoever quotes them.
fn strange(base: &Path) -> Vec<u8> {
    Layer::new()
        .file(b"opt/strange/id", 0o4755, 0, &program(base, "id"))
        .file(b"opt/strange/file", 0o644, 0, b"content")
        .link(Type::Link, b"opt/strange/hard", b"opt/strange/file")
        .link(Type::Symlink, b"opt/strange/soft", b"../../etc/hostname")
        .link(Type::Symlink, b"opt/strange/absolute", b"/opt/strange/file")
        .with_attribute(b"opt/strange/cat", &program(base, "cat"), ("security.capability", &MAY_READ))
        .device(b"opt/strange/null", 1, 3)
        .file(b"opt/strange/owned", 0o640, 1000, b"mine")
        .file(b"opt/strange/a b", 0o644, 0, b"")
        .file(b"opt/strange/q'u\"o\\te", 0o644, 0, b"")
        .file(b"opt/strange/new\nline", 0o644, 0, b"")
        .file(b"opt/strange/\xff\xfe", 0o644, 0, b"")
        .file(b"opt/strange/-rf", 0o644, 0, b"")
        .file(b"opt/lower/gone", 0o644, 0, b"")
        .file(b"opt/lower/kept", 0o644, 0, b"")
        .file(b"opt/opaque/old", 0o644, 0, b"")
        .finish()
}

fn removals() -> Vec<u8> {
    Layer::new()
        .file(b"opt/lower/.wh.gone", 0o644, 0, b"")
        .file(b"opt/opaque/.wh..wh..opq", 0o644, 0, b"")
        .file(b"opt/opaque/new", 0o644, 0, b"")
        .finish()
}

/// A program of the tree.
fn program(base: &Path, name: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(std::fs::File::open(base).unwrap());
    let found = archive.entries().unwrap().map(Result::unwrap).find(|entry| {
        let path = entry.path().unwrap();
        path.ends_with(format!("bin/{name}")) && entry.header().entry_type().is_file()
    });
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut found.unwrap(), &mut content).unwrap();
    content
}

/// Type, mode, owner, number of names, target and name of everything, as the guest sees it.
const EXPECTED: [&str; 21] = [
    "d 755 0:0 opt/lower",
    "f 644 0:0 1 opt/lower/kept",
    "d 755 0:0 opt/opaque",
    "f 644 0:0 1 opt/opaque/new",
    "d 755 0:0 opt/strange",
    "f 644 0:0 1 opt/strange/-rf",
    "f 644 0:0 1 opt/strange/a b",
    "l 777 0:0 1 opt/strange/absolute -> /opt/strange/file",
    "f 755 0:0 1 opt/strange/cat",
    "f 644 0:0 2 opt/strange/file",
    "f 644 0:0 2 opt/strange/hard",
    "f 4755 0:0 1 opt/strange/id",
    r"f 644 0:0 1 opt/strange/new\nline",
    "c 666 0:0 1 opt/strange/null 1:3",
    "f 640 1000:1000 1 opt/strange/owned",
    r#"f 644 0:0 1 opt/strange/q\'u\"o\\te"#,
    "l 777 0:0 1 opt/strange/soft -> ../../etc/hostname",
    r"f 644 0:0 1 opt/strange/\xff\xfe",
    "content",
    "content",
    "mine",
];

fn inside(world: &World, guest: &str) -> Vec<String> {
    let find = "find opt -mindepth 1 -type d -printf '%y %m %U:%G %p\\0' -o -mindepth 1 -type l -printf '%y %m %U:%G %n %p -> %l\\0' \
        -o -mindepth 1 -type c -printf '%y %m %U:%G %n %p 1:3\\0' -o -mindepth 1 -printf '%y %m %U:%G %n %p\\0'";
    let script = format!("cd / && test \"$(stat -c %t:%T opt/strange/null)\" = 1:3 && {find}");
    let found = world.ok(&["ssh", guest, "--", "sh", "-c", &script]).stdout;
    let mut lines: Vec<&[u8]> = found.split(|byte| *byte == 0).filter(|line| !line.is_empty()).collect();
    lines.sort_by_key(|line| line[line.windows(4).position(|part| part == b"opt/").unwrap()..].to_vec());
    let mut lines: Vec<String> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
    for file in ["file", "hard", "owned"] {
        lines.push(world.ok(&["ssh", guest, "--", "cat", &format!("/opt/strange/{file}")]).text());
    }
    lines
}

/// `CAP_DAC_READ_SEARCH`, permitted and effective (`struct vfs_cap_data`, revision 2).
const MAY_READ: [u8; 20] = [1, 0, 0, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A program with a file capability does what its user may not.
fn capability(world: &World) {
    let as_user = ["ssh", "web-1", "--", "setpriv", "--reuid=1000", "--clear-groups"];
    let read = |program: &str| world.run(&[&as_user[..], &[program, "/etc/shadow"]].concat()).code;
    assert_eq!((read("/bin/cat"), read("/opt/strange/cat")), (1, 0));
}

/// A kernel of Debian as a layer: its files, as an installed package has them.
fn kernel(dir: &Path) -> (Vec<u8>, String) {
    let script = "cd \"$1\" && kernel=$(apt-cache depends --important linux-image-cloud-amd64 \
        | sed -n 's/^ *Depends: \\(linux-image-[a-z0-9][a-z0-9.+-]*\\)$/\\1/p' | head -n 1) \
        && apt-get --quiet --option APT::Sandbox::User=root download \"$kernel\" >&2 && dpkg-deb -x ./*.deb tree \
        && mkdir -p tree/usr && mv tree/lib tree/usr/lib && tar -C tree --owner=0 --group=0 -cf kernel.tar boot usr/lib/modules \
        && printf %s \"${kernel#linux-image-}\"";
    let version = String::from_utf8(run("sh", &["-c", script, "sh", dir.to_str().unwrap()])).unwrap();
    (std::fs::read(dir.join("kernel.tar")).unwrap(), version)
}

/// One guest boots the kernel in its image, with arguments of its own; the other one has modules that its image lacks.
fn kernels(world: &World, version: &str) {
    let inside = |guest: &str, command: &[&str]| world.ok(&[&["ssh", guest, "--"], command].concat()).text();
    assert_eq!(inside("web-1", &["uname", "-r"]).trim(), version);
    assert!(inside("web-1", &["cat", "/proc/cmdline"]).trim().ends_with(" mitigations=off quiet"));
    inside("web-2", &["modprobe", "dummy"]);
    assert!(inside("web-2", &["cat", "/proc/modules"]).contains("dummy "));
    let mounted = inside("web-2", &["findmnt", "-no", "SOURCE,FSTYPE", "-T", "/lib/modules"]);
    eprintln!("          modules of the default kernel: {}", mounted.trim());
}

/// One is mounted, and can be written to; the other one is a block device of that size.
fn disks(world: &World) {
    let script = "test \"$(findmnt -no FSTYPE,LABEL /srv/data | tr -s ' ')\" = 'ext4 data' && echo kept >/srv/data/mine \
        && cat /sys/class/block/$(basename $(readlink -f /dev/disk/by-id/virtio-bare))/size";
    assert_eq!(world.ok(&["ssh", "web-1", "--", "sh", "-c", script]).text(), "32768\n");
}

/// Two guests of one image: what the second one's root disk costs.
fn check_second_disk(world: &World) {
    let state = world.path("state");
    let disk = state.join("fleets/images/vms/web-2/root.qcow2");
    let image = std::fs::read_dir(state.join("store/images")).unwrap().next().unwrap().unwrap().path().join("root.img");
    let again = world.path("second.qcow2");
    let started = Instant::now();
    let args = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.to_str().unwrap(), again.to_str().unwrap()];
    run("qemu-img", &args);
    let (took, allocated) = (started.elapsed(), std::fs::metadata(&again).unwrap().blocks() * 512);
    eprintln!("          second root disk: {allocated} bytes, {:.3} s", took.as_secs_f64());
    assert!(allocated < 5 << 20 && took.as_secs_f64() < 0.3);
    let booted = std::fs::metadata(disk).unwrap().blocks() * 512;
    let image = std::fs::metadata(image).unwrap().blocks() * 512;
    eprintln!("          after a boot: {booted} bytes, over an image of {image}");
}

/// Growing keeps what is there and leaves a clean file system; shrinking is refused where it is written.
fn grow(world: &World, reference: &str) {
    world.ok(&["ssh", "web-1", "--", "sh", "-c", "echo kept >/root/mine; sync"]);
    world.fleet(&fleet(reference, "2GiB", "128MiB"));
    world.ok(&["apply", "--yes", "--only", "web-1"]);
    assert_eq!(world.ok(&["ssh", "web-1", "--", "cat", "/srv/data/mine"]).text(), "kept\n");
    assert_eq!(world.ok(&["ssh", "web-1", "--", "cat", "/root/mine"]).text(), "kept\n");
    let size = world.ok(&["ssh", "web-1", "--", "df", "--output=size", "/root"]).text();
    let kib: u64 = size.lines().nth(1).unwrap().trim().parse().unwrap();
    assert!(kib > 1 << 20, "{size}");
    world.ok(&["stop", "web-1"]);
    let disk = world.path("state/fleets/images/vms/web-1/work.img");
    run("e2fsck", &["-fn", disk.to_str().unwrap()]);
    let data = world.path("state/fleets/images/vms/web-1/disks/data.img");
    assert_eq!(std::fs::metadata(&data).unwrap().len(), 128 << 20);
    run("e2fsck", &["-fn", data.to_str().unwrap()]);

    world.fleet(&fleet(reference, "512MiB", "128MiB"));
    let refused = world.run(&["plan"]);
    let said = format!("{}{}", refused.text(), refused.stderr);
    assert_eq!(refused.code, 3, "{said}");
    assert!(said.contains("found a work disk of 2GiB, the fleet file asks for 512MiB"), "{said}");
    assert!(said.contains("fleet.kdl:3:1"), "{said}");
    world.fleet(&fleet(reference, "2GiB", "16MiB"));
    let refused = world.run(&["plan"]);
    let said = format!("{}{}", refused.text(), refused.stderr);
    assert_eq!(refused.code, 3, "{said}");
    assert!(said.contains("found the disk `data` of 128MiB, the fleet file asks for 16MiB"), "{said}");
    world.fleet(&fleet(reference, "2GiB", "128MiB"));
}

/// A tag that moved changes nothing until the lock file is told; then the plan shows both digests.
fn move_tag(world: &World, registry: &Registry, layers: &[Vec<u8>]) {
    let (before, _) = registry.digests("1");
    let more = Layer::new().file(b"opt/second", 0o644, 0, b"2").finish();
    registry.push("1", &[layers, &[more]].concat());
    let (after, _) = registry.digests("1");
    assert_ne!(before, after);
    world.ok(&["lock", "--check"]);
    let image = |plan: &Value| {
        let changes = plan["changes"].as_array().unwrap();
        let vm = changes.iter().find(|change| change["address"] == "vm.web-1").unwrap();
        vm["attributes"].as_array().unwrap().iter().find(|attribute| attribute["path"] == "image").cloned()
    };
    let plan = |world: &World| {
        serde_json::from_slice(&world.run(&["plan", "--format", "json", "--only", "web-1"]).stdout).unwrap()
    };
    assert_eq!(image(&plan(world)), None, "the lock file holds");
    let told = world.ok(&["lock", "--update", "web"]).text();
    assert_eq!(told, format!("image web: sha256:{before} → sha256:{after}\n"));
    let shown = image(&plan(world)).unwrap();
    let text = serde_json::to_string(&shown).unwrap();
    assert!(text.contains(&format!("(sha256:{})", &before[..12])), "{text}");
    assert!(text.contains(&format!("(sha256:{})", &after[..12])), "{text}");
    // Somebody changes the fleet file and not the lock file.
    world.fleet(&fleet(&registry.reference("2"), "2GiB", "128MiB"));
    let refused = world.run(&["plan"]);
    assert_eq!(refused.code, 1, "{}", refused.text());
    assert!(refused.stderr.contains("but the lock file has"), "{}", refused.stderr);
    assert_eq!(world.run(&["lock", "--check"]).code, 1);
    // What is refused cannot be destroyed either.
    world.fleet(&fleet(&registry.reference("1"), "2GiB", "128MiB"));
}

/// Tells how long things took.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self, what: &str) {
        eprintln!("[{:6.2}s] {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

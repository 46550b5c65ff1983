//! Everything that can be wrong with an image: each is its own error, and the store is as if nothing had been tried.

use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use regatta::config::{ByteSize, FileForm};
use regatta::driver::{Store, image};
use regatta::effect::CommandRunner;
use regatta::exec::{Failure, FailureKind, Progress};
use regatta::resource::{ContentKey, ImageSpec, SourceSpec};

use crate::layer::Layer;
use crate::missing;
use crate::registry::{PROGRAMS, Registry, run};
use crate::world::World;

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

/// A registry and a store.
struct Scene {
    _dir: tempfile::TempDir,
    registry: Registry,
    store_path: Utf8PathBuf,
}

/// Bytes of the file in the layer that is interfered with: they do not compress.
const NOISE: usize = 8 << 20;

impl Scene {
    /// With the image `web:1`, which has nothing a guest needs but its two programs.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::start(dir.path());
        let layer = Layer::new()
            .file(b"sbin/init", 0o755, 0, b"#!/bin/sh\n")
            .file(b"usr/sbin/sshd", 0o755, 0, b"#!/bin/sh\n")
            .file(b"noise", 0o644, 0, &noise());
        registry.push("1", &[Layer::new().file(b"first", 0o644, 0, b"1").finish(), layer.finish()]);
        let store_path = Utf8Path::from_path(dir.path()).unwrap().join("store");
        Self { _dir: dir, registry, store_path }
    }

    fn spec(&self, port: u16) -> ImageSpec {
        let (manifest, _) = self.registry.digests("1");
        let reference = format!("127.0.0.1:{port}/web:1");
        spec(SourceSpec::Oci { reference, digest: format!("sha256:{manifest}") })
    }

    fn build(&self, spec: &ImageSpec) -> Result<(), Failure> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(image::build(&CommandRunner, &Store::new(self.store_path.clone()), spec, &Silent))
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.store_path.join(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// There is no image, nothing under this digest, and nothing half-done.
    fn is_clean(&self, layer: &str) {
        assert_eq!(self.names("images"), Vec::<String>::new());
        assert_eq!(self.names("tmp"), Vec::<String>::new());
        assert!(!self.names("blobs").contains(&layer.to_owned()));
        assert_eq!(self.names("partial"), Vec::<String>::new());
    }
}

fn spec(source: SourceSpec) -> ImageSpec {
    let key = ContentKey::of(&source);
    ImageSpec { name: "web".into(), source, files: Vec::new(), size: ByteSize::mib(64), key }
}

/// SplitMix64.
fn noise() -> Vec<u8> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)).to_le_bytes()
    };
    (0..NOISE / 8).flat_map(|_| next()).collect()
}

fn said(outcome: Result<(), Failure>) -> String {
    outcome.unwrap_err().causes.join(": ")
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn each_failure_is_told_and_leaves_nothing() {
    if missing(&[&PROGRAMS[..], &["mke2fs"]].concat()) {
        return;
    }
    let scene = Scene::new();
    let (manifest, layers) = scene.registry.digests("1");
    let (layer, port) = (&layers[1], scene.registry.port);
    let name = format!("layer 2 of 2 of `127.0.0.1:{port}/web:1`");

    // A tampered blob: one byte is another.
    let blob = scene.registry.blob(layer);
    let good = std::fs::read(&blob).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&blob, &bad).unwrap();
    let tampered = said(scene.build(&scene.spec(port)));
    assert!(tampered.starts_with(&format!("{name} is not what it should be: found the digest sha256:")), "{tampered}");
    scene.is_clean(layer);

    // One that is longer than its manifest says.
    std::fs::write(&blob, [&good[..], b"more"].concat()).unwrap();
    let longer = said(scene.build(&scene.spec(port)));
    assert!(longer.starts_with(&format!("{name} is not what it should be: it is longer than")), "{longer}");
    scene.is_clean(layer);

    // A missing layer.
    std::fs::remove_file(&blob).unwrap();
    scene.registry.restart();
    assert_eq!(said(scene.build(&scene.spec(port))), format!("`127.0.0.1:{port}` lacks {name}"));
    scene.is_clean(layer);

    // A tampered manifest.
    let kept = scene.registry.blob(&manifest);
    let text = std::fs::read(&kept).unwrap();
    let wanted = scene.spec(port);
    std::fs::write(&kept, [&text[..], b" "].concat()).unwrap();
    scene.registry.restart();
    let other = said(scene.build(&wanted));
    assert!(other.contains("manifest") || other.contains("answers 500"), "{other}");
    std::fs::write(&kept, &text).unwrap();
    std::fs::write(&blob, &good).unwrap();
    scene.registry.restart();

    // A registry that dies in the middle: what arrived is continued, and is an image only when all of it is right.
    let (dying, _) = scene.registry.door(2 << 20);
    let died = scene.build(&scene.spec(dying)).unwrap_err();
    let text = died.causes.join(": ");
    assert_eq!(died.kind, FailureKind::Transient, "{text}");
    assert!(text.contains("cannot fetch layer 2 of 2") && text.contains("lost the connection"), "{text}");
    assert_eq!(
        (scene.names("images"), scene.names("tmp"), scene.names("partial")),
        (vec![], vec![], vec![layer.clone()])
    );
    let dead = said(scene.build(&wanted));
    assert!(dead.contains(&format!("cannot connect to `127.0.0.1:{port}`: Connection refused")), "{dead}");
    scene.registry.restart();
    let (door, requests) = scene.registry.door(usize::MAX);
    assert_eq!(scene.build(&scene.spec(door)), Ok(()));
    let continued = requests.lock().unwrap().iter().any(|head| head.contains("\r\nrange: bytes="));
    assert!(continued, "it was not continued");
    assert_eq!((scene.names("images").len(), scene.names("partial").len(), scene.names("tmp").len()), (1, 0, 0));
}

#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn a_wrong_checksum_and_an_image_without_a_server() {
    if missing(&["mke2fs"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store_path = Utf8Path::from_path(dir.path()).unwrap().join("store");
    let build = |spec: &ImageSpec| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(image::build(&CommandRunner, &Store::new(store_path.clone()), spec, &Silent))
    };
    let file = dir.path().join("root.tar");
    let text = Layer::new().file(b"etc/hostname", 0o644, 0, b"x").finish();
    std::fs::write(&file, &text).unwrap();
    let digest = regatta::resource::Digest::of(&text);
    let source = |digits: &str| SourceSpec::File {
        form: FileForm::Tar,
        location: file.to_str().unwrap().into(),
        digest: format!("sha256:{digits}"),
    };
    let wrong = said(build(&spec(source(&"0".repeat(64)))));
    let (path, found) = (file.display(), digest.as_str());
    assert_eq!(wrong, format!("`{path}` has the digest sha256:{found}, expected sha256:{}", "0".repeat(64)));
    assert_eq!(
        said(build(&spec(source(digest.as_str())))),
        "guests cannot use image `web`: it has no `/sbin/init` and no `/usr/sbin/sshd`"
    );
    assert_eq!(std::fs::read_dir(store_path.join("images")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(store_path.join("tmp")).unwrap().count(), 0);
}

/// In a mount namespace in which the store is on a file system of 4 MiB.
#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn a_full_disk_is_told_and_leaves_nothing() {
    if missing(&[&PROGRAMS[..], &["mke2fs", "unshare"]].concat()) {
        return;
    }
    let world = World::new();
    let scene = Scene::new();
    let (manifest, layers) = scene.registry.digests("1");
    let reference = scene.registry.reference("1");
    world
        .fleet(&format!("image \"web\" {{ oci \"{reference}@sha256:{manifest}\" }}\nvm \"web\" {{ image \"web\" }}\n"));
    let store = world.path("state/store");
    std::fs::create_dir_all(&store).unwrap();
    restrict(&world.path("state"));
    let script = "mount -t tmpfs -o size=4m,mode=700 tmpfs \"$1\" || exit 99
        \"$2\" apply --yes --only image.web; code=$?; find \"$1\" -type f -size +0; exit $code";
    let mut apply = world.hermetic("unshare");
    apply.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&store).arg(world.binary());
    let done = apply.output().unwrap();
    let (kept, told) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert_eq!(done.status.code(), Some(1), "{told}");
    for part in ["cannot store layer 2 of 2", "No space left on device", "free some disk space"] {
        assert!(told.contains(part), "did not say `{part}`:\n{told}");
    }
    assert!(!kept.contains(&layers[1]), "{kept}");
    assert!(!kept.contains("/images/"), "{kept}");
}

fn restrict(path: &Path) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}

/// A disk with two partitions, made without root: the second one becomes the image, at the size that is declared.
#[test]
#[ignore = "needs qemu-img and sfdisk"]
fn the_root_partition_of_a_disk_becomes_the_image() {
    if missing(&["qemu-img", "sfdisk", "mke2fs", "debugfs", "resize2fs", "e2fsck"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let tree = path("tree");
    for folder in ["sbin", "usr/sbin", "etc/cloud"] {
        std::fs::create_dir_all(tree.join(folder)).unwrap();
    }
    for (file, text) in [
        ("sbin/init", "init"),
        ("usr/sbin/sshd", "sshd"),
        ("etc/fstab", "UUID=1 /boot/efi vfat defaults 0 1\ntmpfs /tmp tmpfs defaults 0 0\n"),
    ] {
        std::fs::write(tree.join(file), text).unwrap();
    }
    let disk = path("disk.raw");
    std::fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let table = "label: gpt\nstart=2048, size=8192, type=uefi\nstart=16384, size=98304, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n";
    std::fs::write(path("table"), table).unwrap();
    run("sh", &["-c", "sfdisk -q \"$1\" <\"$2\"", "sh", disk.to_str().unwrap(), path("table").to_str().unwrap()]);
    let options = ["-q", "-F", "-t", "ext4", "-E", "offset=8388608,root_owner=0:0", "-d", tree.to_str().unwrap()];
    run("mke2fs", &[&options[..], &[disk.to_str().unwrap(), "48M"]].concat());
    let cloud = path("cloud.qcow2");
    run("qemu-img", &["convert", "-O", "qcow2", disk.to_str().unwrap(), cloud.to_str().unwrap()]);

    let store_path = Utf8Path::from_path(dir.path()).unwrap().join("store");
    let store = Store::new(store_path.clone());
    let build = |file: &Path| {
        let digest = regatta::resource::Digest::of(&std::fs::read(file).unwrap());
        let location = file.to_str().unwrap().to_owned();
        let digest = format!("sha256:{}", digest.as_str());
        let spec = spec(SourceSpec::File { form: FileForm::CloudImage, location, digest });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(image::build(&CommandRunner, &store, &spec, &Silent)).map(|()| store.image_path(&spec.key))
    };
    let image = build(&cloud).unwrap();
    assert_eq!(image.metadata().unwrap().len(), 64 << 20);
    run("e2fsck", &["-fn", image.as_str()]);
    let cat = |file: &str| String::from_utf8(run("debugfs", &["-R", &format!("cat {file}"), image.as_str()])).unwrap();
    assert_eq!((cat("/sbin/init"), cat("/etc/fstab")), ("init".into(), "tmpfs /tmp tmpfs defaults 0 0\n".into()));

    // A disk that leans on another file could show us any file of this host.
    let leaning = path("leaning.qcow2");
    run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", leaning.to_str().unwrap(), "1M"],
    );
    let refused = said(build(&leaning).map(drop));
    assert!(refused.ends_with("names another file that it needs, expected a disk that is whole"), "{refused}");
    let bare = path("bare.raw");
    std::fs::File::create(&bare).unwrap().set_len(1 << 20).unwrap();
    let refused = said(build(&bare).map(drop));
    assert_eq!(refused, "cannot find the root of image `web`: none of its 0 partitions has an ext4 file system");
}

/// LESSONS 28: two images that have their layers in common are built at the same time, and each layer is fetched once.
#[test]
#[ignore = "needs docker-registry, skopeo and umoci"]
fn one_layer_is_fetched_once_for_everybody() {
    if missing(&[&PROGRAMS[..], &["mke2fs"]].concat()) {
        return;
    }
    let scene = Scene::new();
    let (door, requests) = scene.registry.door(usize::MAX);
    let one = scene.spec(door);
    let other = ImageSpec { size: ByteSize::mib(96), key: ContentKey::of(&"other"), ..one.clone() };
    let store = Store::new(scene.store_path.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (one, other) = runtime.block_on(async {
        tokio::join!(
            image::build(&CommandRunner, &store, &one, &Silent),
            image::build(&CommandRunner, &store, &other, &Silent)
        )
    });
    assert_eq!((one, other, scene.names("images").len()), (Ok(()), Ok(()), 2));
    let blobs = requests.lock().unwrap().iter().filter(|head| head.starts_with("GET /v2/web/blobs/")).count();
    assert_eq!(blobs, 2);
}

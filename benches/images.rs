//! What it takes to prepare an image, against the same by hand, in one run:
//!
//! - packages: `image { debootstrap … }` against `mmdebstrap DIR` and `mke2fs -d DIR`;
//! - a registry: `image { oci … }`, pulled, merged, made a file system of and checked, against `skopeo copy` and
//!   `umoci unpack`, and the same with `mke2fs -d`.
//!
//! Needs a package archive, docker-registry, skopeo and umoci, and is run as root: umoci loses owners otherwise.
//! `cargo bench --bench images`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark prints its figures and may stop"
)]
#![allow(dead_code, reason = "a scenario has the registry, and needs more of it")]

#[path = "../tests/images/registry.rs"]
mod registry;

use std::path::Path;
use std::time::Instant;

use camino::Utf8Path;
use regatta::config::ByteSize;
use regatta::driver::{Store, image};
use regatta::effect::CommandRunner;
use regatta::exec::Progress;
use regatta::resource::{ContentKey, ImageSpec, SourceSpec};
use registry::{Registry, run};

/// What our images have at least.
const PACKAGES: [&str; 5] = ["dbus", "iproute2", "openssh-server", "systemd-sysv", "udev"];

/// Size of every file system.
const SIZE: u64 = 2 << 30;

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

fn main() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap();
    let packages = PACKAGES.map(str::to_owned).to_vec();
    let source = SourceSpec::Debootstrap { suite: "bookworm".into(), mirror: None, packages, commands: Vec::new() };
    let ours = timed(|| build(path, source));
    let tree = path.join("tree");
    let include = format!("--include={}", PACKAGES.join(","));
    let by_hand = timed(|| {
        run("mmdebstrap", &["--quiet", "--variant=minbase", &include, "bookworm", tree.as_str()]);
        make_file_system(&tree);
    });
    report("packages, against mmdebstrap and mke2fs -d", ours, by_hand);

    let registry = Registry::start(path.as_std_path());
    run("tar", &["--numeric-owner", "-C", tree.as_str(), "-cf", path.join("base.tar").as_str(), "."]);
    registry.push("1", &[std::fs::read(path.join("base.tar")).unwrap()]);
    let (digest, _) = registry.digests("1");
    let reference = registry.reference("1");
    let oci = SourceSpec::Oci { reference: reference.clone(), digest: format!("sha256:{digest}") };
    let ours = timed(|| build(path, oci));
    let bundle = path.join("bundle");
    let copy = timed(|| unpack(path.as_std_path(), &reference));
    let formatting = timed(|| make_file_system(&bundle.join("rootfs")));
    report("a registry, against skopeo copy and umoci unpack", ours, copy);
    report("a registry, against skopeo copy, umoci unpack and mke2fs -d", ours, copy + formatting);
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn report(what: &str, ours: f64, peer: f64) {
    println!("{what}: {ours:.2} s against {peer:.2} s, {:.2} times", ours / peer);
}

fn build(path: &Utf8Path, source: SourceSpec) {
    let spec = ImageSpec {
        name: "bench".into(),
        key: ContentKey::of(&source),
        source,
        files: Vec::new(),
        size: ByteSize::bytes(SIZE),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::new(path.join("store"));
    runtime
        .block_on(image::build(&CommandRunner, &store, &spec, &Silent))
        .unwrap_or_else(|failure| panic!("{failure:?}"));
}

/// A sparse file, formatted from a directory, and checked as ours is.
fn make_file_system(tree: &Utf8Path) {
    let image = tree.with_extension("img");
    std::fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", tree.as_str(), image.as_str()]);
    run("e2fsck", &["-fn", image.as_str()]);
}

fn unpack(dir: &Path, reference: &str) {
    let layout = format!("{}:bench", dir.join("pulled").display());
    let from = format!("docker://{reference}");
    run("skopeo", &["copy", "--insecure-policy", "--src-tls-verify=false", &from, &format!("oci:{layout}")]);
    run("umoci", &["unpack", "--image", &layout, dir.join("bundle").to_str().unwrap()]);
}

//! Files into guests, each against a peer in the same run: a fresh disk against `mke2fs -d`, a changed tree in a stopped
//! disk, and a running guest (a real `sshd` on the loopback interface) against `scp -r` and `rsync -a`.
//!
//! `REGATTA_BENCH_FILES` and `REGATTA_BENCH_MB` make the tree smaller than 10,000 files with 500 MB in 300 directories.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and has nobody to hand errors to")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use regatta::config::{ByteSize, OnDrift};
use regatta::driver::files::offline::{Disk, create_disk};
use regatta::driver::files::{Effects, Request, live};
use regatta::effect::walk::{self, EntryKind, Limits, Links, Manner};
use regatta::effect::{
    Clock as _, CommandRunner, Connect as _, DigestCache, ProcFs, SshClient, SshTarget, SystemClock,
};
use regatta::resource::{Address, Content, DesiredFile, Digest, FileSet, FileSetKind, GuestPath, HostFile};

const DIRECTORIES: usize = 300;

/// Size of the disks.
const DISK: ByteSize = ByteSize::gib(2);

/// Each measurement is the best of so many: others use the machine as well.
const TIMES: usize = 3;

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (files, bytes) = (number("REGATTA_BENCH_FILES", 10_000), number("REGATTA_BENCH_MB", 500) * 1_000_000);
    let tree = dir.join("tree");
    plant(&tree, files, bytes / files);
    println!("{files} files in {DIRECTORIES} directories, {} MB", bytes / 1_000_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let set = timed("read and hash the tree on the host", || sync_of(&tree, &dir.join("digests"))).1;
        offline(&dir, &tree, set.clone()).await;
        running(&dir, &tree, set).await;
    });
}

/// Files of bytes that do not repeat, all of about one size.
fn plant(tree: &Utf8Path, files: usize, size: usize) {
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    for number in 0..files {
        let directory = tree.join(format!("d{}", number % DIRECTORIES));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("f{number}")), bytes(&mut noise, size)).unwrap();
    }
}

fn bytes(noise: &mut u64, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        *noise ^= *noise << 13;
        *noise ^= *noise >> 7;
        *noise ^= *noise << 17;
        bytes.extend_from_slice(&noise.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// The set that brings a tree into a guest; `cache` is where digests of files that were read before are kept.
fn sync_of(tree: &Utf8Path, cache: &Utf8Path) -> (Address, FileSet) {
    let boot = ProcFs::default().boot_id().unwrap();
    let digests = DigestCache::load(cache, &boot, SystemClock.now());
    let manner = Manner { excludes: &|_, _| false, links: Links::Skip, digests: &digests };
    let read = walk::walk_as(tree, &[], &Limits::default(), &manner).unwrap();
    digests.save(cache).unwrap();
    let mut files = BTreeMap::new();
    for entry in read.entries {
        let below = GuestPath::new(entry.path.clone()).unwrap();
        let path = GuestPath::new([&b"to/"[..], &entry.path].concat());
        let path = if entry.path.is_empty() { GuestPath::new("to") } else { path }.unwrap();
        let content = match entry.kind {
            EntryKind::Directory => Content::Directory,
            EntryKind::Link { target } => Content::Link(target),
            EntryKind::File { size, sha256, .. } => {
                let digest = Digest::from_hash(&sha256);
                Content::Host(Box::new(HostFile { root: read.root.clone(), below, digest, size, text: None }))
            }
        };
        files.insert(path, DesiredFile { content, mode: entry.mode & 0o777, owner: (0, 0) });
    }
    let set =
        FileSet { guest: "web".into(), kind: FileSetKind::FileSync, files, prune: true, on_drift: OnDrift::Repair };
    (Address::file_sync("web", "~/to"), set)
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (f64, T) {
    let began = Instant::now();
    let done = work();
    let took = began.elapsed().as_secs_f64();
    println!("{what:45} {took:7.2} s");
    (took, done)
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The shortest of some measurements.
fn best(times: impl IntoIterator<Item = f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}

async fn write(image: &Utf8Path, set: &(Address, FileSet)) -> f64 {
    let effects = Effects { run: &CommandRunner, clock: &SystemClock };
    let disk = Disk { image, effects, still_stopped: &|| Ok(()) };
    let began = Instant::now();
    disk.write(&Request { sets: std::slice::from_ref(set), ..Request::default() }).await.unwrap();
    began.elapsed().as_secs_f64()
}

async fn offline(dir: &Utf8Path, tree: &Utf8Path, set: (Address, FileSet)) {
    let (peer, image) = (dir.join("peer.img"), dir.join("work.img"));
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let _ = std::fs::remove_file(&peer);
        let _ = std::fs::remove_file(&image);
        let began = Instant::now();
        std::fs::File::create(&peer).unwrap().set_len(DISK.as_bytes()).unwrap();
        run("mke2fs", &["-q", "-F", "-t", "ext4", "-d", tree.as_str(), peer.as_str()]);
        std::fs::File::open(&peer).unwrap().sync_all().unwrap();
        theirs.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        create_disk(&image, DISK, &CommandRunner).await.unwrap();
        write(&image, &set).await;
        ours.push(began.elapsed().as_secs_f64());
    }
    let (theirs, ours) = (best(theirs), best(ours));
    println!("fresh disk: mke2fs -d, synced                 {theirs:7.2} s");
    println!("fresh disk: regatta                           {ours:7.2} s  ({:.2} times)", ours / theirs);
    let (mut changed, mut noise) = (Vec::new(), 7);
    let cache = dir.join("digests");
    timed("read the tree again, digests known or not", || sync_of(tree, &cache));
    for round in 0..TIMES {
        for path in set.1.files.values().filter_map(host_path).skip(round).step_by(100) {
            let size = path.metadata().unwrap().len();
            std::fs::write(&path, bytes(&mut noise, usize::try_from(size).unwrap())).unwrap();
        }
        let (looked, set) = timed("  read the tree, hash what changed", || sync_of(tree, &cache));
        let wrote = write(&image, &set).await;
        println!("  write it                                    {wrote:7.2} s");
        changed.push(looked + wrote);
    }
    println!("stopped disk, 1 % changed, both               {:7.2} s", best(changed));
    run("e2fsck", &["-fn", image.as_str()]);
    let _ = std::fs::remove_file(&peer);
    let _ = std::fs::remove_file(&image);
}

fn host_path(file: &DesiredFile) -> Option<Utf8PathBuf> {
    let Content::Host(host) = &file.content else { return None };
    Some(host.root.join(std::str::from_utf8(host.below.as_bytes()).ok()?))
}

/// An `sshd` of the bench's own.
struct Sshd {
    child: Child,
    target: SshTarget,
    config: Utf8PathBuf,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn keygen(path: &Utf8Path) -> String {
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path.as_str()]);
    std::fs::read_to_string(format!("{path}.pub")).unwrap().trim().to_owned()
}

impl Sshd {
    fn start(dir: &Utf8Path) -> Self {
        std::fs::create_dir_all("/run/sshd").unwrap();
        let (host, identity) = (dir.join("host"), dir.join("identity"));
        let host_key = keygen(&host);
        keygen(&identity);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-o", "ListenAddress=127.0.0.1"])
            .args(["-o", "PidFile=none", "-o", "StrictModes=no", "-o", "UsePAM=no"])
            // What root's shell does on this machine when it starts is no guest's business: bash reads no `.bashrc` then.
            .args(["-o", "SetEnv=SHLVL=1"])
            .args(["-o", "Subsystem=sftp internal-sftp", "-h", host.as_str()])
            .arg(format!("-oAuthorizedKeysFile={identity}.pub"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(log.by_ref().any(|line| line.starts_with("Server listening")), "sshd does not start");
        std::thread::spawn(move || log.for_each(drop));
        let config = dir.join("ssh_config");
        let lines = format!(
            "Host guest\nHostName 127.0.0.1\nPort {port}\nUser root\nIdentityFile {identity}\nIdentitiesOnly yes\n\
             StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
        );
        std::fs::write(&config, lines).unwrap();
        let target = SshTarget { host: "127.0.0.1".into(), port, user: "root".into(), host_key, identity, via: None };
        Self { child, target, config }
    }
}

async fn running(dir: &Utf8Path, tree: &Utf8Path, set: (Address, FileSet)) {
    let lacks = |program: &str| {
        !Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap().status.success()
    };
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 || ["/usr/sbin/sshd", "scp", "rsync"].into_iter().any(lacks)
    {
        println!("running guest: SKIPPED, needs root, sshd, scp and rsync");
        return;
    }
    let sshd = Sshd::start(dir);
    let set = (set.0, sync_of(tree, &dir.join("digests")).1);
    let fresh = |name: &str| {
        let root = dir.join(name);
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).unwrap();
        root
    };
    let (mut scp, mut rsync, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let root = fresh("scp");
        let began = Instant::now();
        run("scp", &["-q", "-r", "-p", "-F", sshd.config.as_str(), tree.as_str(), &format!("guest:{root}")]);
        run("sync", &["-f", root.as_str()]);
        scp.push(began.elapsed().as_secs_f64());
        let root = fresh("rsync");
        let began = Instant::now();
        let shell = format!("ssh -F {}", sshd.config);
        run("rsync", &["-a", "-e", &shell, tree.as_str(), &format!("guest:{root}")]);
        run("sync", &["-f", root.as_str()]);
        rsync.push(began.elapsed().as_secs_f64());
        let root = fresh("ours");
        let began = Instant::now();
        let shell = SshClient::default().connect(&sshd.target, Duration::from_secs(30)).await.unwrap();
        let guest = live::Guest::behind(&*shell).with_work_directory(root.as_str());
        guest.write(&Request { sets: std::slice::from_ref(&set), ..Request::default() }, &SystemClock).await.unwrap();
        ours.push(began.elapsed().as_secs_f64());
    }
    let (scp, rsync, ours) = (best(scp), best(rsync), best(ours));
    println!("running guest: scp -r, synced                 {scp:7.2} s");
    println!("running guest: rsync -a, synced               {rsync:7.2} s");
    println!(
        "running guest: regatta                        {ours:7.2} s  (scp {:.1}, rsync {:.2})",
        scp / ours,
        rsync / ours
    );
}

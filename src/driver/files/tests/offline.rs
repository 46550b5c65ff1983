//! The offline road against real e2fsprogs.

use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;
use tokio::sync::Notify;

use super::*;
use crate::config::ByteSize;
use crate::driver::files::offline::{Disk, create_disk};
use crate::driver::files::{Effects, Request, Seed, Wanted};
use crate::effect::{Command, CommandError, CommandRunner, Output, Run};
use crate::exec::Failure;
use crate::resource::{GuestFiles, Reading};

pub(super) const STOPPED: &(dyn Fn() -> Result<(), Failure> + Sync) = &|| Ok(());

pub(super) fn disk<'a>(image: &'a Utf8Path, run: &'a dyn Run) -> Disk<'a> {
    Disk { image, effects: Effects { run, clock: &FixedClock }, still_stopped: STOPPED }
}

pub(super) async fn fresh_disk(dir: &Utf8Path, size: ByteSize) -> Utf8PathBuf {
    let image = dir.join("work.img");
    create_disk(&image, size, &CommandRunner).await.unwrap();
    image
}

pub(super) async fn read(image: &Utf8Path, wanted: &Wanted) -> GuestFiles {
    match disk(image, &CommandRunner).read(wanted).await {
        Reading::Present(files) => files,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn write(image: &Utf8Path, sets: &[(Address, FileSet)]) -> Result<(), Failure> {
    disk(image, &CommandRunner).write(&Request { sets, ..Request::default() }).await
}

pub(super) async fn debugfs(image: &Utf8Path, script: &str) {
    let file = image.with_file_name("test-script");
    std::fs::write(&file, script).unwrap();
    CommandRunner.run_ok(&Command::new("debugfs").args(["-w", "-f", file.as_str(), image.as_str()])).await.unwrap();
}

/// Digest of a disk but for its superblock, in which e2fsck notes the time.
fn bytes(image: &Utf8Path) -> Digest {
    let mut bytes = std::fs::read(image).unwrap();
    bytes[1024..2048].fill(0);
    Digest::of(&bytes)
}

#[tokio::test]
async fn a_request_is_written_whole_and_once() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let tree = dir.join("tree");
    host_file(&tree, b"sub/run", b"#!/bin/sh\n", 0o4755);
    host_file(&tree, b"secret", b"s", 0o200);
    host_file(&tree, b"empty", b"", 0o644);
    let mut sets = merged("ssh-ed25519 K me");
    sets.push(synced(&tree, &path(".config/tree")));
    let seeds = [Seed { path: path(".regatta/guest/key"), bytes: b"\0k".to_vec(), mode: 0o600 }];
    let request = Request { sets: &sets, seeds: &seeds, ..Request::default() };
    disk(&image, &CommandRunner).write(&request).await.unwrap();

    let wanted = Wanted::of(sets.iter().map(|(_, set)| set)).and(seeds[0].path.clone()).and(path(".ssh"));
    let found = read(&image, &wanted).await;
    let shown: Vec<String> = found
        .files
        .iter()
        .map(|(path, file)| {
            format!("{path} {:?} {:o} {:?} {} {:?}", file.kind, file.mode, file.owner, file.size, file.text)
        })
        .collect();
    let keys =
        "# >>> regatta: managed keys, edits between these lines are lost >>>\\nssh-ed25519 K me\\n# <<< regatta <<<\\n";
    assert_eq!(
        shown,
        [
            "~ Directory 755 (0, 0) 0 None".to_owned(),
            "~/.config Directory 755 (0, 0) 0 None".into(),
            "~/.config/tree Directory 755 (0, 0) 0 None".into(),
            "~/.config/tree/empty File 644 (0, 0) 0 None".into(),
            "~/.config/tree/secret File 200 (0, 0) 1 None".into(),
            "~/.config/tree/sub Directory 755 (0, 0) 0 None".into(),
            "~/.config/tree/sub/run File 4755 (0, 0) 10 None".into(),
            "~/.gitconfig File 600 (0, 0) 44 Some(\"[user]\\n\\tname = Ann\\n\\temail = ann@example.org\\n\")".into(),
            "~/.regatta Directory 700 (0, 0) 0 None".into(),
            "~/.regatta/guest Directory 755 (0, 0) 0 None".into(),
            "~/.regatta/guest/key File 600 (0, 0) 2 None".into(),
            "~/.ssh Directory 700 (0, 0) 0 None".into(),
            format!("~/.ssh/authorized_keys File 600 (0, 0) {} Some(\"{keys}\")", keys.len() - 3),
        ]
    );
    let manifest: Vec<String> =
        found.manifest.iter().map(|(address, files)| format!("{address} {}", files.len())).collect();
    assert_eq!(manifest, ["authorized-key.web 1", "file-sync.web/~/.config/tree 5", "git-identity.web 1"]);

    // Doing it again changes not one byte of the disk.
    let before = bytes(&image);
    disk(&image, &CommandRunner).write(&request).await.unwrap();
    assert_eq!(bytes(&image), before);
    let left: Vec<_> = dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    assert!(!left.iter().any(|name| name.contains("undo") || name.contains("staging")), "{left:?}");
}

/// LESSON 2: no name is a command, and every name that can be written is.
#[tokio::test]
async fn hostile_names_arrive_as_they_are() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let tree = dir.join("tree");
    for (i, name) in hostile_names().iter().enumerate() {
        host_file(&tree, name, name, 0o600 + (i as u32 % 8));
        host_file(&tree, &[b"dir ", name.as_slice().get(..200).unwrap_or(name), b"/", name].concat(), b"below", 0o644);
    }
    let sets = [synced(&tree, &path("to"))];
    write(&image, &sets).await.unwrap();
    let found = read(&image, &Wanted::of([&sets[0].1])).await;
    for (path, file) in &sets[0].1.files {
        let Content::Host(host) = &file.content else { continue };
        assert_eq!(
            (found.files[path].digest.as_ref(), found.files[path].mode),
            (Some(&host.digest), file.mode),
            "{path}"
        );
    }
    // Replacing and removing go through the same names.
    std::fs::remove_dir_all(&tree).unwrap();
    host_file(&tree, b"<2>", b"other", 0o600);
    let removed: Vec<GuestPath> =
        sets[0].1.files.keys().filter(|at| **at != path("to") && **at != path("to/<2>")).cloned().collect();
    let sets = [synced(&tree, &path("to"))];
    disk(&image, &CommandRunner).write(&Request { sets: &sets, remove: &removed, ..Request::default() }).await.unwrap();
    let wanted = removed.iter().fold(Wanted::of([&sets[0].1]), |wanted, path| wanted.and(path.clone()));
    let found = read(&image, &wanted).await;
    let left: Vec<String> = found.files.keys().map(ToString::to_string).collect();
    assert_eq!(left, ["~", "~/to", "~/to/<2>"]);
    assert_eq!(found.files[&path("to/<2>")].text.as_deref(), None, "known content is not read twice");
}

#[tokio::test]
async fn a_name_that_debugfs_cannot_take_is_refused_before_anything_is_written() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let before = bytes(&image);
    host_file(&dir.join("tree"), b"a\n\xff", b"x", 0o600);
    let refused = write(&image, &[synced(&dir.join("tree"), &path("to"))]).await.unwrap_err();
    assert_eq!(
        refused.causes,
        ["`~/to/a\\n\\xff` has a line break in a name that is not UTF-8 for writing into the disk of a stopped guest"]
    );
    assert!(bytes(&image) == before && !dir.join("work.img.staging").exists());
}

/// LESSON 13, and what a guest may have put in the way.
#[tokio::test]
async fn links_in_the_guest_are_not_followed() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    debugfs(&image, "mkdir real\nsymlink link real\nsymlink file real\nmkdir full\nmkdir full/x\n").await;
    host_file(&dir.join("tree"), b"f", b"x", 0o600);
    let refused = write(&image, &[synced(&dir.join("tree"), &path("link/to"))]).await.unwrap_err();
    assert_eq!(refused.causes, ["`~/link` in the guest is a symbolic link, expected a directory"]);
    let refused = write(&image, &[synced(&dir.join("tree/f"), &path("full"))]).await.unwrap_err();
    assert_eq!(refused.causes, ["`~/full` in the guest is a directory, expected a file"]);
    // A link in place of a file is replaced, its target untouched.
    write(&image, &[synced(&dir.join("tree/f"), &path("file"))]).await.unwrap();
    let found = read(&image, &Wanted::default().and(path("file")).and(path("link/x"))).await;
    assert_eq!(found.files[&path("file")], observed(b"x", 0o600));
    assert_eq!(found.files[&path("link")].kind, FileKind::Symlink);
    // A directory in which something stays is kept.
    let remove = [path("full"), path("real")];
    disk(&image, &CommandRunner).write(&Request { remove: &remove, ..Request::default() }).await.unwrap();
    let found = read(&image, &Wanted::default().and(path("full")).and(path("real"))).await;
    assert_eq!(found.files.keys().collect::<Vec<_>>(), [&path("full")]);
}

/// LESSON 16: sshd refuses keys below a directory that others may write.
#[tokio::test]
async fn modes_that_sshd_refuses_are_repaired_and_foreign_keys_stay() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    std::fs::write(dir.join("keys"), "ssh-rsa FOREIGN x\r\n").unwrap();
    let script = format!(
        "mkdir .ssh\nsif .ssh mode 040777\nsif .ssh uid 1000\nsif / mode 040777\nsif / uid 1000\n\
         cd .ssh\nwrite {dir}/keys authorized_keys\nsif authorized_keys mode 0100666\n"
    );
    debugfs(&image, &script).await;
    write(&image, &merged("ssh-ed25519 OLD me")).await.unwrap();
    write(&image, &merged("ssh-ed25519 NEW me")).await.unwrap();
    let found = read(&image, &Wanted::default().and(path(".ssh/authorized_keys"))).await;
    let modes: Vec<_> = found.files.values().map(|file| (file.mode, file.owner)).collect();
    assert_eq!(modes, [(0o700, (0, 0)), (0o600, (0, 0))]);
    let root = read(&image, &Wanted::of([])).await.files[&GuestPath::root()].clone();
    assert_eq!((root.mode, root.owner), (0o700, (0, 0)));
    assert_eq!(
        found.files[&path(".ssh/authorized_keys")].text.as_deref(),
        Some(
            "ssh-rsa FOREIGN x\n# >>> regatta: managed keys, edits between these lines are lost >>>\n\
             ssh-ed25519 NEW me\n# <<< regatta <<<\n"
        )
    );
}

#[tokio::test]
async fn a_file_that_changed_since_the_plan_is_not_written() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let before = bytes(&image);
    host_file(&dir.join("tree"), b"f", b"planned", 0o600);
    let sets = [synced(&dir.join("tree"), &path("to"))];
    host_file(&dir.join("tree"), b"f", b"changed", 0o600);
    let refused = write(&image, &sets).await.unwrap_err();
    let stale = format!("`{dir}/tree/f` changed since the plan was made");
    assert_eq!(refused.causes, ["the guest's work disk is unchanged", &stale]);
    assert_eq!(bytes(&image), before);
    // A fuller disk is written in place: the file is refused before that.
    fatten(&image);
    let refused = write(&image, &sets).await.unwrap_err();
    assert_eq!((refused.causes, bytes(&image)), (vec![stale], before));
}

/// debugfs would leave a short file, and e2fsck would find nothing wrong with it.
#[tokio::test]
async fn a_full_disk_is_refused_before_writing() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(16)).await;
    let before = bytes(&image);
    host_file(&dir.join("tree"), b"f", &vec![1; 20 << 20], 0o600);
    let refused = write(&image, &[synced(&dir.join("tree"), &path("to"))]).await.unwrap_err();
    assert!(refused.causes[0].starts_with("the guest's work disk is too full: "), "{refused:?}");
    assert_eq!(bytes(&image), before);
}

/// Runs everything, and asks of each program that changes the disk that it holds the disk's lock (LESSON 8).
struct UnderLock {
    lock: Utf8PathBuf,
    checked: AtomicUsize,
}

#[async_trait]
impl Run for UnderLock {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let lock = std::fs::File::open(&self.lock).unwrap();
        assert!(lock.try_lock_shared().is_err(), "{command} runs without the lock");
        self.checked.fetch_add(1, Ordering::SeqCst);
        CommandRunner.run(command).await
    }
}

#[tokio::test]
async fn a_disk_grows_under_its_lock_keeps_its_files_and_never_shrinks() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(16)).await;
    let sets = merged("ssh-ed25519 K me");
    write(&image, &sets).await.unwrap();
    let run = UnderLock { lock: format!("{image}.lock").into(), checked: AtomicUsize::new(0) };
    for _ in 0..2 {
        disk(&image, &run).grow(ByteSize::mib(40)).await.unwrap();
    }
    assert_eq!(run.checked.load(Ordering::SeqCst), 4, "e2fsck and resize2fs, twice");
    assert_eq!(image.metadata().unwrap().len(), 40 << 20);
    CommandRunner.run_ok(&Command::new("e2fsck").args(["-fn", image.as_str()])).await.unwrap();
    write(&image, &sets).await.unwrap();
    let shrunk = disk(&image, &CommandRunner).grow(ByteSize::mib(16)).await.unwrap_err();
    let expected = format!("the disk `{image}` has 40MiB, expected at most 16MiB: disks never shrink");
    assert_eq!(shrunk.causes, [expected]);
    let running = || Err(Failure::permanent("it runs"));
    let refused = Disk { still_stopped: &running, ..disk(&image, &CommandRunner) }.grow(ByteSize::mib(80)).await;
    assert_eq!(refused, Err(Failure::permanent("it runs")));
}

/// LESSON 7: asked again right before anything is written.
#[tokio::test]
async fn a_guest_that_started_meanwhile_is_left_alone() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let before = bytes(&image);
    for allowed in 0..3 {
        let asked = AtomicUsize::new(0);
        let started = || match asked.fetch_add(1, Ordering::SeqCst) {
            n if n < allowed => Ok(()),
            _ => Err(Failure::permanent("it runs")),
        };
        let disk = Disk { still_stopped: &started, ..disk(&image, &CommandRunner) };
        let sets = merged("ssh-ed25519 K me");
        let refused = disk.write(&Request { sets: &sets, ..Request::default() }).await.unwrap_err();
        assert_eq!((refused.causes.last().unwrap().as_str(), bytes(&image)), ("it runs", before.clone()));
    }
}

/// Kills debugfs as soon as it has saved some blocks, and then either reports it or, as if we had been killed as
/// well, says nothing for ever.
struct Killer {
    staging: Utf8PathBuf,
    /// The file that grows while debugfs works.
    grows: Utf8PathBuf,
    after_bytes: u64,
    we_die_too: bool,
    killed: Notify,
}

#[async_trait]
impl Run for Killer {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        if command.program() != "debugfs" {
            return CommandRunner.run(command).await;
        }
        let mut child = std::process::Command::new("/usr/sbin/debugfs")
            .args(command.arguments())
            .current_dir(&self.staging)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let grown = || self.grows.metadata().map_or(0, |found| found.blocks() * 512);
        let enough = grown() + self.after_bytes;
        while grown() < enough && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.killed.notify_one();
        if self.we_die_too {
            std::future::pending::<()>().await;
        }
        CommandRunner.run(&Command::new("sh").args(["-c", "kill -9 $$"])).await
    }
}

/// Makes a disk too full to be copied for a write, without filling it.
fn fatten(image: &Utf8Path) {
    let file = std::fs::File::options().write(true).open(image).unwrap();
    let size = file.metadata().unwrap().len();
    nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, size.try_into().unwrap()).unwrap();
}

async fn kill_writes(in_place: bool) {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(128)).await;
    if in_place {
        fatten(&image);
    }
    let tree = dir.join("tree");
    for i in 0..40 {
        host_file(&tree, format!("f{i}").as_bytes(), &vec![b'a'; 100_000], 0o600);
    }
    let old = [synced(&tree, &path("to"))];
    write(&image, &old).await.unwrap();
    for i in 0..40 {
        host_file(&tree, format!("f{i}").as_bytes(), &vec![b'b'; 90_000 + i], 0o644);
    }
    let new = [synced(&tree, &path("to"))];
    let wanted = Wanted::of([&old[0].1]);
    let before = read(&image, &wanted).await;
    let undo = dir.join("work.img.undo");
    let grows = if in_place { undo.clone() } else { dir.join("work.img.aside") };
    for (after_bytes, we_die_too) in [(0, false), (20_000, true), (300_000, false), (1_000_000, true), (1 << 40, true)]
    {
        let (staging, grows) = (dir.join("work.img.staging"), grows.clone());
        let killer = Killer { staging, grows, after_bytes, we_die_too, killed: Notify::new() };
        let request = Request { sets: &new, ..Request::default() };
        let killed = disk(&image, &killer);
        tokio::select! {
            outcome = killed.write(&request) => {
                let failure = outcome.unwrap_err();
                assert_eq!(failure.causes[0], "the guest's work disk is unchanged");
                assert!(!undo.exists());
            }
            () = async { killer.killed.notified().await; if !we_die_too { std::future::pending::<()>().await } } => {
                assert_eq!(undo.exists(), in_place);
            }
        }
        assert_eq!(read(&image, &wanted).await, before, "killed after {after_bytes}");
        assert!(!undo.exists());
    }
    write(&image, &new).await.unwrap();
    assert_ne!(read(&image, &wanted).await, before);
    let mut left: Vec<_> = dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    left.sort();
    assert_eq!(left, ["tree", "work.img", "work.img.lock"]);
}

#[tokio::test]
async fn a_killed_write_in_place_is_taken_back_at_once_or_by_whoever_comes_next() {
    kill_writes(true).await;
}

#[tokio::test]
async fn a_killed_write_to_a_copy_leaves_the_disk_alone() {
    kill_writes(false).await;
}

/// A complaint of debugfs is a failure although it exits with 0 (LESSON 3), and so is a check that fails.
struct Complainer(&'static str);

#[async_trait]
impl Run for Complainer {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let mut output = CommandRunner.run(command).await?;
        if command.to_string().starts_with(self.0) {
            output.stderr.extend_from_slice(b"write: Could not allocate block\n");
            output.status = if self.0 == "debugfs" { output.status } else { crate::effect::Status::Code(4) };
        }
        Ok(output)
    }
}

/// LESSON 3: neither exit code nor silence is enough.
#[tokio::test]
async fn a_complaint_takes_the_whole_write_back() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(128)).await;
    let sets = merged("ssh-ed25519 K me");
    let wanted = Wanted::of(sets.iter().map(|(_, set)| set));
    let before = read(&image, &wanted).await;
    for (tool, in_place) in [("debugfs", false), ("e2fsck -fn", false), ("debugfs", true), ("e2fsck -fn", true)] {
        if in_place {
            fatten(&image);
        }
        let refused = disk(&image, &Complainer(tool)).write(&Request { sets: &sets, ..Request::default() }).await;
        let failure = refused.unwrap_err();
        assert_eq!(failure.causes[0], "the guest's work disk is unchanged");
        assert!(failure.causes[1].contains("Could not allocate block"), "{failure:?}");
        assert_eq!(read(&image, &wanted).await, before);
    }
}

/// A guest that was killed leaves its last writes in the journal only: they are what the disk says.
#[tokio::test]
async fn a_journal_that_was_not_replayed_is_read_and_then_replayed() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let old = std::fs::read(&image).unwrap();
    write(&image, &merged("ssh-ed25519 K me")).await.unwrap();
    let new = std::fs::read(&image).unwrap();
    // Everything but the superblock (block 1) goes into the journal of the old disk, nothing onto the disk itself.
    let of = |disk: &[u8], block: usize| disk[block * 1024..][..1024].to_vec();
    let changed: Vec<usize> = (2..old.len() / 1024).filter(|block| of(&old, *block) != of(&new, *block)).collect();
    let blocks: Vec<u8> = changed.iter().flat_map(|block| of(&new, *block)).collect();
    std::fs::write(dir.join("blocks"), blocks).unwrap();
    std::fs::write(&image, &old).unwrap();
    let list: Vec<String> = changed.iter().map(ToString::to_string).collect();
    debugfs(&image, &format!("jo -c -v 3\njw -b {} {dir}/blocks\njc\n", list.join(","))).await;

    let wanted = Wanted::default().and(path(".gitconfig"));
    let expected = "[user]\n\tname = Ann\n\temail = ann@example.org\n";
    let before = bytes(&image);
    assert_eq!(read(&image, &wanted).await.files[&path(".gitconfig")].text.as_deref(), Some(expected));
    assert_eq!(bytes(&image), before, "reading does not write");
    assert!(!dir.join("work.img.replayed").exists());
    host_file(&dir.join("tree"), b"f", b"x", 0o600);
    write(&image, &[synced(&dir.join("tree"), &path("to"))]).await.unwrap();
    let found = read(&image, &wanted.and(path("to/f"))).await;
    assert_eq!(found.files[&path(".gitconfig")].text.as_deref(), Some(expected));
    assert_eq!(found.files[&path("to/f")], observed(b"x", 0o600));
}

#[tokio::test]
async fn a_damaged_or_missing_disk_is_told_apart() {
    let (_guard, dir) = scratch();
    let image = dir.join("work.img");
    assert_eq!(disk(&image, &CommandRunner).read(&Wanted::default()).await, Reading::Absent);
    std::fs::write(&image, vec![7; 1 << 20]).unwrap();
    let Reading::Unreadable(why) = disk(&image, &CommandRunner).read(&Wanted::default()).await else { panic!() };
    assert_eq!(why, format!("`{image}` is no ext4 file system"));
    std::fs::remove_file(&image).unwrap();
    fresh_disk(&dir, ByteSize::mib(16)).await;
    let whole = std::fs::read(&image).unwrap();
    std::fs::write(&image, &whole[..3000]).unwrap();
    let Reading::Unreadable(why) = disk(&image, &CommandRunner).read(&Wanted::default()).await else { panic!() };
    assert_eq!(why, format!("`{image}` was cut short: found 3000 bytes, expected 16MiB"));
    // Whatever a guest wrote over its disk, reading it says so and does no harm.
    for (at, byte) in [(2048, 0xff), (2048, 0x00), (65 << 10, 0xff), (1 << 20, 0x5a)] {
        let mut damaged = whole.clone();
        damaged[at..at + (64 << 10)].fill(byte);
        std::fs::write(&image, &damaged).unwrap();
        let read = disk(&image, &CommandRunner).read(&Wanted::of([]).and(path("lost+found/x"))).await;
        assert!(matches!(read, Reading::Unreadable(_) | Reading::Present(_)), "{read:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// LESSON 2, fuzzed: whatever the names are, they arrive or are refused, and e2fsck is content (every write ends
    /// with it).
    #[test]
    fn any_names_arrive_or_are_refused(
        names in prop::collection::btree_set(prop::collection::vec(prop_oneof![
            4 => prop::sample::select(b"\"\\ -<>#'\t;$`\r\n".to_vec()),
            1 => 1u8..=255,
        ], 1..40), 1..12),
    ) {
        let names: Vec<_> = names.into_iter().filter(|n| !n.contains(&b'/') && n != b"." && n != b"..").collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (_guard, dir) = scratch();
            let image = fresh_disk(&dir, ByteSize::mib(16)).await;
            std::fs::create_dir(dir.join("tree")).unwrap();
            for name in &names {
                host_file(&dir.join("tree"), name, name, 0o600);
            }
            let sets = [synced(&dir.join("tree"), &path("to"))];
            let breaks = |name: &Vec<u8>| name.contains(&b'\n') || name.contains(&b'\r');
            let impossible = names.iter().any(|name| breaks(name) && std::str::from_utf8(name).is_err());
            assert_eq!(write(&image, &sets).await.is_err(), impossible);
            let found = read(&image, &Wanted::of([&sets[0].1])).await;
            assert_eq!(found.files.len(), if impossible { 1 } else { names.len() + 2 });
        });
    }
}

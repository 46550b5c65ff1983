//! The live road, in a directory of this machine that stands for a guest's work directory; and that both roads leave
//! the same tree.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::offline::{self, disk, fresh_disk};
use super::*;
use crate::config::ByteSize;
use crate::driver::files::live::Guest;
use crate::driver::files::{Request, Wanted};
use crate::driver::secrets;
use crate::effect::testing::LocalShell;
use crate::effect::{CommandRunner, ConnectError, SealKey, Shell, Status, Streams};
use crate::exec::Failure;
use crate::resource::{GuestFiles, Reading, SecretInput, SecretRef};

/// Stands for the guest.
const SHELL: &LocalShell = &LocalShell::new();

/// Owners can only be set by root; loudly, because it is the whole test that is skipped.
fn not_root() -> bool {
    let unprivileged = !nix::unistd::geteuid().is_root();
    if unprivileged {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "SKIPPED: the live road writes as root");
    }
    unprivileged
}

fn guest(root: &Utf8Path) -> Guest<'_> {
    Guest { shell: SHELL, root: root.as_str(), deadline: Duration::from_secs(60) }
}

async fn read(root: &Utf8Path, wanted: &Wanted) -> GuestFiles {
    match guest(root).read(wanted).await {
        Reading::Present(files) => files,
        other => panic!("{other:?}"),
    }
}

async fn write(root: &Utf8Path, request: &Request<'_>) -> Result<(), Failure> {
    guest(root).write(request, &FixedClock).await
}

/// Everything below a directory, dates of files included. (debugfs's `rdump` drops set-user-id bits and the dates of links:
/// those bits are compared by what both roads read.)
fn tree(root: &Utf8Path) -> BTreeMap<GuestPath, (ObservedFile, i64)> {
    let read = walked(root);
    assert_eq!(read.skipped, []);
    let date = |below: &[u8]| {
        let found = root.as_std_path().join(std::ffi::OsStr::from_bytes(below)).symlink_metadata().unwrap();
        ((found.uid(), found.gid()), if found.is_file() { found.mtime() } else { 0 })
    };
    let mut found = BTreeMap::new();
    for entry in read.entries {
        let (owner, modified) = date(&entry.path);
        let (kind, size, digest, text) = match entry.kind {
            EntryKind::Directory => (FileKind::Directory, 0, None, None),
            EntryKind::Link { target } => (FileKind::Symlink, 0, Some(Digest::of_link(&target)), None),
            EntryKind::File { size, sha256, .. } => (FileKind::File, size, Some(Digest::from_hash(&sha256)), None),
        };
        found.insert(
            path(entry.path),
            (ObservedFile { kind, mode: entry.mode & 0o777, owner, size, digest, text }, modified),
        );
    }
    found
}

/// The whole content of a disk, taken out by debugfs.
async fn extracted(image: &Utf8Path, to: &Utf8Path) -> BTreeMap<GuestPath, (ObservedFile, i64)> {
    std::fs::create_dir(to).unwrap();
    let script = to.with_extension("script");
    std::fs::write(&script, format!("rdump / {to}\n")).unwrap();
    let command = crate::effect::Command::new("debugfs").args(["-f", script.as_str(), image.as_str()]);
    crate::effect::Run::run_ok(&CommandRunner, &command).await.unwrap();
    let mut found = tree(to);
    found.retain(|path, _| !path.as_bytes().starts_with(b"lost+found"));
    found
}

/// Sets to write and paths to remove.
type Asked = (Vec<(Address, FileSet)>, Vec<GuestPath>);

/// What one request after another does, by each road; gives the disk.
async fn both_roads(dir: &Utf8Path, size: ByteSize, requests: &[Asked]) -> Utf8PathBuf {
    let image = fresh_disk(dir, size).await;
    let root = dir.join("root");
    std::fs::create_dir(&root).unwrap();
    for (i, (sets, remove)) in requests.iter().enumerate() {
        let request = Request { sets, remove, ..Request::default() };
        disk(&image, &CommandRunner).write(&request).await.unwrap();
        write(&root, &request).await.unwrap();
        let offline = extracted(&image, &dir.join(format!("extracted-{i}"))).await;
        let live = tree(&root);
        assert_eq!(offline.keys().collect::<Vec<_>>(), live.keys().collect::<Vec<_>>());
        for (path, one) in &offline {
            assert_eq!(one, &live[path], "{path}");
        }
        let wanted = Wanted::of(sets.iter().map(|(_, set)| set));
        let Reading::Present(offline) = disk(&image, &CommandRunner).read(&wanted).await else { panic!() };
        assert_eq!(offline, read(&root, &wanted).await);
    }
    image
}

#[tokio::test]
async fn both_roads_leave_the_same_tree_and_read_the_same() {
    if not_root() {
        return;
    }
    let (_guard, dir) = scratch();
    let (before, after) = (dir.join("before"), dir.join("after"));
    for (i, name) in hostile_names().iter().enumerate() {
        host_file(&before, name, &vec![b'x'; i * 1000], 0o600 + i as u32);
        host_file(&after, name, &vec![b'x'; i * 1000], 0o600 + i as u32);
    }
    host_file(&before, &[&[b'd'; 200][..], b"/", &[b'e'; 200][..], b"/f"].concat(), b"deep", 0o4711);
    host_file(&before, b"empty/file", b"", 0o000);
    host_file(&after, b"-rf", b"new", 0o755);
    let request = |key, host: &Utf8Path| {
        let mut sets = merged(key);
        sets.push(synced(host, &path(".config/to")));
        sets
    };
    let (first, second) = (request("ssh-ed25519 OLD me", &before), request("ssh-ed25519 NEW me", &after));
    let left = |path: &&GuestPath| !second[2].1.files.contains_key(*path);
    let removed = first[2].1.files.keys().filter(left).cloned().collect();
    both_roads(&dir, ByteSize::mib(64), &[(first, vec![]), (second.clone(), removed)]).await;
}

#[tokio::test]
async fn links_in_a_running_guest_are_not_followed() {
    if not_root() {
        return;
    }
    let (_guard, dir) = scratch();
    let (host, root, outside) = (dir.join("host"), dir.join("root"), dir.join("outside"));
    std::fs::create_dir_all(root.join("d")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("f"), "kept").unwrap();
    symlink(&outside, root.join("link")).unwrap();
    symlink(outside.join("f"), root.join("d/f")).unwrap();
    host_file(&host, b"f", b"new", 0o600);
    let sets = [synced(&host, &path("link"))];
    // A declared directory takes the place of the link, an undeclared one is refused.
    let below = [synced(&host, &path("link/below"))];
    let refused = write(&root, &Request { sets: &below, ..Request::default() }).await.unwrap_err();
    assert_eq!(refused.causes, ["`~/link` in the guest is a symbolic link, expected a directory"]);
    assert_eq!(read(&root, &Wanted::of([&sets[0].1])).await.files.keys().count(), 2, "nothing is seen through a link");
    write(&root, &Request { sets: &sets, ..Request::default() }).await.unwrap();
    let file = [synced(&host.join("f"), &path("d/f"))];
    write(&root, &Request { sets: &file, ..Request::default() }).await.unwrap();
    assert_eq!(std::fs::read(root.join("link/f")).unwrap(), b"new");
    assert_eq!(std::fs::read(root.join("d/f")).unwrap(), b"new");
    assert_eq!(std::fs::read(outside.join("f")).unwrap(), b"kept");
    // A link that comes between reading and writing is refused by the guest's own shell.
    let sneaky = Sneaky { root: root.clone(), outside: outside.clone() };
    let sets = [synced(&host, &path("new"))];
    let guest = Guest { shell: &sneaky, ..guest(&root) };
    let request = Request { sets: &sets, ..Request::default() };
    let refused = guest.write(&request, &FixedClock).await.unwrap_err();
    assert_eq!(refused.causes[0], "cannot put directories in place in the guest");
    assert!(refused.causes[1].contains("./new is a symbolic link"), "{refused:?}");
    assert_eq!(std::fs::read(outside.join("f")).unwrap(), b"kept");
}

/// Puts a link in the way as soon as files are staged.
struct Sneaky {
    root: Utf8PathBuf,
    outside: Utf8PathBuf,
}

#[async_trait]
impl Shell for Sneaky {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        let status = SHELL.stream(argv, streams, deadline).await;
        if argv.iter().any(|arg| arg.contains("tar -x")) {
            symlink(&self.outside, self.root.join("new")).unwrap();
        }
        status
    }
}

#[tokio::test]
async fn a_file_that_changed_since_the_plan_leaves_a_running_guest_untouched() {
    if not_root() {
        return;
    }
    let (_guard, dir) = scratch();
    let (host, root) = (dir.join("host"), dir.join("root"));
    std::fs::create_dir(&root).unwrap();
    host_file(&host, b"a", &vec![1; 300_000], 0o600);
    host_file(&host, b"b", &vec![2; 300_000], 0o600);
    let sets = [synced(&host, &path("to"))];
    host_file(&host, b"b", &vec![3; 300_000], 0o600);
    let refused = write(&root, &Request { sets: &sets, ..Request::default() }).await.unwrap_err();
    assert_eq!(refused.causes, [format!("`{host}/b` changed since the plan was made")]);
    assert!(!root.join("to").exists());
    // What was staged for it goes with the next write.
    let sets = [synced(&host, &path("to"))];
    write(&root, &Request { sets: &sets, ..Request::default() }).await.unwrap();
    assert!(!root.join(".regatta/staging").exists() && root.join("to/b").exists());
}

/// The same over SSH as it is in a guest: arguments quoted by us, data streamed, a real login shell in between.
#[tokio::test]
async fn a_write_goes_through_a_real_ssh_server() {
    let Some(sshd) = crate::effect::loopback::Sshd::start().filter(|_| !not_root()) else { return };
    let (_guard, dir) = scratch();
    let (host, root) = (dir.join("host"), dir.join("the root's \"dir\""));
    std::fs::create_dir(&root).unwrap();
    for name in hostile_names() {
        host_file(&host, &name, &name, 0o640);
    }
    host_file(&host, b"big", &vec![b'x'; 3 << 20], 0o640);
    let sets = [synced(&host, &path("to"))];
    let deadline = Duration::from_secs(60);
    let shell =
        crate::effect::Connect::connect(&crate::effect::SshClient::default(), &sshd.target(), deadline).await.unwrap();
    let guest = Guest { shell: &*shell, root: root.as_str(), deadline };
    guest.write(&Request { sets: &sets, ..Request::default() }, &FixedClock).await.unwrap();
    let written = tree(&root.join("to"));
    let mut source = tree(&host);
    let directory = source.remove(&GuestPath::root()).unwrap();
    assert_eq!(written[&GuestPath::root()], directory);
    assert_eq!(written.into_iter().filter(|(path, _)| *path != GuestPath::root()).collect::<BTreeMap<_, _>>(), source);
    let Reading::Present(found) = guest.read(&Wanted::of([&sets[0].1])).await else { panic!() };
    assert_eq!(found, read(&root, &Wanted::of([&sets[0].1])).await);
}

/// Is cut off as soon as files are to be put in place.
struct CutOff;

#[async_trait]
impl Shell for CutOff {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        if argv.iter().any(|arg| arg.contains("mindepth")) {
            // Half of it gets done.
            let half = ["sh", "-c", "cd \"$0\" && mv .regatta/staging/tree/to/a to/a", argv[5]];
            SHELL.stream(&half, streams, deadline).await?;
            return Err(ConnectError::Lost("a command ran".to_owned()));
        }
        SHELL.stream(argv, streams, deadline).await
    }
}

/// A write that is cut off between its files and its manifest leaves no file that nobody knows to be ours.
#[tokio::test]
async fn a_write_that_is_cut_off_is_known_by_its_intent() {
    if not_root() {
        return;
    }
    let (_guard, dir) = scratch();
    let (host, root) = (dir.join("host"), dir.join("root"));
    std::fs::create_dir(&root).unwrap();
    host_file(&host, b"a", b"old a", 0o600);
    host_file(&host, b"b", b"old b", 0o600);
    let request = |sets| Request { sets, ..Request::default() };
    let before = [synced(&host, &path("to"))];
    write(&root, &request(&before)).await.unwrap();
    host_file(&host, b"a", b"new a", 0o640);
    host_file(&host, b"b", b"new b", 0o640);
    let sets = [synced(&host, &path("to"))];
    let guest = Guest { shell: &CutOff, ..guest(&root) };
    let failure = guest.write(&request(&sets), &FixedClock).await.unwrap_err();
    assert_eq!(failure.causes[0], "cannot put files in place in the guest");
    let known = |found: &GuestFiles| {
        let written = &found.manifest[&sets[0].0];
        ["to/a", "to/b"].map(|name| (written[&path(name)].digest.clone().unwrap(), written[&path(name)].mode))
    };
    let half = [(Digest::of(b"new a"), Some(0o640)), (Digest::of(b"old b"), Some(0o600))];
    assert_eq!(known(&read(&root, &Wanted::of([&sets[0].1])).await), half);
    assert!(root.join(".regatta/intent.json").exists());
    write(&root, &request(&sets)).await.unwrap();
    let whole = [b"new a", b"new b"].map(|bytes| (Digest::of(bytes), Some(0o640)));
    assert_eq!(known(&read(&root, &Wanted::of([&sets[0].1])).await), whole);
    assert!(!root.join(".regatta/intent.json").exists());
}

/// Says that little is free.
struct Full;

#[async_trait]
impl Shell for Full {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        if argv.iter().any(|arg| arg.contains("stat -f")) {
            streams.stdout.write_all(b"100 4096 50 40\n").await.unwrap();
            return Ok(Status::Code(0));
        }
        assert!(!argv.iter().any(|arg| arg.contains("tar -x")), "nothing is sent");
        SHELL.stream(argv, streams, deadline).await
    }
}

#[tokio::test]
async fn a_running_guest_whose_disk_is_full_is_left_alone() {
    let (_guard, dir) = scratch();
    let (host, root) = (dir.join("host"), dir.join("root"));
    std::fs::create_dir(&root).unwrap();
    host_file(&host, b"f", &vec![1; 120 * 4096], 0o600);
    let sets = [synced(&host, &path("to"))];
    let guest = Guest { shell: &Full, ..guest(&root) };
    let refused = guest.write(&Request { sets: &sets, ..Request::default() }, &FixedClock).await.unwrap_err();
    assert!(refused.causes[0].starts_with("the guest's work disk is too full: 400KiB are free, "), "{refused:?}");
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
}

/// LESSON 16: rotating a key takes one write of each guest, stopped or running, and what others put there stays.
#[tokio::test]
async fn a_rotated_key_is_gone_from_every_guest_and_foreign_keys_stay() {
    if not_root() {
        return;
    }
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let root = dir.join("root");
    std::fs::create_dir_all(root.join(".ssh")).unwrap();
    let foreign = "# mine\r\nssh-rsa FOREIGN somebody\n";
    std::fs::write(root.join(".ssh/authorized_keys"), foreign).unwrap();
    let script = dir.join("script");
    std::fs::write(dir.join("foreign"), foreign).unwrap();
    std::fs::write(&script, format!("mkdir .ssh\ncd .ssh\nwrite {dir}/foreign authorized_keys\n")).unwrap();
    let command = crate::effect::Command::new("debugfs").args(["-w", "-f", script.as_str(), image.as_str()]);
    crate::effect::Run::run_ok(&CommandRunner, &command).await.unwrap();
    for key in ["ssh-ed25519 OLD host", "ssh-ed25519 NEW host"] {
        let sets = merged(key);
        let request = Request { sets: &sets, ..Request::default() };
        disk(&image, &CommandRunner).write(&request).await.unwrap();
        write(&root, &request).await.unwrap();
        let wanted = Wanted::default().and(path(".ssh/authorized_keys"));
        let Reading::Present(stopped) = disk(&image, &CommandRunner).read(&wanted).await else { panic!() };
        let running = read(&root, &wanted).await;
        for guest in [stopped, running] {
            let text = guest.files[&path(".ssh/authorized_keys")].text.clone().unwrap();
            let keys: Vec<&str> = text.lines().filter(|line| line.starts_with("ssh-")).collect();
            assert_eq!(keys, ["ssh-rsa FOREIGN somebody", key]);
        }
    }
}

#[tokio::test]
async fn a_guest_that_fails_is_quoted() {
    let (_guard, dir) = scratch();
    let Reading::Unreadable(why) = guest(&dir.join("gone")).read(&Wanted::default()).await else { panic!() };
    assert!(why.starts_with("cannot read the manifest in the guest: the guest says: "), "{why}");
}

/// Names, and for each what is there: size, mode, how deep.
type Random = BTreeMap<Vec<u8>, (usize, u32, usize)>;

/// Trees with hostile names, permissions of all kinds, and files up to this size.
fn random_tree(largest: usize) -> impl Strategy<Value = Random> {
    let byte = prop_oneof![
        3 => prop::sample::select(b"\"\\ -<>#'\t;$`".to_vec()),
        1 => (1u8..=255).prop_filter("", |b| !b"/\n\r".contains(b)),
    ];
    let short = prop::collection::vec(byte, 1..20);
    let name = prop_oneof![8 => short, 1 => Just(vec![b'-'; 255]), 1 => Just(b"two\nlines".to_vec())];
    let size = prop_oneof![10 => 0usize..20_000, 4 => 0usize..=largest / 50, 1 => 0usize..=largest];
    prop::collection::btree_map(name, (size, 0u32..0o10000, 0usize..3), 0..8)
}

/// Writes it by both roads over another tree, and compares both with it. Every write into the disk ends with e2fsck.
fn arrives_the_same(files: &Random, disk_size: ByteSize) {
    if not_root() {
        return;
    }
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let (_guard, dir) = scratch();
        let host = dir.join("host");
        host_file(&dir.join("before"), b"d/before", b"left", 0o600);
        std::fs::create_dir(&host).unwrap();
        symlink("/etc/passwd", host.join("link")).unwrap();
        symlink("d/before", host.join("inside it")).unwrap();
        let before = synced(&dir.join("before"), &path("to"));
        let mut noise = 0x2545_f491_4f6c_dd1d_u64;
        for (name, (size, mode, depth)) in
            files.iter().filter(|(name, _)| ![&b"."[..], b"..", b"d"].contains(&name.as_slice()))
        {
            let mut bytes = Vec::with_capacity(size + 8);
            while bytes.len() < *size {
                noise = noise.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                bytes.extend_from_slice(&noise.to_le_bytes());
            }
            bytes.truncate(*size);
            host_file(&host, &[&b"d/".repeat(*depth), name.as_slice()].concat(), &bytes, *mode);
        }
        let after = synced(&host, &path("to"));
        let gone = vec![path("to/d/before")];
        let image = both_roads(&dir, disk_size, &[(vec![before], vec![]), (vec![after.clone()], gone)]).await;
        let arrived = offline::read(&image, &Wanted::of([&after.1])).await;
        for (path, wanted) in &after.1.files {
            let found = &arrived.files[path];
            let digest = match &wanted.content {
                Content::Host(host) => Some(host.digest.clone()),
                Content::Link(target) => Some(Digest::of_link(target)),
                _ => None,
            };
            assert_eq!((found.mode, &found.digest), (wanted.mode, &digest), "{path}");
        }
        assert!(!arrived.files.contains_key(&path("to/link")));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    /// Random trees: offline, live and source are the same.
    #[test]
    fn any_tree_arrives_the_same_by_both_roads(files in random_tree(1 << 20)) {
        arrives_the_same(&files, ByteSize::mib(64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, ..ProptestConfig::default() })]

    /// The same with files of up to 100 MB: minutes, and gigabytes of disk.
    #[test]
    #[ignore = "takes minutes; CONTRIBUTING.md names it"]
    fn any_tree_of_large_files_arrives_the_same_by_both_roads(files in random_tree(100_000_000)) {
        arrives_the_same(&files, ByteSize::gib(1));
    }
}

/// A link is made, led elsewhere, takes a file's place and gives its own to a file, and goes: the same on both roads.
#[tokio::test]
async fn links_are_made_changed_and_removed_by_both_roads() {
    if not_root() {
        return;
    }
    let (_guard, dir) = scratch();
    let long = format!("d/{}", "long ".repeat(40));
    let trees: [&[(&str, &str)]; 3] = [
        &[("l", "f"), ("d/up", "../f"), ("<2>", "\"quoted\" -rf $(id)"), ("-x", long.as_str()), ("turns", "f")],
        &[("l", "d/other"), ("d/up", "../f"), ("was", "f"), ("two\nlines", "f")],
        &[],
    ];
    let mut requests: Vec<Asked> = Vec::new();
    let mut earlier = Vec::new();
    for (number, links) in trees.into_iter().enumerate() {
        let host = dir.join(format!("host-{number}"));
        host_file(&host, b"f", b"x", 0o600);
        host_file(&host, b"d/g", b"y", 0o600);
        host_file(&host, if number == 0 { b"was" } else { b"turns" }, b"z", 0o600);
        links.iter().for_each(|(name, target)| symlink(target, host.join(name)).unwrap());
        let set = synced(&host, &path("to"));
        let named: Vec<GuestPath> = set.1.files.keys().cloned().collect();
        let gone = earlier.into_iter().filter(|path| !named.contains(path)).collect();
        earlier = named;
        requests.push((vec![set], gone));
    }
    let image = both_roads(&dir, ByteSize::mib(64), &requests).await;
    let found = offline::read(&image, &Wanted::of([])).await;
    let names: Vec<String> =
        found.files.keys().map(ToString::to_string).filter(|path| path.starts_with("~/to")).collect();
    assert_eq!(names, ["~/to", "~/to/d", "~/to/d/g", "~/to/f", "~/to/turns"]);
}

/// What is in a guest's file is only ever told as a digest, whatever is declared for it afterwards.
#[tokio::test]
async fn a_secret_is_written_by_both_roads_and_never_read_back() {
    let (_guard, dir) = scratch();
    let from =
        SecretRef::Command { program: "printf".into(), arguments: vec!["hunter2".into()], directory: "/".into() };
    let key = SealKey::derive(b"key");
    let SecretInput::Known(content) = secrets::input(from, &key, &CommandRunner).await else { panic!() };
    let file = |content| BTreeMap::from([(path(".netrc"), DesiredFile { content, mode: 0o600, owner: (0, 0) })]);
    let set = |kind, content| FileSet {
        guest: "web".into(),
        kind,
        files: file(content),
        prune: false,
        on_drift: OnDrift::Repair,
    };
    let secret = [(Address::secret("web", "~/.netrc"), set(FileSetKind::Secret, Content::Secret(content.into())))];
    let fetched = secrets::for_sets(&secret, &key, &CommandRunner).await.unwrap();
    let request = Request { sets: &secret, secrets: &fetched, ..Request::default() };
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    let root = dir.join("root");
    std::fs::create_dir(&root).unwrap();
    disk(&image, &CommandRunner).write(&request).await.unwrap();
    write(&root, &request).await.unwrap();
    assert_eq!(std::fs::read_to_string(root.join(".netrc")).unwrap(), "hunter2");
    let text = [(Address::file("web", "~/.netrc"), set(FileSetKind::File, Content::Text("plain\n".into())))];
    for sets in [&secret, &text] {
        let wanted = Wanted::of(sets.iter().map(|(_, set)| set));
        let Reading::Present(offline) = disk(&image, &CommandRunner).read(&wanted).await else { panic!() };
        assert_eq!(offline, read(&root, &wanted).await);
        let found = &offline.files[&path(".netrc")];
        assert_eq!((&found.digest, &found.text), (&Some(Digest::of(b"hunter2")), &None));
    }
    // The text belongs to its new declaration once it is written.
    write(&root, &Request { sets: &text, ..Request::default() }).await.unwrap();
    let found = read(&root, &Wanted::of([])).await;
    assert_eq!(found.manifest.keys().map(Address::as_str).collect::<Vec<_>>(), ["file.web/~/.netrc"]);
    assert_eq!(found.files[&path(".netrc")].text, None);
    let without = write(&root, &Request { sets: &secret, ..Request::default() }).await.unwrap_err();
    assert_eq!(without.causes, ["the secret of `~/.netrc` is missing"]);
}

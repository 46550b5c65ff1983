//! What a work disk is like, and what writing many or large files to it takes.

use std::os::unix::fs::MetadataExt as _;
use std::sync::Mutex;

use async_trait::async_trait;

use super::offline::{debugfs, disk, fresh_disk, read, write};
use super::*;
use crate::config::ByteSize;
use crate::driver::files::offline::create_disk;
use crate::driver::files::{Request, Wanted};
use crate::effect::{Command, CommandError, CommandRunner, Output, Run};
use crate::resource::GuestFiles;

/// Runs everything and counts the programs.
#[derive(Default)]
struct Counter(Mutex<BTreeMap<String, usize>>);

#[async_trait]
impl Run for Counter {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        *self.0.lock().unwrap().entry(command.program().to_owned()).or_default() += 1;
        CommandRunner.run(command).await
    }
}

/// LESSON 5: a size that is no whole number of anything is the size, and the root directory is root's.
#[tokio::test]
async fn a_fresh_disk_is_as_large_as_was_asked_for() {
    let (_guard, dir) = scratch();
    let size = ByteSize::bytes((24 << 20) + 4096 * 3);
    let image = fresh_disk(&dir, size).await;
    assert_eq!(image.metadata().unwrap().len(), size.as_bytes());
    assert!(image.metadata().unwrap().blocks() * 512 < 4 << 20, "it is sparse");
    let found = read(&image, &Wanted::of([])).await;
    assert_eq!(found.files[&GuestPath::root()].owner, (0, 0));
    host_file(&dir.join("tree"), b"f", &vec![1; 12 << 20], 0o600);
    write(&image, &[synced(&dir.join("tree"), &path("to"))]).await.unwrap();
    assert!(create_disk(&image, size, &CommandRunner).await.is_err(), "what is there is never formatted");
}

/// LESSON 4: what is written takes a few processes for a disk, and not one for each file; and what is read takes none.
#[tokio::test]
async fn the_number_of_files_is_not_the_number_of_processes() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    for i in 0..300 {
        host_file(&dir.join("tree"), format!("d{}/f{i}", i % 7).as_bytes(), format!("{i}").as_bytes(), 0o640);
    }
    let sets = [synced(&dir.join("tree"), &path("to"))];
    let run = Counter::default();
    disk(&image, &run).write(&Request { sets: &sets, ..Request::default() }).await.unwrap();
    let expected = BTreeMap::from([("debugfs".to_owned(), 1), ("e2fsck".to_owned(), 2)]);
    assert_eq!(*run.0.lock().unwrap(), expected);
    let run = Counter::default();
    disk(&image, &run).read(&Wanted::of([&sets[0].1])).await;
    assert_eq!(*run.0.lock().unwrap(), BTreeMap::new());
}

/// LESSON 14: what was written is known on the disk itself, whatever became of its source; so it can be pruned.
#[tokio::test]
async fn what_left_its_source_is_still_known_to_be_ours() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(64)).await;
    host_file(&dir.join("tree"), b"stays", b"s", 0o640);
    host_file(&dir.join("tree"), b"d/goes", b"g", 0o600);
    write(&image, &[synced(&dir.join("tree"), &path("to"))]).await.unwrap();
    std::fs::remove_dir_all(dir.join("tree/d")).unwrap();
    let (address, set) = synced(&dir.join("tree"), &path("to"));
    let known = |found: &GuestFiles| {
        let written = found.manifest[&address].iter();
        written.map(|(path, file)| format!("{path} {:o}", file.mode.unwrap())).collect::<Vec<_>>()
    };
    let found = read(&image, &Wanted::of([&set])).await;
    assert_eq!(known(&found), ["~/to 755", "~/to/d 755", "~/to/d/goes 600", "~/to/stays 640"]);
    assert_eq!(found.files[&path("to/d/goes")].digest, Some(Digest::of(b"g")));
    let request =
        Request { sets: &[(address.clone(), set.clone())], remove: &[path("to/d/goes")], ..Request::default() };
    disk(&image, &CommandRunner).write(&request).await.unwrap();
    assert_eq!(known(&read(&image, &Wanted::of([&set])).await), ["~/to 755", "~/to/stays 640"]);
}

/// Files of all sizes around those at which something changes, in one piece and in many.
#[tokio::test]
async fn files_of_every_size_arrive_whole() {
    let (_guard, dir) = scratch();
    let image = fresh_disk(&dir, ByteSize::mib(128)).await;
    // Holes in what is free: later files do not find room in one piece.
    let holes: String = (0..60).map(|i| format!("write {dir}/hole h{i}\n")).collect();
    let gone: String = (0..60).step_by(2).map(|i| format!("rm h{i}\n")).collect();
    std::fs::write(dir.join("hole"), vec![1; 1 << 20]).unwrap();
    debugfs(&image, &format!("{holes}{gone}")).await;
    for size in [1, 1023, 1024, 1025, 4096, 4097, 262_143, 262_144, 262_145, 1 << 20, 3_000_001, 40 << 20] {
        let bytes: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        host_file(&dir.join("tree"), format!("f{size}").as_bytes(), &bytes, 0o640);
    }
    let sets = [synced(&dir.join("tree"), &path("to"))];
    // Every write reads back all that it wrote, and ends with e2fsck.
    write(&image, &sets).await.unwrap();
    let found = read(&image, &Wanted::of([&sets[0].1])).await;
    for (path, file) in &sets[0].1.files {
        let Content::Host(host) = &file.content else { continue };
        assert_eq!(found.files[path].digest.as_ref(), Some(&host.digest), "{path}");
    }
}

/// What mkfs.ext4 makes by default, what it can be told to make, and what is left to debugfs: all of it is written to, and
/// e2fsck has nothing to say.
#[tokio::test]
async fn disks_of_every_kind_are_written_to() {
    let (_guard, dir) = scratch();
    for number in 0..300 {
        let bytes = vec![b'x'; number * 7 % 5000];
        host_file(&dir.join("tree"), format!("d{}/e{}/f{number}", number % 3, number % 20).as_bytes(), &bytes, 0o640);
    }
    for number in 0..100 {
        let name = [&b"many/"[..], &vec![b'n'; number * 2], format!("{number}").as_bytes()].concat();
        host_file(&dir.join("tree"), &name, b"", 0o600);
    }
    let sets = [synced(&dir.join("tree"), &path("to"))];
    let kinds: [&[&str]; 8] = [
        &[],
        &["-b", "1024"],
        &["-b", "2048", "-g", "4096"],
        &["-O", "^64bit"],
        &["-O", "^flex_bg,^resize_inode"],
        &["-O", "metadata_csum_seed"],
        &["-O", "^metadata_csum"],
        &["-O", "^extents,^64bit"],
    ];
    for kind in kinds {
        let image = dir.join("work.img");
        std::fs::File::create(&image).unwrap().set_len(50_000_000).unwrap();
        let mkfs = Command::new("mkfs.ext4").args(["-q", "-F", "-N", "6000"]).args(kind.iter().copied());
        CommandRunner.run_ok(&mkfs.arg(image.as_str())).await.unwrap();
        // Once into directories that are made, and once among what is there.
        for round in ["one", "two"] {
            std::fs::write(dir.join("tree/d0/new"), round).unwrap();
            std::fs::write(dir.join("tree/top"), round).unwrap();
            let sets = [synced(&dir.join("tree"), &path("to"))];
            write(&image, &sets).await.unwrap_or_else(|failure| panic!("{kind:?}: {failure:?}"));
        }
        let found = read(&image, &Wanted::of([&sets[0].1])).await;
        for (path, file) in &sets[0].1.files {
            let Content::Host(host) = &file.content else { continue };
            let found = &found.files[path];
            assert_eq!((found.digest.as_ref(), found.mode), (Some(&host.digest), file.mode), "{kind:?} {path}");
        }
    }
}

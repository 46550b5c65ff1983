//! Snapshots: what is put back is what was taken, and no disk is lost on the way, wherever it is cut short.

use super::{Silent, World, vm};
use crate::config::{ByteSize, Machine};
use crate::driver::used;
use crate::exec::Failure;
use crate::resource::{AppliedGuest, ContentKey, Record, RunState};

/// A stopped guest whose disks are files of a few bytes.
fn world() -> World {
    let world = World::new(usize::MAX);
    let record = Record {
        format_version: 1,
        fleet: "demo".into(),
        origin: "/fleet.kdl".into(),
        name: "web".into(),
        formerly: None,
        uuid: uuid::Uuid::now_v7(),
        ssh_port: 1,
        host_key: String::new(),
        applied: AppliedGuest { disks: Some(vm()), started: None },
        process: None,
        protected: false,
        autostart: false,
    };
    std::fs::create_dir_all(world.guests.dir("web").root()).unwrap();
    world.guests.write_record(&record).unwrap();
    world
}

fn set(world: &World, root: &str, work: &str) {
    let dir = world.guests.dir("web");
    // As a disk is written: in place.
    std::fs::write(dir.root_disk(Machine::Microvm), root).unwrap();
    std::fs::write(dir.work_disk(), work).unwrap();
}

fn disks(folder: &camino::Utf8Path) -> (String, String) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    (read("root.qcow2"), read("work.img"))
}

fn pair(root: &str, work: &str) -> (String, String) {
    (root.into(), work.into())
}

fn names(world: &World) -> Vec<String> {
    world.guests.snapshots("web").unwrap().into_iter().map(|kept| kept.snapshot.name).collect()
}

#[tokio::test]
async fn a_snapshot_is_put_back_and_what_was_there_is_kept() {
    let world = world();
    let (guests, dir) = (&world.guests, world.guests.dir("web"));
    set(&world, "root 1", "work 1");
    guests.take_snapshot("web", "first", "asked for", &Silent).await.unwrap();
    set(&world, "root 2", "work 2");
    // Doing it again is doing it once.
    guests.take_snapshot("web", "first", "asked for", &Silent).await.unwrap();
    assert_eq!(disks(&dir.snapshot("first")), pair("root 1", "work 1"));

    guests.restore_snapshot("web", "first", "kept", &Silent).await.unwrap();
    assert_eq!(disks(dir.root()), pair("root 1", "work 1"));
    set(&world, "root 3", "work 3");
    assert_eq!(disks(&dir.snapshot("first")), pair("root 1", "work 1"));
    assert_eq!(disks(&dir.snapshot("kept")), pair("root 2", "work 2"));
    assert_eq!(names(&world), ["first", "kept"]);

    guests.delete_snapshot("web", "first", &Silent).unwrap();
    guests.delete_snapshot("web", "first", &Silent).unwrap();
    assert_eq!(names(&world), ["kept"]);
    let missing = guests.restore_snapshot("web", "first", "again", &Silent).await;
    assert_eq!(missing, Err(Failure::permanent("guest `web` has no snapshot `first`")));
}

/// Two disks cannot be replaced at once: until both are, nothing uses them, and doing it again finishes it.
#[tokio::test]
async fn a_restore_that_is_cut_short_is_finished_and_loses_nothing() {
    for progress in 0..4 {
        let world = world();
        let (guests, dir) = (&world.guests, world.guests.dir("web"));
        set(&world, "root 1", "work 1");
        guests.take_snapshot("web", "first", "asked for", &Silent).await.unwrap();
        set(&world, "root 2", "work 2");
        std::fs::write(dir.restoring(), r#"{"snapshot":"first","kept":"kept"}"#).unwrap();
        if progress > 0 {
            let record = guests.record("web").unwrap();
            guests.keep_disks(&record, "kept", "").unwrap();
        }
        for (step, disk) in [(2, "root.qcow2"), (3, "work.img")] {
            if progress >= step {
                std::fs::copy(dir.snapshot("first").join(disk), dir.root().join("aside")).unwrap();
                std::fs::rename(dir.root().join("aside"), dir.root().join(disk)).unwrap();
            }
        }
        let refusal = Failure::permanent("putting snapshot `first` of guest `web` back was cut short")
            .hint("`regatta snapshot restore web first` finishes it");
        assert_eq!(guests.start(&vm(), &Silent).await, Err(refusal.clone()), "{progress}");
        assert_eq!(guests.grow("web", ByteSize::gib(1), &Silent).await, Err(refusal.clone()), "{progress}");
        assert_eq!(guests.replace_root(&vm(), &Silent).await, Err(refusal.clone()), "{progress}");
        assert_eq!(guests.take_snapshot("web", "x", "", &Silent).await, Err(refusal.clone()), "{progress}");
        assert_eq!(guests.delete_snapshot("web", "first", &Silent), Err(refusal), "{progress}");

        guests.restore_snapshot("web", "first", "another", &Silent).await.unwrap();
        assert_eq!(disks(dir.root()), pair("root 1", "work 1"), "{progress}");
        assert_eq!(disks(&dir.snapshot("kept")), pair("root 2", "work 2"), "{progress}");
        assert_eq!((names(&world), dir.restoring().exists()), (vec!["first".into(), "kept".into()], false));
    }
}

/// A guest that is suspended, its memory two files of a few bytes.
fn suspend(world: &World, memory: &str) {
    let dir = world.guests.dir("web");
    std::fs::write(dir.devices(), "devices").unwrap();
    std::fs::write(dir.memory(), memory).unwrap();
}

/// LESSON 31: what is put back is a copy, which goes on once; the snapshot stays for another time.
#[tokio::test]
async fn memory_is_put_back_as_often_as_it_is_asked_for() {
    let world = world();
    let (guests, dir) = (&world.guests, world.guests.dir("web"));
    set(&world, "root 1", "work 1");
    suspend(&world, "memory 1");
    guests.take_snapshot("web", "warm", "asked for", &Silent).await.unwrap();
    assert_eq!(guests.snapshots("web").unwrap()[0].snapshot.started, Some(vm()));
    let suspended = guests.restore_snapshot("web", "warm", "kept", &Silent).await.unwrap_err();
    assert_eq!(suspended.causes, ["guest `web` is suspended"]);
    for kept in ["kept-1", "kept-2"] {
        guests.forget_memory("web").unwrap();
        set(&world, "root 2", "work 2");
        guests.restore_snapshot("web", "warm", kept, &Silent).await.unwrap();
        assert_eq!(disks(dir.root()), pair("root 1", "work 1"));
        assert_eq!(std::fs::read_to_string(dir.memory()).unwrap(), "memory 1");
        assert_eq!(std::fs::read_to_string(dir.devices()).unwrap(), "devices");
        assert_eq!(guests.run_state(&guests.record("web").unwrap()), RunState::Suspended);
        assert_eq!(disks(&dir.snapshot(kept)), pair("root 2", "work 2"));
    }
    assert_eq!(guests.record("web").unwrap().applied.started, Some(vm()));
}

/// While it is not known that disks and memory are of one moment, nothing goes on.
#[tokio::test]
async fn memory_that_was_put_back_and_not_finished_does_not_go_on() {
    let world = world();
    let (guests, dir) = (&world.guests, world.guests.dir("web"));
    set(&world, "root 1", "work 1");
    suspend(&world, "memory 1");
    guests.take_snapshot("web", "warm", "asked for", &Silent).await.unwrap();
    std::fs::write(dir.restoring(), r#"{"snapshot":"warm","kept":"kept"}"#).unwrap();
    suspend(&world, "torn");
    let refusal = guests.wake("web", &Silent).await.unwrap_err();
    assert_eq!(refusal.causes, ["putting snapshot `warm` of guest `web` back was cut short"]);
    guests.restore_snapshot("web", "warm", "another", &Silent).await.unwrap();
    assert_eq!(std::fs::read_to_string(dir.memory()).unwrap(), "memory 1");
    assert!(!dir.restoring().exists());
}

/// What a guest is called is in its memory as well, where nobody can change it.
#[tokio::test]
async fn memory_does_not_follow_a_guest_to_another_name() {
    let world = world();
    let (guests, dir) = (&world.guests, world.guests.dir("web"));
    set(&world, "root 1", "work 1");
    suspend(&world, "memory 1");
    guests.take_snapshot("web", "warm", "asked for", &Silent).await.unwrap();
    guests.forget_memory("web").unwrap();
    let description = dir.snapshot("warm").join("snapshot.json");
    let text = std::fs::read_to_string(&description).unwrap().replace("\"name\": \"web\"", "\"name\": \"old\"");
    std::fs::write(&description, text).unwrap();
    let refused = guests.restore_snapshot("web", "warm", "kept", &Silent).await;
    let expected = Failure::permanent("snapshot `warm` has the memory of guest `web` when it was called `old`")
        .hint("only disks follow a guest to another name");
    assert_eq!(refused, Err(expected));
    assert_eq!(disks(dir.root()), pair("root 1", "work 1"));
}

#[tokio::test]
async fn a_copy_that_fails_leaves_no_snapshot() {
    let world = world();
    let dir = world.guests.dir("web");
    std::fs::write(dir.root_disk(Machine::Microvm), "root").unwrap();
    assert!(world.guests.take_snapshot("web", "first", "", &Silent).await.is_err());
    assert_eq!(std::fs::read_dir(dir.snapshots()).unwrap().count(), 0);
}

/// What a snapshot lies over is not garbage, whatever its guest was replaced with since.
#[tokio::test]
async fn the_image_of_a_snapshot_stays_in_the_store() {
    let world = world();
    set(&world, "", "");
    std::fs::remove_file(world.guests.dir("web").root_disk(Machine::Microvm)).unwrap();
    let folder = world.guests.dir("web").snapshot("old");
    std::fs::create_dir_all(&folder).unwrap();
    let old = crate::resource::VmSpec { image: ContentKey::of(&"old image"), ..vm() };
    let snapshot = serde_json::json!({
        "format_version": 1, "name": "old", "taken_s": 0, "while_running": false, "why": "", "disks": old
    });
    std::fs::write(folder.join("snapshot.json"), snapshot.to_string()).unwrap();
    let kept = used(&world.state).unwrap();
    assert!(kept.contains_key(&ContentKey::of(&"old image")) && kept.contains_key(&vm().image), "{kept:?}");
}

//! What guests are made from: backups, disk images, downloads; and where they are made.

use std::collections::BTreeSet;

use regatta::resource::Digest;

use crate::fake::guest::Guest;
use crate::fake::{Fake, Manner};
use crate::fleet::{EVERYTHING, EVERYTHING_OF_A_VM, Regatta, desired, told};

const NOTHING: [&str; 0] = [];
const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn causes(failures: &[(String, regatta::exec::Failure)]) -> Vec<String> {
    failures.iter().map(|(_, failure)| failure.causes.join(": ")).collect()
}

/// LESSON 31: what is restored under another name gets addresses of its own; what takes the place of the lost one keeps
/// them. A mark in the backup is that of the guest that was backed up.
#[tokio::test]
async fn guests_are_restored_from_backups() {
    let copied =
        "<!-- regatta {\"v\":1,\"fleet\":\"shop\",\"guest\":\"old\",\"vmid\":7,\"origin\":\"x\",\"applied\":{}} -->";
    let container =
        [("hostname", "old"), ("memory", "64"), ("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:AA:01,type=veth")];
    let vm = [
        ("name", "old"),
        ("memory", "64"),
        ("scsi0", "local:7/vm-7-disk-0.qcow2,size=3G"),
        ("net0", "virtio=BC:24:11:00:AA:02,bridge=vmbr0"),
    ];
    for same in [false, true] {
        let fake = Fake::new();
        {
            let mut world = fake.world();
            let marked = [("description", copied)];
            world.backups.insert(
                "local:backup/ct.tar.zst".into(),
                Guest::of("pve1", &[&container[..], &marked].concat(), false),
            );
            world
                .backups
                .insert("local:backup/vm.vma.zst".into(), Guest::vm("pve1", &[&vm[..], &marked].concat(), false));
        }
        let wish = desired(&format!(
            "container \"ct\" {{ cluster \"pve\"; vmid 1000; restore \"local:backup/ct.tar.zst\" same=#{same}; memory \"128MiB\"; interface \"eth0\" bridge=\"vmbr1\" }}
             vm \"db\" {{ cluster \"pve\"; vmid 2000; restore \"local:backup/vm.vma.zst\" same=#{same}; memory \"1GiB\"; interface 0 bridge=\"vmbr1\" }}"
        ));
        let regatta = Regatta::new(&fake);
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        for (vmid, address) in [(1000, "BC:24:11:00:AA:01"), (2000, "BC:24:11:00:AA:02")] {
            let guest = fake.world().guests[&vmid].clone();
            assert!(guest.running && guest.config["net0"].contains("vmbr1"), "{guest:?}");
            assert_eq!(guest.config["net0"].contains(address), same, "{guest:?}");
        }
    }
}

#[tokio::test]
async fn a_virtual_machine_is_made_from_a_disk_image() {
    let fake = Fake::new();
    let block = EVERYTHING_OF_A_VM
        .replace("clone 901 full=#true storage=\"local\"", "disk-image \"local:import/debian.qcow2\"");
    let wish = desired(&format!("vm \"db\" {{ cluster \"pve\"\n{block} }}"));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let db = fake.world().guests[&2000].clone();
    assert!(db.running, "{db:?}");
    assert_eq!(db.config["scsi0"], "local:2000/vm-2000-scsi0.qcow2,discard=on,ssd=1,size=8G");
    assert_eq!((db.config["boot"].as_str(), db.config["scsihw"].as_str()), ("order=scsi0", "virtio-scsi-single"));
    assert_eq!(db.config["ide2"], "local:2000/vm-2000-cloudinit.qcow2,media=cdrom");
}

fn downloading(url: &str) -> regatta::resource::Desired {
    let block = EVERYTHING.replace("tar.zst\"\n", &format!("tar.zst\" url=\"https://{url}\" sha256=\"{DIGEST}\"\n"));
    desired(&format!("container \"web\" count=3 {{ cluster \"pve\"\n{block} }}"))
}

/// Once per node; not when it is there.
#[tokio::test]
async fn a_template_is_downloaded_where_it_is_not() {
    let (fake, wish) = (Fake::new(), downloading("example.org/debian.tar.zst"));
    fake.world().volumes = Some(BTreeSet::new());
    fake.world().polls = 1;
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let downloads = fake.world().requests.iter().filter(|request| request.ends_with("/download-url")).count();
    assert_eq!(downloads, 1);
    assert_eq!(fake.world().guests.values().filter(|guest| guest.is_marked()).count(), 3);
}

/// What cannot be had, or is something else, makes no guest.
#[tokio::test]
async fn a_download_that_fails_is_told_and_nothing_is_made() {
    for (url, said) in [
        (
            "example.org/none",
            "cannot download `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`: the task `download` ended with `download failed",
        ),
        (
            "example.org/other",
            "cannot download `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`: the task `download` ended with `checksum mismatch",
        ),
    ] {
        let (fake, wish) = (Fake::new(), downloading(url));
        fake.world().volumes = Some(BTreeSet::new());
        let before = fake.world().guests.clone();
        let failures = Regatta::new(&fake).apply(&wish).await;
        assert!(causes(&failures).iter().all(|cause| cause.starts_with(said)) && failures.len() == 3, "{failures:#?}");
        assert_eq!(fake.world().guests, before);
    }
}

/// A file of this machine, streamed to the node where the guest is made: once, however many guests want it.
#[tokio::test]
async fn a_template_is_uploaded_where_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("debian.tar.zst");
    std::fs::write(&file, b"a template").unwrap();
    let fleet = |file: &str, bytes: &[u8]| {
        let source = format!("tar.zst\" file=\"{file}\" sha256=\"{}\"\n", Digest::of(bytes).as_str());
        let block = EVERYTHING.replace("tar.zst\"\n", &source);
        desired(&format!("container \"web\" count=3 {{ cluster \"pve\"\n{block} }}"))
    };
    let path = file.to_str().unwrap();
    for manner in [Manner::V8, Manner::V9] {
        let fake = Fake::of(manner);
        fake.world().volumes = Some(BTreeSet::new());
        fake.world().polls = 1;
        let (regatta, before) = (Regatta::new(&fake), fake.world().guests.clone());
        for (wish, said) in [
            (fleet(path, b"another"), "the task `imgcopy` ended with `checksum mismatch"),
            (fleet("/nowhere/x", b""), "found no file `/nowhere/x` to upload"),
        ] {
            let failures = regatta.apply(&wish).await;
            assert!(causes(&failures).iter().all(|cause| cause.contains(said)) && failures.len() == 3, "{failures:#?}");
            assert_eq!(fake.world().guests, before);
        }
        fake.world().requests.clear();
        let wish = fleet(path, b"a template");
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        assert_eq!(fake.world().requests.iter().filter(|request| request.ends_with("/upload")).count(), 1);
        assert_eq!(fake.world().uploaded, b"a template");
    }
}

/// PROXMOX C14: without `url` the volume has to be there, and the server's words say that it is not.
#[tokio::test]
async fn a_template_that_is_not_there_is_said() {
    let fake = Fake::new();
    fake.world().volumes = Some(BTreeSet::new());
    let wish = desired(&format!("container \"web\" {{ cluster \"pve\"\n{EVERYTHING} }}"));
    let failures = Regatta::new(&fake).apply(&wish).await;
    assert_eq!(causes(&failures), ["volume 'local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst' does not exist"]);
}

/// Any of the nodes that are allowed and online: an original that is elsewhere is cloned to one of them.
#[tokio::test]
async fn guests_are_made_on_any_of_the_allowed_nodes() {
    let fake = Fake::new();
    fake.world().nodes.insert("pve1".into(), false);
    let wish = desired(
        "container \"t\" { cluster \"pve\"; node \"pve1\" \"pve3\"; vmid 1000; template \"local:vztmpl/d.tar.zst\"; root-disk storage=\"local\" size=\"1GiB\" }
         container \"c\" { cluster \"pve\"; node \"pve1\" \"pve3\"; vmid 1001; clone 900 full=#true }
         vm \"v\" { cluster \"pve\"; vmid 2000; clone 901 }",
    );
    let regatta = Regatta::new(&fake);
    // Guests of the silent node have no name: until it answers nobody knows whether these are on it.
    fake.world().guests.remove(&100);
    assert_eq!(regatta.apply(&wish).await, []);
    let nodes: Vec<String> = [1000, 1001, 2000].iter().map(|vmid| fake.world().guests[vmid].node.clone()).collect();
    assert_eq!(nodes, ["pve3", "pve3", "pve2"]);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
}

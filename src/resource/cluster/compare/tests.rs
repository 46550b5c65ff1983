use std::collections::BTreeMap;

use super::super::field::canonical;
use super::super::{GuestKind, GuestOrigin, Mark, Power, Reach, Restart, Via, VmidRange};
use super::*;

type Raw<'a> = &'a [(&'a str, &'a str)];

fn values(raw: Raw<'_>) -> (BTreeMap<String, Value>, BTreeMap<String, String>) {
    let mut keys = BTreeMap::new();
    let values = raw.iter().filter_map(|(key, raw)| {
        let (path, value) = canonical(GuestKind::Container, key, raw)?;
        keys.insert(path.clone(), (*key).to_owned());
        Some((path, value))
    });
    (values.collect(), keys)
}

fn spec(wish: Raw<'_>) -> ClusterGuestSpec {
    ClusterGuestSpec {
        fleet: "shop".into(),
        name: "web".into(),
        kind: GuestKind::Container,
        cluster: "pve".into(),
        nodes: vec![],
        vmid: VmidRange { from: 100, to: 200 },
        origin: GuestOrigin::Template { volume: "local:vztmpl/x".into(), source: None },
        unprivileged: Some(true),
        keys: vec![],
        values: values(wish).0,
        notes: None,
        running: true,
        restart: Restart::IfNeeded,
        reach: Reach {
            cluster: "pve".into(),
            guest: "web".into(),
            via: Via::Ssh,
            host: None,
            port: 22,
            identity: None,
            host_key: None,
        },
    }
}

fn seen(is: Raw<'_>, applied: Raw<'_>) -> ObservedClusterGuest {
    let (values_now, keys) = values(is);
    ObservedClusterGuest {
        cluster: "pve".into(),
        node: "pve1".into(),
        vmid: 101,
        kind: GuestKind::Container,
        mark: Mark {
            host_key: None,
            version: 1,
            fleet: "shop".into(),
            guest: "web".into(),
            vmid: 101,
            origin: "x".into(),
            applied: values(applied).0,
            notes: None,
        },
        unprivileged: Some(true),
        notes: String::new(),
        values: values_now,
        keys,
        pending: BTreeSet::new(),
        sizes: BTreeMap::new(),
        digest: "d".into(),
        digests: BTreeMap::new(),
        power: Power::On,
        lock: None,
    }
}

fn acts(wish: Raw<'_>, is: Raw<'_>, applied: Raw<'_>) -> Vec<String> {
    let found = compare(&spec(wish), &seen(is, applied));
    assert_eq!(found.refused, []);
    let act = |act: Act| match act {
        Act::Set { key, value } => format!("{key}={value}"),
        Act::Delete { key } => format!("-{key}"),
        Act::Grow { disk, size } => format!("{disk}+{size}"),
    };
    found.all.into_iter().map(|difference| act(difference.act)).collect()
}

#[test]
fn what_is_as_wished_is_left_alone() {
    let wish = [("memory", "512"), ("net0", "name=eth0,bridge=b"), ("rootfs", "storage=l,size=8GiB"), ("onboot", "0")];
    let is = [
        ("memory", "512"),
        ("net0", "name=eth0,bridge=b,hwaddr=BC:24:11:00:00:01,type=veth"),
        ("rootfs", "l:101/vm-101-disk-0.raw,size=8G"),
        ("cores", "4"),
    ];
    assert_eq!(acts(&wish, &is, &[]), [""; 0]);
}

/// PROXMOX C2: a MAC address and a volume that the user did not set are sent back as they are.
#[test]
fn an_interface_keeps_its_mac_and_a_disk_its_volume() {
    let wish = [("net0", "name=eth0,bridge=b2"), ("rootfs", "storage=l,size=8GiB,ro=1")];
    let is = [("net0", "name=eth0,bridge=b,hwaddr=BC:24:11:00:00:01"), ("rootfs", "l:101/a.raw,size=8G")];
    let expected = ["net0=bridge=b2,hwaddr=BC:24:11:00:00:01,name=eth0", "rootfs=l:101/a.raw,ro=1,size=8G"];
    assert_eq!(acts(&wish, &is, &[]), expected);
}

/// PROXMOX C12: mount points are known by their path, not by their number.
#[test]
fn a_mount_point_is_found_wherever_it_is() {
    let wish = [("mp0", "storage=l,size=2GiB,mp=/b"), ("mp1", "storage=l,size=1GiB,mp=/new")];
    let is = [("mp0", "l:1/a.raw,mp=/a,size=1G"), ("mp5", "l:1/b.raw,mp=/b,size=1G")];
    assert_eq!(acts(&wish, &is, &[]), ["mp5+2G", "mp1=l:1,mp=/new"]);
    assert_eq!(acts(&wish[..1], &is, &is[..1]), ["-mp0", "mp5+2G"]);
}

#[test]
fn tags_of_others_stay() {
    assert_eq!(acts(&[("tags", "a;b")], &[("tags", "b;theirs;old")], &[("tags", "old")]), ["tags=a;b;theirs"]);
    assert_eq!(acts(&[("tags", "a")], &[("tags", "a;theirs")], &[]), [""; 0]);
}

#[test]
fn what_was_applied_and_is_no_longer_wished_goes() {
    assert_eq!(acts(&[], &[("cores", "2"), ("startup", "order=1")], &[("cores", "2")]), ["-cores"]);
    assert_eq!(acts(&[], &[("memory", "64")], &[("memory", "64")]), [""; 0]);
}

/// PROXMOX C12: an edit of a disk that waits for a start has its size from before the disk grew, and must not undo that.
#[test]
fn a_waiting_edit_does_not_undo_growth() {
    let wish = spec(&[("rootfs", "storage=l,size=9GiB,ro=1")]);
    let waiting = seen(&[("rootfs", "l:1/a.raw,ro=1,size=8G")], &[]);
    let act = |seen: &ObservedClusterGuest| compare(&wish, seen).all.into_iter().map(|it| it.act).collect::<Vec<_>>();
    assert_eq!(act(&waiting), [Act::Grow { disk: "rootfs".into(), size: "9G".into() }]);
    let sizes = [("root-disk".to_owned(), "9GiB".to_owned())].into();
    let grown = ObservedClusterGuest { sizes, ..waiting };
    assert_eq!(act(&grown), [Act::Set { key: "rootfs".into(), value: "l:1/a.raw,ro=1,size=9G".into() }]);
}

#[test]
fn disks_never_shrink_and_never_move() {
    let found = compare(&spec(&[("rootfs", "storage=l,size=4GiB")]), &seen(&[("rootfs", "l:1/a.raw,size=8G")], &[]));
    assert_eq!(found.all, []);
    assert_eq!(found.refused[0].1, "found `root-disk` with 8GiB, the fleet file asks for 4GiB");
    let found = compare(&spec(&[("rootfs", "storage=m,size=8GiB")]), &seen(&[("rootfs", "l:1/a.raw,size=8G")], &[]));
    assert_eq!(found.refused[0].1, "found `root-disk` on the storage `l`, the fleet file asks for `m`");
}

//! Disks of nodes, mounted by UUID: planned, mounted by root, read back, and left alone where that is doubtful.

use regatta::driver::privilege::Rules;
use regatta::plan::{Action, Options, plan};
use regatta::resource::cluster::MountState;
use regatta::resource::{Desired, Health, Observed, Reading};

use crate::fake::Fake;
use crate::fleet::{Regatta, of_file, told};
use crate::node::Node;

const NOTHING: [&str; 0] = [];

const ADDRESS: &str = "mount.pve/pve1/mnt/backup";

fn fleet(mounts: &str, guests: &str) -> Desired {
    of_file(&format!(
        "fleet \"shop\"
         cluster \"pve\" {{ endpoint \"https://127.0.0.1:8006\"; token env=\"T\"
             fence {{ node \"pve1\" via=\"local\" {{ {mounts} }} }} }}
         {guests}"
    ))
}

fn with(node: &Node, wish: &Desired) -> Regatta {
    Regatta::new(&node.fake).with_nodes(node.nodes(wish))
}

/// What ran as root.
fn as_root(node: &Node) -> Vec<String> {
    node.commands().into_iter().filter(|command| command.starts_with('/')).collect()
}

/// LESSON 41: mounted, written into `/etc/fstab`, read back; then the plan is empty. What somebody unmounts is drift.
#[tokio::test]
async fn a_disk_is_mounted_once_and_stays() {
    let wish = fleet("mount \"/mnt/backup\" uuid=\"1234-ABCD\" fstab=#true", "");
    let node = Node::new(&Fake::new());
    let regatta = with(&node, &wish);
    let told_of = format!("{ADDRESS} Create Missing None: fstab, options, source");
    let made = regatta.plan(&wish).await;
    assert_eq!(told(&made), [told_of.as_str()]);
    assert_eq!(regatta.carry_out(&made).await, []);
    let allowed: Vec<String> =
        regatta.nodes().commands(regatta.nodes().named("pve1")[0]).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(as_root(&node).len(), 2);
    assert_eq!(allowed.len(), 2);
    assert_eq!(node.disks().fstab, ["# nothing yet", "UUID=1234-ABCD\t/mnt/backup\tauto\tnosuid,nodev,nofail\t0\t2"]);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);

    // A step that is done again, after a crash, does nothing.
    assert_eq!(regatta.carry_out(&made).await, []);
    assert_eq!(as_root(&node), NOTHING);

    node.disks().mounts.pop();
    let moved = regatta.plan(&wish).await;
    let drift = regatta::plan::drift(&moved, &[]);
    let paths: Vec<&str> = drift.moved[0].attributes.iter().map(|attribute| attribute.path.as_str()).collect();
    assert_eq!((drift.moved[0].address.as_str(), paths), (ADDRESS, vec!["options", "source"]));
    assert_eq!(regatta.carry_out(&moved).await, []);
    node.disks().fstab.pop();
    assert_eq!(told(&regatta.plan(&wish).await), [format!("{ADDRESS} Update Drift None: fstab")]);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);

    // What leaves the file stays mounted: a backup may be under way.
    let without = fleet("", "");
    assert_eq!(told(&with(&node, &without).plan(&without).await), NOTHING);
    assert_eq!(regatta.destroy(&wish).await, []);
    assert_eq!(node.disks().mounts.len(), 2);
}

/// Nothing is done while the disk is away; every plan says so, and a plan that was made before fails in words.
#[tokio::test]
async fn a_disk_that_is_not_plugged_in_is_a_note() {
    let wish = fleet("mount \"/mnt/backup\" uuid=\"1234-ABCD\"", "");
    let node = Node::new(&Fake::new());
    let regatta = with(&node, &wish);
    let before = regatta.plan(&wish).await;
    node.disks().volumes.remove(1);
    let made = regatta.plan(&wish).await;
    let change = made.changes.iter().find(|change| change.address.as_str() == ADDRESS).unwrap();
    assert_eq!(
        (change.action, change.note.as_deref()),
        (Action::None, Some("no disk with `UUID=1234-ABCD` is plugged in"))
    );
    assert!(made.graph.steps.is_empty() && made.refusals.is_empty());
    let failures = regatta.carry_out(&before).await;
    assert_eq!(failures[0].0, format!("mount-on-node {ADDRESS}"));
    assert_eq!(failures[0].1.causes, ["no disk with `UUID=1234-ABCD` is plugged in on `pve1`"]);
    assert_eq!(as_root(&node), NOTHING);
}

/// What is in the way is named with its place in the file, and nothing runs as root.
#[tokio::test]
async fn what_is_in_the_way_is_refused() {
    let wish = fleet("mount \"/mnt/backup\" uuid=\"5678-ABCD\" fstab=#true", "");
    let node = Node::new(&Fake::new());
    let regatta = with(&node, &wish);
    let two = "found `UUID=5678-ABCD` on `/dev/sdc1` and `/dev/zd16`, expected one disk";
    assert_eq!(told(&regatta.plan(&wish).await), [format!("{ADDRESS} HostInTheWay: {two}")]);
    node.disks().volumes.retain(|(path, ..)| *path != "/dev/sdc1");
    let volume = "found `UUID=5678-ABCD` on `/dev/zd16`, expected a disk on USB";
    assert_eq!(told(&regatta.plan(&wish).await), [format!("{ADDRESS} HostInTheWay: {volume}")]);
    let place = ["/mnt/backup", "/dev/sdb1", "rw,nosuid,nodev"].map(str::to_owned).into();
    node.disks().mounts.push(place);
    let made = regatta.plan(&wish).await;
    let other = "found `/dev/sdb1` mounted at `/mnt/backup`, expected the USB disk with `UUID=5678-ABCD`";
    assert_eq!(told(&made), [format!("{ADDRESS} HostInTheWay: {other}")]);
    assert_eq!(made.refusals[0].help, "see what uses it, then as root on `pve1`: `umount /mnt/backup`");
    assert!(made.refusals[0].source.is_some() && made.graph.steps.is_empty());
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(as_root(&node), NOTHING);

    // The place is a link of root's: what is mounted there would be mounted elsewhere.
    let wish = fleet("mount \"/mnt/backup\" uuid=\"1234-ABCD\" fstab=#true", "");
    node.disks().mounts.pop();
    node.disks().link = Some(("/mnt/backup", "/srv/real"));
    let link = "found `/mnt/backup` as a link to `/srv/real`, expected a directory, or nothing";
    assert_eq!(told(&with(&node, &wish).plan(&wish).await), [format!("{ADDRESS} HostInTheWay: {link}")]);
    node.disks().link = None;

    // mount took a volume that had the UUID for a moment: what the node mounts when it boots is not written then.
    node.disks().taken = Some("/dev/zd16");
    let failures = with(&node, &wish).apply(&wish).await;
    let volume = "found `/dev/zd16` mounted at `/mnt/backup`, expected the USB disk with `UUID=1234-ABCD`";
    assert_eq!(failures[0].1.causes, [volume]);
    assert_eq!(node.disks().fstab, ["# nothing yet"]);
    node.disks().taken = None;
    node.disks().mounts.pop();

    // An empty file has no last line to append to: said, not passed over.
    node.disks().fstab.clear();
    let failures = with(&node, &wish).apply(&wish).await;
    assert_eq!(failures[0].1.causes, ["sed(1) succeeded on `pve1`, and `/etc/fstab` has no line for `/mnt/backup`"]);
}

/// A container gets a directory of a disk, and starts with it, when the disk is mounted; selecting it takes the disk along.
#[tokio::test]
async fn a_container_waits_for_the_disk_that_it_has_a_directory_of() {
    let guests = r#"container "web" { cluster "pve"; vmid 1000; bind "/srv" from="/mnt/backup/web"
        template "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"; root-disk storage="local" size="8GiB" }"#;
    let wish = fleet("mount \"/mnt/backup\" uuid=\"1234-ABCD\"; mount \"/mnt/backup2\" uuid=\"9999-ABCD\"", guests);
    let node = Node::new(&Fake::new());
    let regatta = with(&node, &wish);
    let made = regatta.plan(&wish).await;
    let ops: Vec<&str> = made.graph.steps.iter().map(|step| step.op.name()).collect();
    assert_eq!(
        ops,
        ["mount-on-node", "create-cluster-guest", "set-on-node", "update-cluster-guest", "start-cluster-guest"]
    );
    assert_eq!(made.graph.steps[2].after[0].why, format!("it has a directory of {ADDRESS}"));
    assert_eq!(regatta.carry_out(&made).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);

    // The node was booted: the container starts after the disk is there again.
    node.disks().mounts.pop();
    node.fake.world().guests.get_mut(&1000).unwrap().running = false;
    let observed = regatta.observe(&wish).await;
    let only = ["container.web".parse().unwrap()].into();
    let selection = regatta::plan::Selection { only, ..Default::default() };
    let made = plan(&wish, &observed, &Options { selection, ..Options::default() });
    let ops: Vec<&str> = made.graph.steps.iter().map(|step| step.op.name()).collect();
    assert_eq!(ops, ["mount-on-node", "start-cluster-guest"]);
    assert_eq!(made.graph.steps[1].after[0].why, format!("it has a directory of {ADDRESS}"));
}

/// `status`, `doctor` and `sudoers --node` tell of disks; a node that cannot be read changes nothing (LESSON 42).
#[tokio::test]
async fn disks_are_told_of() {
    let mounts = "mount \"/mnt/backup\" uuid=\"1234-ABCD\" fstab=#true; mount \"/mnt/films\" uuid=\"9999-ABCD\"; mount \"/mnt/two\" uuid=\"5678-ABCD\"";
    let wish = fleet(mounts, "");
    let node = Node::new(&Fake::new());
    let regatta = with(&node, &wish);
    let nodes = regatta.nodes();
    let told_by_status = |observed: Observed| {
        let nodes = regatta.nodes();
        async move { nodes.health(&observed).await[0].mounts.iter().map(|it| it.state).collect::<Vec<_>>() }
    };
    let seen = regatta.observe(&wish).await;
    assert_eq!(told_by_status(seen).await, [MountState::Pending, MountState::Unplugged, MountState::Refused]);
    let findings = nodes.examine().await;
    let findings: Vec<(&str, Health)> = findings
        .iter()
        .map(|it| (it.check.as_str(), it.verdict))
        .filter(|(check, _)| check.starts_with("mount."))
        .collect();
    let expected = [
        ("mount.pve/pve1/mnt/backup", Health::Warn),
        ("mount.pve/pve1/mnt/films", Health::Warn),
        ("mount.pve/pve1/mnt/two", Health::Fail),
    ];
    assert_eq!(findings, expected);
    let rules = Rules::new("ada", "shop", &nodes.commands(nodes.named("pve1")[0]).unwrap()).unwrap().to_string();
    let rules: Vec<&str> = rules.lines().filter_map(|line| Some(line.split_once("NOPASSWD: ")?.1)).collect();
    let expected = [
        r"/usr/bin/mount --options\=nosuid\,nodev\,X-mount.mkdir\=0755 --source\=UUID\=1234-ABCD --target\=/mnt/backup",
        r"/usr/bin/mount --options\=nosuid\,nodev\,X-mount.mkdir\=0755 --source\=UUID\=5678-ABCD --target\=/mnt/two",
        r"/usr/bin/mount --options\=nosuid\,nodev\,X-mount.mkdir\=0755 --source\=UUID\=9999-ABCD --target\=/mnt/films",
        r"/usr/bin/sed --in-place --expression\=$aUUID\=1234-ABCD\\\\t/mnt/backup\\\\tauto\\\\tnosuid\,nodev\,nofail\\\\t0\\\\t2 /etc/fstab",
    ];
    assert_eq!(rules, expected);

    let mut seen = regatta.observe(&wish).await;
    seen.mounts.values_mut().for_each(|reading| *reading = Reading::Unreadable("no route to host".into()));
    let made = plan(&wish, &seen, &Options::default());
    assert!(made.graph.steps.is_empty());
    assert!(made.changes.iter().filter(|it| it.address.kind() == "mount").all(|it| it.action == Action::Unreadable));
    assert_eq!(told_by_status(seen).await, [MountState::Unknown; 3]);
}

/// A node without a declared disk is not logged in to for them.
#[tokio::test]
async fn nodes_without_disks_are_left_alone() {
    let wish = fleet("sensors", "");
    let node = Node::new(&Fake::new());
    assert_eq!(with(&node, &wish).observe(&wish).await.mounts.len(), 0);
    assert_eq!(node.commands(), NOTHING);
}

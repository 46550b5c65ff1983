//! Guests that nobody managed are taken over as they are: written down, marked, and nothing else.

use regatta::resource::cluster::written;

use crate::fake::guest::Guest;
use crate::fake::{Fake, Manner};
use crate::fleet::{Regatta, desired, told};

const NOTHING: [&str; 0] = [];

/// A container and a virtual machine as people make them, and one that belongs to another fleet.
fn world(manner: Manner) -> Fake {
    let fake = Fake::of(manner);
    let container = [
        ("hostname", "wiki"),
        ("memory", "1024"),
        ("swap", "0"),
        ("cores", "2"),
        ("rootfs", "local:105/vm-105-disk-0.raw,size=8G"),
        ("mp0", "local:105/vm-105-disk-1.raw,mp=/data,backup=1,size=2G"),
        ("mp1", "/srv/photos,mp=/photos"),
        ("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:00:09,ip=10.0.0.9/24,gw=10.0.0.1,type=veth"),
        ("net1", "name=eth1,bridge=vmbr1,hwaddr=BC:24:11:AA:00:08,rate=10,type=veth"),
        ("nameserver", "10.0.0.1"),
        ("features", "nesting=1"),
        ("tags", "people;wiki"),
        ("description", "Ask *Ann*\n"),
        ("onboot", "1"),
        ("startup", "order=3"),
        ("unprivileged", "1"),
        ("ostype", "debian"),
    ];
    let vm = [
        ("name", "files"),
        ("memory", "2048"),
        ("cores", "4"),
        ("scsihw", "virtio-scsi-single"),
        ("scsi0", "local:106/vm-106-disk-0.qcow2,discard=on,size=32G"),
        ("net0", "virtio=BC:24:11:AA:00:07,bridge=vmbr0,firewall=1"),
        ("agent", "enabled=1"),
        ("ostype", "l26"),
    ];
    let theirs = r#"<!-- regatta {"v":1,"fleet":"other","guest":"theirs","vmid":107,"origin":"t","applied":{}} -->"#;
    let mut world = fake.world();
    world.guests.insert(105, Guest::of("pve1", &container, true));
    world.guests.insert(106, Guest::vm("pve2", &vm, false));
    world.guests.insert(107, Guest::of("pve1", &[("hostname", "theirs"), ("description", theirs)], true));
    drop(world);
    fake
}

/// What people had is there afterwards, and what regatta puts on beside it.
fn without_mark(guest: &Guest) -> Guest {
    let mut guest = guest.clone();
    guest.config.retain(|key, _| key != "tags");
    let description = guest.config.remove("description").unwrap_or_default();
    let notes = description.split("<!-- regatta").next().unwrap_or_default().trim().to_owned();
    guest.config.insert("description".into(), notes);
    guest
}

/// PROXMOX C13: an empty plan, without naming a template, and nothing of the guest changes.
#[tokio::test]
async fn what_is_written_down_and_marked_leaves_an_empty_plan() {
    for manner in [Manner::V8, Manner::V9] {
        let fake = world(manner);
        let regatta = Regatta::new(&fake);
        let before = fake.world().guests.clone();
        let mut text = String::new();
        for vmid in [105, 106] {
            text += &written(&regatta.clusters.unmarked("pve", vmid).await.unwrap());
        }
        assert_eq!(text, EXPECTED);
        let wish = desired(&text);
        let expected = ["vm.files Update Pending None: tags, mark", "container.wiki Update Pending Live: tags, mark"];
        assert_eq!(told(&regatta.plan(&wish).await), expected);
        // Before the mark is on, nothing removes it.
        assert_eq!(regatta.destroy(&wish).await, []);
        assert_eq!(fake.world().guests, before);

        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        let after = fake.world().guests.clone();
        assert_eq!(after[&105].config["tags"], "people;regatta-shop;wiki");
        for (vmid, guest) in &before {
            assert_eq!(without_mark(&after[vmid]), without_mark(guest), "{vmid}");
        }
    }
}

/// LESSON 43: neither another number, nor a template, nor somebody else's guest is taken over.
#[tokio::test]
async fn only_what_is_nobodys_is_taken_over() {
    let fake = world(Manner::V9);
    let regatta = Regatta::new(&fake);
    let foreign = fake.foreign();
    let theirs = fake.world().guests[&107].clone();
    for (vmid, why) in [
        (107, "guest 107 carries the mark of another fleet"),
        (900, "guest 900 is a template, which nobody runs"),
        (42_000, "found no guest 42000 on the cluster `pve`"),
    ] {
        assert_eq!(regatta.clusters.unmarked("pve", vmid).await.unwrap_err().causes, [why]);
    }
    let wish = |vmid: u32, name: &str| {
        desired(&format!("container \"{name}\" {{ cluster \"pve\"; vmid {vmid}; existing; memory \"64MiB\" }}"))
    };
    assert_eq!(
        told(&regatta.plan(&wish(107, "theirs")).await)[1],
        "container.theirs NotOurs: found guest 107 of this name, without the mark of this fleet"
    );
    let found = told(&regatta.plan(&wish(555, "nobody")).await);
    assert_eq!(found[1], "container.nobody NotOurs: found no guest 555 of this name that could be taken over");
    for wish in [wish(107, "theirs"), wish(106, "wiki"), wish(555, "nobody")] {
        regatta.apply(&wish).await;
    }
    assert_eq!(fake.foreign(), foreign);
    assert_eq!(fake.world().guests[&107], theirs);
}

/// LESSON 42: whose root it has is decided when a container is made; a plan does not pass over a file that says otherwise.
#[tokio::test]
async fn what_a_container_is_cannot_be_declared_away() {
    let fake = world(Manner::V9);
    let regatta = Regatta::new(&fake);
    let wish = |says: &str| desired(&format!("container \"wiki\" {{ cluster \"pve\"; vmid 105; existing; {says} }}"));
    let refusals = async |says: &str| {
        let plan = regatta.plan(&wish(says)).await;
        plan.refusals.into_iter().map(|it| format!("{:?}: {}", it.rule, it.message)).collect::<Vec<_>>()
    };
    let found = "MadeOtherwise: found container 105 unprivileged, the fleet file asks for privileged";
    assert_eq!(refusals("unprivileged #false").await, [found]);
    assert_eq!((refusals("").await, refusals("unprivileged #true").await), (vec![], vec![]));

    fake.world().guests.get_mut(&105).unwrap().config.remove("unprivileged");
    let found = "MadeOtherwise: found container 105 privileged, the fleet file asks for unprivileged";
    assert_eq!(refusals("unprivileged #true").await, [found]);
    assert_eq!((refusals("").await, refusals("unprivileged #false").await), (vec![], vec![]));
    assert!(!written(&regatta.clusters.unmarked("pve", 105).await.unwrap()).contains("privileged"));

    // What regatta made was made as declared: so long as that is declared.
    let made = |says: &str| {
        desired(&format!(
            "container \"made\" {{ cluster \"pve\"; vmid 200; template \"local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst\"
             root-disk storage=\"local-lvm\" size=\"8GiB\"; {says} }}"
        ))
    };
    assert_eq!(regatta.apply(&made("")).await, []);
    assert_eq!(told(&regatta.plan(&made("")).await), NOTHING);
    let plan = regatta.plan(&made("unprivileged #false")).await;
    assert_eq!(plan.refusals[0].message, "found container 200 unprivileged, the fleet file asks for privileged");
    assert!(plan.graph.steps.is_empty());
}

const EXPECTED: &str = "container \"wiki\" {
    cluster \"pve\"
    vmid 105
    existing
    unprivileged #true
    bind \"/photos\" from=\"/srv/photos\"
    cores 2
    feature \"nesting\"
    interface \"eth0\" bridge=\"vmbr0\" gateway=\"10.0.0.1\" ip=\"10.0.0.9/24\"
    // `interface \"eth1\"` has rate: it stays as it is
    memory \"1GiB\"
    mount \"/data\" backup=#true size=\"2GiB\" storage=\"local\"
    on-boot #true
    root-disk size=\"8GiB\" storage=\"local\"
    startup order=3
    swap \"0MiB\"
    tags \"people\" \"wiki\"
    dns \"10.0.0.1\"
}
vm \"files\" {
    cluster \"pve\"
    vmid 106
    existing
    cores 4
    disk 0 discard=#true size=\"32GiB\" storage=\"local\"
    interface 0 bridge=\"vmbr0\" firewall=#true model=\"virtio\"
    memory \"2GiB\"
    running #false
}
";

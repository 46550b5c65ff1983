//! Apply, then plan, is empty; what moved is put right; what is somebody else's stays.

use crate::fake::Fake;
use crate::fake::guest::Guest;
use crate::fleet::{EVERYTHING, Regatta, containers, desired, told};

const NOTHING: [&str; 0] = [];

/// LESSON 41, PROXMOX C1.
#[tokio::test]
async fn apply_then_plan_is_empty_for_every_attribute() {
    let (fake, wish) = (Fake::new(), containers(5));
    let foreign = fake.foreign();
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    assert_eq!(fake.world().guests.values().filter(|guest| guest.running).count(), 6);
    assert_eq!(fake.foreign(), foreign);
    let web = fake.world().guests[&1000].clone();
    assert_eq!(web.config["mp1"], "slow:1000/vm-1000-mp1.raw,mp=/srv,ro=1,size=1536M");
    assert_eq!(web.config["tags"], "edge;regatta-shop;web");

    assert_eq!(regatta.destroy(&wish).await, []);
    assert_eq!(fake.world().guests.keys().copied().collect::<Vec<_>>(), [100, 900, 901]);
    assert_eq!(fake.foreign(), foreign);
}

#[tokio::test]
async fn what_somebody_changed_is_drift_and_is_put_right() {
    let (fake, wish) = (Fake::new(), containers(2));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let mac = fake.world().guests[&1000].config["net0"].clone();
    {
        let mut world = fake.world();
        let web = world.guests.get_mut(&1000).unwrap();
        web.config.insert("memory".into(), "64".into());
        web.config.insert("net0".into(), mac.replace("vmbr0", "vmbr9"));
        web.config.insert("tags".into(), "edge;regatta-shop;theirs;web".into());
        web.config.insert("cpulimit".into(), "3".into());
        web.config.remove("startup");
        world.guests.get_mut(&1001).unwrap().running = false;
    }
    let expected = [
        "container.web-1 Update Drift Live: interface eth0, memory, startup",
        "container.web-2 Update Stopped None: state",
    ];
    assert_eq!(told(&regatta.plan(&wish).await), expected);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let web = fake.world().guests[&1000].clone();
    assert_eq!(
        (web.config["net0"].as_str(), web.config["tags"].as_str()),
        (mac.as_str(), "edge;regatta-shop;theirs;web")
    );
}

/// PROXMOX C4, C12: what needs a start is pending until the restart that the plan announced; disks grow live.
#[tokio::test]
async fn a_changed_fleet_file_is_applied_in_place() {
    let (fake, wish) = (Fake::new(), containers(1));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let mac = fake.world().guests[&1000].config["net0"].clone();
    let edited = EVERYTHING
        .replace("size=\"8GiB\"", "size=\"9GiB\"")
        .replace("    dns \"10.0.0.1\" \"10.0.0.2\" domain=\"lab.test\"\n", "")
        .replace("    mount \"/srv\" storage=\"slow\" size=\"1536MiB\" read-only=#true\n", "")
        .replace("cores 2", "cores 4");
    let edit =
        |restart: &str| desired(&format!("container \"web\" count=1 {{ cluster \"pve\"\n{edited}\n{restart} }}"));
    let changed = "cores, dns-servers, mount /srv, root-disk size, search-domain";
    assert_eq!(
        told(&regatta.plan(&edit("restart \"never\"")).await),
        [format!("container.web-1 Update Pending Live: {changed}")]
    );
    assert_eq!(regatta.apply(&edit("restart \"never\"")).await, []);
    assert_eq!(fake.world().guests[&1000].config["nameserver"], "10.0.0.1 10.0.0.2");
    assert_eq!(told(&regatta.plan(&edit("restart \"never\"")).await), NOTHING);

    let wish = edit("");
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let web = fake.world().guests[&1000].clone();
    assert_eq!(web.config.get("nameserver"), None);
    assert_eq!(web.config["unused0"], "slow:1000/vm-1000-mp1.raw");
    assert_eq!((web.config["net0"].as_str(), web.running, web.pending.len()), (mac.as_str(), true, 0));
    assert!(web.config["rootfs"].ends_with("size=9G"), "{web:?}");
}

/// PROXMOX C6, C11: neither a namesake nor a copy is ours, and what moved is found.
#[tokio::test]
async fn only_the_mark_makes_a_guest_ours() {
    let (fake, wish) = (Fake::new(), containers(1));
    let regatta = Regatta::new(&fake);
    fake.world().guests.insert(500, Guest::of("pve1", &[("hostname", "web-1"), ("tags", "regatta-shop")], true));
    let refused = [
        "container.web-1 Unreadable Unreadable None: ",
        "container.web-1 NotOurs: found guest 500 of this name, without the mark of this fleet",
    ];
    assert_eq!(told(&regatta.plan(&wish).await), refused);
    fake.world().guests.remove(&500);
    assert_eq!(regatta.apply(&wish).await, []);
    {
        let mut world = fake.world();
        let copy = world.guests[&1000].clone();
        world.guests.insert(1500, copy);
        let moved = world.guests.get_mut(&1000).unwrap();
        moved.node = "pve3".into();
        moved.config.insert("hostname".into(), "renamed".into());
    }
    assert_eq!(told(&regatta.plan(&wish).await), ["container.web-1 Update Drift Live: hostname"]);
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    assert_eq!(regatta.destroy(&wish).await, []);
    assert_eq!(fake.world().guests.keys().copied().collect::<Vec<_>>(), [100, 900, 901, 1500]);
}

/// PROXMOX A5: the original is locked while it is cloned.
#[tokio::test]
async fn ten_clones_of_one_original_at_once() {
    let fake = Fake::new();
    let wish = desired(
        "container \"c\" count=10 { cluster \"pve\"; clone 900 full=#true; vmid from=2000 to=2010; memory \"128MiB\"; notes \"n\" }",
    );
    let regatta = Regatta::new(&fake);
    let made = regatta.plan(&wish).await;
    // Without the run's lock on the original: the driver alone has to cope.
    let all = made.graph.steps.iter().filter(|step| step.op.name() == "create-cluster-guest");
    let all: Vec<_> = all.map(|step| regatta.attempt(step)).collect();
    for result in futures(all).await {
        assert_eq!(result, Ok(()));
    }
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    assert_eq!(fake.world().guests.keys().filter(|vmid| **vmid >= 2000).count(), 10);
}

/// Waits for all of them at once.
pub(crate) async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_protected_guest_is_not_removed() {
    let fake = Fake::new();
    let wish = containers(1);
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    fake.world().guests.get_mut(&1000).unwrap().config.insert("protection".into(), "1".into());
    let nothing = desired("");
    assert_eq!(
        told(&regatta.plan(&nothing).await),
        [
            "container.web-1 Destroy NotDeclared DataLoss: ",
            "container.web-1 Protected: guest 1000 is protected and would be removed",
        ]
    );
}

/// One listing, and one configuration for each guest that may be ours.
#[tokio::test]
async fn a_plan_costs_one_listing_and_one_read_per_guest() {
    let (fake, wish) = (Fake::new(), containers(4));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    fake.world().requests.clear();
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let mut requests = fake.world().requests.clone();
    requests.sort();
    assert_eq!(
        requests,
        [
            "GET /access/permissions",
            "GET /cluster/resources",
            "GET /nodes/pve1/lxc/1000/pending",
            "GET /nodes/pve1/lxc/1001/pending",
            "GET /nodes/pve1/lxc/1002/pending",
            "GET /nodes/pve1/lxc/1003/pending",
        ]
    );
}

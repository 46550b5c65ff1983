//! Snapshots of guests on clusters: what `regatta snapshot` does with them.

use regatta::driver::proxmox::GuestSnapshot;
use regatta::plan::{Impact, Plan, SnapshotOf, Snapshots, snapshots};
use regatta::resource::Desired;
use regatta::resource::cluster::GuestKind;

use crate::fake::fault::{Fault, Strike, When};
use crate::fake::{Fake, Manner};
use crate::fleet::{EVERYTHING, EVERYTHING_OF_A_VM, Regatta, desired, told};

const NOTHING: [&str; 0] = [];

fn fleet() -> Desired {
    // Storages of the kind `dir` keep no snapshots of containers.
    let web = EVERYTHING.replace("local-lvm", "zfs");
    desired(&format!(
        "container \"web\" {{ cluster \"pve\"\n{web} }}\nvm \"db\" {{ cluster \"pve\"\n{EVERYTHING_OF_A_VM} }}"
    ))
}

fn both(wish: &Desired, asked: &Snapshots) -> Plan {
    let of = |guest: &str, vmid, kind| {
        (SnapshotOf::OnCluster { cluster: "pve".into(), guest: guest.into(), vmid, kind }, asked.clone())
    };
    snapshots(wish, &[of("web", 1000, GuestKind::Container), of("db", 2000, GuestKind::Vm)])
}

fn take(name: &str) -> Snapshots {
    Snapshots::Take { name: name.into(), why: "asked for".into(), impact: Impact::Live }
}

async fn done(regatta: &Regatta, plan: &Plan) -> Vec<String> {
    let mut failures = Vec::new();
    for step in &plan.graph.steps {
        failures.extend(regatta.attempt(step).await.err().map(|failure| failure.causes.join(": ")));
    }
    failures
}

async fn names(regatta: &Regatta, guest: &str, vmid: u32) -> Vec<String> {
    let kept = regatta.clusters.snapshots("pve", guest, vmid).await.unwrap();
    kept.into_iter().map(|GuestSnapshot { name, .. }| name).collect()
}

/// In the manner of both releases; a plan has nothing to say about snapshots, whatever the guests were rolled back to.
#[tokio::test]
async fn snapshots_are_taken_listed_rolled_back_to_and_removed() {
    for manner in [Manner::V8, Manner::V9] {
        let (fake, wish) = (Fake::of(manner), fleet());
        let regatta = Regatta::new(&fake);
        assert_eq!(regatta.apply(&wish).await, []);
        for name in ["first", "second"] {
            assert_eq!(done(&regatta, &both(&wish, &take(name))).await, NOTHING);
        }
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        assert_eq!(names(&regatta, "web", 1000).await, ["first", "second"]);
        assert_eq!(names(&regatta, "db", 2000).await, ["first", "second"]);

        for vmid in [1000, 2000] {
            let mut world = fake.world();
            let guest = world.guests.get_mut(&vmid).unwrap();
            guest.power(false);
            guest.config.insert("memory".into(), "77".into());
        }
        let back = Snapshots::Restore { name: "first".into(), kept: String::new() };
        assert_eq!(done(&regatta, &both(&wish, &back)).await, NOTHING);
        assert_eq!(fake.world().guests[&1000].config["memory"], "256");
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);

        let delete = Snapshots::Delete { names: vec!["first".into(), "second".into()] };
        assert_eq!(done(&regatta, &both(&wish, &delete)).await, NOTHING);
        assert_eq!(names(&regatta, "web", 1000).await, NOTHING);
        assert_eq!(done(&regatta, &both(&wish, &delete)).await, NOTHING, "what is gone is removed already");
        let missing = done(&regatta, &both(&wish, &back)).await;
        assert_eq!(missing, ["guest `web` has no snapshot `first`", "guest `db` has no snapshot `first`"]);
    }
}

#[tokio::test]
async fn a_storage_that_keeps_none_is_said_before_anything_is_asked_of_it() {
    let (fake, wish) = (
        Fake::new(),
        desired(&format!("container \"web\" {{ cluster \"pve\"\n{EVERYTHING} }}").replace("local-lvm", "local")),
    );
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let of =
        SnapshotOf::OnCluster { cluster: "pve".into(), guest: "web".into(), vmid: 1000, kind: GuestKind::Container };
    let plan = snapshots(&wish, &[(of, take("first"))]);
    fake.world().requests.clear();
    assert_eq!(done(&regatta, &plan).await, ["a storage of guest `web` keeps no snapshots"]);
    assert!(fake.world().requests.iter().all(|request| request.starts_with("GET")));
}

/// LESSON 38: an answer that is lost, or a lock that passes, makes neither two of one nor none.
#[tokio::test]
async fn every_fault_at_every_request_of_a_snapshot() {
    for fault in [
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::GatewayTimeout,
        Fault::Locked,
        Fault::TaskEnds("unexpected status"),
    ] {
        for at in 0..12 {
            let (fake, wish) = (Fake::new(), fleet());
            let regatta = Regatta::new(&fake);
            assert_eq!(regatta.apply(&wish).await, []);
            fake.world().requests.clear();
            fake.world().strike = Some(Strike { fault, at: When::Request(at) });
            let failures = done(&regatta, &both(&wish, &take("first"))).await;
            fake.world().strike = None;
            if !failures.is_empty() {
                assert_eq!(done(&regatta, &both(&wish, &take("first"))).await, NOTHING, "{fault:?} at {at}");
            }
            assert_eq!(names(&regatta, "web", 1000).await, ["first"], "{fault:?} at {at}: {failures:?}");
        }
    }
}

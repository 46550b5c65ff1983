//! Pools, high availability and firewalls: what is kept of guests beside their configurations.

use std::collections::BTreeSet;

use regatta::plan::Plan;
use regatta::resource::Desired;

use crate::fake::{Fake, Manner};
use crate::fleet::{BESIDE, EVERYTHING, EVERYTHING_OF_A_VM, Regatta, desired, told};

const NOTHING: [&str; 0] = [];

fn guarded(beside: &str) -> Desired {
    desired(&format!(
        "container \"web\" count=2 {{ cluster \"pve\"\n{EVERYTHING}\n{beside} }}
         vm \"db\" {{ cluster \"pve\"\n{EVERYTHING_OF_A_VM}\n{beside} }}"
    ))
}

fn impacts(plan: &Plan) -> Vec<String> {
    let attributes = plan.changes.iter().flat_map(|change| &change.attributes);
    attributes.map(|attribute| format!("{} {:?}", attribute.path, attribute.impact)).collect()
}

/// LESSON 41, PROXMOX C1: in the manner of both releases.
#[tokio::test]
async fn apply_then_plan_is_empty_for_what_is_kept_beside() {
    for manner in [Manner::V8, Manner::V9] {
        let (fake, wish) = (Fake::of(manner), guarded(BESIDE));
        let before = fake.world().beside.clone();
        let regatta = Regatta::new(&fake);
        assert_eq!(regatta.apply(&wish).await, []);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
        let beside = fake.world().beside.clone();
        assert_eq!(beside.pools["lab"].1, BTreeSet::from([1000, 1001, 2000]));
        for vmid in [1000, 1001, 2000] {
            assert_eq!(
                (beside.services[&vmid]["state"].as_str(), beside.services[&vmid]["max_restart"].as_str()),
                ("started", "2")
            );
            let wall = &beside.firewalls[&vmid];
            assert_eq!(wall.options["policy_in"], "DROP");
            let rules: Vec<&str> = wall.rules.iter().map(|rule| rule["action"].as_str()).collect();
            assert_eq!(rules, ["ACCEPT", "web-servers", "REJECT"]);
            assert_eq!((wall.rules[0]["comment"].as_str(), wall.rules[2]["enable"].as_str()), ("a, b; c=1", "0"));
            assert!(fake.world().guests[&vmid].running);
        }
        assert_eq!(regatta.destroy(&wish).await, []);
        assert_eq!(fake.world().beside, before);
    }
}

/// What somebody changed is put right, with as few requests as it takes; nothing is open that was closed meanwhile.
#[tokio::test]
async fn what_somebody_changed_beside_is_put_right() {
    let (fake, wish) = (Fake::new(), guarded(BESIDE));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    let as_declared = fake.world().beside.clone();
    {
        let beside = &mut fake.world().beside;
        beside.join(1000, "prod");
        beside.services.get_mut(&1000).unwrap().insert("max_restart".into(), "9".into());
        let wall = beside.firewalls.get_mut(&1000).unwrap();
        let theirs = [("type", "in"), ("action", "ACCEPT"), ("enable", "1")];
        wall.rules.insert(0, theirs.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        wall.options.insert("radv".into(), "1".into());
        beside.services.remove(&2000);
        beside.firewalls.get_mut(&2000).unwrap().rules.swap(0, 1);
    }
    let plan = regatta.plan(&wish).await;
    let rules = "firewall-rule 0, firewall-rule 1, firewall-rule 2, firewall-rule 3";
    let expected = [
        "vm.db Update Drift Connectivity: firewall-rule 0, firewall-rule 1, ha".to_owned(),
        format!("container.web-1 Update Drift Connectivity: firewall, {rules}, ha, pool"),
    ];
    assert_eq!(told(&plan), expected);
    assert!(impacts(&plan).contains(&"pool Live".to_owned()), "{:#?}", impacts(&plan));
    fake.world().requests.clear();
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(fake.world().beside, as_declared);
    let written: Vec<String> = fake
        .world()
        .requests
        .iter()
        .filter(|request| !request.starts_with("GET") && request.contains("rules"))
        .cloned()
        .collect();
    let expected = [
        "PUT /nodes/pve2/qemu/2000/firewall/rules/1",
        "PUT /nodes/pve2/qemu/2000/firewall/rules/0",
        "DELETE /nodes/pve1/lxc/1000/firewall/rules/0",
    ];
    assert_eq!(written, expected);
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
}

/// What is no longer declared goes when it was ours; what was never declared stays.
#[tokio::test]
async fn what_is_no_longer_declared_goes_and_what_never_was_stays() {
    let fake = Fake::new();
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&guarded(BESIDE)).await, []);
    let plain = guarded("");
    assert_eq!(regatta.apply(&plain).await, []);
    assert_eq!(told(&regatta.plan(&plain).await), NOTHING);
    {
        let beside = &mut fake.world().beside;
        assert!(beside.services.is_empty() && beside.pools["lab"].1.is_empty());
        assert!(beside.firewalls.values().all(|wall| wall.rules.is_empty() && wall.options.is_empty()));
        beside.pools.get_mut("prod").unwrap().1.insert(1000);
        beside.services.insert(1000, [("state".to_owned(), "started".to_owned())].into());
        let theirs = [("type", "in"), ("action", "ACCEPT"), ("enable", "1")];
        let theirs = theirs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        beside.firewalls.get_mut(&1000).unwrap().rules.push(theirs);
    }
    let theirs = fake.world().beside.clone();
    assert_eq!(told(&regatta.plan(&plain).await), NOTHING);
    assert_eq!(regatta.apply(&plain).await, []);
    assert_eq!(fake.world().beside, theirs);
}

/// However many guests high availability looks after, it is asked once.
#[tokio::test]
async fn high_availability_is_listed_once() {
    let (fake, wish) = (Fake::new(), guarded("ha"));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    fake.world().requests.clear();
    assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    let mut requests = fake.world().requests.clone();
    requests.sort();
    let guests = ["lxc/1000", "lxc/1001", "qemu/2000"]
        .map(|guest| format!("GET /nodes/pve{}/{guest}/pending", if guest.starts_with('q') { 2 } else { 1 }));
    let mut expected =
        vec!["GET /access/permissions".to_owned(), "GET /cluster/ha/resources".into(), "GET /cluster/resources".into()];
    expected.extend(guests);
    assert_eq!(requests, expected);
}

/// The same words on both releases: a group of its own on 8, a rule of its own on 9. Those of others stay.
#[tokio::test]
async fn guests_are_kept_on_nodes_in_the_manner_of_either_release() {
    for (manner, strict) in [(Manner::V8, "restricted"), (Manner::V9, "strict")] {
        let fake = Fake::of(manner);
        let theirs = [("nodes", "pve3")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        fake.world().beside.affinities.insert("theirs".into(), theirs);
        let (regatta, before) = (Regatta::new(&fake), fake.world().beside.clone());
        let kept = guarded("ha max-restart=2 strict=#true { node \"pve2\"; node \"pve1\" priority=2; }");
        assert_eq!(regatta.apply(&kept).await, []);
        assert_eq!(told(&regatta.plan(&kept).await), NOTHING);
        let own = fake.world().beside.affinities["regatta-ct-1000"].clone();
        assert_eq!((own["nodes"].as_str(), own[strict].as_str()), ("pve1:2,pve2", "1"));
        assert_eq!(fake.world().beside.affinities.len(), 4);

        // Somebody changes it, and somebody takes the guest from high availability.
        fake.world().beside.affinities.get_mut("regatta-ct-1000").unwrap().insert("nodes".into(), "pve3".into());
        fake.world().beside.services.remove(&1001);
        let told_of = told(&regatta.plan(&kept).await);
        let expected = ["container.web-1 Update Drift Live: ha", "container.web-2 Update Drift Live: ha"];
        assert_eq!(told_of, expected);
        assert_eq!(regatta.apply(&kept).await, []);
        assert_eq!(told(&regatta.plan(&kept).await), NOTHING);
        assert_eq!(fake.world().beside.affinities["regatta-ct-1000"]["nodes"], "pve1:2,pve2");

        let anywhere = guarded("ha max-restart=2");
        assert_eq!(regatta.apply(&anywhere).await, []);
        assert_eq!(told(&regatta.plan(&anywhere).await), NOTHING);
        assert_eq!(fake.world().beside.affinities, before.affinities);
        assert_eq!(regatta.apply(&kept).await, []);
        assert_eq!(regatta.destroy(&kept).await, []);
        assert_eq!(fake.world().beside, before);
    }
}

#[tokio::test]
async fn a_pool_that_is_not_there_is_said() {
    let fake = Fake::new();
    let wish = desired(&format!("container \"web\" {{ cluster \"pve\"\n{EVERYTHING}\npool \"nope\" }}"));
    let failures = Regatta::new(&fake).apply(&wish).await;
    let causes: Vec<String> = failures.iter().map(|(_, failure)| failure.causes.join(": ")).collect();
    assert_eq!(causes, ["pool 'nope' does not exist"]);
    assert!(!fake.world().guests.contains_key(&1000));
}

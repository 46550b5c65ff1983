//! Every fault at every request of an apply: the report is truthful, and the next apply leads where an undisturbed one
//! would have led.

use crate::fake::Fake;
use crate::fake::fault::{FAULTS, Fault, Strike, When};
use crate::fleet::{BESIDE, EVERYTHING, Regatta, desired, told};

const NOTHING: [&str; 0] = [];

/// Containers from a template, clones, and virtual machines.
fn fleet(containers: u32, clones: u32, vms: u32) -> String {
    fleet_with("", containers, clones, vms)
}

fn fleet_with(beside: &str, containers: u32, clones: u32, vms: u32) -> String {
    let clone = "cluster \"pve\"; clone 900 full=#true; vmid from=1000 to=1999; memory \"128MiB\"";
    format!(
        "container \"web\" count={containers} {{ cluster \"pve\"\n{EVERYTHING}\n{beside} }}\ncontainer \"c\" count={clones} {{ {clone} }}
         vm \"v\" count={vms} {{ cluster \"pve\"; clone 901; vmid from=2000 to=2999; memory \"1GiB\"; disk 0 storage=\"local\" size=\"4GiB\" }}"
    )
}

fn ours(fake: &Fake) -> usize {
    let world = fake.world();
    world
        .guests
        .values()
        .filter(|guest| guest.config.get("description").is_some_and(|text| text.contains("<!-- regatta")))
        .count()
}

#[tokio::test]
async fn every_fault_at_every_request() {
    everything_goes_wrong_once("", [1, 1, 1], 0).await;
}

#[tokio::test]
#[ignore = "takes minutes; scripts/test runs it"]
async fn every_fault_at_every_request_of_five_guests() {
    everything_goes_wrong_once("", [2, 1, 2], 1).await;
}

#[tokio::test]
#[ignore = "takes minutes; scripts/test runs it"]
async fn every_fault_at_every_request_of_a_guest_with_pool_firewall_and_high_availability() {
    everything_goes_wrong_once(BESIDE, [1, 0, 0], 0).await;
}

/// LESSONS 38 and 39, PROXMOX C7, C10.
async fn everything_goes_wrong_once(beside: &str, [containers, clones, vms]: [u32; 3], polls: u32) {
    let wish = desired(&fleet_with(beside, containers, clones, vms));
    let guests = (containers + clones + vms) as usize;
    let undisturbed = Fake::new();
    undisturbed.world().polls = polls;
    assert_eq!(Regatta::new(&undisturbed).apply(&wish).await, []);
    let requests = undisturbed.world().requests.len();
    assert!(requests > 20, "{requests}");
    for fault in FAULTS {
        for at in 0..requests {
            let fake = Fake::new();
            let foreign = fake.foreign();
            fake.world().polls = polls;
            fake.world().strike = Some(Strike { fault, at: When::Request(at) });
            let failures = Regatta::new(&fake).apply(&wish).await;
            let what = || format!("{fault:?} at request {at}, `{}`", fake.world().requests[at]);
            fake.world().strike = None;
            fake.world().let_tasks_end();
            let regatta = Regatta::new(&fake);
            if failures.is_empty() && fault != Fault::Moved {
                assert_eq!(told(&regatta.plan(&wish).await), NOTHING, "a run that told no failure: {}", what());
            }
            for (step, failure) in &failures {
                assert!(!failure.causes.join("").is_empty(), "{step} failed without a word: {}", what());
            }
            assert_eq!(regatta.apply(&wish).await, [], "the second apply: {}", what());
            assert_eq!(told(&regatta.plan(&wish).await), NOTHING, "after the second apply: {}", what());
            assert_eq!(ours(&fake), guests, "{}", what());
            let others = fake.foreign();
            assert!(foreign.iter().all(|(vmid, guest)| others.get(vmid) == Some(guest)), "{}", what());
        }
    }
}

/// Each is its own diagnostic, and nothing is changed.
#[tokio::test]
async fn what_lasts_is_told_and_changes_nothing() {
    let wish = desired(&fleet(2, 1, 2));
    let cases = [
        (Fault::Unauthorized, When::Always, "the API token is not accepted: Authentication failed!"),
        (Fault::Forbidden, When::Writes, "Permission check failed (/vms/1000, VM.Config.Options)"),
        (Fault::NoQuorum, When::Writes, "cluster not ready - no quorum?"),
        (Fault::NodeDown, When::Writes, "a node of the cluster could not be reached: Connection refused"),
        (Fault::Unreachable, When::Always, "no server of the cluster answers: connection refused"),
        (Fault::LostBefore, When::Writes, "lost the connection before it answered"),
    ];
    for (fault, at, said) in cases {
        let fake = Fake::new();
        let before = fake.world().guests.clone();
        fake.world().strike = Some(Strike { fault, at });
        let failures = Regatta::new(&fake).apply(&wish).await;
        let all: Vec<&str> =
            failures.iter().flat_map(|(_, failure)| failure.causes.iter().map(String::as_str)).collect();
        assert!(all.iter().any(|cause| cause.contains(said)), "{fault:?}: {all:#?}");
        assert_eq!(fake.world().guests, before, "{fault:?}");
        let asked = fake.world().requests.len();
        // A refused token costs the server 3 s each time: it is not tried again.
        assert!(fault != Fault::Unauthorized || asked == 1, "{asked}");
    }
}

#[tokio::test]
async fn without_the_right_to_look_nothing_is_absent() {
    let (fake, wish) = (Fake::new(), desired(&fleet(2, 1, 2)));
    fake.world().privileges.clear();
    let plan = Regatta::new(&fake).plan(&wish).await;
    assert_eq!(plan.graph.steps, []);
    assert_eq!(
        plan.changes[0].note.as_deref(),
        Some(
            "the API token lacks the privilege `VM.Audit` on `/vms`: its guests cannot be seen; give it a role with \
             VM.Audit on `/vms`; a token with privilege separation needs it itself, beside its user"
        )
    );
}

/// PROXMOX C11: guests of a silent node have no name, and are not made again elsewhere.
#[tokio::test]
async fn guests_of_a_silent_node_are_unreadable() {
    let (fake, wish) = (Fake::new(), desired(&fleet(2, 1, 2)));
    let regatta = Regatta::new(&fake);
    assert_eq!(regatta.apply(&wish).await, []);
    fake.world().nodes.insert("pve2".into(), false);
    let plan = regatta.plan(&wish).await;
    let notes: Vec<&str> = plan.changes.iter().filter_map(|change| change.note.as_deref()).collect();
    let silent = "it may be on the node `pve2`, which does not answer";
    assert_eq!(notes, ["nodes that do not answer: pve2", silent, silent, silent]);
    assert_eq!(plan.graph.steps, []);
}

/// PROXMOX C14: what is missing is named, privilege by privilege and path by path.
#[tokio::test]
async fn doctor_names_exactly_what_the_token_lacks() {
    let (fake, wish) = (Fake::new(), desired(&fleet(1, 1, 0)));
    let found = async || {
        let findings = Regatta::new(&fake).clusters.examine(&wish).await;
        findings.into_iter().map(|it| format!("{:?} {}: {}", it.verdict, it.check, it.found)).collect::<Vec<_>>()
    };
    let fine = ["Pass cluster.pve: Proxmox VE 9.2.11", "Pass cluster.pve nodes: online: pve1, pve2, pve3"];
    assert_eq!(found().await, [&fine[..], &["Pass cluster.pve privileges: has the 14 that this fleet needs"]].concat());
    {
        let mut world = fake.world();
        let all = world.privileges["/"].clone();
        let without = |names: &[&str]| all.iter().filter(|name| !names.contains(&name.as_str())).cloned().collect();
        world.privileges = [
            ("/vms".to_owned(), without(&["VM.Clone", "VM.Config.CPU"])),
            ("/sdn".to_owned(), all.clone()),
            ("/storage/local".to_owned(), all.clone()),
            ("/storage/slow".to_owned(), all.clone()),
        ]
        .into();
    }
    let lacks = "Fail cluster.pve privileges: the API token lacks `Datastore.AllocateSpace` on `/storage/local-lvm`; \
                 `VM.Config.CPU` on `/vms`; `VM.Clone` on `/vms/900`";
    assert_eq!(found().await, [&fine[..], &[lacks]].concat());
    fake.world().strike = Some(Strike { fault: Fault::Unauthorized, at: When::Always });
    assert_eq!(found().await, ["Fail cluster.pve: the API token is not accepted: Authentication failed!"]);
}

/// PROXMOX C10: a run that died while a guest was being made left no guest with a mark yet. The next one waits for it.
#[tokio::test]
async fn what_a_dead_run_began_is_not_begun_again() {
    for guests in [fleet(1, 0, 0), fleet(0, 1, 0), fleet(0, 0, 1)] {
        let (fake, wish) = (Fake::new(), desired(&guests));
        fake.world().polls = 3;
        let regatta = Regatta::new(&fake);
        let made = regatta.plan(&wish).await;
        let create = made.graph.steps.iter().find(|step| step.op.name() == "create-cluster-guest").unwrap();
        {
            // It dies at its first look at the task that it started.
            let dying = Regatta::new(&fake);
            let look = async {
                while !fake.world().requests.iter().any(|r| r.ends_with("/status")) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! { _ = dying.attempt(create) => panic!("it ended"), () = look => {} }
        }
        assert_eq!(ours(&fake), 0);
        let regatta = Regatta::new(&fake);
        assert_eq!(regatta.apply(&wish).await, []);
        fake.world().let_tasks_end();
        assert_eq!(ours(&fake), 1, "{:#?}", fake.world().guests);
        assert_eq!(told(&regatta.plan(&wish).await), NOTHING);
    }
}

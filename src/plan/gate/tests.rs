use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::config::{self, Benign};
use crate::plan::{Edge, Graph, Op, StepId};
use crate::resource::{Address, Observed, Reading};

fn step(id: u32, guest: &str, op: Op, after: &[u32]) -> Step {
    Step {
        id: StepId(id),
        addresses: vec![Address::vm(guest)],
        deadline_s: op.deadline_s(),
        repeat: op.repeat(),
        op,
        after: after.iter().map(|id| Edge { step: StepId(*id), why: "test".into() }).collect(),
        rescues: Vec::new(),
    }
}

fn destroy(id: u32, guest: &str, after: &[u32]) -> Step {
    step(id, guest, Op::DestroyGuest { guest: guest.into() }, after)
}

fn stop(id: u32, guest: &str, after: &[u32]) -> Step {
    step(id, guest, Op::StopGuest { guest: guest.into() }, after)
}

fn policy(all: &[&config::Policy], caller: Caller) -> Policy {
    Policy::merge(all, caller).unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn approved(step: &Step, principal: &str) -> ApprovedStep {
    ApprovedStep {
        principal: principal.into(),
        addresses: step.addresses.clone(),
        operation: step.op.name().into(),
        digest: digest_of(step),
        from: "2026-11-22T11:00:00Z".parse().unwrap(),
        until: "2026-11-22T13:00:00Z".parse().unwrap(),
    }
}

fn is_allowed(step: &Step, policy: &Policy, grants: &Grants) -> bool {
    matches!(gate(step, &Provenance::default(), policy, grants, now()), Decision::Allowed { .. })
}

fn agreed(agreement: Agreement) -> Grants {
    let mut grants = Grants::default();
    grants.agree(agreement);
    grants
}

/// LESSON 43: a destroy is destructive, whoever asks, as long as nothing says that the data is ours and temporary.
#[test]
fn what_is_unknown_is_destructive() {
    let nobody = Provenance::default();
    assert_eq!(class(&destroy(0, "web", &[]).op, &nobody), Class::Destructive(Loss::Guest));
    assert_eq!(class(&stop(0, "web", &[]).op, &nobody), Class::Benign(Harmless::AddsOnly));
    let unreadable = BTreeMap::from([("web".to_owned(), Reading::Unreadable("torn".to_owned()))]);
    let unreadable = Provenance::new(Arc::new(Observed { guests: unreadable, ..Observed::default() }));
    assert_eq!(class(&destroy(0, "web", &[]).op, &unreadable), Class::Destructive(Loss::Guest));
    let lifted = Op::ProtectGuest { guest: "web".into(), protected: false };
    assert_eq!(class(&lifted, &nobody), Class::Destructive(Loss::Protection));
}

/// The whole table of `docs/design/gate.md`: caller × policy × agreement.
#[test]
fn who_has_to_agree_to_what() {
    let empty = config::Policy::default();
    let web = Address::vm("web");
    let agreements = [
        Grants::default(),
        agreed(Agreement::Yes),
        agreed(Agreement::Asked),
        agreed(Agreement::Typed { address: web.clone() }),
        agreed(Agreement::YesDestroy { address: Address::vm("db") }),
        agreed(Agreement::YesDestroy { address: web }),
    ];
    let table = [
        (&[][..], Caller::Person, [false, true, true, true, false, true]),
        (&[], Caller::Pipeline, [false, true, true, true, false, true]),
        (&[], Caller::Agent, [false; 6]),
        (&[&empty], Caller::Person, [false, false, false, true, false, true]),
        (&[&empty], Caller::Pipeline, [false; 6]),
        (&[&empty], Caller::Agent, [false; 6]),
    ];
    let step = destroy(0, "web", &[]);
    for (policies, caller, expected) in table {
        let policy = policy(policies, caller);
        let found = agreements.each_ref().map(|grants| is_allowed(&step, &policy, grants));
        assert_eq!(found, expected, "{} policies, {caller:?}", policies.len());
        let mut signed = Grants::default();
        signed.approve([approved(&step, "alice")]);
        assert!(is_allowed(&step, &policy, &signed), "an approval satisfies every demand");
        assert!(is_allowed(&stop(0, "web", &[]), &policy, &Grants::default()), "a stop loses nothing");
    }
}

#[test]
fn an_approval_is_for_one_step_and_for_a_time() {
    let policy = Policy::none(Caller::Agent);
    let step = destroy(0, "web", &[]);
    let good = approved(&step, "alice");
    let wrong = [
        ApprovedStep { addresses: vec![Address::vm("db")], ..good.clone() },
        ApprovedStep { operation: "replace-root".into(), ..good.clone() },
        ApprovedStep { digest: Digest::of(b"another"), ..good.clone() },
        ApprovedStep { from: "2026-11-22T12:00:01Z".parse().unwrap(), ..good.clone() },
        ApprovedStep { until: now(), ..good.clone() },
    ];
    for approval in wrong {
        let mut grants = Grants::default();
        grants.approve([approval.clone()]);
        assert!(!is_allowed(&step, &policy, &grants), "{approval:?}");
    }
    let mut grants = Grants::default();
    grants.approve([good]);
    let principals = vec!["alice".to_owned()];
    let allowed = Decision::Allowed { ground: Ground::Approved { principals } };
    assert_eq!(gate(&step, &Provenance::default(), &policy, &grants, now()), allowed);
}

#[test]
fn a_threshold_counts_people_and_not_signatures() {
    let threshold = config::Threshold { count: 2, on: Some("vm.db*".into()) };
    let two = config::Policy { thresholds: vec![threshold], ..config::Policy::default() };
    let policy = policy(&[&two], Caller::Pipeline);
    let step = destroy(0, "db-1", &[]);
    let mut grants = Grants::default();
    grants.approve([approved(&step, "alice"), approved(&step, "alice")]);
    let need = Need { loss: Loss::Guest, demand: Demand::Approval, have: 1, want: 2 };
    assert_eq!(gate(&step, &Provenance::default(), &policy, &grants, now()), Decision::Held { need: need.clone() });
    assert_eq!(need.to_string(), "needs approval: 1 of 2");
    grants.approve([approved(&step, "bob")]);
    assert!(is_allowed(&step, &policy, &grants));
    let other = destroy(0, "web", &[]);
    let mut one = Grants::default();
    one.approve([approved(&other, "alice")]);
    assert!(is_allowed(&other, &policy, &one), "the rule is about others");
}

#[test]
fn roles_limit_what_a_principal_approves() {
    let role = |name: &str, principal: &str, is_recovery| config::Role {
        name: name.into(),
        principals: vec![principal.into()],
        on: vec!["vm.web*".into()],
        operations: vec!["destroy-guest".into()],
        is_recovery,
    };
    let roles = vec![role("operators", "alice", false), role("vault", "vault", true)];
    let policy = policy(&[&config::Policy { roles, ..config::Policy::default() }], Caller::Pipeline);
    let web = destroy(0, "web-1", &[]);
    let lifted = step(0, "web-1", Op::ProtectGuest { guest: "web-1".into(), protected: false }, &[]);
    for (step, principal, expected) in [
        (&web, "alice", true),
        (&web, "bob", false),
        (&web, "vault", false),
        (&destroy(0, "db", &[]), "alice", false),
        (&lifted, "alice", false),
    ] {
        let mut grants = Grants::default();
        grants.approve([approved(step, principal)]);
        assert_eq!(is_allowed(step, &policy, &grants), expected, "{principal} {:?}", step.op);
    }
}

/// No policy makes another one weaker, wherever it stands.
#[test]
fn merging_only_makes_it_stricter() {
    let lax = config::Policy {
        people: Some(Demand::Agreement),
        pipelines: Some(Demand::Agreement),
        of_fleet: true,
        ..config::Policy::default()
    };
    let strict = config::Policy { benign: Some(Benign::Hold), ..config::Policy::default() };
    for caller in [Caller::Person, Caller::Pipeline, Caller::Agent] {
        let alone = policy(&[&strict], caller);
        for order in [[&strict, &lax], [&lax, &strict]] {
            let merged = policy(&order, caller);
            assert_eq!((merged.demand(), merged.benign()), (alone.demand(), Benign::Hold), "{caller:?}");
        }
    }
    let mine = config::Role {
        name: "mine".into(),
        principals: vec!["mallory".into()],
        on: Vec::new(),
        operations: Vec::new(),
        is_recovery: false,
    };
    let poisoned = config::Policy { roles: vec![mine], of_fleet: true, ..config::Policy::default() };
    let host = config::Role {
        name: "ops".into(),
        principals: vec!["alice".into()],
        on: Vec::new(),
        operations: Vec::new(),
        is_recovery: false,
    };
    let host = config::Policy { roles: vec![host], ..config::Policy::default() };
    let merged = policy(&[&host, &poisoned], Caller::Pipeline);
    let web = destroy(0, "web", &[]);
    assert!(merged.may_approve("alice", &web) && !merged.may_approve("mallory", &web));
    let wrong = config::Threshold { count: 2, on: Some("tag:db".into()) };
    assert!(
        Policy::merge(&[&config::Policy { thresholds: vec![wrong], ..config::Policy::default() }], Caller::Person)
            .is_err()
    );
}

/// A held plan does not even stop the machine, and leaves alone what comes after it; others go on.
#[test]
fn a_guest_is_held_as_a_whole() {
    let network = Step {
        addresses: vec![Address::network("lan")],
        ..step(2, "x", Op::DestroyNetwork { network: "lan".into(), bridge: link() }, &[0])
    };
    let graph = Graph { steps: vec![stop(0, "db", &[]), destroy(1, "db", &[0]), network, stop(3, "web", &[])] };
    let policy = Policy::none(Caller::Agent);
    let held = screen(&graph, &Provenance::default(), &policy, &Grants::default(), now());
    let because: Vec<(u32, u32)> = held.iter().map(|(step, held)| (step.0, held.because.0)).collect();
    assert_eq!(because, [(0, 1), (1, 1), (2, 1)]);
    let hold = config::Policy { benign: Some(Benign::Hold), ..config::Policy::default() };
    let held =
        screen(&graph, &Provenance::default(), &self::policy(&[&hold], Caller::Agent), &Grants::default(), now());
    assert_eq!(held.len(), 4);
    let mut grants = Grants::default();
    grants.approve([approved(&graph.steps[1], "alice")]);
    assert_eq!(screen(&graph, &Provenance::default(), &policy, &grants, now()), BTreeMap::new());
}

fn link() -> crate::resource::LinkName {
    serde_json::from_str("\"rgt0123456789ab\"").unwrap()
}

/// `restart "ask"`: a plan as a whole is no word about a restart, and the rest of the guest's steps go on without it.
#[test]
fn a_restart_that_asks_needs_its_name_and_holds_nothing_else() {
    let restart = |asks| Op::RestartClusterGuest { cluster: "pve".into(), guest: "db".into(), asks };
    assert_eq!(class(&restart(false), &Provenance::default()), Class::Benign(Harmless::AddsOnly));
    let graph = Graph { steps: vec![stop(0, "db", &[]), step(1, "db", restart(true), &[0])] };
    let policy = Policy::none(Caller::Pipeline);
    let held = |grants: &Grants| -> Vec<u32> {
        screen(&graph, &Provenance::default(), &policy, grants, now()).into_keys().map(|id| id.0).collect()
    };
    assert_eq!(held(&agreed(Agreement::Yes)), [1]);
    assert!(held(&agreed(Agreement::YesDestroy { address: Address::vm("db") })).is_empty());
}

//! Over random fleets, histories and inputs, no destructive step runs without an approval, an agreement that is in the audit log, or
//! the certainty that what it removes was made in the same run (issue 10; LESSONS 37, 43).
//!
//! What is destroyed is judged here by what became of the model world, not by what the gate thinks of steps: a guest that had whole
//! disks and is gone, a root disk that is another one, a file that was never ours with other bytes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use regatta::config;
use regatta::exec::{
    Audit, AuditFact, Cancel, Event, Gatekeeper, Identity, Journal, Limits, Outcome, Report, Retry, RunId, Runner,
    StepOutcome,
};
use regatta::plan::gate::{Agreement, ApprovedStep, Caller, Decision, Grants, Ground, Policy, Provenance, digest_of};
use regatta::plan::{Graph, Op, Options};
use regatta::resource::{Address, Desired, Digest, FileKind, GuestPath, ObservedFile};

use crate::apply::Stopped;
use crate::fate::{Disk, End, Fate, MortalLog};
use crate::fleet::{self, Random};
use crate::perform::Model;
use crate::world::{State, World};

/// Keeps everything.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<AuditFact>>);

impl Audit for Kept {
    fn append(&self, _: Timestamp, facts: &[AuditFact]) -> std::io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(facts);
        Ok(())
    }
}

/// A run that somebody may not have agreed to.
struct Judged {
    before: State,
    after: State,
    report: Report,
    facts: Vec<AuditFact>,
    graph: Graph,
}

fn run(state: &State, graph: &Graph, (caller, policy): (Caller, Policy), grants: Grants) -> Judged {
    let world = World::new(state.clone(), Fate::new(End::Natural));
    let audit = Arc::new(Kept::default());
    let provenance = Provenance::new(Arc::new(state.observe([])));
    let runner = Runner {
        perform: Arc::new(Model { world: world.clone(), faults: Default::default() }),
        clock: Arc::new(Stopped),
        limits: Limits::default(),
        retry: Retry { first_wait: Duration::ZERO, ..Retry::default() },
        cancel: Cancel::default(),
        gate: Gatekeeper { caller, policy, grants, provenance, audit: Arc::clone(&audit) as Arc<dyn Audit> },
    };
    let log = Box::new(MortalLog { disk: Disk::default(), fate: world.fate.clone() });
    let identity = Identity { run: RunId::from_u128(1), fleet: "model".into(), resumes: Vec::new() };
    let journal = Journal::begin(log, identity, graph, Timestamp::UNIX_EPOCH).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(runner.run(graph, journal, &mut |_: &Event| {}));
    let facts = audit.0.lock().unwrap().clone();
    Judged { before: state.clone(), after: world.state(), report, facts, graph: graph.clone() }
}

impl Judged {
    /// Guests of which data went: by the world alone. Renamed ones are looked for under their new names.
    fn lost(&self) -> BTreeSet<String> {
        let renamed = |name: &str| {
            let to = self.graph.steps.iter().find_map(|step| match &step.op {
                Op::RenameGuest { from, to } if from == name => Some(to.clone()),
                _ => None,
            });
            to.unwrap_or_else(|| name.to_owned())
        };
        let mut lost = BTreeSet::new();
        for (name, guest) in self.before.guests.iter().filter(|(_, guest)| guest.record.applied.disks.is_some()) {
            let now = self.after.guests.get(&renamed(name)).or_else(|| self.after.guests.get(name));
            let Some(now) = now.filter(|now| now.record.uuid == guest.record.uuid) else {
                lost.insert(name.clone());
                continue;
            };
            if now.root != guest.root {
                lost.insert(name.clone());
            }
            let (Some(old), Some(new)) = (&guest.work, &now.work) else {
                lost.insert(name.clone());
                continue;
            };
            let ours = |path: &GuestPath| old.manifest.values().any(|written| written.contains_key(path));
            let merged = |path: &GuestPath| matches!(path.as_bytes(), b".ssh/authorized_keys" | b".gitconfig");
            let gone = |(path, file): (&GuestPath, &ObservedFile)| {
                file.kind == FileKind::File
                    && !ours(path)
                    && !merged(path)
                    && new.files.get(path).map(|file| &file.digest) != Some(&file.digest)
            };
            if old.files.iter().any(gone) {
                lost.insert(name.clone());
            }
        }
        lost
    }

    /// What the audit log says somebody agreed to or signed.
    fn agreed(&self) -> BTreeSet<String> {
        let on_a_word = |fact: &AuditFact| match fact {
            AuditFact::Decision { addresses, decision: Decision::Allowed { ground }, .. } => match ground {
                Ground::Agreed { .. } | Ground::Approved { .. } => addresses.clone(),
                Ground::Benign { .. } => Vec::new(),
            },
            _ => Vec::new(),
        };
        self.facts.iter().flat_map(on_a_word).filter_map(|address| address.guest().map(str::to_owned)).collect()
    }

    fn check(&self, what: &str) {
        let (lost, agreed) = (self.lost(), self.agreed());
        let renamed = |name: &String| {
            self.graph
                .steps
                .iter()
                .any(|step| matches!(&step.op, Op::RenameGuest { from, to } if from == name && agreed.contains(to)))
        };
        for guest in &lost {
            assert!(agreed.contains(guest) || renamed(guest), "{what}: data of `{guest}` went and nobody agreed");
        }
        // LESSON 37: what was done is in the log, and it was decided before.
        let decided: BTreeSet<u32> = self.facts.iter().filter_map(decided).collect();
        for step in self.report.steps.iter().filter(|step| step.attempts > 0) {
            assert!(decided.contains(&step.step.0), "{what}: {} ran without a decision", step.op);
        }
        // A guest of which something is held is not touched at all.
        for step in self.report.steps.iter().filter(|step| matches!(step.outcome, StepOutcome::Held { .. })) {
            let guests: BTreeSet<&str> = step.addresses.iter().filter_map(Address::guest).collect();
            let touched = |other: &&regatta::exec::StepReport| {
                other.attempts > 0 && other.addresses.iter().any(|it| it.guest().is_some_and(|it| guests.contains(it)))
            };
            assert_eq!(self.report.steps.iter().find(touched), None, "{what}");
        }
    }
}

fn decided(fact: &AuditFact) -> Option<u32> {
    match fact {
        AuditFact::Decision { step, decision: Decision::Allowed { .. }, .. } => Some(step.0),
        _ => None,
    }
}

/// A world with a history: a fleet that was applied, lived in, and hurt by files of others.
fn history(random: &mut Random) -> (Desired, State) {
    let desired = fleet::random(random, 4);
    let (mut state, _) = crate::apply::converge(&State::default(), &desired);
    fleet::live(&mut state, random);
    for guest in state.guests.values_mut() {
        let Some(work) = &mut guest.work else { continue };
        // Somebody's own file where the fleet file may put one later.
        for name in ["init.lua", "lua/plugins.lua", "a b"] {
            let path = GuestPath::new(format!(".config/nvim/{name}")).unwrap();
            if random.chance(20) && !work.files.contains_key(&path) {
                let text = "somebody's own\n".to_owned();
                let (digest, size) = (Some(Digest::of(text.as_bytes())), text.len() as u64);
                let file =
                    ObservedFile { kind: FileKind::File, mode: 0o644, owner: (0, 0), size, digest, text: Some(text) };
                work.files.insert(path.clone(), file);
                work.manifest.values_mut().for_each(|written| drop(written.remove(&path)));
            }
        }
        if random.chance(15) {
            guest.record.applied.disks = None;
            (guest.root, guest.work, guest.vmm, guest.record.applied.started) = (None, None, None, None);
        }
    }
    (desired, state)
}

fn caller(random: &mut Random) -> (Caller, Policy) {
    let caller = [Caller::Person, Caller::Pipeline, Caller::Agent][usize::try_from(random.below(3)).unwrap()];
    let demand = |random: &mut Random| {
        use config::Demand::{Agreement, Approval, Name};
        random.chance(60).then(|| [Agreement, Name, Approval][usize::try_from(random.below(3)).unwrap()])
    };
    let threshold = config::Threshold { count: 1 + u32::try_from(random.below(2)).unwrap(), on: None };
    let policy = config::Policy {
        people: demand(random),
        pipelines: demand(random),
        thresholds: if random.chance(50) { vec![threshold] } else { Vec::new() },
        benign: random.chance(20).then_some(config::Benign::Hold),
        ..config::Policy::default()
    };
    let policies = if random.chance(70) { vec![&policy] } else { Vec::new() };
    (caller, Policy::merge(&policies, caller).unwrap())
}

/// Agreements and approvals of which some are for this plan, some for others, some too late.
fn grants(graph: &Graph, random: &mut Random) -> Grants {
    let mut grants = Grants::default();
    if random.chance(20) {
        grants.agree(Agreement::Yes);
    }
    for step in &graph.steps {
        if random.chance(10)
            && let Some(address) = step.addresses.first()
        {
            grants.agree(Agreement::YesDestroy { address: address.clone() });
        }
        for principal in ["alice", "bob"] {
            if !random.chance(25) {
                continue;
            }
            let second = |at| Timestamp::from_second(at).unwrap();
            let digest = if random.chance(20) { Digest::of(b"another") } else { digest_of(step) };
            let until = second(if random.chance(20) { 0 } else { 60 });
            grants.approve([ApprovedStep {
                principal: principal.into(),
                addresses: step.addresses.clone(),
                operation: step.op.name().into(),
                digest,
                from: second(if random.chance(10) { 1 } else { -60 }),
                until,
            }]);
        }
    }
    grants
}

#[test]
fn no_data_goes_without_somebodys_word() {
    let (mut held, mut lost, mut done) = (0, 0, 0);
    for seed in 0..400 {
        let random = &mut Random(seed);
        let (desired, state) = history(random);
        let next = fleet::later(&desired, random, 4);
        let plan = regatta::plan::plan(&next, &state.observe(fleet::guests(&next)), &Options::default());
        if !plan.refusals.is_empty() {
            continue;
        }
        let grants = grants(&plan.graph, random);
        let judged = run(&state, &plan.graph, caller(random), grants);
        judged.check(&format!("seed {seed}"));
        held += usize::from(judged.report.outcome() == Outcome::Held);
        done += usize::from(judged.report.outcome() == Outcome::Done);
        lost += judged.lost().len();
    }
    assert!(held > 50 && done > 50 && lost > 20, "the histories are too tame: {held} held, {done} done, {lost} lost");
}

/// Steps that nobody planned: whatever a graph says, nothing goes.
#[test]
fn a_graph_that_somebody_made_up_destroys_nothing() {
    for seed in 0..200 {
        let random = &mut Random(seed);
        let (_, state) = history(random);
        let names: Vec<String> = state.guests.keys().cloned().collect();
        let Some(name) = names.first() else { continue };
        let plan = regatta::plan::plan(
            &Desired { fleet: "model".into(), ..Desired::default() },
            &state.observe([]),
            &Options::default(),
        );
        let mut graph = plan.graph;
        // The steps change places with those of others, claim to be about nothing, and lose their order.
        for step in &mut graph.steps {
            if random.chance(50) {
                step.addresses = if random.chance(50) { Vec::new() } else { vec![Address::vm("innocent")] };
            }
            if random.chance(30) {
                step.after.clear();
            }
        }
        let mut grants = Grants::default();
        grants.agree(Agreement::Yes);
        grants.agree(Agreement::YesDestroy { address: Address::vm("innocent-2") });
        let policy = Policy::merge(&[&config::Policy::default()], Caller::Pipeline).unwrap();
        let judged = run(&state, &graph, (Caller::Pipeline, policy), grants);
        assert_eq!(judged.lost(), BTreeSet::new(), "seed {seed}, {name}");
    }
}

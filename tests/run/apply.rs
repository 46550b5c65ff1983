//! `apply` without a command line: look, plan, run; and what must hold whenever it stops.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use regatta::effect::Clock;
use regatta::exec::journal::{RunPhase, StepPhase, Story, read_story};
use regatta::exec::{
    Audit, AuditFact, Cancel, Event, Gatekeeper, Identity, Journal, Limits, Outcome, Report, Retry, RunId, Runner,
};
use regatta::plan::gate::{Agreement, Caller, Grants, Policy, Provenance};
use regatta::plan::{Graph, Options, Plan, StepId};
use regatta::resource::Desired;

use crate::fate::{Disk, End, Fate, MortalLog};
use crate::fleet;
use crate::perform::{Fault, Model};
use crate::world::{Deeds, State, World};

/// Always the same moment: stories with one seed are the same.
#[derive(Debug)]
pub(crate) struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// Keeps nothing: what is written down is looked at in `gate.rs`.
#[derive(Debug)]
pub(crate) struct Unread;

impl Audit for Unread {
    fn append(&self, _: Timestamp, _: &[AuditFact]) -> std::io::Result<()> {
        Ok(())
    }
}

/// Somebody agreed to everything, and no policy asks for more.
pub(crate) fn agreed(state: &State) -> Gatekeeper {
    let mut grants = Grants::default();
    grants.agree(Agreement::Yes);
    Gatekeeper {
        caller: Caller::Pipeline,
        policy: Policy::none(Caller::Pipeline),
        grants,
        provenance: Provenance::new(Arc::new(state.observe([]))),
        audit: Arc::new(Unread),
    }
}

/// What an apply left.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) state: State,
    /// `None` when the process died.
    pub(crate) report: Option<Report>,
    pub(crate) deeds: Deeds,
    pub(crate) disk: Disk,
    pub(crate) graph: Graph,
}

/// Plans what would make the world match the fleet.
pub(crate) fn plan(state: &State, desired: &Desired) -> Plan {
    let plan = regatta::plan::plan(desired, &state.observe(fleet::guests(desired)), &Options::default());
    assert_eq!(plan.refusals, [], "the model asks for nothing that is refused");
    plan
}

/// Applies a fleet, with steps that go wrong, until the end or the given death.
pub(crate) fn apply(state: &State, desired: &Desired, end: End, faults: &[(StepId, Fault)]) -> Applied {
    let mut graph = plan(state, desired).graph;
    for (step, fault) in faults {
        if matches!(fault, Fault::Hangs | Fault::ActsAndHangs) {
            // Long enough for every move of a step, short enough for thousands of cases.
            graph.steps[step.0 as usize].deadline_s = 0;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(run(state, graph, end, faults))
}

async fn run(state: &State, graph: Graph, end: End, faults: &[(StepId, Fault)]) -> Applied {
    let fate = Fate::new(end);
    let world = World::new(state.clone(), fate.clone());
    let runner = Runner {
        perform: Arc::new(Model { world: world.clone(), faults: faults.iter().copied().collect() }),
        clock: Arc::new(Stopped),
        limits: Limits::default(),
        retry: Retry { first_wait: Duration::ZERO, ..Retry::default() },
        cancel: Cancel::default(),
        gate: agreed(state),
    };
    let disk = Disk::default();
    let log = Box::new(MortalLog { disk: disk.clone(), fate: fate.clone() });
    let identity = Identity { run: RunId::from_u128(1), fleet: "model".into(), resumes: Vec::new() };
    let mut unheard = |_: &Event| {};
    let report = match Journal::begin(log, identity, &graph, Timestamp::UNIX_EPOCH) {
        // The process died while it wrote the beginning.
        Err(_) => None,
        Ok(journal) => tokio::select! {
            biased;
            () = fate.death() => None,
            report = runner.run(&graph, journal, &mut unheard) => Some(report),
        },
    };
    Applied { state: world.state(), report: report.filter(|_| !fate.is_dead()), deeds: world.deeds(), disk, graph }
}

impl Applied {
    /// What its journal tells; it must be readable whatever happened.
    pub(crate) fn story(&self) -> Story {
        read_story(&self.disk.bytes.lock().unwrap()).unwrap()
    }

    /// What must hold between the world and the journal at any moment of any run.
    pub(crate) fn check(&self) {
        let story = self.story();
        for step in &self.deeds.begun {
            let phase = story.step(*step).map(|step| &step.phase);
            assert!(
                !matches!(phase, None | Some(StepPhase::Planned | StepPhase::Skipped(_))),
                "{step:?} touched the world, and the journal says {phase:?}"
            );
            for edge in &self.graph.steps[step.0 as usize].after {
                let phase = story.step(edge.step).map(|step| &step.phase);
                assert_eq!(
                    phase,
                    Some(&StepPhase::Done),
                    "{step:?} began before the end of {:?} was durable",
                    edge.step
                );
            }
        }
        for step in &story.steps {
            if step.phase == StepPhase::Done {
                assert!(self.deeds.done.contains(&step.planned.step), "the journal says more than happened");
            }
        }
        if let Some(report) = &self.report {
            assert_eq!(story.phase, RunPhase::Closed(report.outcome()));
            assert_eq!(story.open_steps().count(), report.unknown().count());
        }
        for guest in self.state.guests.values() {
            let whole = guest.root.is_some() && guest.work.is_some();
            assert!(guest.record.applied.disks.is_none() || whole, "a record promises disks that are not there");
            assert!(guest.vmm.is_none() || whole, "a VMM runs on disks that are not there");
        }
    }
}

/// Applies until nothing is left to do, and says how often that took.
pub(crate) fn converge(state: &State, desired: &Desired) -> (State, usize) {
    let mut state = state.clone();
    for round in 0..4 {
        if plan(&state, desired).graph.steps.is_empty() {
            return (state, round);
        }
        let applied = apply(&state, desired, End::Natural, &[]);
        applied.check();
        assert_eq!(applied.report.as_ref().map(Report::outcome), Some(Outcome::Done), "{:#?}", applied.report);
        state = applied.state;
    }
    panic!("four applies were not enough: {:#?}", plan(&state, desired));
}

//! What the tests of this layer share: graphs in one line each, a fixed clock, performers that obey a script.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;

use super::audit::{Audit, AuditFact};
use super::cancel::Cancel;
use super::gatekeeper::Gatekeeper;
use super::journal::{Identity, Journal, Log};
use super::perform::{Failure, Perform, Progress, Task};
use super::{Event, Limits, Report, Retry, RunId, Runner};
use crate::effect::Clock;
use crate::plan::gate::{Agreement, Caller, Grants, Policy, Provenance};
use crate::plan::{Edge, Graph, Op, Repeat, Step, StepId};
use crate::resource::Address;

/// A graph with one step per entry: the guest it stops, and the steps it is after.
pub(super) fn graph(steps: &[(&str, &[u32])]) -> Graph {
    let step = |(index, (guest, after)): (usize, &(&str, &[u32]))| Step {
        id: StepId(u32::try_from(index).unwrap()),
        addresses: vec![Address::vm(guest)],
        op: Op::StopGuest { guest: (*guest).to_owned() },
        after: after.iter().map(|id| Edge { step: StepId(*id), why: "test".into() }).collect(),
        rescues: Vec::new(),
        deadline_s: 60,
        repeat: Repeat::Safe,
    };
    Graph { steps: steps.iter().enumerate().map(step).collect() }
}

pub(super) fn id() -> RunId {
    RunId::from_u128(1)
}

pub(super) fn identity() -> Identity {
    Identity { run: id(), fleet: "demo".into(), resumes: Vec::new() }
}

/// Keeps what it is told, or fails when it is told to.
#[derive(Debug, Default)]
pub(super) struct MemoryAudit {
    pub(super) facts: Mutex<Vec<AuditFact>>,
    /// Appends that succeed before all others fail.
    pub(super) good: Option<usize>,
    appends: Mutex<usize>,
}

impl Audit for MemoryAudit {
    fn append(&self, _: Timestamp, facts: &[AuditFact]) -> std::io::Result<()> {
        let mut appends = self.appends.lock().unwrap();
        if self.good.is_some_and(|good| *appends >= good) {
            return Err(std::io::Error::from_raw_os_error(28));
        }
        *appends += 1;
        self.facts.lock().unwrap().extend_from_slice(facts);
        Ok(())
    }
}

/// Somebody agreed to everything, and no policy asks for more.
pub(super) fn agreed() -> Gatekeeper {
    let mut grants = Grants::default();
    grants.agree(Agreement::Yes);
    Gatekeeper {
        caller: Caller::Pipeline,
        policy: Policy::none(Caller::Pipeline),
        grants,
        provenance: Provenance::default(),
        audit: Arc::new(MemoryAudit::default()),
    }
}

/// Always the same moment.
#[derive(Debug)]
pub(super) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// A log in memory that can be told to fail.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryLog {
    pub(super) bytes: Arc<Mutex<Vec<u8>>>,
    /// Appends that succeed before all others fail.
    pub(super) good: Option<usize>,
}

impl MemoryLog {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }

    /// The facts in it, as `name` or `name step`.
    pub(super) fn facts(&self) -> Vec<String> {
        let line = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let entry = &value["entry"];
            let step = entry["step"].as_u64().map(|step| format!(" {step}")).unwrap_or_default();
            format!("{}{step}", entry["fact"].as_str().unwrap())
        };
        self.text().lines().map(line).collect()
    }
}

impl Log for MemoryLog {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.good {
            Some(0) => return Err(std::io::Error::from_raw_os_error(28)),
            Some(left) => *left -= 1,
            None => {}
        }
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }
}

/// What a step does when it is performed.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Fail(Failure),
    /// Fails so, so many times.
    FailTimes(u32, Failure),
    Hang,
    Panic,
    /// Begins so many tasks elsewhere.
    Begin(u32),
    /// Asks for the run to be stopped, so many times, and then hangs or succeeds.
    Cancel(u32, bool),
}

/// Does what its script says; steps that are not in it succeed. Keeps the order in which steps were performed.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    acts: Mutex<BTreeMap<u32, Act>>,
    pub(super) performed: Mutex<Vec<u32>>,
    pub(super) cancel: Cancel,
}

impl Scripted {
    pub(super) fn new(acts: impl IntoIterator<Item = (u32, Act)>) -> Arc<Self> {
        Arc::new(Self { acts: Mutex::new(acts.into_iter().collect()), ..Self::default() })
    }
}

#[async_trait]
impl Perform for Scripted {
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure> {
        self.performed.lock().unwrap().push(step.id.0);
        let act = self.acts.lock().unwrap().get(&step.id.0).cloned();
        match act {
            None => Ok(()),
            Some(Act::Fail(failure)) => Err(failure),
            Some(Act::FailTimes(0, _)) => Ok(()),
            Some(Act::FailTimes(n, failure)) => {
                self.acts.lock().unwrap().insert(step.id.0, Act::FailTimes(n - 1, failure.clone()));
                Err(failure)
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Begin(count)) => {
                let name = |number| Task { on: "pve".into(), name: format!("UPID {number}") };
                (0..count).for_each(|number| progress.task(name(number)));
                Ok(())
            }
            Some(Act::Panic) => panic!("as scripted"),
            Some(Act::Cancel(times, hangs)) => {
                (0..times).for_each(|_| self.cancel.request());
                if hangs { std::future::pending().await } else { Ok(()) }
            }
        }
    }
}

/// Runs a graph and returns the report, with every event's name.
pub(super) async fn run(
    graph: &Graph,
    script: &Arc<Scripted>,
    log: &MemoryLog,
    parallel: usize,
) -> (Report, Vec<Event>) {
    let perform = Arc::clone(script);
    let runner = Runner {
        perform,
        clock: Arc::new(FixedClock),
        limits: Limits { parallel, per_host: 100, per_storage: 100 },
        retry: Retry { first_wait: std::time::Duration::ZERO, ..Retry::default() },
        cancel: script.cancel.clone(),
        gate: agreed(),
    };
    let journal = Journal::begin(Box::new(log.clone()), identity(), graph, Timestamp::UNIX_EPOCH).unwrap();
    let mut events = Vec::new();
    let report = runner.run(graph, journal, &mut |event| events.push(event.clone())).await;
    (report, events)
}

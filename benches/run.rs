//! What a step costs the run itself: graphs of steps that do nothing, through schedule, journal (on a real disk, synced)
//! and events. Compared with itself at other sizes in the same run: the cost of a step must not grow with their number.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and has nobody to hand errors to")]

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use jiff::Timestamp;
use regatta::effect::SystemClock;
use regatta::exec::{
    AuditFile, Cancel, Event, Failure, Gatekeeper, Identity, Journals, Limits, Outcome, Perform, Progress, Retry,
    RunId, Runner,
};
use regatta::plan::gate::{Caller, Grants, Policy, Provenance};
use regatta::plan::{Edge, Graph, Op, Repeat, Step, StepId};
use regatta::resource::Address;

struct Nothing;

#[async_trait]
impl Perform for Nothing {
    async fn perform(&self, _: &Step, _: &dyn Progress) -> Result<(), Failure> {
        Ok(())
    }
}

/// Lanes of five steps, one per guest, all after one first step.
fn graph(size: u32) -> Graph {
    let step = |index: u32| {
        let guest = format!("guest-{}", index / 5);
        let needs = match index {
            0 => None,
            _ if index.is_multiple_of(5) => Some(0),
            _ => Some(index - 1),
        };
        Step {
            id: StepId(index),
            addresses: vec![Address::vm(&guest)],
            op: Op::StopGuest { guest },
            after: needs.into_iter().map(|id| Edge { step: StepId(id), why: "order".into() }).collect(),
            rescues: Vec::new(),
            deadline_s: 60,
            repeat: Repeat::Safe,
        }
    };
    Graph { steps: (0..size).map(step).collect() }
}

async fn run(size: u32) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let journals = Journals::new(dir.path().to_str().unwrap());
    let graph = graph(size);
    let runner = Runner {
        perform: Arc::new(Nothing),
        clock: Arc::new(SystemClock),
        limits: Limits { parallel: 64, per_host: 64, per_storage: 64 },
        retry: Retry::default(),
        cancel: Cancel::default(),
        gate: Gatekeeper {
            caller: Caller::Pipeline,
            policy: Policy::none(Caller::Pipeline),
            grants: Grants::default(),
            provenance: Provenance::default(),
            audit: Arc::new(AuditFile::new(Utf8PathBuf::try_from(dir.path().join("audit.jsonl")).unwrap())),
        },
    };
    let began = Instant::now();
    let identity = Identity { run: RunId::generate(), fleet: "bench".into(), resumes: Vec::new() };
    let run = identity.run;
    let journal = journals.begin(identity, &graph, Timestamp::now()).unwrap();
    let mut events = 0_u64;
    let mut count = |_: &Event| events += 1;
    let report = runner.run(&graph, journal, &mut count).await;
    let took = began.elapsed().as_secs_f64();
    assert_eq!((report.outcome(), report.counts().done), (Outcome::Done, size as usize));
    let loading = Instant::now();
    assert_eq!(journals.story(run).unwrap().steps.len(), size as usize);
    let micros = took * 1e6 / f64::from(size);
    println!(
        "{size:>7} steps {took:>7.2} s {micros:>6.1} µs a step, {events} events, read again in {:.2} s, peak {}",
        loading.elapsed().as_secs_f64(),
        peak_memory()
    );
    micros
}

/// The most memory this process ever used, as the kernel says it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("unknown").trim().to_owned()
}

#[tokio::main]
async fn main() {
    let base = run(1_000).await;
    run(10_000).await;
    let most = run(100_000).await;
    println!("a step of 100,000 costs {:.2} times a step of 1,000", most / base);
}

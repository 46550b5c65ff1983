use crate::exec::perform::Failure;
use crate::exec::report::{Counts, Outcome, StepOutcome, StopCause};
use crate::exec::testkit::{Act, MemoryLog, Scripted, graph, run};
use crate::plan::{Graph, StepId};

const CHAINS: &[(&str, &[u32])] = &[("a", &[]), ("a", &[0]), ("b", &[]), ("b", &[2]), ("c", &[1, 3])];

#[tokio::test]
async fn every_beginning_is_recorded_before_and_every_end_before_what_needs_it() {
    let (script, log) = (Scripted::new([]), MemoryLog::default());
    let (report, _) = run(&graph(&[("a", &[]), ("a", &[0])]), &script, &log, 4).await;
    assert_eq!(report.outcome(), Outcome::Done);
    assert_eq!(
        log.facts(),
        ["begun", "planned 0", "planned 1", "started 0", "done 0", "started 1", "done 1", "finished"]
    );
}

/// PROXMOX C10: what a step begins elsewhere is on disk as soon as its name is known, however much it talks.
#[tokio::test]
async fn what_a_step_begins_elsewhere_is_recorded_while_it_runs() {
    let (script, log) = (Scripted::new([(0, Act::Begin(300))]), MemoryLog::default());
    let (report, _) = run(&graph(&[("a", &[])]), &script, &log, 4).await;
    assert_eq!(report.outcome(), Outcome::Done);
    let facts = log.facts();
    assert_eq!(facts.iter().filter(|fact| *fact == "task 0").count(), 300);
    assert_eq!(facts[facts.len() - 2..], ["done 0", "finished"]);
}

#[tokio::test]
async fn a_failure_takes_only_its_descendants_with_it() {
    // LESSON 40: other guests go on.
    let script = Scripted::new([(0, Act::Fail(Failure::permanent("no space")))]);
    let (report, _) = run(&graph(CHAINS), &script, &MemoryLog::default(), 4).await;
    let skipped = StepOutcome::Skipped { because: StepId(0) };
    let outcomes: Vec<_> = report.steps.iter().map(|step| step.outcome.clone()).collect();
    let failed = StepOutcome::Failed { failure: Failure::permanent("no space") };
    assert_eq!(outcomes, [failed, skipped.clone(), StepOutcome::Done, StepOutcome::Done, skipped]);
    assert_eq!((report.outcome(), report.failures), (Outcome::Partial, vec![StepId(0)]));
}

#[tokio::test]
async fn every_failure_is_reported() {
    let fails = |step: u32| (step, Act::Fail(Failure::permanent(format!("cause {step}"))));
    let (report, _) = run(&graph(CHAINS), &Scripted::new([fails(0), fails(2)]), &MemoryLog::default(), 1).await;
    assert_eq!(report.failures, [StepId(0), StepId(2)]);
    assert_eq!(
        (report.counts(), report.outcome()),
        (Counts { failed: 2, skipped: 3, ..Counts::default() }, Outcome::Failed)
    );
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_and_every_attempt_is_recorded() {
    let (script, log) = (Scripted::new([(0, Act::FailTimes(2, Failure::transient("reset")))]), MemoryLog::default());
    let (report, _) = run(&graph(&[("a", &[])]), &script, &log, 4).await;
    assert_eq!((report.outcome(), report.steps[0].attempts), (Outcome::Done, 3));
    assert_eq!(
        log.facts()[2..],
        ["started 0", "retrying 0", "started 0", "retrying 0", "started 0", "done 0", "finished"]
    );
}

#[tokio::test]
async fn an_overdue_or_panicking_step_is_unknown_not_failed() {
    // LESSON 39.
    let mut graph = graph(&[("a", &[]), ("b", &[])]);
    graph.steps[0].deadline_s = 0;
    let (script, log) = (Scripted::new([(0, Act::Hang), (1, Act::Panic)]), MemoryLog::default());
    let (report, _) = run(&graph, &script, &log, 1).await;
    assert_eq!(log.facts()[3..], ["started 0", "unknown 0", "started 1", "unknown 1", "finished"]);
    let causes = |step: usize| match &report.steps[step].outcome {
        StepOutcome::Failed { failure } => failure.causes.clone(),
        other => panic!("found {other:?}"),
    };
    assert_eq!(causes(0), ["it did not end within 0 s"]);
    assert_eq!(causes(1), ["a bug in regatta: it panicked: as scripted"]);
}

#[tokio::test]
async fn a_failed_append_stops_the_run_before_the_act() {
    // LESSON 37. One append for the beginning, one for step 0; the one that would announce step 1 fails.
    let (script, log) = (Scripted::new([]), MemoryLog { good: Some(2), ..MemoryLog::default() });
    let (report, _) = run(&graph(&[("a", &[]), ("a", &[0]), ("a", &[1])]), &script, &log, 4).await;
    assert_eq!(*script.performed.lock().unwrap(), [0]);
    assert_eq!(log.facts().last().unwrap(), "started 0");
    assert_eq!(report.outcome(), Outcome::Failed);
    assert_eq!(report.counts(), Counts { done: 1, not_started: 2, ..Counts::default() });
    let message = "No space left on device (os error 28)".to_owned();
    assert_eq!(report.stopped, Some(StopCause::Journal { message }));
}

#[tokio::test]
async fn the_first_cancellation_lets_running_steps_finish() {
    let (script, log) = (Scripted::new([(0, Act::Cancel(1, false))]), MemoryLog::default());
    let (report, _) = run(&graph(&[("a", &[]), ("a", &[0])]), &script, &log, 4).await;
    assert_eq!((report.outcome(), report.stopped), (Outcome::Interrupted, Some(StopCause::Cancelled)));
    assert_eq!(log.facts()[3..], ["started 0", "done 0", "finished"]);
}

#[tokio::test]
async fn the_second_cancellation_drops_running_steps_as_unknown() {
    let (script, log) = (Scripted::new([(0, Act::Cancel(2, true))]), MemoryLog::default());
    let (report, _) = run(&graph(&[("a", &[]), ("a", &[0])]), &script, &log, 4).await;
    assert_eq!((report.outcome(), report.stopped), (Outcome::Interrupted, Some(StopCause::Aborted)));
    assert_eq!(log.facts()[3..], ["started 0", "unknown 0", "skipped 1", "finished"]);
}

#[tokio::test]
async fn nothing_is_tried_again_after_a_cancellation() {
    let reset = || Failure::transient("reset");
    let script = Scripted::new([(0, Act::Fail(reset()))]);
    script.cancel.request();
    let (report, _) = run(&graph(&[("a", &[])]), &script, &MemoryLog::default(), 1).await;
    assert_eq!((report.outcome(), report.counts().not_started), (Outcome::Interrupted, 1));
}

#[tokio::test]
async fn a_malformed_graph_is_refused_before_anything_happens() {
    let mut circle = graph(&[("a", &[]), ("b", &[0])]);
    circle.steps[0].after = circle.steps[1].after.clone();
    let script = Scripted::new([]);
    let (report, _) = run(&circle, &script, &MemoryLog::default(), 1).await;
    let message = "step 0 is after step 0, expected an earlier step".to_owned();
    assert_eq!((report.outcome(), report.stopped), (Outcome::Failed, Some(StopCause::Malformed { message })));
    assert!(script.performed.lock().unwrap().is_empty());
}

/// A guest is changed, started and awaited; steps 3 and 4 put it back.
fn replacement() -> Graph {
    let mut graph = graph(&[("a", &[]), ("a", &[0]), ("b", &[]), ("a", &[]), ("a", &[3])]);
    graph.steps[3].rescues = vec![StepId(0), StepId(1)];
    graph
}

#[tokio::test]
async fn what_failed_and_was_put_back_is_reverted() {
    let script = Scripted::new([(1, Act::Fail(Failure::unknown("no answer")))]);
    let log = MemoryLog::default();
    let (report, _) = run(&replacement(), &script, &log, 1).await;
    assert_eq!(*script.performed.lock().unwrap(), [0, 1, 3, 2, 4]);
    assert_eq!((report.outcome(), report.outcome().exit_code()), (Outcome::Reverted, 5));
    assert_eq!((report.failures, report.reverted), (vec![StepId(1)], vec![StepId(1)]));
}

#[tokio::test]
async fn what_could_not_be_put_back_is_not_reverted() {
    let fails = |step| (step, Act::Fail(Failure::permanent("no")));
    let (report, _) = run(&replacement(), &Scripted::new([fails(1), fails(4)]), &MemoryLog::default(), 1).await;
    assert_eq!((report.outcome(), report.reverted.len()), (Outcome::Partial, 0));
}

#[tokio::test]
async fn a_rescue_that_is_not_needed_leaves_nothing_open() {
    let log = MemoryLog::default();
    let (report, _) = run(&replacement(), &Scripted::new([]), &log, 1).await;
    assert_eq!((report.outcome(), report.counts().unneeded), (Outcome::Done, 2));
    let unneeded: Vec<String> = log.facts().into_iter().filter(|fact| fact.starts_with("unneeded")).collect();
    assert_eq!(unneeded, ["unneeded 3", "unneeded 4"]);
}

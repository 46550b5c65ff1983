//! The crash matrix, over whatever steps the plans of random fleets have: a new kind of step is covered as soon as the
//! model world can do it.

use regatta::exec::journal::{Verdict, recover};
use regatta::exec::{FailureKind, Outcome, Report};
use regatta::plan::{Graph, Repeat, Step, StepId};
use regatta::resource::Desired;

use crate::apply::{Applied, apply, converge, plan};
use crate::fate::{End, MOMENTS};
use crate::fleet::{self, Random};
use crate::perform::{FAULTS, Fault};
use crate::world::{Guest, State};

/// Stories that are told, unless `REGATTA_SEEDS` says how many; each has three applies.
const STORIES: u64 = 7;

/// Guests of a fleet, at most.
const GUESTS: usize = 3;

/// One apply of a story: the world before, the fleet, and the undisturbed outcome.
struct Case {
    before: State,
    fleet: Desired,
    after: Applied,
}

/// The first apply of a fleet, then changes and accidents, an apply, and again.
fn cases(seed: u64) -> Vec<Case> {
    let random = &mut Random(seed);
    let mut state = State::default();
    let mut fleet = fleet::random(random, GUESTS);
    let mut cases = Vec::new();
    for _ in 0..3 {
        let after = apply(&state, &fleet, End::Natural, &[]);
        assert_eq!(after.report.as_ref().map(Report::outcome), Some(Outcome::Done), "seed {seed}");
        after.check();
        let next = after.state.clone();
        cases.push(Case { before: state, fleet: fleet.clone(), after });
        state = next;
        fleet::live(&mut state, random);
        fleet = fleet::later(&fleet, random, GUESTS);
    }
    cases
}

fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("REGATTA_SEEDS").map_or(STORIES, |number| number.parse().unwrap())
}

/// What holds for an apply that was disturbed: the next one leads to the same world, so that no data is lost and
/// nothing is left over.
fn same_in_the_end(case: &Case, disturbed: &Applied, what: &str) {
    disturbed.check();
    let (state, _) = converge(&disturbed.state, &case.fleet);
    let (expected, found) = (case.after.state.clone().settled(), state.settled());
    if found != expected {
        let (expected, found) = (format!("{expected:#?}"), format!("{found:#?}"));
        let diff = similar::TextDiff::from_lines(&expected, &found);
        panic!("{what}\n{}", diff.unified_diff().context_radius(8).header("undisturbed", "disturbed"));
    }
}

#[test]
fn apply_then_plan_is_empty() {
    for seed in seeds() {
        for case in cases(seed) {
            let left = plan(&case.after.state, &case.fleet).graph.steps;
            assert!(left.is_empty(), "seed {seed}: {left:#?}");
        }
    }
}

#[test]
fn a_death_at_any_append_is_survived() {
    let mut deaths = 0;
    for seed in seeds() {
        for case in cases(seed) {
            let appends = *case.after.disk.appends.lock().unwrap();
            for append in 0..appends {
                for moment in MOMENTS {
                    let disturbed = apply(&case.before, &case.fleet, End::Append(append, moment), &[]);
                    let what = format!("seed {seed}, append {append}, {moment:?}");
                    assert!(disturbed.report.is_none(), "{what}: it lived");
                    same_in_the_end(&case, &disturbed, &what);
                    deaths += 1;
                }
            }
        }
    }
    assert!(deaths > 500, "only {deaths} deaths");
}

#[test]
fn a_death_at_any_move_is_survived() {
    let mut deaths = 0;
    for seed in seeds() {
        for case in cases(seed) {
            for number in 0..case.after.deeds.moves {
                let disturbed = apply(&case.before, &case.fleet, End::Move(number), &[]);
                same_in_the_end(&case, &disturbed, &format!("seed {seed}, move {number}"));
                deaths += 1;
            }
        }
    }
    assert!(deaths > 500, "only {deaths} deaths");
}

#[test]
fn every_step_goes_wrong_in_every_way() {
    let mut faults = 0;
    for seed in seeds() {
        for case in cases(seed) {
            for step in usual_steps(&case.after.graph) {
                for fault in FAULTS {
                    let disturbed = apply(&case.before, &case.fleet, End::Natural, &[(step.id, fault)]);
                    let what = format!("seed {seed}, step {} ({}), {fault:?}", step.id.0, step.op.name());
                    one_fault(&case, &disturbed, step.id, fault, &what);
                    same_in_the_end(&case, &disturbed, &what);
                    faults += 1;
                }
            }
        }
    }
    assert!(faults > 1_500, "only {faults} faults");
}

/// The steps that are done when nothing fails.
fn usual_steps(graph: &Graph) -> impl Iterator<Item = &Step> {
    graph.steps.iter().zip(graph.rescues()).filter(|(_, rescue)| rescue.is_none()).map(|(step, _)| step)
}

#[test]
fn a_rescue_that_fails_as_well_is_survived() {
    let mut faults = 0;
    for seed in seeds() {
        for case in cases(seed) {
            let steps = &case.after.graph.steps;
            let rescues = case.after.graph.rescues();
            for (step, rescue) in steps.iter().zip(&rescues) {
                let Some(watched) = rescue.and_then(|rescue| steps[rescue.0 as usize].rescues.last()) else { continue };
                for fault in [Fault::Refuses(FailureKind::Permanent), Fault::LosesReply, Fault::Hangs] {
                    let first = (*watched, Fault::Refuses(FailureKind::Unknown));
                    let disturbed = apply(&case.before, &case.fleet, End::Natural, &[first, (step.id, fault)]);
                    let what = format!("seed {seed}, step {} of a rescue, {fault:?}", step.id.0);
                    assert_ne!(disturbed.report.as_ref().unwrap().outcome(), Outcome::Reverted, "{what}");
                    same_in_the_end(&case, &disturbed, &what);
                    faults += 1;
                }
            }
        }
    }
    assert!(faults > 20, "only {faults} faults");
}

#[test]
fn what_is_put_back_is_as_it_was() {
    let mut reverted = 0;
    for seed in seeds() {
        for case in cases(seed) {
            for rescue in case.after.graph.steps.iter().filter(|step| !step.rescues.is_empty()) {
                let last = (*rescue.rescues.last().unwrap(), Fault::Refuses(FailureKind::Permanent));
                let disturbed = apply(&case.before, &case.fleet, End::Natural, &[last]);
                let guest = rescue.addresses[0].as_str().trim_start_matches("vm.");
                let (before, after) = (named(&case, guest), disturbed.state.guests[guest].clone());
                assert_eq!((&before.root, &before.vmm), (&after.root, &after.vmm), "seed {seed}, {guest}");
                assert_eq!(before.work.unwrap().data, after.work.unwrap().data, "seed {seed}, {guest}");
                reverted += 1;
            }
        }
    }
    assert!(reverted > 10, "only {reverted} were put back");
}

/// A guest as it was before an apply, under the name it has after it.
fn named(case: &Case, guest: &str) -> Guest {
    let earlier = case.fleet.moved.get(guest).map(|names| names[0].as_str());
    let mut found = case.before.guests.get(guest).or_else(|| case.before.guests.get(earlier?)).unwrap().clone();
    found.take_name(guest);
    found
}

/// A fault is reported as what it is, and costs its descendants only.
fn one_fault(case: &Case, disturbed: &Applied, step: StepId, fault: Fault, what: &str) {
    let report = disturbed.report.as_ref().unwrap();
    let lost = descendants(case, step);
    let kinds: Vec<FailureKind> = report.unknown().map(|_| FailureKind::Unknown).collect();
    match fault {
        Fault::Repeats => assert_eq!(report.outcome(), Outcome::Done, "{what}"),
        // What a lie costs depends on who believes it.
        Fault::Lies => {}
        _ => {
            assert_eq!(report.failures, [step], "{what}");
            let counts = report.counts();
            assert_eq!(counts.skipped, lost, "{what}");
            assert_eq!(counts.done, report.steps.len() - lost - 1 - counts.unneeded, "{what}");
            let watched = case.after.graph.steps.iter().any(|other| other.rescues.contains(&step));
            assert_eq!(report.outcome() == Outcome::Reverted, watched, "{what}");
            let certain = matches!(fault, Fault::Refuses(FailureKind::Transient | FailureKind::Permanent));
            assert_eq!(kinds.is_empty(), certain, "{what}");
        }
    }
}

fn descendants(case: &Case, step: StepId) -> usize {
    let mut lost = vec![step];
    for next in &case.after.graph.steps {
        if next.after.iter().any(|edge| lost.contains(&edge.step)) {
            lost.push(next.id);
        }
    }
    lost.len() - 1
}

#[test]
fn what_a_dead_run_left_open_is_judged_by_whether_it_may_be_repeated() {
    for seed in seeds() {
        for case in cases(seed) {
            for number in 0..case.after.deeds.moves {
                let story = apply(&case.before, &case.fleet, End::Move(number), &[]).story();
                for open in recover(&story) {
                    let expected = match open.step.repeat {
                        Repeat::Safe => Verdict::Again,
                        Repeat::CheckFirst => Verdict::Observe,
                        Repeat::Never => Verdict::Ask,
                    };
                    assert_eq!(open.verdict, expected, "seed {seed}, move {number}");
                }
            }
        }
    }
}

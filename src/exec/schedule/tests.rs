use super::*;
use crate::exec::testkit::graph;

fn limits(parallel: usize, per_host: usize) -> Limits {
    Limits { parallel, per_host, per_storage: 1 }
}

fn drain(schedule: &mut Schedule) -> Vec<u32> {
    std::iter::from_fn(|| schedule.start_next()).map(|id| id.0).collect()
}

#[test]
fn a_step_is_ready_when_everything_it_needs_is_done() {
    let graph = graph(&[("a", &[]), ("b", &[]), ("c", &[0, 1, 1])]);
    let mut schedule = Schedule::new(&graph, &limits(9, 9)).unwrap();
    assert_eq!(drain(&mut schedule), [0, 1]);
    schedule.done(StepId(0));
    assert!(drain(&mut schedule).is_empty());
    schedule.done(StepId(1));
    assert_eq!(drain(&mut schedule), [2]);
}

#[test]
fn the_longest_way_goes_first() {
    let graph = graph(&[("a", &[]), ("b", &[]), ("c", &[1]), ("d", &[2])]);
    let mut schedule = Schedule::new(&graph, &limits(1, 9)).unwrap();
    assert_eq!(drain(&mut schedule), [1]);
}

#[test]
fn limits_hold_and_a_released_slot_wakes_the_next() {
    let graph = graph(&[("a", &[]), ("a", &[]), ("b", &[]), ("c", &[])]);
    let mut schedule = Schedule::new(&graph, &limits(9, 2)).unwrap();
    // Step 1 waits for guest `a`, step 3 for the host.
    assert_eq!(drain(&mut schedule), [0, 2]);
    schedule.done(StepId(2));
    assert_eq!(drain(&mut schedule), [3]);
    schedule.done(StepId(0));
    assert_eq!(drain(&mut schedule), [1]);
    schedule.done(StepId(1));
    schedule.done(StepId(3));
    assert_eq!((drain(&mut schedule), schedule.running()), (vec![], 0));
}

#[test]
fn a_graph_from_a_file_is_checked() {
    let limits = Limits::default();
    let mut wrong_id = graph(&[("a", &[])]);
    wrong_id.steps[0].id = StepId(7);
    let error = Schedule::new(&wrong_id, &limits).unwrap_err();
    assert_eq!(error.to_string(), "step 0 has id 7, expected its index");
    let error = Schedule::new(&graph(&[("a", &[]), ("b", &[5])]), &limits).unwrap_err();
    assert_eq!(error.to_string(), "step 1 is after step 5, expected an earlier step");
}

/// Steps 0 to 2 are a lane; 3 and 4 put back what 1 and 2 changed; 5 comes after the lane.
fn lane_with_rescue() -> Schedule {
    let mut graph = graph(&[("a", &[]), ("a", &[0]), ("a", &[1]), ("a", &[]), ("a", &[3]), ("b", &[2])]);
    graph.steps[3].rescues = vec![StepId(1), StepId(2)];
    Schedule::new(&graph, &limits(9, 9)).unwrap()
}

fn ids(skipped: &[u32], unneeded: &[u32]) -> Fallout {
    let ids = |numbers: &[u32]| numbers.iter().copied().map(StepId).collect();
    Fallout { skipped: ids(skipped), unneeded: ids(unneeded) }
}

#[test]
fn a_rescue_begins_when_what_it_watches_has_failed() {
    let mut schedule = lane_with_rescue();
    assert_eq!(drain(&mut schedule), [0]);
    assert_eq!(schedule.done(StepId(0)), ids(&[], &[]));
    assert_eq!(drain(&mut schedule), [1]);
    assert_eq!(schedule.failed(StepId(1)), ids(&[2, 5], &[]));
    assert_eq!(drain(&mut schedule), [3]);
    schedule.done(StepId(3));
    assert_eq!(drain(&mut schedule), [4]);
}

#[test]
fn a_rescue_is_not_needed_when_nothing_it_watches_failed() {
    let mut schedule = lane_with_rescue();
    for step in [0, 1] {
        assert_eq!(drain(&mut schedule), [step]);
        assert_eq!(schedule.done(StepId(step)), ids(&[], &[]));
    }
    assert_eq!(drain(&mut schedule), [2]);
    assert_eq!(schedule.done(StepId(2)), ids(&[], &[3, 4]));
    assert_eq!(drain(&mut schedule), [5]);
}

#[test]
fn a_rescue_is_not_needed_when_what_it_watches_never_began() {
    let mut schedule = lane_with_rescue();
    assert_eq!(drain(&mut schedule), [0]);
    assert_eq!(schedule.failed(StepId(0)), ids(&[1, 2, 5], &[3, 4]));
    assert!(drain(&mut schedule).is_empty());
}

proptest::proptest! {
    /// Any legal schedule respects the edges and the limits, starts everything exactly once, and a failure skips
    /// exactly its descendants.
    #[test]
    fn laws_of_schedules(
        edges in proptest::collection::vec(proptest::collection::vec(0_u32..40, 0..4), 1..40),
        guests in proptest::collection::vec(0_usize..5, 40),
        fails in proptest::collection::vec(proptest::bool::weighted(0.1), 40),
        picks in proptest::collection::vec(0_usize..100, 40),
        parallel in 1_usize..6,
        per_host in 1_usize..6,
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let after: Vec<Vec<u32>> =
            edges.iter().zip(0_u32..).map(|(ids, own)| ids.iter().filter(|id| **id < own).copied().collect()).collect();
        let steps: Vec<(&str, &[u32])> =
            after.iter().zip(&guests).map(|(after, guest)| (names[*guest], after.as_slice())).collect();
        let mut schedule = Schedule::new(&graph(&steps), &limits(parallel, per_host)).unwrap();
        let (mut running, mut done, mut failed, mut skipped) = (vec![], vec![], vec![], vec![]);
        for pick in picks.iter().cycle() {
            for id in drain(&mut schedule) {
                proptest::prop_assert!(after[id as usize].iter().all(|need| done.contains(need)));
                running.push(id);
            }
            let mut busy: Vec<_> = running.iter().map(|id| guests[*id as usize]).collect();
            busy.sort_unstable();
            busy.dedup();
            proptest::prop_assert_eq!(busy.len(), running.len(), "two steps of one guest at once");
            proptest::prop_assert!(running.len() <= parallel.min(per_host));
            if running.is_empty() {
                break;
            }
            let ended = running.swap_remove(pick % running.len());
            if fails[ended as usize] {
                failed.push(ended);
                skipped.extend(schedule.failed(StepId(ended)).skipped.into_iter().map(|id| id.0));
            } else {
                done.push(ended);
                schedule.done(StepId(ended));
            }
        }
        let mut lost: Vec<u32> = Vec::new();
        for id in 0..u32::try_from(steps.len()).unwrap() {
            if after[id as usize].iter().any(|need| failed.contains(need) || lost.contains(need)) {
                lost.push(id);
            }
        }
        skipped.sort_unstable();
        proptest::prop_assert_eq!(&skipped, &lost);
        proptest::prop_assert_eq!(done.len() + failed.len() + skipped.len(), steps.len());
    }
}

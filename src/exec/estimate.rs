//! How long a run will take: the schedule is played through with the durations of past runs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::claim::{Limits, cost_s};
use super::journal::{StepPhase, Story};
use super::schedule::Schedule;
use crate::plan::{Graph, Op};

/// How long each kind of op usually takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations(BTreeMap<String, u64>);

impl Durations {
    /// Learns the median of every op that was done in these runs.
    pub fn learn<'a>(stories: impl IntoIterator<Item = &'a Story>) -> Self {
        let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for step in stories.into_iter().flat_map(|story| &story.steps) {
            if let (StepPhase::Done, Some(ms)) = (&step.phase, step.elapsed_ms()) {
                seen.entry(step.planned.op.clone()).or_default().push(ms);
            }
        }
        let median = |mut all: Vec<u64>| {
            all.sort_unstable();
            all[all.len() / 2]
        };
        Self(seen.into_iter().map(|(op, all)| (op, median(all))).collect())
    }

    /// In milliseconds: as learnt, or a guess.
    fn of(&self, op: &Op) -> u64 {
        self.0.get(op.name()).copied().unwrap_or_else(|| cost_s(op) * 1000)
    }
}

/// How long a graph takes when every step takes as long as usual; `None` when it is malformed.
pub fn estimate(graph: &Graph, limits: &Limits, durations: &Durations) -> Option<Duration> {
    let mut schedule = Schedule::new(graph, limits).ok()?;
    let mut running = BinaryHeap::new();
    let mut now = 0;
    loop {
        while let Some(step) = schedule.start_next() {
            running.push(Reverse((now + durations.of(&graph.steps[step.0 as usize].op), step)));
        }
        let Some(Reverse((end, step))) = running.pop() else { return Some(Duration::from_millis(now)) };
        now = end;
        schedule.done(step);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::exec::journal::{Fact, Journal};
    use crate::exec::testkit::{MemoryLog, graph, identity};
    use crate::plan::StepId;

    /// A run of three stops that took so many milliseconds.
    fn story(took: [i64; 3]) -> Story {
        let log = Box::new(MemoryLog::default());
        let graph = graph(&[("a", &[]), ("b", &[]), ("c", &[])]);
        let mut journal = Journal::begin(log, identity(), &graph, Timestamp::UNIX_EPOCH).unwrap();
        for (step, ms) in (0..).map(StepId).zip(took) {
            journal.record(Timestamp::UNIX_EPOCH, [Fact::Started { step, attempt: 1 }]).unwrap();
            journal.record(Timestamp::from_millisecond(ms).unwrap(), [Fact::Done { step }]).unwrap();
        }
        journal.story().clone()
    }

    #[test]
    fn the_schedule_is_played_through_with_the_median_of_the_past() {
        let durations = Durations::learn(&[story([300, 100, 900])]);
        let graph = graph(&[("a", &[]), ("a", &[0]), ("b", &[]), ("c", &[])]);
        let at_once = |parallel| Limits { parallel, per_host: 9, per_storage: 9 };
        let took = |parallel| estimate(&graph, &at_once(parallel), &durations).unwrap().as_millis();
        assert_eq!([took(1), took(2), took(9)], [1200, 600, 600]);
    }

    #[test]
    fn without_a_past_there_is_a_guess() {
        let graph = graph(&[("a", &[]), ("a", &[0])]);
        let guess = estimate(&graph, &Limits::default(), &Durations::default());
        assert_eq!(guess, Some(Duration::from_secs(10)));
    }
}

//! Which blocks are free, and taking some.

use std::collections::BTreeMap;

/// Blocks next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) struct Run {
    /// The first one.
    pub(super) start: u32,
    /// How many.
    pub(super) count: u32,
}

/// The free blocks of a file system, as runs by their starts: neighbours are one run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Free(BTreeMap<u32, u32>);

impl Free {
    /// Blocks that nobody uses, or uses any more.
    pub(super) fn add(&mut self, mut run: Run) {
        if run.count == 0 {
            return;
        }
        if let Some((&start, &count)) = self.0.range(..run.start).next_back()
            && start + count == run.start
        {
            self.0.remove(&start);
            run = Run { start, count: count + run.count };
        }
        if let Some(next) = self.0.remove(&(run.start + run.count)) {
            run.count += next;
        }
        self.0.insert(run.start, run.count);
    }

    /// So many blocks: next to each other if there is such a place, else the first ones. `None`, and none taken, when there
    /// are not so many.
    pub(super) fn take(&mut self, count: u32) -> Option<Vec<Run>> {
        if count == 0 {
            return Some(Vec::new());
        }
        if let Some(start) = self.0.iter().find(|(_, free)| **free >= count).map(|(start, _)| *start) {
            return Some(vec![self.cut(start, count)]);
        }
        if self.total() < u64::from(count) {
            return None;
        }
        let (mut runs, mut left) = (Vec::new(), count);
        while left > 0 {
            let (&start, &free) = self.0.first_key_value()?;
            let run = self.cut(start, free.min(left));
            left -= run.count;
            runs.push(run);
        }
        Some(runs)
    }

    /// The first blocks of the free run that begins there.
    fn cut(&mut self, start: u32, count: u32) -> Run {
        if let Some(rest) = self.0.remove(&start).and_then(|free| free.checked_sub(count)).filter(|rest| *rest > 0) {
            self.0.insert(start + count, rest);
        }
        Run { start, count }
    }

    /// How many there are.
    pub(super) fn total(&self) -> u64 {
        self.0.values().map(|count| u64::from(*count)).sum()
    }

    /// Those from `start` on, at most `count` blocks further.
    pub(super) fn within(&self, start: u32, count: u32) -> impl Iterator<Item = Run> {
        let end = start.saturating_add(count);
        let before = self.0.range(..start).next_back();
        before.into_iter().chain(self.0.range(start..end)).filter_map(move |(&from, &free)| {
            let (from, to) = (from.max(start), (from + free).min(end));
            (from < to).then(|| Run { start: from, count: to - from })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u32, count: u32) -> Run {
        Run { start, count }
    }

    #[test]
    fn what_is_taken_comes_back_as_it_was() {
        let mut free = Free::default();
        free.add(run(10, 10));
        free.add(run(30, 5));
        let before = free.clone();
        assert_eq!(free.take(12), Some(vec![run(10, 10), run(30, 2)]));
        assert_eq!((free.take(4), free.total()), (None, 3));
        free.add(run(30, 2));
        free.add(run(15, 5));
        free.add(run(10, 5));
        assert_eq!(free, before);
        // The first place that is large enough.
        assert_eq!((free.take(5), free.take(5)), (Some(vec![run(10, 5)]), Some(vec![run(15, 5)])));
        assert_eq!((free.take(6), free.take(0)), (None, Some(vec![])));
    }

    #[test]
    fn a_part_of_them() {
        let mut free = Free::default();
        for (start, count) in [(0, 4), (6, 4), (20, 1)] {
            free.add(run(start, count));
        }
        let within = |start, count| free.within(start, count).collect::<Vec<_>>();
        assert_eq!(within(2, 6), [run(2, 2), run(6, 2)]);
        assert_eq!((within(4, 2), within(20, 100)), (vec![], vec![run(20, 1)]));
    }
}

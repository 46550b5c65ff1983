//! Whether a failed step is tried again, and after how long: decided here and nowhere else.

use std::time::Duration;

use super::perform::{Failure, FailureKind};

/// How often, and how patiently, a transient failure is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often a step is tried at most.
    pub attempts: u32,
    /// The wait before the second attempt; every further wait is twice as long.
    pub first_wait: Duration,
    /// No wait is longer.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(30) }
    }
}

impl Retry {
    /// The wait before the next attempt, or `None` when there is none: only what certainly did not happen is tried
    /// again, because doing something twice is not always doing it once.
    pub fn wait_after(&self, attempt: u32, failure: &Failure) -> Option<Duration> {
        match failure.kind {
            FailureKind::Transient if attempt < self.attempts => {
                let doublings = attempt.saturating_sub(1).min(31);
                Some(self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait))
            }
            FailureKind::Transient | FailureKind::Permanent | FailureKind::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_the_attempts() {
        let retry = Retry { attempts: 5, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(5) };
        let failure = Failure::transient("connection reset");
        let waits: Vec<_> = (1..=5).map(|n| retry.wait_after(n, &failure).map(|wait| wait.as_secs())).collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), Some(5), None]);
    }

    #[test]
    fn what_may_have_happened_is_not_done_again() {
        let retry = Retry::default();
        assert_eq!(retry.wait_after(1, &Failure::unknown("reply lost")), None);
        assert_eq!(retry.wait_after(1, &Failure::permanent("no such image")), None);
    }
}

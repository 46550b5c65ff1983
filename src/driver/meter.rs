//! Progress of downloads: bytes and rate, for several of them at the same time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::exec::Progress;

/// Between two words to people.
const INTERVAL: Duration = Duration::from_millis(500);

/// Counts what several downloads received, and says so now and then.
pub(super) struct Meter<'a> {
    progress: &'a dyn Progress,
    what: String,
    total: Option<u64>,
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    /// Bytes that were there already.
    skipped: u64,
    /// Bytes that were received.
    received: u64,
    said: Instant,
}

impl<'a> Meter<'a> {
    /// A meter for `what`, such as `fetching debian:12`, of `total` bytes where that is known.
    pub(super) fn new(progress: &'a dyn Progress, what: impl Into<String>, total: Option<u64>) -> Self {
        let started = Instant::now();
        let counts = Mutex::new(Counts { skipped: 0, received: 0, said: started });
        Self { progress, what: what.into(), total, started, counts }
    }

    /// Says something else.
    pub(super) fn say(&self, text: &str) {
        self.progress.say(text);
    }

    /// Bytes that need not be received.
    pub(super) fn skip(&self, bytes: u64) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).skipped += bytes;
    }

    /// Bytes that were received.
    pub(super) fn add(&self, bytes: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.received += bytes;
        if counts.said.elapsed() >= INTERVAL {
            counts.said = Instant::now();
            let text = line(&self.what, &counts, self.total, self.started.elapsed());
            drop(counts);
            self.progress.say(&text);
        }
    }
}

/// `fetching web: 12.0 of 120.0 MiB, 3.4 MiB/s`
fn line(what: &str, counts: &Counts, total: Option<u64>, elapsed: Duration) -> String {
    let mib = |bytes: u64| {
        // Precise enough to be shown with one digit.
        let tenths = bytes / ((1 << 20) / 10);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = counts.received.saturating_mul(1000) / millis;
    let have = mib(counts.skipped + counts.received);
    match total {
        Some(total) => format!("{what}: {have} of {} MiB, {} MiB/s", mib(total), mib(rate)),
        None => format!("{what}: {have} MiB, {} MiB/s", mib(rate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_rate() {
        let counts = Counts { skipped: 10 << 20, received: 5 << 20, said: Instant::now() };
        let two_seconds = Duration::from_secs(2);
        assert_eq!(
            line("fetching web", &counts, Some(30 << 20), two_seconds),
            "fetching web: 15.0 of 30.0 MiB, 2.5 MiB/s"
        );
        assert_eq!(line("fetching web", &counts, None, two_seconds), "fetching web: 15.0 MiB, 2.5 MiB/s");
    }
}

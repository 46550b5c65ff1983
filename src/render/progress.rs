//! A run's events as plain lines, for pipes, logs and simple terminals.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::screen::{Screen, Tone};
use super::scrub;
use crate::exec::{Event, EventKind, Failure, Outcome, StopCause};
use crate::plan::StepId;
use crate::resource::Address;

/// Turns events into lines, each with the time since the run began. Steps are named when they start, so that it has to
/// see every event of a run.
#[derive(Debug)]
pub struct ProgressLines {
    screen: Screen,
    began: Option<Timestamp>,
    names: BTreeMap<StepId, String>,
}

impl ProgressLines {
    /// Before the run has begun.
    pub const fn new(screen: Screen) -> Self {
        Self { screen, began: None, names: BTreeMap::new() }
    }

    /// The text for one event, ending with a newline; nothing for what need not be told.
    pub fn lines(&mut self, event: &Event) -> String {
        if matches!(event.kind, EventKind::StepUnneeded { .. }) {
            return String::new();
        }
        if matches!(event.kind, EventKind::RunStarted { .. }) {
            self.began = Some(event.at);
        }
        let since = self.began.map_or(0, |began| event.at.as_millisecond().saturating_sub(began.as_millisecond()));
        let text = self.text(&event.kind);
        let stamp = format!("[{:>7}]", seconds(u64::try_from(since).unwrap_or(0)));
        format!("{} {text}\n", self.screen.paint(Tone::Quiet, &stamp))
    }

    fn text(&mut self, kind: &EventKind) -> String {
        match kind {
            EventKind::RunStarted { run, fleet, steps } => {
                format!("run {run} of fleet `{}`: {}", scrub::line(fleet), count(*steps, "step"))
            }
            EventKind::StepStarted { step, address, op, attempt } => {
                let name = name(op, address.as_ref());
                let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                let text = format!("{name}: started{again}");
                self.names.insert(*step, name);
                text
            }
            EventKind::StepProgress { step, text } | EventKind::StepNoted { step, text } => {
                format!("{}: {}", self.name(*step), scrub::line(text))
            }
            EventKind::StepRetrying { step, failure, wait_ms, .. } => self.retrying(*step, failure, *wait_ms),
            EventKind::StepDone { step, elapsed_ms } => self.done(*step, *elapsed_ms),
            EventKind::StepFailed { step, elapsed_ms, failure } => self.failed(*step, failure, *elapsed_ms),
            EventKind::StepSkipped { address, op, because, .. } => {
                let skipped = self.screen.paint(Tone::Changed, "skipped");
                format!("{}: {skipped}, because `{}` failed", name(op, address.as_ref()), self.name(*because))
            }
            EventKind::StepHeld { step, address, op, because, need } => {
                let (name, held) = (name(op, address.as_ref()), self.screen.paint(Tone::Changed, "held"));
                let why = if step == because { need.to_string() } else { format!("with `{}`", self.name(*because)) };
                self.names.insert(*step, name.clone());
                format!("{name}: {held}, {why}")
            }
            EventKind::StepUnneeded { step } => format!("{}: not needed", self.name(*step)),
            EventKind::Stopping { cause, running } => self.stopping(cause, *running),
            EventKind::RunFinished { outcome, elapsed_ms } => {
                let (tone, word) = ending(*outcome);
                format!("{} after {}", self.screen.paint(tone, word), seconds(*elapsed_ms))
            }
        }
    }

    fn retrying(&self, step: StepId, failure: &Failure, wait_ms: u64) -> String {
        let again = format!("failed, trying again in {}", seconds(wait_ms));
        format!("{}: {}: {}", self.name(step), self.screen.paint(Tone::Changed, &again), causes(failure))
    }

    fn done(&self, step: StepId, elapsed_ms: u64) -> String {
        format!("{}: {} in {}", self.name(step), self.screen.paint(Tone::Added, "done"), seconds(elapsed_ms))
    }

    fn failed(&self, step: StepId, failure: &Failure, elapsed_ms: u64) -> String {
        let failed = self.screen.paint(Tone::Alarm, "failed");
        format!("{}: {failed} after {}: {}", self.name(step), seconds(elapsed_ms), causes(failure))
    }

    fn stopping(&self, cause: &StopCause, running: u32) -> String {
        let running = count(running, "running step");
        let stopping = self.screen.paint(Tone::Alarm, "stopping");
        match cause {
            StopCause::Cancelled => format!("{stopping}: waiting for {running}; interrupt again to drop them"),
            StopCause::Aborted => format!("{}: dropping {running}", self.screen.paint(Tone::Alarm, "aborting")),
            StopCause::Journal { message } => {
                let message = scrub::line(message);
                format!("{stopping}: the journal cannot be written ({message}); waiting for {running}")
            }
            StopCause::Malformed { message } => format!("{stopping}: {}", scrub::line(message)),
        }
    }

    fn name(&self, step: StepId) -> String {
        self.names.get(&step).cloned().unwrap_or_else(|| format!("step {}", step.0))
    }
}

/// How a run ended, in words.
pub(super) const fn ending(outcome: Outcome) -> (Tone, &'static str) {
    match outcome {
        Outcome::Done => (Tone::Added, "finished"),
        Outcome::Failed => (Tone::Alarm, "failed"),
        Outcome::Partial => (Tone::Alarm, "finished in part"),
        Outcome::Reverted => (Tone::Alarm, "reverted"),
        Outcome::Held => (Tone::Changed, "held"),
        Outcome::Interrupted => (Tone::Changed, "interrupted"),
    }
}

/// What a step is called: `create-guest vm.web-1`.
pub(super) fn name(op: &str, address: Option<&Address>) -> String {
    address.map_or_else(
        || scrub::line(op).into_owned(),
        |address| format!("{} {}", scrub::line(op), scrub::line(address.as_str())),
    )
}

/// All causes on one line.
fn causes(failure: &Failure) -> String {
    scrub::line(&failure.causes.join(": ")).into_owned()
}

/// A duration: `0.3 s`, `59.9 s`, `2m 05s`, `1h 00m`.
pub(super) fn seconds(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..60 => format!("{s}.{} s", ms % 1000 / 100),
        60..3600 => format!("{}m {:02}s", s / 60, s % 60),
        _ => format!("{}h {:02}m", s / 3600, s % 3600 / 60),
    }
}

/// `1 step`, `2 steps`.
pub(super) fn count(n: impl Into<u64>, noun: &str) -> String {
    let n = n.into();
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::RunId;

    fn at(ms: i64, kind: EventKind) -> Event {
        Event { at: Timestamp::from_millisecond(ms).unwrap(), kind }
    }

    #[test]
    fn a_run_reads_as_plain_lines() {
        let (make, start) = (StepId(0), StepId(1));
        let address = Some(Address::vm("web-1"));
        let op = || "create-guest".to_owned();
        let failure = Failure::transient("connection reset").context("cannot \x1b[31mreach the host");
        let events = [
            at(1_000, EventKind::RunStarted { run: RunId::from_u128(7), fleet: "demo".into(), steps: 2 }),
            at(1_000, EventKind::StepStarted { step: make, address: address.clone(), op: op(), attempt: 1 }),
            at(1_200, EventKind::StepProgress { step: make, text: "copying".into() }),
            at(1_300, EventKind::StepRetrying { step: make, attempt: 1, failure: failure.clone(), wait_ms: 1_000 }),
            at(2_300, EventKind::StepStarted { step: make, address: address.clone(), op: op(), attempt: 2 }),
            at(2_400, EventKind::Stopping { cause: StopCause::Cancelled, running: 1 }),
            at(62_300, EventKind::StepFailed { step: make, elapsed_ms: 61_300, failure }),
            at(62_300, EventKind::StepSkipped { step: start, address, op: "start-guest".into(), because: make }),
            at(62_300, EventKind::RunFinished { outcome: Outcome::Interrupted, elapsed_ms: 61_300 }),
        ];
        let mut progress = ProgressLines::new(Screen::plain(80));
        let text: String = events.iter().map(|event| progress.lines(event)).collect();
        assert_eq!(
            text,
            "\
[  0.0 s] run 00000000-0000-0000-0000-000000000007 of fleet `demo`: 2 steps
[  0.0 s] create-guest vm.web-1: started
[  0.2 s] create-guest vm.web-1: copying
[  0.3 s] create-guest vm.web-1: failed, trying again in 1.0 s: cannot \\u{1b}[31mreach the host: connection reset
[  1.3 s] create-guest vm.web-1: started (attempt 2)
[  1.4 s] stopping: waiting for 1 running step; interrupt again to drop them
[ 1m 01s] create-guest vm.web-1: failed after 1m 01s: cannot \\u{1b}[31mreach the host: connection reset
[ 1m 01s] start-guest vm.web-1: skipped, because `create-guest vm.web-1` failed
[ 1m 01s] interrupted after 1m 01s
"
        );
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([0, 340, 59_999, 125_000, 3_600_000].map(seconds), ["0.0 s", "0.3 s", "59.9 s", "2m 05s", "1h 00m"]);
    }
}

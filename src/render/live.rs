//! A run on a terminal: what ended scrolls by, what runs stands below it in lines that are drawn again and again, with a
//! bar at the end.
//!
//! ```text
//! [ 12.3 s] build-image image.bookworm: done in 12.3 s
//! create-guest vm.web-1   0.4 s  copying the root disk
//! create-guest vm.db      0.3 s
//! ━━━━━━━━━────────────── 3 of 8 steps, 15.2 s, about 20 s left
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::layout::{columns, cut, pad};
use super::progress::{ProgressLines, name, seconds};
use super::screen::{Screen, Tone};
use super::scrub;
use crate::exec::{Event, EventKind};
use crate::plan::StepId;

/// A terminal's size now, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Draws a run's events. Every method returns what is to be written to the terminal.
#[derive(Debug)]
pub struct LiveProgress {
    screen: Screen,
    lines: ProgressLines,
    began: Option<Timestamp>,
    expected: Option<Duration>,
    total: u32,
    ended: u32,
    active: BTreeMap<StepId, Active>,
    /// Columns of the lines that stand below the cursor's first row.
    drawn: Vec<usize>,
}

#[derive(Debug)]
struct Active {
    name: String,
    since: Timestamp,
    words: String,
}

/// Rows that drawn lines may take at most, whatever the terminal's height.
const ROWS_MAX: usize = 20;

/// Columns of the bar.
const BAR: usize = 24;

impl LiveProgress {
    /// Before the run; `expected` is how long it should take, when that is known.
    pub const fn new(screen: Screen, expected: Option<Duration>) -> Self {
        Self {
            screen,
            lines: ProgressLines::new(screen),
            began: None,
            expected,
            total: 0,
            ended: 0,
            active: BTreeMap::new(),
            drawn: Vec::new(),
        }
    }

    /// Takes an event; what is worth keeping scrolls by, and the rest is drawn again below it.
    pub fn event(&mut self, event: &Event, size: Size) -> String {
        // Lines learn the names of steps from events that are not kept.
        let line = self.lines.lines(event);
        self.note(event);
        let kept = match event.kind {
            EventKind::StepStarted { .. } | EventKind::StepProgress { .. } => String::new(),
            _ => line,
        };
        self.draw(event.at, size, &kept)
    }

    /// Draws again, because time has passed or the terminal was resized.
    pub fn tick(&mut self, now: Timestamp, size: Size) -> String {
        self.draw(now, size, "")
    }

    /// Takes everything away that is not to stay.
    pub fn clear(&mut self, size: Size) -> String {
        let erased = self.erase(size);
        self.drawn.clear();
        erased
    }

    fn note(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { steps, .. } => (self.began, self.total) = (Some(event.at), *steps),
            EventKind::StepStarted { step, address, op, .. } => {
                let name = name(op, address.as_ref());
                let since = self.active.remove(step).map_or(event.at, |earlier| earlier.since);
                self.active.insert(*step, Active { name, since, words: String::new() });
            }
            EventKind::StepProgress { step, text } | EventKind::StepNoted { step, text } => self.say(*step, text),
            EventKind::StepRetrying { step, wait_ms, .. } => {
                self.say(*step, &format!("waits {} to be tried again", seconds(*wait_ms)));
            }
            EventKind::StepDone { step, .. } | EventKind::StepFailed { step, .. } => {
                self.active.remove(step);
                self.ended += 1;
            }
            EventKind::StepSkipped { .. } | EventKind::StepHeld { .. } | EventKind::StepUnneeded { .. } => {
                self.ended += 1;
            }
            EventKind::RunFinished { .. } => self.active.clear(),
            EventKind::Stopping { .. } => self.expected = None,
        }
    }

    fn say(&mut self, step: StepId, text: &str) {
        if let Some(active) = self.active.get_mut(&step) {
            active.words = scrub::line(text).into_owned();
        }
    }

    fn draw(&mut self, now: Timestamp, size: Size, kept: &str) -> String {
        let erased = self.erase(size);
        let frame = if self.active.is_empty() { Vec::new() } else { self.frame(now, size) };
        self.drawn = frame.iter().map(|(plain, _)| columns(plain)).collect();
        let lines: String = frame.into_iter().map(|(_, painted)| painted + "\n").collect();
        format!("{erased}{kept}{lines}")
    }

    /// Goes back to the first drawn row and clears from there. A terminal that was made narrower may have broken the
    /// drawn lines into more rows.
    fn erase(&self, size: Size) -> String {
        let width = size.width.max(1);
        let rows: usize = self.drawn.iter().map(|columns| columns.div_ceil(width).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\x1b[{rows}A\r\x1b[J") }
    }

    /// The lines to draw, plain and painted; each fits the width, all fit the height.
    fn frame(&self, now: Timestamp, size: Size) -> Vec<(String, String)> {
        let rows = size.height.saturating_sub(2).clamp(1, ROWS_MAX);
        let shown = if self.active.len() > rows { rows - 1 } else { self.active.len() };
        let widest = self.active.values().map(|active| columns(&active.name)).max().unwrap_or(0);
        let mut frame: Vec<_> = self
            .active
            .values()
            .take(shown)
            .map(|active| {
                let took = seconds(since(active.since, now));
                let line = fit(&format!("{} {took:>7}  {}", pad(&active.name, widest), active.words), size);
                (line.clone(), line)
            })
            .collect();
        if shown < self.active.len() {
            let line = fit(&format!("and {} more", self.active.len() - shown), size);
            frame.push((line.clone(), self.screen.paint(Tone::Quiet, &line)));
        }
        frame.push(self.bar(now, size));
        frame
    }

    fn bar(&self, now: Timestamp, size: Size) -> (String, String) {
        let elapsed = self.began.map_or(0, |began| since(began, now));
        let filled = BAR * self.ended.min(self.total) as usize / self.total.max(1) as usize;
        let (done, open) = ("━".repeat(filled), "─".repeat(BAR - filled));
        let left = self.expected.and_then(|all| all.checked_sub(Duration::from_millis(elapsed)));
        let left = left.map_or_else(String::new, |left| format!(", about {} left", rough(left)));
        let words = format!(" {} of {} steps, {}{left}", self.ended, self.total, seconds(elapsed));
        let plain = format!("{done}{open}{words}");
        if columns(&plain) >= size.width {
            let words = fit(words.trim_start(), size);
            return (words.clone(), words);
        }
        (plain, format!("{}{}{words}", self.screen.paint(Tone::Added, &done), self.screen.paint(Tone::Quiet, &open)))
    }
}

/// Cut to one column less than there are: writing into the last one moves some terminals' cursors.
fn fit(text: &str, size: Size) -> String {
    let text = text.trim_end();
    cut(text, size.width.saturating_sub(1).max(1)).first().map_or_else(String::new, |piece| (*piece).to_owned())
}

fn since(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond().saturating_sub(from.as_millisecond())).unwrap_or(0)
}

/// A time nobody should take for exact: `5 s`, `40 s`, `3 min`.
fn rough(left: Duration) -> String {
    match left.as_secs() {
        s @ 0..10 => format!("{} s", s + 1),
        s @ 10..60 => format!("{} s", s.div_ceil(10) * 10),
        s => format!("{} min", s.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{Outcome, RunId};
    use crate::resource::Address;

    const SIZE: Size = Size { width: 60, height: 24 };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn started(ms: i64, step: u32, guest: &str) -> Event {
        let address = Some(Address::vm(guest));
        Event {
            at: at(ms),
            kind: EventKind::StepStarted { step: StepId(step), address, op: "stop".into(), attempt: 1 },
        }
    }

    fn begun() -> LiveProgress {
        let mut live = LiveProgress::new(Screen::plain(60), Some(Duration::from_secs(42)));
        let kind = EventKind::RunStarted { run: RunId::from_u128(7), fleet: "demo".into(), steps: 4 };
        let text = live.event(&Event { at: at(0), kind }, SIZE);
        assert_eq!(text, "[  0.0 s] run 00000000-0000-0000-0000-000000000007 of fleet `demo`: 4 steps\n");
        live
    }

    #[test]
    fn what_runs_is_drawn_again_and_what_ended_scrolls_by() {
        let mut live = begun();
        // Too narrow for the bar: its words are enough.
        assert_eq!(
            live.event(&started(0, 0, "db"), SIZE),
            "stop vm.db   0.0 s\n0 of 4 steps, 0.0 s, about 50 s left\n"
        );
        let words = EventKind::StepProgress { step: StepId(0), text: "sync\x1b[2J".into() };
        assert_eq!(
            live.event(&Event { at: at(500), kind: words }, Size { width: 80, height: 24 }),
            "\x1b[2A\r\x1b[Jstop vm.db   0.5 s  sync\\u{1b}[2J\n──────────────────────── 0 of 4 steps, 0.5 s, about 50 s left\n"
        );
        live.event(&started(500, 1, "web-1"), SIZE);
        let done = EventKind::StepDone { step: StepId(0), elapsed_ms: 700 };
        assert_eq!(
            live.event(&Event { at: at(700), kind: done }, Size { width: 80, height: 24 }),
            "\x1b[3A\r\x1b[J[  0.7 s] stop vm.db: done in 0.7 s\nstop vm.web-1   0.2 s\n━━━━━━────────────────── 1 of 4 steps, 0.7 s, about 50 s left\n"
        );
        let finished = EventKind::RunFinished { outcome: Outcome::Done, elapsed_ms: 800 };
        assert_eq!(
            live.event(&Event { at: at(800), kind: finished }, SIZE),
            "\x1b[3A\r\x1b[J[  0.8 s] finished after 0.8 s\n"
        );
        assert_eq!(live.clear(SIZE), "");
    }

    #[test]
    fn a_terminal_that_became_narrower_is_still_cleared_whole() {
        let mut live = begun();
        live.event(&started(0, 0, "a-guest-with-a-long-name"), Size { width: 80, height: 24 });
        // Lines of 40 and of 62 columns now take 2 and 4 rows.
        let text = live.tick(at(0), Size { width: 20, height: 24 });
        assert!(text.starts_with("\x1b[6A\r\x1b[J"), "{text:?}");
        let widest = text.lines().skip(1).map(columns).max().unwrap();
        assert!(widest < 20, "{text:?}");
    }

    #[test]
    fn many_steps_fit_a_low_terminal() {
        let mut live = begun();
        let low = Size { width: 60, height: 6 };
        let text = (0..10).map(|step| live.event(&started(0, step, &format!("g{step}")), low)).last().unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.rsplit('J').next().unwrap()).collect();
        assert_eq!(lines[..4], ["stop vm.g0   0.0 s", "stop vm.g1   0.0 s", "stop vm.g2   0.0 s", "and 7 more"]);
        assert_eq!(lines.len(), 5);
    }
}

//! A run as it goes: live lines on a terminal, plain lines everywhere else.

use std::cell::RefCell;
use std::future::Future;
use std::io::IsTerminal as _;
use std::time::Duration;

use super::output;
use crate::effect::{Clock, Environment, SystemClock};
use crate::exec::{Event, Report};
use crate::render::{LiveProgress, ProgressLines, Size};

/// How often a terminal is drawn again.
const REDRAW: Duration = Duration::from_millis(200);

/// Where a run is told, on standard error.
pub(super) struct ProgressScreen(Form);

enum Form {
    Lines(RefCell<ProgressLines>),
    Live(RefCell<LiveProgress>),
}

impl ProgressScreen {
    /// Live when standard error is a terminal that can be drawn on; `expected` is how long the run should take.
    pub(super) fn new(expected: Option<Duration>) -> Self {
        let screen = output::error_screen();
        let dumb = Environment::variable("TERM").is_none_or(|term| term == "dumb");
        Self(if std::io::stderr().is_terminal() && !dumb {
            Form::Live(RefCell::new(LiveProgress::new(screen, expected)))
        } else {
            Form::Lines(RefCell::new(ProgressLines::new(screen)))
        })
    }

    /// Tells one event.
    pub(super) fn tell(&self, event: &Event) {
        match &self.0 {
            Form::Lines(lines) => output::talk(&lines.borrow_mut().lines(event)),
            Form::Live(live) => output::draw(&live.borrow_mut().event(event, size())),
        }
    }

    /// Waits for the run, and draws again while time passes.
    pub(super) async fn watch(&self, run: impl Future<Output = Report>) -> Report {
        let mut run = std::pin::pin!(run);
        let Form::Live(live) = &self.0 else { return run.await };
        loop {
            match tokio::time::timeout(REDRAW, &mut run).await {
                Ok(report) => {
                    output::draw(&live.borrow_mut().clear(size()));
                    return report;
                }
                Err(_) => output::draw(&live.borrow_mut().tick(SystemClock.now(), size())),
            }
        }
    }
}

/// The terminal's size now: it may be resized at any moment.
fn size() -> Size {
    terminal_size::terminal_size_of(std::io::stderr()).map_or(Size { width: 80, height: 24 }, |(width, height)| Size {
        width: width.0.into(),
        height: height.0.into(),
    })
}

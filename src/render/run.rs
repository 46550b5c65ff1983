//! A run's report for people: how it ended, what failed first and why, what was skipped because of whom, how to go on.

use std::fmt::Write as _;

use serde::Serialize;

use super::progress::{count, ending, name, seconds};
use super::screen::{Screen, Tone};
use super::scrub;
use crate::exec::journal::{StepPhase, Story};
use crate::exec::{Event, Failure, FailureKind, Outcome, Report, RunId, StepOutcome, StepReport, StopCause};
use crate::plan::StepId;

/// The report as indented JSON, ending with a newline.
///
/// # Errors
/// Never: every map key is text.
pub fn report_json(report: &Report) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        report: &'a Report,
        outcome: Outcome,
    }
    Ok(serde_json::to_string_pretty(&Document { report, outcome: report.outcome() })? + "\n")
}

/// One event as a line of JSON.
pub fn event_line(event: &Event) -> String {
    // Every map key is text, so that an event always has a JSON form.
    serde_json::to_string(event).map_or_else(|_| String::new(), |text| text + "\n")
}

/// The report as text, ending with a newline.
pub fn report_text(report: &Report, screen: Screen) -> String {
    let mut text = summary(report, screen);
    if let Some(StopCause::Journal { message } | StopCause::Malformed { message }) = &report.stopped {
        push(&mut text, &format!("{}: {}", screen.paint(Tone::Alarm, "stopped"), scrub::line(message)));
    }
    for id in &report.failures {
        failure(&mut text, report, *id, screen);
    }
    for (step, need) in report.held() {
        let title = screen.paint(Tone::Changed, &title_of(step));
        push(&mut text, &format!("\n{title} is held: it loses {}, and {need}", need.loss.words()));
    }
    if let Some(hint) = how_to_go_on(report) {
        push(&mut text, &format!("\n{hint}"));
    }
    text
}

fn summary(report: &Report, screen: Screen) -> String {
    let counts = report.counts();
    let (tone, word) = ending(report.outcome());
    let mut parts = vec![format!("{} done", counts.done)];
    let others = [
        (counts.failed, "failed"),
        (counts.skipped, "skipped"),
        (counts.held, "held"),
        (counts.not_started, "not started"),
    ];
    parts.extend(others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    format!(
        "{} after {}: {}, {} {}\n",
        screen.paint(tone, &format!("run {word}")),
        seconds(report.elapsed_ms),
        count(report.steps.len() as u64, "step"),
        parts.join(", "),
        screen.paint(Tone::Quiet, &format!("({})", report.run))
    )
}

/// One failed step with its causes, and those that were skipped because of it.
fn failure(text: &mut String, report: &Report, id: StepId, screen: Screen) {
    let Some(step) = step(report, id) else { return };
    let StepOutcome::Failed { failure } = &step.outcome else { return };
    let attempts = if step.attempts > 1 { format!(" and {} attempts", step.attempts) } else { String::new() };
    let title = screen.paint(Tone::Alarm, &title_of(step));
    push(text, &format!("\n{title} {} after {}{attempts}", verb(failure), seconds(step.elapsed_ms)));
    for (index, cause) in failure.causes.iter().enumerate() {
        let lead = if index == 0 { "" } else { "because: " };
        push(text, &format!("  {}{lead}{}", "  ".repeat(index.min(4)), scrub::line(cause)));
    }
    if let Some(hint) = &failure.hint {
        push(text, &format!("  hint: {}", scrub::line(hint)));
    }
    if report.reverted.contains(&id) {
        push(text, &format!("  {} as it was before", screen.paint(Tone::Changed, "put back")));
    }
    let because = |step: &&StepReport| step.outcome == StepOutcome::Skipped { because: id };
    for skipped in report.steps.iter().filter(because) {
        push(text, &format!("  {} {}", screen.paint(Tone::Changed, "skipped"), title_of(skipped)));
    }
}

/// An unfinished run whose process died: how far it came, and what it may or may not have done.
pub fn cut_short(run: RunId, story: &Story, screen: Screen) -> String {
    let done = story.steps.iter().filter(|step| step.phase == StepPhase::Done).count();
    let steps = count(story.steps.len() as u64, "step");
    let headline = screen.paint(Tone::Changed, "cut short");
    let mut text = format!("run {run} was {headline} after {done} of {steps}: this one takes up its work\n");
    for open in story.open_steps() {
        let name = name(&open.planned.op, open.planned.addresses.first());
        push(&mut text, &format!("  nobody knows how `{name}` ended: what is there now decides"));
    }
    text
}

const fn verb(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::Transient | FailureKind::Permanent => "failed",
        FailureKind::Unknown => "ended without an answer",
    }
}

fn how_to_go_on(report: &Report) -> Option<&'static str> {
    match report.outcome() {
        Outcome::Done => None,
        Outcome::Reverted => Some("What failed was put back as it was. To go on: mend the cause and apply again."),
        Outcome::Held => Some("To go on: whoever may agree looks at the plan, and agrees or signs; then apply again."),
        Outcome::Failed | Outcome::Partial => {
            Some("To go on: mend the cause and apply again; what is done already is found and not done twice.")
        }
        Outcome::Interrupted => Some("To go on: apply again; what is done already is found and not done twice."),
    }
}

fn step(report: &Report, id: StepId) -> Option<&StepReport> {
    report.steps.get(id.0 as usize)
}

fn title_of(step: &StepReport) -> String {
    name(&step.op, step.addresses.first())
}

fn push(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::exec::journal::{PlannedStep, StepStory};
    use crate::exec::{EventKind, REPORT_FORMAT_VERSION};
    use crate::plan::Repeat;
    use crate::resource::{Address, Digest};

    fn step(id: u32, op: &str, outcome: StepOutcome) -> StepReport {
        StepReport {
            step: StepId(id),
            addresses: vec![Address::vm("web-1")],
            op: op.into(),
            outcome,
            attempts: 2,
            started: Some(Timestamp::UNIX_EPOCH),
            elapsed_ms: 3_100,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_was_cut_short_says_what_nobody_knows() {
        let planned = |step: u32, op: &str| PlannedStep {
            step: StepId(step),
            op: op.into(),
            addresses: vec![Address::vm("web-1")],
            digest: Digest::of(b""),
            repeat: Repeat::CheckFirst,
        };
        let step = |step, op, phase| StepStory {
            planned: planned(step, op),
            phase,
            attempts: 1,
            started: None,
            ended: None,
            tasks: Vec::new(),
        };
        let steps = vec![
            step(0, "create-guest", StepPhase::Done),
            step(1, "start-guest", StepPhase::Started(1)),
            step(2, "await-ready", StepPhase::Planned),
        ];
        assert_eq!(
            cut_short(RunId::from_u128(7), &Story { steps, ..Story::default() }, Screen::plain(80)),
            "\
run 00000000-0000-0000-0000-000000000007 was cut short after 1 of 3 steps: this one takes up its work
  nobody knows how `start-guest vm.web-1` ended: what is there now decides
"
        );
    }

    #[test]
    fn an_event_is_a_line_of_json() {
        let kind = EventKind::StepStarted {
            step: StepId(3),
            address: Some(Address::vm("web-1")),
            op: "start-guest".into(),
            attempt: 1,
        };
        assert_eq!(
            event_line(&Event { at: Timestamp::UNIX_EPOCH, kind }),
            concat!(
                r#"{"at":"1970-01-01T00:00:00Z","event":"step-started","step":3,"address":"vm.web-1","#,
                r#""op":"start-guest","attempt":1}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_report_says_what_failed_why_and_whom_it_took_along() {
        let failure =
            Failure::transient("no space left on \x1b[2Jdevice").context("cannot copy the disk").hint("make room");
        let report = Report {
            format_version: REPORT_FORMAT_VERSION,
            run: RunId::from_u128(7),
            fleet: "demo".into(),
            started: Timestamp::UNIX_EPOCH,
            elapsed_ms: 63_000,
            stopped: None,
            failures: vec![StepId(1), StepId(3)],
            reverted: vec![StepId(3)],
            steps: vec![
                step(0, "build-image", StepOutcome::Done),
                step(1, "create-guest", StepOutcome::Failed { failure }),
                step(2, "start-guest", StepOutcome::Skipped { because: StepId(1) }),
                step(3, "stop-guest", StepOutcome::Failed { failure: Failure::unknown("reply lost") }),
            ],
        };
        assert_eq!(
            report_text(&report, Screen::plain(80)),
            "\
run finished in part after 1m 03s: 4 steps, 1 done, 2 failed, 1 skipped (00000000-0000-0000-0000-000000000007)

create-guest vm.web-1 failed after 3.1 s and 2 attempts
  cannot copy the disk
    because: no space left on \\u{1b}[2Jdevice
  hint: make room
  skipped start-guest vm.web-1

stop-guest vm.web-1 ended without an answer after 3.1 s and 2 attempts
  reply lost
  put back as it was before

To go on: mend the cause and apply again; what is done already is found and not done twice.
"
        );
        let json: serde_json::Value = serde_json::from_str(&report_json(&report).unwrap()).unwrap();
        assert_eq!((&json["outcome"], &json["steps"][1]["outcome"]), (&"partial".into(), &"failed".into()));
        assert_eq!(
            json["steps"][2],
            serde_json::json!({
                "step": 2, "addresses": ["vm.web-1"], "op": "start-guest", "outcome": "skipped", "because": 1,
                "attempts": 2, "started": "1970-01-01T00:00:00Z", "elapsed_ms": 3_100,
            })
        );
    }
}

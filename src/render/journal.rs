//! Runs of the past, as their journals tell them: a list, and one run's story with its timings.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::layout::pad;
use super::progress::{count, ending, name, seconds};
use super::screen::{Screen, Tone};
use super::scrub;
use crate::exec::RunId;
use crate::exec::journal::{JOURNAL_FORMAT_VERSION, Listed, Pulse, RunPhase, StepPhase, StepStory, Story};
use crate::plan::StepId;

/// Every run on a line of its own, the newest last.
pub fn journal_list(runs: &[Listed], screen: Screen) -> String {
    if runs.is_empty() {
        return "no runs\n".into();
    }
    runs.iter().map(|listed| line(listed, screen)).collect()
}

fn line(listed: &Listed, screen: Screen) -> String {
    let run = listed.run;
    let story = match &listed.story {
        Ok(story) => story,
        Err(error) => {
            let unreadable = screen.paint(Tone::Alarm, "unreadable");
            return format!("{run}  {unreadable}: {}\n", scrub::line(&error.to_string()));
        }
    };
    let (tone, word) = status(story, listed.pulse);
    let began = story.beginning.as_ref().map_or_else(|| "?".into(), |beginning| moment(beginning.at));
    format!(
        "{run}  {began}  {}  {:>8}  {}\n",
        screen.paint(tone, &pad(word, STATUS_WIDTH)),
        seconds(story.elapsed_ms()),
        tally(story)
    )
}

/// Columns of the longest status.
const STATUS_WIDTH: usize = "finished in part".len();

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Where a run is, in words.
fn status(story: &Story, pulse: Pulse) -> (Tone, &'static str) {
    match (story.phase, pulse) {
        (RunPhase::Closed(outcome), _) => ending(outcome),
        (RunPhase::New | RunPhase::Planning | RunPhase::Open, Pulse::Alive) => (Tone::Strong, "running"),
        (RunPhase::New | RunPhase::Planning | RunPhase::Open, Pulse::Dead) => (Tone::Alarm, "died"),
    }
}

/// How many steps ended how: `5 done, 1 failed of 8 steps`.
fn tally(story: &Story) -> String {
    let mut parts: Vec<(usize, &str)> = Vec::new();
    for word in ["done", "failed", "unknown", "skipped", "held", "started"] {
        let number = story.steps.iter().filter(|step| phase(step).1 == word).count();
        if number > 0 {
            parts.push((number, word));
        }
    }
    let total = count(story.steps.len() as u64, "step");
    let words: Vec<String> = parts.iter().map(|(number, word)| format!("{number} {word}")).collect();
    if words.is_empty() { total } else { format!("{} of {total}", words.join(", ")) }
}

fn phase(step: &StepStory) -> (Tone, &'static str) {
    match step.phase {
        StepPhase::Planned => (Tone::Quiet, "not started"),
        StepPhase::Started(_) | StepPhase::Waiting(_) => (Tone::Changed, "started"),
        StepPhase::Done => (Tone::Added, "done"),
        StepPhase::Failed(_) => (Tone::Alarm, "failed"),
        StepPhase::Unknown(_) => (Tone::Alarm, "unknown"),
        StepPhase::Skipped(_) => (Tone::Changed, "skipped"),
        StepPhase::Held(_) => (Tone::Changed, "held"),
        StepPhase::Unneeded => (Tone::Quiet, "not needed"),
    }
}

/// One run: how it began, every step with its start and how long it took, and how it ended.
pub fn journal_story(listed: &Listed, story: &Story, screen: Screen) -> String {
    let (tone, word) = status(story, listed.pulse);
    let mut text = format!("run {} {}", listed.run, screen.paint(tone, word));
    if let Some(beginning) = &story.beginning {
        push(&mut text, &format!(" after {}", seconds(story.elapsed_ms())));
        let (fleet, program) = (scrub::line(&beginning.fleet), scrub::line(&beginning.program));
        let began = moment(beginning.at);
        push(&mut text, &format!("fleet `{fleet}`, began {began} by regatta {program}, process {}", beginning.pid));
        for resumed in &beginning.resumes {
            push(&mut text, &format!("took up the interrupted run {resumed}"));
        }
    }
    push(&mut text, "");
    for step in &story.steps {
        push(&mut text, &step_line(story, step, screen));
        for task in &step.tasks {
            let (name, on) = (scrub::line(&task.name), scrub::line(&task.on));
            push(&mut text, &format!("{:TASK_INDENT$}began {name} on `{on}`", ""));
        }
    }
    text
}

fn step_line(story: &Story, step: &StepStory, screen: Screen) -> String {
    let began = story.beginning.as_ref().map(|beginning| beginning.at);
    let since = began.zip(step.started).map(|(began, started)| {
        u64::try_from(started.as_millisecond().saturating_sub(began.as_millisecond())).unwrap_or(0)
    });
    let column = |ms: Option<u64>| format!("{:>8}", ms.map_or_else(|| "-".into(), seconds));
    let (tone, word) = phase(step);
    let attempts = if step.attempts > 1 { format!(" ({} attempts)", step.attempts) } else { String::new() };
    format!(
        "{} {}  {} {}{attempts}{}",
        column(since),
        column(step.elapsed_ms()),
        screen.paint(tone, &pad(word, PHASE_WIDTH)),
        title(step),
        why(story, step)
    )
}

/// Columns before a step's title.
const TASK_INDENT: usize = 8 + 1 + 8 + 2 + PHASE_WIDTH + 1;

/// Columns of the longest phase.
const PHASE_WIDTH: usize = "not started".len();

fn title(step: &StepStory) -> String {
    name(&step.planned.op, step.planned.addresses.first())
}

fn why(story: &Story, step: &StepStory) -> String {
    match &step.phase {
        StepPhase::Failed(failure) | StepPhase::Unknown(failure) => {
            format!(": {}", scrub::line(&failure.causes.join(": ")))
        }
        StepPhase::Skipped(because) => format!(", because `{}` failed", title_of(story, *because)),
        StepPhase::Held(because) if *because == step.planned.step => ", needs approval".to_owned(),
        StepPhase::Held(because) => format!(", with `{}`", title_of(story, *because)),
        StepPhase::Planned | StepPhase::Started(_) | StepPhase::Waiting(_) | StepPhase::Done | StepPhase::Unneeded => {
            String::new()
        }
    }
}

fn title_of(story: &Story, step: StepId) -> String {
    story.step(step).map_or_else(|| format!("step {}", step.0), title)
}

fn push(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

/// The list as programs read it.
#[derive(Serialize)]
struct ListJson<'a> {
    format_version: u32,
    runs: Vec<LineJson<'a>>,
}

/// One run of the list.
#[derive(Serialize)]
struct LineJson<'a> {
    run: RunId,
    status: &'a str,
    began: Option<Timestamp>,
    elapsed_ms: Option<u64>,
    steps: Option<usize>,
    done: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Every run as one JSON document, ending with a newline.
///
/// # Errors
/// When it has no JSON form, which no run is known to lack.
pub fn journal_list_json(runs: &[Listed]) -> serde_json::Result<String> {
    let line = |listed: &Listed| {
        let story = listed.story.as_ref().ok();
        LineJson {
            run: listed.run,
            status: story.map_or("unreadable", |story| status(story, listed.pulse).1),
            began: story.and_then(|story| story.beginning.as_ref()).map(|beginning| beginning.at),
            elapsed_ms: story.map(Story::elapsed_ms),
            steps: story.map(|story| story.steps.len()),
            done: story.map(|story| story.steps.iter().filter(|step| step.phase == StepPhase::Done).count()),
            error: listed.story.as_ref().err().map(ToString::to_string),
        }
    };
    let list = ListJson { format_version: JOURNAL_FORMAT_VERSION, runs: runs.iter().map(line).collect() };
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}

/// A run as programs read it.
#[derive(Serialize)]
struct RunJson<'a> {
    format_version: u32,
    process: Pulse,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    story: Option<&'a Story>,
}

/// One run as JSON, ending with a newline.
///
/// # Errors
/// When it has no JSON form, which no run is known to lack.
pub fn journal_json(listed: &Listed) -> serde_json::Result<String> {
    let run = RunJson {
        format_version: JOURNAL_FORMAT_VERSION,
        process: listed.pulse,
        error: listed.story.as_ref().err().map(ToString::to_string),
        story: listed.story.as_ref().ok(),
    };
    Ok(serde_json::to_string_pretty(&run)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::journal::{Beginning, PlannedStep};
    use crate::exec::{Failure, Outcome};
    use crate::plan::Repeat;
    use crate::resource::{Address, Digest};

    fn step(id: u32, op: &str, phase: StepPhase, times: Option<(i64, i64)>) -> StepStory {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        StepStory {
            planned: PlannedStep {
                step: StepId(id),
                op: op.into(),
                addresses: vec![Address::vm("web-1")],
                digest: Digest::of(b""),
                repeat: Repeat::Safe,
            },
            phase,
            attempts: 1 + id % 2,
            started: times.map(|(started, _)| at(started)),
            ended: times.map(|(_, ended)| at(ended)),
            tasks: Vec::new(),
        }
    }

    fn listed(phase: RunPhase) -> Listed {
        let failure = Failure::unknown("it did not end\x1b[2J within 60 s");
        let beginning = Beginning {
            run: RunId::from_u128(7),
            fleet: "demo".into(),
            program: "0.1.0".into(),
            pid: 42,
            at: Timestamp::UNIX_EPOCH,
            steps: 4,
            resumes: vec![RunId::from_u128(6)],
        };
        let story = Story {
            phase,
            beginning: Some(beginning),
            steps: vec![
                step(0, "create-guest", StepPhase::Done, Some((100, 2_300))),
                step(1, "start-guest", StepPhase::Unknown(failure), Some((2_300, 62_300))),
                step(2, "await-ready", StepPhase::Skipped(StepId(1)), None),
                step(4, "build-kernel", StepPhase::Planned, None),
            ],
            last: Some(Timestamp::from_millisecond(62_300).unwrap()),
        };
        Listed { run: RunId::from_u128(7), pulse: Pulse::Dead, story: Ok(story) }
    }

    #[test]
    fn a_list_has_a_line_per_run() {
        let runs = [listed(RunPhase::Closed(Outcome::Partial)), listed(RunPhase::Open)];
        assert_eq!(
            journal_list(&runs, Screen::plain(80)),
            "\
00000000-0000-0000-0000-000000000007  1970-01-01 00:00:00 UTC  finished in part    1m 02s  1 done, 1 unknown, 1 skipped of 4 steps
00000000-0000-0000-0000-000000000007  1970-01-01 00:00:00 UTC  died                1m 02s  1 done, 1 unknown, 1 skipped of 4 steps
"
        );
        assert_eq!(journal_list(&[], Screen::plain(80)), "no runs\n");
    }

    #[test]
    fn the_list_has_a_json_form() {
        let json: serde_json::Value =
            serde_json::from_str(&journal_list_json(&[listed(RunPhase::Closed(Outcome::Done))]).unwrap()).unwrap();
        let expected = serde_json::json!({
            "format_version": 1,
            "runs": [{
                "run": "00000000-0000-0000-0000-000000000007",
                "status": "finished",
                "began": "1970-01-01T00:00:00Z",
                "elapsed_ms": 62_300,
                "steps": 4,
                "done": 1,
            }],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_story_tells_every_step_with_its_timing() {
        let listed = listed(RunPhase::Closed(Outcome::Interrupted));
        assert_eq!(
            journal_story(&listed, listed.story.as_ref().unwrap(), Screen::plain(80)),
            "\
run 00000000-0000-0000-0000-000000000007 interrupted after 1m 02s
fleet `demo`, began 1970-01-01 00:00:00 UTC by regatta 0.1.0, process 42
took up the interrupted run 00000000-0000-0000-0000-000000000006

   0.1 s    2.2 s  done        create-guest vm.web-1
   2.3 s   1m 00s  unknown     start-guest vm.web-1 (2 attempts): it did not end\\u{1b}[2J within 60 s
       -        -  skipped     await-ready vm.web-1, because `start-guest vm.web-1` failed
       -        -  not started build-kernel vm.web-1
"
        );
    }

    #[test]
    fn a_run_has_a_json_form() {
        let json: serde_json::Value = serde_json::from_str(&journal_json(&listed(RunPhase::Open)).unwrap()).unwrap();
        assert_eq!(
            (&json["run"], &json["phase"], &json["process"]),
            (&"00000000-0000-0000-0000-000000000007".into(), &"open".into(), &"dead".into())
        );
        assert_eq!(json["steps"][2]["phase"], "skipped");
        assert_eq!(json["steps"][2]["detail"], 1);
    }
}

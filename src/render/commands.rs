//! The commands that the steps of a plan would run.

use serde::Serialize;

use super::screen::{Screen, Tone};
use super::scrub;
use crate::exec::{Asked, Rehearsed};
use crate::plan::{Graph, Step, StepId};
use crate::resource::Address;

/// The version of the JSON form.
pub const COMMANDS_FORMAT_VERSION: u32 = 1;

/// The commands as text: a heading for each step, a line for each command behind the word that says with whose rights,
/// or in which guest, it would run.
pub fn commands(graph: &Graph, rehearsed: &[Rehearsed], screen: Screen) -> String {
    let mut text = String::new();
    for (step, done) in of(graph, rehearsed) {
        let addresses: Vec<_> = step.addresses.iter().map(|address| scrub::line(address.as_str())).collect();
        let heading = format!("[{}] {} {}", step.id.0, step.op.name(), addresses.join(" "));
        text.push_str(&format!("{}\n", screen.paint(Tone::Strong, &heading)));
        for asked in &done.commands {
            text.push_str(&format!("  {}\n", line(asked, screen)));
        }
        if let Some(why) = &done.cut_short {
            let cut = format!("… not known further: {}", scrub::line(why));
            text.push_str(&format!("  {}\n", screen.paint(Tone::Alarm, &cut)));
        } else if done.commands.is_empty() {
            text.push_str(&format!("  {}\n", screen.paint(Tone::Quiet, "runs no program")));
        }
    }
    if text.is_empty() { "No steps: nothing would be run.\n".into() } else { text }
}

fn line(asked: &Asked, screen: Screen) -> String {
    let (tone, place) = match &asked.guest {
        Some(guest) => (Tone::Place, format!("in {}", scrub::line(guest))),
        None if asked.is_privileged() => (Tone::Alarm, "as root".to_owned()),
        None => (Tone::Quiet, "as you".to_owned()),
    };
    // A constant script has several lines: those after the first stand below it.
    let command: Vec<_> = asked.line.split('\n').map(scrub::line).collect();
    format!("{}  {}", screen.paint(tone, &place), command.join("\n      "))
}

fn of<'a>(graph: &'a Graph, rehearsed: &'a [Rehearsed]) -> impl Iterator<Item = (&'a Step, &'a Rehearsed)> {
    rehearsed.iter().filter_map(|done| Some((graph.steps.get(done.step.0 as usize)?, done)))
}

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    fleet: &'a str,
    steps: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: StepId,
    op: &'static str,
    addresses: &'a [Address],
    commands: Vec<CommandEntry<'a>>,
    /// Why not all of them are known; `null` when they are.
    cut_short: Option<&'a str>,
}

#[derive(Serialize)]
struct CommandEntry<'a> {
    argv: &'a [String],
    privileged: bool,
    /// The guest it would run in; `null` for this host.
    guest: Option<&'a str>,
}

/// The commands as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn commands_json(fleet: &str, graph: &Graph, rehearsed: &[Rehearsed]) -> serde_json::Result<String> {
    let steps = of(graph, rehearsed).map(|(step, done)| Entry {
        id: step.id,
        op: step.op.name(),
        addresses: &step.addresses,
        commands: done.commands.iter().map(entry).collect(),
        cut_short: done.cut_short.as_deref(),
    });
    let document = Document { format_version: COMMANDS_FORMAT_VERSION, fleet, steps: steps.collect() };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

fn entry(asked: &Asked) -> CommandEntry<'_> {
    CommandEntry { argv: &asked.argv, privileged: asked.is_privileged(), guest: asked.guest.as_deref() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Op;

    #[test]
    fn each_command_says_with_whose_rights_it_runs() {
        let asked = |line: &str, guest: Option<&str>| Asked {
            argv: line.split(' ').map(str::to_owned).collect(),
            line: line.into(),
            guest: guest.map(str::to_owned),
        };
        let step = |id| {
            let op = Op::StopGuest { guest: "web".into() };
            let (deadline_s, repeat) = (op.deadline_s(), op.repeat());
            let (addresses, after, rescues) = (vec![Address::vm("web")], Vec::new(), Vec::new());
            Step { id: StepId(id), addresses, op, after, rescues, deadline_s, repeat }
        };
        let graph = Graph { steps: vec![step(0), step(1)] };
        let first = Rehearsed {
            step: StepId(0),
            commands: vec![asked("/usr/bin/sudo -n true", None), asked("ls", None), asked("sudo ls", Some("web"))],
            cut_short: None,
        };
        let second = Rehearsed { step: StepId(1), commands: Vec::new(), cut_short: Some("no\x07".into()) };
        let text = commands(&graph, &[first, second], Screen::plain(80));
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  ")).collect();
        assert_eq!(
            lines,
            [
                "  as root  /usr/bin/sudo -n true",
                "  as you  ls",
                "  in web  sudo ls",
                "  … not known further: no\\u{7}",
            ]
        );
    }
}

//! `regatta exec GUEST… -- cmd…`: one command in several guests at the same time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::args::{ExecArgs, Format, Global};
use super::error::{CliError, Exit, HOST_KEY_HINT};
use super::output;
use super::ways::Ways;
use crate::driver::{Door, Errand, FanOut, Line, Source};
use crate::effect::{ConnectError, Status};
use crate::render::{self, Ended, Prefixes, Ran, Said};

/// Bytes of standard input that are kept to be given to several guests.
const STDIN_LIMIT: u64 = 64 << 20;

/// Exit code when a guest could not be reached or the command's end is not known, as that of `ssh`.
const NO_ANSWER: u8 = 255;

/// Runs the command, shows each line behind its guest's name (or everything at the end, as JSON), and tells how it
/// ended where it did not end well.
pub(super) async fn run(global: &Global, args: &ExecArgs) -> Result<Exit, CliError> {
    let ways = Ways::open(global)?;
    let selected = ways.selected(&args.guests)?;
    let stdin = if args.stdin { output::input(STDIN_LIMIT)? } else { Vec::new() };
    let mut ran: BTreeMap<String, Ran> = BTreeMap::new();
    let mut targets: BTreeMap<String, Door> = BTreeMap::new();
    for (name, door) in ways.doors(&selected).await {
        match door {
            Ok(door) => drop(targets.insert(name, door)),
            Err(failure) => drop(ran.insert(name, Ran::not(failure.causes.join(": ")))),
        }
    }
    let fan_out = FanOut {
        parallel: args.parallel.into(),
        connect: Duration::from_secs(args.connect_timeout),
        run: Duration::from_secs(args.timeout),
    };
    let errand = Errand { argv: args.command.clone(), stdin };
    let mut heard: BTreeMap<String, [Said; 2]> = BTreeMap::new();
    let listener = Listener { format: global.format, names: targets.keys().cloned().collect() };
    let endings = fan_out.run(&targets, errand, |line| listener.hear(&line, &mut heard)).await;
    for (name, ending) in endings {
        let ended = match ending {
            Ok(Status::Code(code)) => Ended::Exited(code),
            Ok(Status::Signal(signal)) => Ended::Signalled(signal),
            Err(error @ ConnectError::HostKey { .. }) => Ended::Failed(format!("{error}; {HOST_KEY_HINT}")),
            Err(error) => Ended::Failed(error.to_string()),
        };
        let [stdout, stderr] = heard.remove(&name).unwrap_or_default();
        ran.insert(name, Ran { ended, stdout, stderr });
    }
    match global.format {
        Format::Json => output::data(&render::exec_json(&args.command, &ran)?),
        Format::Human => output::talk(&render::exec_summary(&ran, output::error_screen())),
    }
    Ok(exit(&ran))
}

/// Shows lines as they come, or keeps them.
struct Listener {
    format: Format,
    names: Vec<String>,
}

impl Listener {
    fn hear(&self, line: &Line, heard: &mut BTreeMap<String, [Said; 2]>) {
        let shown = |screen| Prefixes::new(self.names.iter().map(String::as_str), screen).line(&line.guest, &line.text);
        match (self.format, line.source) {
            (Format::Human, Source::Output) => output::data(&shown(output::data_screen())),
            (Format::Human, Source::ErrorOutput) => output::talk(&shown(output::error_screen())),
            (Format::Json, source) => {
                let [stdout, stderr] = heard.entry(line.guest.clone()).or_default();
                if source == Source::Output { stdout } else { stderr }.add(&line.text);
            }
        }
    }
}

/// One guest: the command's own code. Several: 0 when it went well in all, 1 in none, 4 in some.
fn exit(ran: &BTreeMap<String, Ran>) -> Exit {
    if let [one] = ran.values().collect::<Vec<_>>()[..] {
        return match one.ended {
            Ended::Exited(code) => Exit::Command(u8::try_from(code).unwrap_or(NO_ANSWER)),
            Ended::Signalled(signal) => Exit::Command(u8::try_from(128 + signal).unwrap_or(NO_ANSWER)),
            Ended::Failed(_) => Exit::Command(NO_ANSWER),
        };
    }
    match ran.values().filter(|one| one.ended == Ended::Exited(0)).count() {
        well if well == ran.len() => Exit::Success,
        0 => Exit::Failure,
        _ => Exit::Partial,
    }
}

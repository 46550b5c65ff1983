//! How long reading a large fleet takes, and how much memory: ten thousand guests written out (10 MB), the same by
//! `count`, and the bare parser on the same text for comparison; and text that is meant to hurt, which has to be refused
//! within a second. `cargo bench --bench check`

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its figures and may stop")]

#[path = "../tests/common/hostile.rs"]
#[allow(unreachable_pub, reason = "shared with a test")]
mod hostile;

use std::fmt::Write as _;
use std::fs;
use std::time::Instant;

use camino::Utf8Path;
use hostile::hostile_texts;
use regatta::config::{self, LoadError, Loader};
use regatta::resource::{self, Inputs};

/// Guests of each fleet.
const GUESTS: usize = 10_000;

struct OneFile(String);

impl Loader for OneFile {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        if path == "fleet.kdl" { Ok(std::mem::take(&mut self.0)) } else { Err(LoadError::Missing) }
    }

    fn list(&mut self, _directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        Err(LoadError::Missing)
    }

    fn variable(&mut self, _name: &str) -> Option<String> {
        None
    }
}

/// The block of one guest, about 1,000 bytes.
fn block(number: usize) -> String {
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| writeln!(text, "    {line}").expect("writing to a string");
    line(format_args!("// guest {number}: what people write to say what it is for, who owns it and who asked for it"));
    line(format_args!("image \"bookworm\""));
    line(format_args!("network \"lan\""));
    line(format_args!("cpus 2"));
    line(format_args!("memory \"512MiB\""));
    line(format_args!("work-disk size=\"4GiB\""));
    line(format_args!("git-identity name=\"User {number}\" email=\"user-{number}@example.org\""));
    line(format_args!("authorized-key file=\"~/keys/of/the/people/who/may/log/in/to/guest-{number}.pub\""));
    for file in ["nvim", "git/ignore", "tmux.conf", "shell/profile", "shell/aliases", "editor/settings.json"] {
        line(format_args!("file-sync \"~/.config/{file}\" to=\"~/.config/{file}\" mode=\"0644\" prune=#true"));
    }
    line(format_args!("file-sync \"~/projects/{number}/secrets.toml\" to=\"~/secrets-{number}.toml\" mode=\"0400\""));
    text
}

const HEAD: &str = "import \"std/debian\"\nnetwork \"lan\"\n";

fn explicit() -> String {
    let guests = (0..GUESTS).map(|number| format!("vm \"web-{number}\" {{\n{}}}\n", block(number)));
    HEAD.to_owned() + &guests.collect::<String>()
}

/// Bytes of memory the process has held at most.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim().to_owned()
}

/// Processor time of all threads so far, in hundredths of a second: on a busy machine the clock says little.
fn processor() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn check(name: &str, text: String) {
    let bytes = text.len();
    let (start, ticks) = (Instant::now(), processor());
    let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "bench", &mut OneFile(text));
    let fleet = fleet.expect("a fleet without mistakes");
    let loaded = start.elapsed();
    println!(
        "{name:24} {bytes:>9} bytes  check {loaded:>10.3?} (processor {}0 ms)  peak {}",
        processor() - ticks,
        peak()
    );
    let lowered = resource::lower(&fleet, &sources, &Inputs::default()).expect("a fleet that can be lowered");
    let resources = lowered.desired.resources.len();
    println!(
        "{:24} {resources:>9} resources, lowered {:>8.3?} (processor {}0 ms)  peak {}",
        "",
        start.elapsed(),
        processor() - ticks,
        peak()
    );
}

fn refuse(name: &str, text: String) {
    let (start, ticks, bytes) = (Instant::now(), processor(), text.len());
    let refused = config::load(Utf8Path::new("fleet.kdl"), "bench", &mut OneFile(text)).1.is_err();
    println!(
        "{name:24} {bytes:>9} bytes  {} {:>9.3?} (processor {}0 ms)",
        if refused { "refused" } else { "ACCEPTED" },
        start.elapsed(),
        processor() - ticks,
    );
}

fn main() {
    hostile_texts().into_iter().for_each(|(name, text)| refuse(name, text));
    check("count=10000", format!("{HEAD}vm \"web\" count={GUESTS} {{\n{}}}\n", block(0)));
    check("10,000 written out", explicit());
    let text = explicit();
    let (start, ticks) = (Instant::now(), processor());
    let nodes = kdl::KdlDocument::parse_v2(&text).expect("valid KDL").nodes().len();
    println!(
        "{:24} {nodes:>9} nodes         {:>10.3?} (processor {}0 ms)  peak {}",
        "bare kdl parser",
        start.elapsed(),
        processor() - ticks,
        peak()
    );
}

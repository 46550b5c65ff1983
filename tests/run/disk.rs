//! Journals on real file systems: one that is full at any append, one that is read-only, and two runs in one directory.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use regatta::exec::journal::{JournalError, RunPhase};
use regatta::exec::{Cancel, Event, Identity, Journals, Limits, Outcome, Report, Retry, RunId, Runner, StopCause};
use regatta::plan::Graph;
use regatta::resource::Desired;

use crate::apply::{self, Stopped};
use crate::fate::Fate;
use crate::fleet::{self, Random};
use crate::perform::Model;
use crate::world::{State, World};

/// A page: what a small file system gives away at once.
const PAGE: usize = 4096;

/// A file system of its own in memory, gone with the test.
struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, loudly, where nothing may be mounted.
    fn mount(pages: usize) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let size = format!("size={}", pages * PAGE);
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { at }),
            _ => {
                skipped("a small tmpfs cannot be mounted here: it takes root");
                None
            }
        }
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.at.path()).unwrap()
    }

    /// Leaves so many pages free.
    fn fill(&self, free: usize) -> Utf8PathBuf {
        let path = self.path().join("ballast");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        while file.write_all(&[0; PAGE]).is_ok() {}
        let length = path.metadata().unwrap().len() as usize / PAGE * PAGE;
        file.set_len(length.saturating_sub(free * PAGE) as u64).unwrap();
        path
    }

    fn remount_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.at.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a failed test may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(self.at.path()).status();
    }
}

#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// A fleet with many steps, and their graph.
fn fleet_of_steps() -> (Desired, Graph) {
    let desired = fleet::random(&mut Random(3), 12);
    let graph = apply::plan(&State::default(), &desired).graph;
    assert!(graph.steps.len() > 30);
    (desired, graph)
}

fn identity(run: u128) -> Identity {
    Identity { run: RunId::from_u128(run), fleet: "model".into(), resumes: Vec::new() }
}

/// Runs a graph with its journal in a directory; returns what became of the world, too.
fn run(journals: &Journals, graph: &Graph, id: u128) -> (Result<Report, JournalError>, State) {
    let world = World::new(State::default(), Fate::default());
    let journal = match journals.begin(identity(id), graph, Timestamp::UNIX_EPOCH) {
        Ok(journal) => journal,
        Err(error) => return (Err(error), world.state()),
    };
    let runner = Runner {
        perform: Arc::new(Model { world: world.clone(), faults: Default::default() }),
        clock: Arc::new(Stopped),
        limits: Limits { parallel: 1, per_host: 1, per_storage: 1 },
        retry: Retry { first_wait: Duration::ZERO, ..Retry::default() },
        cancel: Cancel::default(),
        gate: apply::agreed(&State::default()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut unheard = |_: &Event| {};
    let report = runtime.block_on(runner.run(graph, journal, &mut unheard));
    (Ok(report), world.state())
}

#[test]
fn a_full_disk_stops_the_run_and_the_next_apply_goes_on() {
    let (desired, graph) = fleet_of_steps();
    let (mut unbegun, mut stopped, mut finished) = (0, 0, 0);
    for free in 0..8 {
        let Some(disk) = SmallDisk::mount(64) else { return };
        let journals = Journals::new(disk.path().join("runs"));
        fs::create_dir(disk.path().join("runs")).unwrap();
        let ballast = disk.fill(free);
        let (result, state) = run(&journals, &graph, 1);
        match result {
            Err(error) => {
                unbegun += 1;
                assert!(error.to_string().contains("No space left on device"), "{error}");
                assert_eq!(state, State::default(), "something was done without a journal");
            }
            Ok(report) if report.outcome() == Outcome::Done => finished += 1,
            Ok(report) => {
                stopped += 1;
                let message = "No space left on device (os error 28)".to_owned();
                assert_eq!((report.stopped, report.failures), (Some(StopCause::Journal { message }), vec![]));
            }
        }
        fs::remove_file(ballast).unwrap();
        resume(&journals, &state, &desired);
    }
    assert!(unbegun > 0 && stopped > 0 && finished > 0, "{unbegun} unbegun, {stopped} stopped, {finished} finished");
}

/// What the next apply does: closes what was left open, looks, plans, runs.
fn resume(journals: &Journals, state: &State, desired: &Desired) {
    let by = RunId::from_u128(2);
    for open in journals.unfinished().unwrap() {
        open.close(by, Timestamp::UNIX_EPOCH).unwrap();
    }
    assert!(journals.unfinished().unwrap().is_empty());
    for run in journals.runs().unwrap() {
        assert!(matches!(journals.story(run).unwrap().phase, RunPhase::Closed(_)));
    }
    let (state, _) = apply::converge(state, desired);
    let (undisturbed, _) = apply::converge(&State::default(), desired);
    assert_eq!(state.settled(), undisturbed.settled());
}

#[test]
fn a_read_only_state_directory_is_refused_before_anything_happens() {
    let (_, graph) = fleet_of_steps();
    let Some(disk) = SmallDisk::mount(64) else { return };
    disk.remount_read_only();
    let (result, state) = run(&Journals::new(disk.path().join("runs")), &graph, 1);
    let path = disk.path().join("runs/00000000-0000-0000-0000-000000000001.jsonl");
    assert_eq!(
        result.unwrap_err().to_string(),
        format!("cannot create the journal `{path}`: Read-only file system (os error 30)")
    );
    assert_eq!(state, State::default());
}

#[test]
fn two_runs_at_once_keep_their_own_journals() {
    let (_, graph) = fleet_of_steps();
    let dir = tempfile::tempdir().unwrap();
    let journals = Journals::new(Utf8Path::from_path(dir.path()).unwrap());
    std::thread::scope(|scope| {
        let runs: Vec<_> = (1..=4)
            .map(|id| {
                scope.spawn({
                    let (journals, graph) = (&journals, &graph);
                    move || run(journals, graph, id).0.unwrap().outcome()
                })
            })
            .collect();
        // Runs of the living are never taken for those of the dead.
        while runs.iter().any(|run| !run.is_finished()) {
            assert!(journals.unfinished().unwrap().is_empty());
        }
        runs.into_iter().for_each(|run| assert_eq!(run.join().unwrap(), Outcome::Done));
    });
    assert_eq!(journals.runs().unwrap().len(), 4);
}

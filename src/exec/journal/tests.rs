use camino::Utf8Path;
use jiff::Timestamp;

use super::entry::{Entry, Fact};
use super::read::load;
use super::*;
use crate::exec::perform::{Failure, Task};
use crate::exec::report::Outcome;
use crate::exec::testkit::{MemoryLog, graph, id, identity};
use crate::plan::{Graph, Repeat, StepId};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const STEP: StepId = StepId(0);

fn two_steps() -> Graph {
    graph(&[("a", &[]), ("b", &[0])])
}

/// A journal with one step done and one begun.
fn written() -> MemoryLog {
    let log = MemoryLog::default();
    let mut journal = Journal::begin(Box::new(log.clone()), identity(), &two_steps(), NOW).unwrap();
    journal.record(NOW, [Fact::Started { step: STEP, attempt: 1 }]).unwrap();
    journal.record(NOW, [Fact::Done { step: STEP }, Fact::Started { step: StepId(1), attempt: 1 }]).unwrap();
    log
}

#[test]
fn lines_are_checksummed_json_without_the_content_of_steps() {
    let lines = written().text();
    let digest = Digest::of(br#"{"op":"stop-guest","guest":"a"}"#);
    let entry = |line: usize| lines.lines().nth(line).unwrap().split_once(r#""entry":"#).unwrap().1.to_owned();
    assert_eq!(
        entry(1),
        format!(
            r#"{{"at":"1970-01-01T00:00:00Z","fact":"planned","step":0,"op":"stop-guest","addresses":["vm.a"],"digest":"{}","repeat":"safe"}}}}"#,
            digest.as_str()
        )
    );
    assert_eq!(entry(3), r#"{"at":"1970-01-01T00:00:00Z","fact":"started","step":0,"attempt":1}}"#);
}

#[test]
fn loading_is_recording_again() {
    let log = MemoryLog::default();
    let mut journal = Journal::begin(Box::new(log.clone()), identity(), &two_steps(), NOW).unwrap();
    journal.record(NOW, [Fact::Started { step: STEP, attempt: 1 }]).unwrap();
    journal.record(NOW, [Fact::Unknown { step: STEP, failure: Failure::unknown("reply lost").hint("look") }]).unwrap();
    journal.record(NOW, [Fact::Skipped { step: StepId(1), because: STEP }]).unwrap();
    journal.record(NOW, [Fact::Finished { outcome: Outcome::Failed }]).unwrap();
    let loaded = load(log.text().as_bytes()).unwrap();
    assert_eq!((&loaded.story, &loaded.sum), (&journal.story, &journal.sum));
}

#[test]
fn a_tail_torn_at_any_byte_is_forgiven() {
    let bytes = written().text().into_bytes();
    let whole = load(&bytes).unwrap();
    for cut in 0..bytes.len() {
        let loaded = load(&bytes[..cut]).unwrap();
        assert!(loaded.whole <= cut && bytes[..loaded.whole].last().is_none_or(|byte| *byte == b'\n'));
        assert!(loaded.story.steps.len() <= whole.story.steps.len());
    }
}

#[test]
fn any_changed_byte_before_the_last_newline_is_noticed() {
    let bytes = written().text().into_bytes();
    for index in 0..bytes.len() - 1 {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        assert!(load(&changed).is_err(), "byte {index} was changed and nobody noticed");
    }
}

#[test]
fn removed_repeated_and_exchanged_lines_are_noticed() {
    let text = written().text();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for line in 0..lines.len() - 1 {
        let mut removed = lines.clone();
        removed.remove(line);
        let mut repeated = lines.clone();
        repeated.insert(line, lines[line]);
        let mut exchanged = lines.clone();
        exchanged.swap(line, line + 1);
        for wrong in [removed, repeated, exchanged] {
            assert!(load(wrong.concat().as_bytes()).is_err(), "line {line}");
        }
    }
    let error = load(text.replace("done", "gone").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "line 5 is damaged: its checksum does not fit");
}

#[test]
fn the_transition_function_is_total() {
    let failure = || Failure::permanent("no");
    let facts = || {
        [
            Fact::Started { step: STEP, attempt: 1 },
            Fact::Started { step: STEP, attempt: 2 },
            Fact::Retrying { step: STEP, failure: failure() },
            Fact::Done { step: STEP },
            Fact::Failed { step: STEP, failure: failure() },
            Fact::Unknown { step: STEP, failure: failure() },
            Fact::Skipped { step: STEP, because: STEP },
            Fact::Finished { outcome: Outcome::Done },
            Fact::Interrupted { by: id() },
            Fact::Unneeded { step: STEP },
            Fact::Task { step: STEP, task: task() },
        ]
    };
    let entry = |fact| Entry { at: NOW, fact };
    let open = || {
        let log = Box::new(MemoryLog::default());
        Journal::begin(log, identity(), &graph(&[("a", &[])]), NOW).unwrap().story
    };
    // Every state, by the facts that lead to it, and the facts that may follow.
    let [start, again, retry, done, failed, unknown, skipped, finished, interrupted, unneeded, task] =
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    let table: [(&[usize], &[usize]); 10] = [
        (&[], &[start, skipped, finished, interrupted, unneeded]),
        (&[start], &[retry, done, failed, unknown, interrupted, task]),
        (&[start, task], &[retry, done, failed, unknown, interrupted, task]),
        (&[start, retry], &[again, failed, interrupted]),
        (&[start, done], &[finished, interrupted]),
        (&[start, failed], &[finished, interrupted]),
        (&[start, unknown], &[finished, interrupted]),
        (&[skipped], &[finished, interrupted]),
        (&[unneeded], &[finished, interrupted]),
        (&[finished], &[]),
    ];
    for (path, allowed) in table {
        for (index, fact) in facts().into_iter().enumerate() {
            let mut story = open();
            path.iter().for_each(|step| story.record(&entry(facts()[*step].clone())).unwrap());
            let before = story.clone();
            let taken = story.record(&entry(fact.clone())).is_ok();
            assert_eq!(taken, allowed.contains(&index), "{path:?} then {fact:?}");
            assert!(taken || story == before, "a refused fact left a trace");
        }
    }
    let mut story = open();
    let error = story.record(&entry(facts()[done].clone())).unwrap_err();
    assert_eq!(error.to_string(), "`done` of step 0 cannot follow: the run is Open, the step is Planned");
}

fn task() -> Task {
    Task { on: "pve".into(), name: "UPID:pve1:0000017A:0003A5FB:6B026B5B:vzcreate:101:root@pam!ci:".into() }
}

/// PROXMOX C10: whoever takes the work up knows what goes on without the process that began it.
#[test]
fn what_was_begun_elsewhere_is_left_with_the_step() {
    let mut journal = Journal::begin(Box::new(MemoryLog::default()), identity(), &graph(&[("a", &[])]), NOW).unwrap();
    let facts = [Fact::Started { step: STEP, attempt: 1 }, Fact::Task { step: STEP, task: task() }];
    journal.record(NOW, facts).unwrap();
    let left = recover(journal.story());
    assert_eq!((left.len(), &left[0].tasks), (1, &vec![task()]));
}

#[test]
fn the_rules_of_recovery() {
    let story = |facts: &[Fact], repeat| {
        let mut graph = graph(&[("a", &[])]);
        graph.steps[0].repeat = repeat;
        let mut journal = Journal::begin(Box::new(MemoryLog::default()), identity(), &graph, NOW).unwrap();
        journal.record(NOW, facts.iter().cloned()).unwrap();
        journal.story
    };
    let verdicts = |facts: &[Fact]| {
        [Repeat::Safe, Repeat::CheckFirst, Repeat::Never]
            .map(|repeat| recover(&story(facts, repeat)).first().map(|open| open.verdict))
    };
    let started = Fact::Started { step: STEP, attempt: 1 };
    let unknown = Fact::Unknown { step: STEP, failure: Failure::unknown("reply lost") };
    assert_eq!(verdicts(&[]), [None; 3]);
    // LESSON 38: a beginning without an end does not mean that it never happened.
    let [again, observe, ask] = [Some(Verdict::Again), Some(Verdict::Observe), Some(Verdict::Ask)];
    assert_eq!(verdicts(std::slice::from_ref(&started)), [again, observe, ask]);
    assert_eq!(verdicts(&[started.clone(), unknown]), [observe, observe, ask]);
    let retrying = Fact::Retrying { step: STEP, failure: Failure::transient("reset") };
    assert_eq!(verdicts(&[started.clone(), retrying]), [None; 3]);
    assert_eq!(verdicts(&[started, Fact::Done { step: STEP }]), [None; 3]);
}

#[test]
fn a_dead_run_is_found_closed_and_found_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let journals = Journals::new(Utf8Path::from_path(dir.path()).unwrap().join("runs"));
    assert_eq!(journals.runs().unwrap(), []);
    let graph = two_steps();
    let mut journal = journals.begin(identity(), &graph, NOW).unwrap();
    journal.record(NOW, [Fact::Started { step: STEP, attempt: 1 }]).unwrap();
    // Its process lives: the lock on its journal says so.
    assert!(journals.unfinished().unwrap().is_empty());
    drop(journal);
    std::fs::write(journals.path(RunId::from_u128(0)), "").unwrap();
    torn_append(&journals.path(id()));

    let open = journals.unfinished().unwrap();
    assert_eq!(open.iter().map(OpenRun::run).collect::<Vec<_>>(), [RunId::from_u128(0), id()]);
    assert_eq!(open[1].story().open_steps().count(), 1);
    let by = RunId::from_u128(2);
    open.into_iter().for_each(|run| run.close(by, NOW).unwrap());
    assert!(journals.unfinished().unwrap().is_empty());
    // A run that never began has done nothing, and leaves nothing.
    assert_eq!(journals.runs().unwrap(), [id()]);
    assert_eq!(journals.story(id()).unwrap().phase, RunPhase::Closed(Outcome::Interrupted));
}

fn torn_append(path: &Utf8Path) {
    use std::io::Write as _;
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(br#"{"sum":"01234"#).unwrap();
}

#[test]
fn journals_are_private_and_a_damaged_one_is_refused_by_name() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let journals = Journals::new(Utf8Path::from_path(dir.path()).unwrap().join("runs"));
    drop(journals.begin(identity(), &two_steps(), NOW).unwrap());
    let path = journals.path(id());
    let mode = |path: &Utf8Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("demo", "dem0", 1)).unwrap();
    let error = journals.unfinished().unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "the journal `{path}` cannot be trusted: line 1 is damaged: its checksum does not fit; move it away to go on: \
             the next plan looks at the world itself"
        )
    );
}

#[test]
fn nothing_follows_a_failed_append() {
    let log = MemoryLog { good: Some(1), ..MemoryLog::default() };
    let mut journal = Journal::begin(Box::new(log), identity(), &two_steps(), NOW).unwrap();
    let start = || [Fact::Started { step: STEP, attempt: 1 }];
    assert!(matches!(journal.record(NOW, start()), Err(RecordError::Append(_))));
    assert!(matches!(journal.record(NOW, start()), Err(RecordError::Broken)));
}

#[test]
fn closed_runs_are_rotated_away_and_open_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let journals = Journals::new(dir);
    let begin = |run: u128| {
        let identity = Identity { run: RunId::from_u128(run), ..identity() };
        journals.begin(identity, &Graph::default(), NOW).unwrap()
    };
    for run in 1..=5 {
        let mut journal = begin(run);
        if run != 2 {
            journal.record(NOW, [Fact::Finished { outcome: Outcome::Done }]).unwrap();
        }
    }
    let alive = begin(0);
    std::fs::write(dir.join("unnamed.new"), "").unwrap();
    std::fs::write(dir.join("notes.txt"), "").unwrap();
    journals.rotate(Keep { runs: 2, bytes: u64::MAX }).unwrap();
    assert_eq!(journals.runs().unwrap(), [0, 2, 4, 5].map(RunId::from_u128));
    assert_eq!([0, 2].map(|run| journals.pulse(RunId::from_u128(run)).unwrap()), [Pulse::Alive, Pulse::Dead]);
    journals.rotate(Keep { runs: 9, bytes: 0 }).unwrap();
    assert_eq!(journals.runs().unwrap(), [0, 2].map(RunId::from_u128));
    drop(alive);
    let mut left: Vec<String> =
        dir.read_dir_utf8().unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
    left.sort();
    assert_eq!(left.last().unwrap(), "notes.txt");
    assert_eq!(left.len(), 3);
}

proptest::proptest! {
    /// Whatever the disk holds: no panic, and never more steps than the run had.
    #[test]
    fn any_bytes_are_read_or_refused(
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        at in 0_usize..4000,
        drop in 0_usize..200,
    ) {
        let mut bytes = written().text().into_bytes();
        let at = at.min(bytes.len());
        let end = (at + drop).min(bytes.len());
        bytes.splice(at..end, noise);
        if let Ok(loaded) = load(&bytes) {
            proptest::prop_assert!(loaded.story.steps.len() <= 2 && loaded.whole <= bytes.len());
        }
    }
}

use camino::Utf8PathBuf;

use super::*;
use crate::exec::{Outcome, RunId};
use crate::plan::gate::Caller;

fn act(subject: &str) -> AuditFact {
    AuditFact::Act { act: "unprotect".into(), subject: subject.into(), caller: Caller::Person }
}

struct Log {
    _dir: tempfile::TempDir,
    file: AuditFile,
}

impl Log {
    /// A log with so many lines, each appended on its own.
    fn new(lines: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(dir.path().join("audit.jsonl")).unwrap();
        let log = Self { _dir: dir, file: AuditFile::new(path) };
        (0..lines).for_each(|line| log.append(&format!("vm.{line}")).unwrap());
        log
    }

    fn append(&self, subject: &str) -> std::io::Result<()> {
        self.file.append(Timestamp::UNIX_EPOCH, &[act(subject)])
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.file.path()).unwrap()
    }

    fn head(&self) -> Option<AuditHead> {
        std::fs::read(self.file.head_path()).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    fn read(&self) -> Result<usize, AuditBroken> {
        read_audit(&self.bytes(), self.head().as_ref()).map(|entries| entries.len())
    }
}

#[test]
fn what_was_appended_is_read_in_order() {
    let log = Log::new(2);
    let finished = AuditFact::Finished { run: RunId::from_u128(1), outcome: Outcome::Held };
    log.file.append(Timestamp::UNIX_EPOCH, std::slice::from_ref(&finished)).unwrap();
    let entries = read_audit(&log.bytes(), log.head().as_ref()).unwrap();
    let facts: Vec<AuditFact> = entries.into_iter().map(|entry| entry.fact).collect();
    assert_eq!(facts, [act("vm.0"), act("vm.1"), finished]);
}

/// Every byte of the log counts: whatever is changed, it is noticed.
#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let log = Log::new(3);
    let (bytes, head) = (log.bytes(), log.head());
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        assert!(read_audit(&changed, head.as_ref()).is_err(), "byte {index}");
    }
}

#[test]
fn lines_that_are_removed_exchanged_or_repeated_are_noticed() {
    let log = Log::new(4);
    let (bytes, head) = (log.bytes(), log.head());
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for (what, order) in [
        ("removed", vec![0, 2, 3]),
        ("exchanged", vec![0, 2, 1, 3]),
        ("repeated", vec![0, 1, 1, 2, 3]),
        ("first", vec![1, 2, 3]),
    ] {
        let text: Vec<u8> = order.iter().flat_map(|index| lines[*index].to_vec()).collect();
        assert!(matches!(read_audit(&text, head.as_ref()), Err(AuditBroken::Line { .. })), "{what}");
    }
}

/// A chain alone cannot tell that its end is missing.
#[test]
fn a_cut_end_is_noticed_at_every_length_and_nothing_more_is_appended() {
    let log = Log::new(3);
    let (bytes, head) = (log.bytes(), log.head());
    for length in 0..bytes.len() {
        let cut = read_audit(&bytes[..length], head.as_ref());
        assert!(matches!(cut, Err(AuditBroken::Cut { noted: 3, .. })), "{length}: {cut:?}");
    }
    std::fs::write(log.file.path(), &bytes[..bytes.len() - 10]).unwrap();
    let refused = log.append("vm.x").unwrap_err().to_string();
    assert!(refused.contains("its end was cut off"), "{refused}");
}

#[test]
fn a_log_that_was_written_anew_is_noticed() {
    let (log, other) = (Log::new(2), Log::new(3));
    other.append("vm.other").unwrap();
    // As long as it should be, and with a chain that fits.
    assert_eq!(
        read_audit(&other.bytes(), log.head().as_ref()).map(|entries| entries.len()),
        Ok(4),
        "the same beginning"
    );
    let another = Log::new(0);
    (0..3).for_each(|_| another.append("vm.another").unwrap());
    assert_eq!(read_audit(&another.bytes(), log.head().as_ref()), Err(AuditBroken::Rewritten { line: 2 }));
    std::fs::remove_file(log.file.head_path()).unwrap();
    assert_eq!(log.read(), Err(AuditBroken::Headless));
    assert!(log.append("vm.x").is_err());
}

/// A crash between the line and the note leaves a line that fits; one in the middle of a line leaves nothing that was acted on.
#[test]
fn a_crash_between_the_line_and_the_note_breaks_nothing() {
    let log = Log::new(2);
    let head = std::fs::read(log.file.head_path()).unwrap();
    log.append("vm.2").unwrap();
    std::fs::write(log.file.head_path(), head).unwrap();
    assert_eq!(log.read(), Ok(3));
    let mut torn = log.bytes();
    torn.extend_from_slice(b"{\"sum\":\"00");
    std::fs::write(log.file.path(), torn).unwrap();
    assert_eq!(log.read(), Ok(3));
    log.append("vm.3").unwrap();
    assert_eq!((log.read(), log.head().unwrap().lines), (Ok(4), 4));
}

//! Texts through what reads the audit log.

use std::sync::Arc;

use regatta::exec::audit::{AuditHead, read_audit};
use regatta::exec::{Audit as _, AuditFact, AuditFile};
use regatta::plan::gate::Caller;

use crate::runner::{Numbers, fuzz, mutated};

/// The largest mutation.
const MAX_BYTES: usize = 16 << 10;

const PARTS: [&str; 7] = ["{\"sum\":\"", "\",\"entry\":", "}\n", "\n", "\\u0000", "\"fact\":\"act\"", "\"at\":\"9999"];

/// A log that was changed anywhere is not taken for a whole one: what is still read is what was written, to the last line.
#[test]
fn no_change_of_an_audit_log_goes_unnoticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::try_from(directory.path().join("audit.jsonl")).unwrap();
    let log = AuditFile::new(path.clone());
    for subject in ["vm.db", "vm.web", "vm.é \u{1b}[1m"] {
        let fact = AuditFact::Act { act: "unprotect".into(), subject: subject.into(), caller: Caller::Person };
        log.append("2026-11-22T20:00:00Z".parse().unwrap(), &[fact]).unwrap();
    }
    let whole = std::fs::read_to_string(&path).unwrap();
    let head: AuditHead = serde_json::from_slice(&std::fs::read(path.with_extension("head")).unwrap()).unwrap();
    let written = Arc::new(read_audit(whole.as_bytes(), Some(&head)).unwrap());
    assert_eq!(written.len(), 3);
    let hold = |text: &str| {
        if let Ok(entries) = read_audit(text.as_bytes(), Some(&head)) {
            // Somebody may add what the head does not know yet: a crash does the same.
            assert_eq!(entries[..3], written[..], "{text:?}");
            assert!(text.starts_with(&whole), "{text:?}");
        }
    };
    let texts = [whole.clone()];
    let mutate = |numbers: &mut Numbers| mutated(&texts, &PARTS, MAX_BYTES, numbers);
    fuzz("audit", &texts, mutate, hold);
}

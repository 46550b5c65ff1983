//! Reading the log: every line must fit, and the end must be where it was noted.

use super::entry::Sum;
use super::{AuditEntry, AuditHead};

/// A log that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditBroken {
    /// A line does not fit.
    #[error("line {line} does not fit: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// Its end is not where it was noted.
    #[error("its end was cut off: found {found} lines, {noted} were written")]
    Cut {
        /// Lines that are there.
        found: u64,
        /// Lines that were noted.
        noted: u64,
    },
    /// It goes on, and the line at the noted end is another one.
    #[error("it was written anew: line {line} is not the one that was noted")]
    Rewritten {
        /// That line.
        line: u64,
    },
    /// Nobody knows where it should end.
    #[error("the note of its end is gone or cannot be read")]
    Headless,
}

/// Reads a log's bytes, up to a torn tail.
///
/// # Errors
/// When a line does not fit, or the log does not reach to where its end was noted. `head` is `None` when there is no note.
pub fn read_audit(bytes: &[u8], head: Option<&AuditHead>) -> Result<Vec<AuditEntry>, AuditBroken> {
    let (mut sum, mut entries, mut at_noted) = (Sum::default(), Vec::new(), None);
    let noted = head.map_or(0, |head| head.lines);
    if noted == 0 {
        at_noted = Some(sum.clone());
    }
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(body) = line.strip_suffix(b"\n") else { break };
        let broken = |problem: String| AuditBroken::Line { line: index + 1, problem };
        let text = std::str::from_utf8(body).map_err(|_| broken("it is not text".into()))?;
        entries.push(sum.read(text).map_err(broken)?);
        if entries.len() as u64 == noted {
            at_noted = Some(sum.clone());
        }
    }
    match (head, at_noted) {
        (None, _) if entries.is_empty() => Ok(entries),
        (None, _) => Err(AuditBroken::Headless),
        (Some(_), None) => Err(AuditBroken::Cut { found: entries.len() as u64, noted }),
        (Some(head), Some(sum)) if sum != head.sum => Err(AuditBroken::Rewritten { line: noted }),
        (Some(_), Some(_)) => Ok(entries),
    }
}

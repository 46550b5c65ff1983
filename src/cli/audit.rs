//! `regatta audit`: what was decided and on whose word, and whether the log can be trusted.

use super::args::{AuditArgs, AuditCommand, Format, Global};
use super::error::{CliError, Exit};
use super::{output, session};
use crate::effect::{Environment, files};
use crate::exec::AuditFile;
use crate::exec::audit::{AuditEntry, AuditHead, read_audit};
use crate::render;

/// No log that is read is larger, in bytes.
const LIMIT: u64 = 1 << 30;

/// The note of its end is a line.
const HEAD_LIMIT: u64 = 4096;

/// Verifies the log, and shows it when asked to. One that does not hold is told after what still does.
pub(super) fn run(global: &Global, args: &AuditArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let log = AuditFile::new(session::state_dir(global, &environment)?.audit_log());
    let entries = read(&log)?;
    match (&args.command, global.format) {
        (AuditCommand::Verify, Format::Human) => {
            output::data(&format!("{} lines, and all of them fit\n", entries.len()));
        }
        (AuditCommand::Verify, Format::Json) => {
            output::data(&format!("{{\"lines\":{},\"fits\":true}}\n", entries.len()));
        }
        (AuditCommand::Show { last }, Format::Human) => {
            let skipped = last.map_or(0, |last| entries.len().saturating_sub(last));
            output::data(&render::audit(&entries[skipped..], output::data_screen()));
        }
        (AuditCommand::Show { last }, Format::Json) => {
            let skipped = last.map_or(0, |last| entries.len().saturating_sub(last));
            output::data(&render::audit_json(&entries[skipped..])?);
        }
    }
    Ok(Exit::Success)
}

fn read(log: &AuditFile) -> Result<Vec<AuditEntry>, CliError> {
    let bytes = files::read_bounded(log.path(), LIMIT)?.unwrap_or_default();
    let head = files::read_bounded(&log.head_path(), HEAD_LIMIT)?;
    let head: Option<AuditHead> = head.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    read_audit(&bytes, head.as_ref()).map_err(|broken| {
        let error = CliError::failure(format!("the audit log `{}` cannot be trusted", log.path())).cause(broken);
        error.hint("keep it and find out who changed it; move it and its `.head` away to begin a new one")
    })
}

//! Reading a journal: every line must fit, except that the last one may be torn.

use super::entry::Sum;
use super::story::Story;

/// A journal that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is damaged: {problem}")]
pub struct Damaged {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// A journal as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// What it tells.
    pub story: Story,
    /// The sum of its last whole line.
    pub sum: Sum,
    /// Bytes up to the end of its last whole line; whatever follows was being written when the writer died.
    pub whole: usize,
}

/// Reads a journal's bytes.
///
/// A write that was cut short leaves a line without its newline; nothing else does. So only bytes after the last newline
/// are forgiven, and everything before them must fit.
///
/// # Errors
/// When a line in the middle is damaged, or tells something impossible.
pub(super) fn load(bytes: &[u8]) -> Result<Loaded, Damaged> {
    let mut loaded = Loaded::default();
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(body) = line.strip_suffix(b"\n") else { break };
        let damaged = |problem: String| Damaged { line: index + 1, problem };
        let text = std::str::from_utf8(body).map_err(|_| damaged("it is not text".into()))?;
        let entry = loaded.sum.read(text).map_err(damaged)?;
        loaded.story.record(&entry).map_err(|impossible| damaged(impossible.to_string()))?;
        loaded.whole += line.len();
    }
    Ok(loaded)
}

/// What a journal's bytes tell, up to a torn tail.
///
/// # Errors
/// When a line in the middle is damaged, or tells something impossible.
pub fn read_story(bytes: &[u8]) -> Result<Story, Damaged> {
    Ok(load(bytes)?.story)
}

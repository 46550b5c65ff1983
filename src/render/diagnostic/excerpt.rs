//! The part of a source file that a diagnostic shows: a few lines, safe to print, however large and hostile the file is.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::render::scrub;
use crate::syntax::{Label, SourceFile, SourceId, SourceMap};

/// Lines of context around the labels; more than are printed, so that the printer decides.
const LINES: usize = 4;

/// Bytes of one line that are shown around a label.
const LINE_LIMIT: usize = 240;

/// Bytes of a file that one diagnostic may show.
const LIMIT: usize = 16 << 10;

/// A window into a source file.
#[derive(Debug)]
pub(super) struct Excerpt {
    name: String,
    text: String,
    /// Byte of the file at which `text` starts.
    offset: usize,
    /// Line (0-based) of the file at which `text` starts.
    line: usize,
    /// Byte offsets of line starts in the label positions' file, as characters: column of each label's start.
    columns: Vec<(usize, usize)>,
}

impl Excerpt {
    /// The window that shows the labels that lie in this file.
    pub(super) fn new(sources: &SourceMap, id: SourceId, labels: &[Label]) -> Self {
        let file = sources.file(id);
        let spans = || labels.iter().map(|label| label.span).filter(|span| span.source == id);
        let first = spans().map(|span| span.start).min().unwrap_or(0).min(file.text.len());
        let last = spans().map(|span| span.end).max().unwrap_or(0).clamp(first, file.text.len());
        let last = last.min(first + LIMIT);
        let start = window_start(&file.text, first);
        let end = window_end(&file.text, last);
        Self {
            name: scrub::line(file.path.as_str()).into_owned(),
            text: scrub::in_place(slice(file, start, end)),
            offset: start,
            line: sources.position(id, start).line - 1,
            columns: spans().map(|span| (span.start, sources.position(id, span.start).column - 1)).collect(),
        }
    }

    /// A span of the file, cut to what the window holds.
    pub(super) fn clamp(&self, start: usize, end: usize) -> SourceSpan {
        let limit = self.offset + self.text.len();
        let start = start.clamp(self.offset, limit);
        (start, end.clamp(start, limit) - start).into()
    }
}

fn slice(file: &SourceFile, start: usize, end: usize) -> &str {
    file.text.get(start..end).unwrap_or_default()
}

/// The start of the line some lines before, unless lines are so long that the window has to start inside one.
fn window_start(text: &str, first: usize) -> usize {
    let floor = text.floor_char_boundary(first.saturating_sub(LINES * LINE_LIMIT));
    let start = text[..text.floor_char_boundary(first)].rmatch_indices('\n').nth(LINES).map_or(0, |(at, _)| at + 1);
    let nearest = |at: usize| text[at..first.max(at)].find('\n').map_or(at, |newline| at + newline + 1);
    if start >= floor { start } else { nearest(floor) }
}

fn window_end(text: &str, last: usize) -> usize {
    let last = text.ceil_char_boundary(last);
    let ceiling = text.ceil_char_boundary((last + LINES * LINE_LIMIT).min(text.len()));
    let end = text[last..].match_indices('\n').nth(LINES).map_or(text.len(), |(at, _)| last + at + 1);
    end.min(ceiling)
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let local = SourceSpan::new(span.offset().saturating_sub(self.offset).into(), span.len());
        let found = self.text.read_span(&local, before, after)?;
        // Asked without context, it is for the position in the heading: columns count characters there.
        let column = match self.columns.iter().find(|(start, _)| before == 0 && *start == span.offset()) {
            Some((_, column)) => *column,
            None => found.column(),
        };
        let covered = SourceSpan::new((found.span().offset() + self.offset).into(), found.span().len());
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            found.data(),
            covered,
            found.line() + self.line,
            column,
            found.line_count(),
        )))
    }
}

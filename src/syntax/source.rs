//! Where text came from: files, byte spans in them, and positions for people.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// Names one file of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A byte range, end exclusive, in one source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// Whether another place is inside of this one.
    pub fn contains(self, other: Self) -> bool {
        self.source == other.source && self.start <= other.start && other.end <= self.end
    }
}

/// A value and the place it was written at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs a value with its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Keeps the place, changes the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as people know it: as given on the command line, or as resolved from the importing file.
    pub path: Utf8PathBuf,
    /// The whole text.
    pub text: String,
    /// The `import` that asked for it; `None` for the fleet file itself.
    pub imported_at: Option<Span>,
    line_starts: Vec<usize>,
}

/// All files that make up one fleet, in the order they were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

/// A place for people: 1-based line and column, the column counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// 1-based line.
    pub line: usize,
    /// 1-based column in characters.
    pub column: usize,
}

/// A [`Position`] with its file: the form of a span that plans and reports keep.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SourceRef {
    /// The file's path as people know it.
    pub file: Utf8PathBuf,
    /// 1-based line.
    pub line: usize,
    /// 1-based column in characters.
    pub column: usize,
}

impl std::fmt::Display for SourceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl SourceMap {
    /// Adds a file and returns its name.
    pub fn add(&mut self, path: impl Into<Utf8PathBuf>, text: String, imported_at: Option<Span>) -> SourceId {
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
            .collect();
        let id = SourceId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile { path: path.into(), text, imported_at, line_starts });
        id
    }

    /// The file behind a name. Ids come only from [`SourceMap::add`] of the same map.
    pub fn file(&self, id: SourceId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files, in the order they were read.
    pub fn files(&self) -> impl Iterator<Item = (SourceId, &SourceFile)> {
        self.files.iter().enumerate().map(|(i, f)| (SourceId(i as u32), f))
    }

    /// The id of the file at this path, if it was read.
    pub fn find(&self, path: &Utf8Path) -> Option<SourceId> {
        self.files().find(|(_, f)| f.path == path).map(|(id, _)| id)
    }

    /// The written text of a span; clamped to the file, so a span never panics.
    pub fn text(&self, span: Span) -> &str {
        let text = &self.file(span.source).text;
        let end = span.end.min(text.len());
        text.get(span.start.min(end)..end).unwrap_or_default()
    }

    /// Line and column of a byte offset.
    pub fn position(&self, source: SourceId, offset: usize) -> Position {
        let file = self.file(source);
        let line = file.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = file.line_starts[line - 1];
        let column = file.text.get(start..offset.min(file.text.len())).map_or(1, |s| s.chars().count() + 1);
        Position { line, column }
    }

    /// The form of a span that outlives the map.
    pub fn source_ref(&self, span: Span) -> SourceRef {
        let Position { line, column } = self.position(span.source, span.start);
        SourceRef { file: self.file(span.source).path.clone(), line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_not_bytes() {
        let mut map = SourceMap::default();
        let id = map.add("a.kdl", "größe 1\nß x\n".into(), None);
        let x = map.file(id).text.find('x').unwrap_or_default();
        assert_eq!(map.position(id, 0), Position { line: 1, column: 1 });
        assert_eq!(map.position(id, x), Position { line: 2, column: 3 });
        assert_eq!(map.source_ref(Span { source: id, start: x, end: x + 1 }).to_string(), "a.kdl:2:3");
    }
}

//! Mistakes for machines.

use serde::Serialize;

use crate::syntax::{Diagnostic, Label, Severity, SourceMap, Span};

/// The version of the form below.
pub const DIAGNOSTICS_FORMAT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    diagnostics: Vec<Entry<'a>>,
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    errors: usize,
    warnings: usize,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: &'a str,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    labels: Vec<Place<'a>>,
    /// Each `import` that led to the file of the first label, the nearest first.
    imported_at: Vec<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    text: &'a str,
    start: Point,
    end: Point,
}

/// A place in a file: byte from 0, line and column from 1, columns counted in characters.
#[derive(Serialize)]
struct Point {
    byte: usize,
    line: usize,
    column: usize,
}

/// All mistakes as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn diagnostics_json(list: &[Diagnostic], sources: &SourceMap) -> serde_json::Result<String> {
    let errors = list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let document = Document {
        format_version: DIAGNOSTICS_FORMAT_VERSION,
        diagnostics: list.iter().map(|diagnostic| entry(diagnostic, sources)).collect(),
        summary: Summary { errors, warnings: list.len() - errors },
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

fn entry<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Entry<'a> {
    let first = diagnostic.labels.first().and_then(|label| sources.file(label.span.source).imported_at);
    let imports = std::iter::successors(first, |span| sources.file(span.source).imported_at);
    Entry {
        code: diagnostic.code,
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
        labels: diagnostic.labels.iter().map(|Label { span, text }| place(*span, text, sources)).collect(),
        imported_at: imports.take(sources.files().count()).map(|span| place(span, "imported here", sources)).collect(),
    }
}

fn place<'a>(span: Span, text: &'a str, sources: &'a SourceMap) -> Place<'a> {
    let point = |byte| {
        let position = sources.position(span.source, byte);
        Point { byte, line: position.line, column: position.column }
    };
    Place { file: sources.file(span.source).path.as_str(), text, start: point(span.start), end: point(span.end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_bytes_lines_and_characters() {
        let mut sources = SourceMap::default();
        let id = sources.add("fleet.kdl", "ß\nvm größe\n".into(), None);
        let wrong = Diagnostic::error("config::x", "wrong", Span { source: id, start: 6, end: 13 }, "here");
        let json: serde_json::Value = serde_json::from_str(&diagnostics_json(&[wrong], &sources).unwrap()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "format_version": 1,
                "diagnostics": [{
                    "code": "config::x", "severity": "error", "message": "wrong", "help": null,
                    "labels": [{
                        "file": "fleet.kdl", "text": "here",
                        "start": {"byte": 6, "line": 2, "column": 4}, "end": {"byte": 13, "line": 2, "column": 9},
                    }],
                    "imported_at": [],
                }],
                "summary": {"errors": 1, "warnings": 0},
            })
        );
    }
}

//! Mistakes for people: the lines they stand in, with marks and words below.

use std::collections::BTreeMap;
use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan};

use super::excerpt::Excerpt;
use crate::render::screen::{Colour, Screen, Tone};
use crate::render::{scrub, words};
use crate::syntax::{Diagnostic, Label, Severity, SourceId, SourceMap, Span};

/// Diagnostics that are shown in full; the rest are counted.
const SHOWN: usize = 20;

/// All mistakes as text, the first `SHOWN` in full, with their number at the end.
pub fn diagnostics(list: &[Diagnostic], sources: &SourceMap, screen: Screen) -> String {
    let theme = match screen.colour {
        Colour::Never => GraphicalTheme::unicode_nocolor(),
        Colour::Always => GraphicalTheme::unicode(),
    };
    let handler =
        GraphicalReportHandler::new_themed(theme).with_width(screen.columns()).with_links(false).with_context_lines(1);
    let mut text = String::new();
    for diagnostic in list.iter().take(SHOWN) {
        // Writing to a string fails only when a span lies outside its file; then the message alone has to do.
        let mut report = String::new();
        if handler.render_report(&mut report, &Report::new(diagnostic, sources)).is_err() {
            report = format!("{}: {}\n", diagnostic.code, scrub::line(&diagnostic.message));
        }
        text.extend(report.lines().flat_map(|line| [line.trim_end(), "\n"]));
        text.push('\n');
    }
    text.push_str(&closing(list, screen));
    text
}

/// `2 errors, 1 warning`.
fn closing(list: &[Diagnostic], screen: Screen) -> String {
    let errors = list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let counts = [(errors, "error", Tone::Alarm), (list.len() - errors, "warning", Tone::Changed)];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, word, tone)| screen.paint(tone, &words::count(count, word)))
        .collect();
    if counts.is_empty() {
        return String::new();
    }
    let hidden = list.len().saturating_sub(SHOWN);
    let more =
        if hidden > 0 { format!(" (the last {hidden} are not shown; --format json has all)") } else { String::new() };
    format!("{}{more}\n", counts.join(", "))
}

/// One diagnostic as miette knows it. Labels in other files become related reports, because a report shows one file.
#[derive(Debug)]
struct Report {
    code: String,
    severity: miette::Severity,
    message: String,
    help: Option<String>,
    excerpt: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    related: Vec<Self>,
}

impl Report {
    fn new(diagnostic: &Diagnostic, sources: &SourceMap) -> Self {
        let severity = match diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        };
        let main = diagnostic.labels.first().map(|label| label.span.source);
        let mut report = Self::bare(&diagnostic.message, severity);
        report.code = diagnostic.code.into();
        report.help = diagnostic.help.as_deref().map(|help| scrub::line(help).into_owned());
        if let Some(id) = main {
            report.mark(sources, id, &diagnostic.labels);
        }
        let mut elsewhere: BTreeMap<SourceId, Vec<Label>> = BTreeMap::new();
        for label in diagnostic.labels.iter().filter(|label| Some(label.span.source) != main) {
            elsewhere.entry(label.span.source).or_default().push(label.clone());
        }
        let also = elsewhere.iter().map(|(id, labels)| Self::note("in another file", sources, *id, labels));
        report.related = also.chain(main.into_iter().flat_map(|id| import_chain(sources, id))).collect();
        report
    }

    fn bare(message: &str, severity: miette::Severity) -> Self {
        Self {
            code: String::new(),
            severity,
            message: scrub::line(message).into_owned(),
            help: None,
            excerpt: None,
            labels: Vec::new(),
            related: Vec::new(),
        }
    }

    fn note(message: &str, sources: &SourceMap, id: SourceId, labels: &[Label]) -> Self {
        let mut note = Self::bare(message, miette::Severity::Advice);
        note.mark(sources, id, labels);
        note
    }

    fn mark(&mut self, sources: &SourceMap, id: SourceId, labels: &[Label]) {
        let excerpt = Excerpt::new(sources, id, labels);
        self.labels = labels
            .iter()
            .filter(|label| label.span.source == id)
            .enumerate()
            .map(|(index, label)| {
                let span = excerpt.clamp(label.span.start, label.span.end);
                let text = Some(scrub::line(&label.text).into_owned());
                if index == 0 {
                    LabeledSpan::new_primary_with_span(text, span)
                } else {
                    LabeledSpan::new_with_span(text, span)
                }
            })
            .collect();
        self.excerpt = Some(excerpt);
    }
}

/// How an imported file came to be read: each `import` up to the fleet file.
fn import_chain(sources: &SourceMap, id: SourceId) -> Vec<Report> {
    // A file is imported from a file that was read before it, so the chain is no longer than the number of files.
    let step = |span: &Span| sources.file(span.source).imported_at;
    std::iter::successors(sources.file(id).imported_at, step)
        .take(sources.files().count())
        .map(|span| {
            let label = Label { span, text: "imported here".into() };
            Report::note("the file was imported", sources, span.source, &[label])
        })
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.code.is_empty()).then(|| Box::new(&self.code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.related.iter().map(|report| report as &dyn miette::Diagnostic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(source: SourceId, start: usize, end: usize) -> Span {
        Span { source, start, end }
    }

    fn text(list: &[Diagnostic], sources: &SourceMap) -> String {
        diagnostics(list, sources, Screen::plain(60))
    }

    #[test]
    fn a_mistake_shows_its_line_both_places_and_what_to_do() {
        let mut sources = SourceMap::default();
        let id = sources.add("fleet.kdl", "vm web { }\n\nimage \"größe\"\nvm web { }\n".into(), None);
        let again = Diagnostic::error("config::duplicate", "`web` is declared twice", span(id, 31, 34), "again here")
            .also(span(id, 3, 6), "first declared here")
            .help("rename one of them");
        assert_eq!(
            text(&[again], &sources),
            "config::duplicate

  × `web` is declared twice
   ╭─[fleet.kdl:4:4]
 1 │ vm web { }
   ·    ─┬─
   ·     ╰── first declared here
 2 │
 3 │ image \"größe\"
 4 │ vm web { }
   ·    ─┬─
   ·     ╰── again here
   ╰────
  help: rename one of them

1 error
"
        );
    }

    #[test]
    fn an_imported_file_says_how_it_came_to_be_read() {
        let mut sources = SourceMap::default();
        let main = sources.add("fleet.kdl", "import \"a.kdl\"\n".into(), None);
        let imported = sources.add("a.kdl", "wat\n".into(), Some(span(main, 0, 14)));
        let wrong =
            Diagnostic::warning("config::unknown-node", "unknown node `wat`", span(imported, 0, 3), "not known");
        assert_eq!(
            text(&[wrong], &sources),
            "config::unknown-node

  ⚠ unknown node `wat`
   ╭─[a.kdl:1:1]
 1 │ wat
   · ─┬─
   ·  ╰── not known
   ╰────

Advice:
  ☞ the file was imported
   ╭─[fleet.kdl:1:1]
 1 │ import \"a.kdl\"
   · ───────┬──────
   ·        ╰── imported here
   ╰────

1 warning
"
        );
    }

    #[test]
    fn escapes_in_the_source_and_endless_lines_are_harmless() {
        let mut sources = SourceMap::default();
        let id = sources.add("\x1b[2J.kdl", format!("{}\x1b[31mvm\u{202e}\n", "/-".repeat(500_000)), None);
        let wrong = Diagnostic::error("syntax::x", "found `\x1b[0m`", span(id, 1_000_000, 1_000_005), "\x07here");
        let printed = text(&[wrong], &sources);
        assert!(printed.len() < 8_000, "{} bytes were printed", printed.len());
        assert!(!printed.contains(['\x1b', '\x07', '\u{202e}']), "{printed}");
        assert!(printed.contains(":1:1000001]"), "{printed}");
    }

    #[test]
    fn the_rest_is_counted() {
        let mut sources = SourceMap::default();
        let id = sources.add("fleet.kdl", "x\n".into(), None);
        let list = vec![Diagnostic::error("a::b", "wrong", span(id, 0, 1), "here"); 23];
        let printed = text(&list, &sources);
        assert_eq!(printed.matches("× wrong").count(), 20);
        assert!(printed.ends_with("\n23 errors (the last 3 are not shown; --format json has all)\n"), "{printed}");
    }
}

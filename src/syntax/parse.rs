//! One document → [`Tree`]: scanned, then parsed piece by piece, on several threads when it is large.
//!
//! Parsing one top-level node at a time keeps the parser's memory at the size of one node instead of fifty times the
//! document, isolates mistakes (one node's error cannot swallow the next), and lets the pieces run in parallel. The
//! result does not depend on how many threads there are.

use std::borrow::Cow;
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use kdl::{KdlDiagnostic, KdlDocument};

use super::convert::Converter;
use super::limits::MAX_ERRORS;
use super::multiline::{self, Multiline};
use super::scan::{Piece, scan};
use super::token::tokens;
use super::{Diagnostic, Node, SourceId, SourceMap, Span, Tree, grammar, plain};

/// Documents smaller than this are parsed on the calling thread.
const PARALLEL_BYTES: usize = 256 << 10;

/// More threads than this do not help: the slowest part left is reading.
const MAX_THREADS: usize = 8;

/// Parses one file of the map as KDL 2: the top-level nodes that are well-formed, and every syntax error of the
/// others in the order of their places.
pub fn parse(sources: &SourceMap, source: SourceId) -> (Tree, Vec<Diagnostic>) {
    let text = &sources.file(source).text;
    let scanned = scan(source, text);
    let mut problems = scanned.problems;
    let mut nodes = Vec::new();
    for parsed in parse_pieces(source, text, &scanned.pieces) {
        nodes.extend(parsed.nodes);
        problems.extend(parsed.problems);
    }
    problems.sort_by_key(|problem| problem.labels.first().map(|label| label.span.start));
    problems.truncate(MAX_ERRORS);
    (Tree { source, nodes }, problems)
}

/// What came of some pieces.
#[derive(Default)]
struct Parsed {
    nodes: Vec<Node>,
    problems: Vec<Diagnostic>,
}

fn parse_pieces(source: SourceId, text: &str, pieces: &[Piece]) -> Vec<Parsed> {
    let threads = match text.len() {
        ..PARALLEL_BYTES => 1,
        _ => thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS),
    };
    if threads == 1 {
        return vec![parse_run(source, text, pieces)];
    }
    // Several runs per thread: a run of costly pieces does not leave the other threads idle for long.
    let runs: Vec<&[Piece]> = pieces.chunks(pieces.len().div_ceil(threads * 8).max(1)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let take = || runs.get(next.fetch_add(1, Ordering::Relaxed)).copied();
        let mut done = Vec::new();
        while let Some(run) = take() {
            done.push((run.first().map(|piece| piece.range.start), parse_run(source, text, run)));
        }
        done
    };
    let mut parsed = thread::scope(|scope| {
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut parsed = work();
        for worker in workers {
            match worker.join() {
                Ok(done) => parsed.extend(done),
                Err(panic) => resume_unwind(panic),
            }
        }
        parsed
    });
    parsed.sort_by_key(|(start, _)| *start);
    parsed.into_iter().map(|(_, parsed)| parsed).collect()
}

fn parse_run(source: SourceId, text: &str, pieces: &[Piece]) -> Parsed {
    let mut parsed = Parsed::default();
    for piece in pieces.iter().filter(|piece| piece.sound) {
        let written = &text[piece.range.clone()];
        if let Some(mut nodes) = plain::nodes(source, piece.range.start, written) {
            parsed.nodes.append(&mut nodes);
            continue;
        }
        let tokens = tokens(written);
        let taken_out = match grammar::check(&tokens, written.len()) {
            Ok(taken_out) => taken_out,
            Err(faults) => {
                let room = MAX_ERRORS.saturating_sub(parsed.problems.len());
                parsed.problems.extend(faults.into_iter().take(room).map(|fault| {
                    let (start, end) = (piece.range.start + fault.range.start, piece.range.start + fault.range.end);
                    Diagnostic::error("syntax::misfit", fault.message, Span { source, start, end }, fault.label)
                }));
                continue;
            }
        };
        let multilines = multiline::all(&tokens);
        let converter = Converter { source, base: piece.range.start, text, multilines: &multilines };
        match KdlDocument::parse_v2(&simplified(written, &taken_out, &multilines)) {
            Ok(document) => parsed.nodes.extend(document.nodes().iter().map(|node| converter.node(node))),
            Err(error) if parsed.problems.len() < MAX_ERRORS => {
                parsed.problems.extend(own_words(&error.diagnostics, source, piece.range.start, written));
            }
            Err(_) => {}
        }
    }
    parsed
}

/// A text with spaces for what is taken out and stand-ins for strings of several lines, so that all else stays where it
/// is. The parser takes exponential time for nested slashdashes, and refuses `{ /- a; b }`.
fn simplified<'a>(text: &'a str, taken_out: &[Range<usize>], multilines: &[Multiline]) -> Cow<'a, str> {
    if taken_out.is_empty() && multilines.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.as_bytes().to_vec();
    for multiline in multilines {
        bytes[multiline.range.clone()].copy_from_slice(&multiline.stand_in());
    }
    for place in taken_out {
        bytes[place.clone()].fill(b' ');
    }
    // Whole tokens were replaced by ASCII: it is UTF-8 as before.
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The parser's mistakes in our form, without those that only follow from an earlier one.
fn own_words(found: &[KdlDiagnostic], source: SourceId, base: usize, text: &str) -> Vec<Diagnostic> {
    let mut kept: Vec<&KdlDiagnostic> = Vec::new();
    for diagnostic in found {
        // After a mistake the parser resumes somewhere in the same line, and stumbles again.
        let follows = |earlier: &&KdlDiagnostic| {
            let (start, end) = (floor(text, earlier.span.offset()), floor(text, diagnostic.span.offset()));
            text.get(start..end).is_none_or(|between| !between.contains('\n'))
        };
        let noise = diagnostic.message.as_deref() == Some("Expected end of document");
        if kept.is_empty() || !(noise || kept.iter().any(follows)) {
            kept.push(diagnostic);
        }
    }
    kept.into_iter()
        .map(|diagnostic| {
            let start = floor(text, diagnostic.span.offset());
            let end = floor(text, diagnostic.span.offset() + diagnostic.span.len()).max(start);
            let span = Span { source, start: base + start, end: base + end };
            let message = diagnostic.message.as_deref().map_or_else(|| "not valid KDL".into(), sentence);
            let label = diagnostic.label.as_deref().map_or_else(|| "here".into(), sentence);
            let problem = Diagnostic::error("syntax::kdl", message, span, label);
            match &diagnostic.help {
                Some(help) => problem.help(sentence(help)),
                None => problem,
            }
        })
        .collect()
}

/// The nearest character boundary at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Lower case, no full stop: the parser's sentences are written otherwise.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_lowercase().chain(characters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;

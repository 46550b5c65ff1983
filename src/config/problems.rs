//! All mistakes of a run, in one place: decoding goes on after each.

use std::collections::BTreeSet;

use crate::syntax::{Diagnostic, Span, Spanned, shown};

/// Mistakes kept of one run: nobody reads more, and repetition can make any number.
const MAX_PROBLEMS: usize = 1_000;

/// Missing names reported of one run, when there are so many mistakes already.
const MAX_SUGGESTIONS: usize = 200;

/// Collected mistakes.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Diagnostic>,
    /// Code, place and message of each.
    said: BTreeSet<(&'static str, Option<Span>, String)>,
    /// Kinds and names that are declared, well or badly.
    declared: BTreeSet<(&'static str, String)>,
    incomplete: bool,
    unread: bool,
}

impl Problems {
    /// Records one mistake. What repetition makes of it again at the same place is not said again.
    pub(super) fn push(&mut self, problem: Diagnostic) {
        let place = problem.labels.first().map(|label| label.span);
        if self.found.len() < MAX_PROBLEMS && self.said.insert((problem.code, place, problem.message.clone())) {
            self.found.push(problem);
        }
    }

    /// Records several.
    pub(super) fn extend(&mut self, problems: impl IntoIterator<Item = Diagnostic>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// Some declarations or values could not be made out: what seems to be missing may be among them.
    pub(super) const fn incomplete(&mut self) {
        self.incomplete = true;
    }

    /// A whole file could not be read, or has syntax errors.
    pub(super) const fn unread(&mut self) {
        self.unread = true;
        self.incomplete = true;
    }

    /// Whether all declarations and values are known.
    pub(super) const fn is_complete(&self) -> bool {
        !self.incomplete
    }

    /// Whether all files could be read.
    pub(super) const fn is_readable(&self) -> bool {
        !self.unread
    }

    /// Whether there is a mistake of this code.
    pub(super) fn has(&self, code: &str) -> bool {
        self.found.iter().any(|problem| problem.code == code)
    }

    /// Something is declared under this name, perhaps with mistakes: it is not missing.
    pub(super) fn declare(&mut self, kind: &'static str, name: &str) {
        self.declared.insert((kind, name.to_owned()));
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.found.len()
    }

    /// Something of this kind is declared twice under one name.
    pub(super) fn declared_twice(&mut self, kind: &str, name: &Spanned<String>, first: Span) {
        let message = format!("{kind} `{}` is declared twice", shown(&name.value));
        self.push(
            Diagnostic::error("config::duplicate-name", message, name.span, "declared again here")
                .also(first, "first declared here")
                .help("rename one of them, or delete it"),
        );
    }

    /// A name that nothing bears.
    pub(super) fn missing(&mut self, kind: &'static str, name: &Spanned<String>) {
        // Looking for the nearest of many names takes time: nobody reads that many suggestions.
        let enough = self.found.len() >= MAX_SUGGESTIONS;
        if self.incomplete || enough || self.declared.contains(&(kind, name.value.clone())) {
            return;
        }
        let known = self.declared.iter().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str());
        let known: Vec<&str> = known.collect();
        let help =
            super::language::suggestion(&name.value, known.iter().copied()).unwrap_or_else(|| match known.len() {
                0 => format!("declare it: `{kind} \"{}\" {{ … }}`", shown(&name.value)),
                1..=8 => format!(
                    "declared: {}",
                    known.iter().map(|n| format!("`{}`", shown(n))).collect::<Vec<_>>().join(", ")
                ),
                count => format!("{count} others are declared"),
            });
        let message = format!("found no {kind} `{}`", shown(&name.value));
        let code = match kind {
            "image" => "config::missing-image",
            "kernel" => "config::missing-kernel",
            "network" => "config::missing-network",
            "vm" => "config::missing-guest",
            "cluster" => "config::missing-cluster",
            _ => "config::missing-profile",
        };
        self.push(Diagnostic::error(code, message, name.span, "not declared in any file").help(help));
    }

    /// Everything that was found, ordered by file and place; empty when all is well.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|problem| problem.labels.first().map(|label| (label.span.source, label.span.start)));
        self.found
    }
}

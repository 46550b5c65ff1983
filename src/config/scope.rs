//! Values by name, as far as they can be seen from one place.

use std::collections::BTreeMap;

use super::language::suggestion;
use crate::syntax::{Diagnostic, Span, Spanned, Value, shown};

/// A value with a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bound {
    /// One value, or several.
    pub(super) value: Binding,
    /// Where it got its name.
    pub(super) span: Span,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Binding {
    /// One value.
    One(Value),
    /// Several: they can stand where arguments stand.
    List(Vec<Value>),
}

/// Names of one file or block.
pub(super) type Names = BTreeMap<String, Bound>;

/// Names of a block, and of everything around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    names: &'a Names,
    outer: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// The names of a file.
    pub(super) const fn new(names: &'a Names) -> Self {
        Self { names, outer: None }
    }

    /// The names of a block inside.
    pub(super) const fn inside(&'a self, names: &'a Names) -> Self {
        Self { names, outer: Some(self) }
    }

    /// The nearest value of this name.
    pub(super) fn find(&self, name: &str) -> Option<&'a Bound> {
        self.names.get(name).or_else(|| self.outer.and_then(|outer| outer.find(name)))
    }

    /// A name that stands for nothing here.
    pub(super) fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let scopes = std::iter::successors(Some(self), |scope| scope.outer);
        let known = scopes.flat_map(|scope| scope.names.keys().map(String::as_str));
        let help = suggestion(name, known).unwrap_or_else(|| {
            format!("give it one with `let {} …`, or write `{{{{` and `}}}}` for braces", shown(name))
        });
        let message = format!("found no value `{}`", shown(name));
        Diagnostic::error("config::unknown-value", message, span, "used here").help(help)
    }
}

/// Adds a name; an earlier one in the same scope is an error.
pub(super) fn bind(names: &mut Names, name: Spanned<String>, value: Binding) -> Result<(), Diagnostic> {
    if let Some(first) = names.get(&name.value) {
        let message = format!("the value `{}` is declared twice", shown(&name.value));
        return Err(Diagnostic::error("config::duplicate-name", message, name.span, "declared again here")
            .also(first.span, "first declared here")
            .help("rename one of them, or delete it"));
    }
    names.insert(name.value, Bound { value, span: name.span });
    Ok(())
}

/// A value as part of a text; a list or `#null` is none.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Unknown => None,
    }
}

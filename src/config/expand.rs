//! `let`, `"{name}"`, `when`, `for-each` and numbered guests → plain nodes: later stages know none of them.

use std::mem;

use camino::Utf8Path;

use super::block::Block;
use super::load::{LoadError, Loader, resolve};
use super::modules;
use super::node::control::{FOR_EACH, LET, WHEN};
use super::problems::Problems;
use super::scope::{Binding, Names, Scope, as_text, bind};
use super::template::{Part, has_braces, parts};
use crate::syntax::{Argument, Diagnostic, Node, SourceMap, Span, Spanned, Value, shown};

/// Nodes and repetitions that one fleet may make: nested repetition multiplies.
const MAX_MADE: usize = 100_000;

/// Bytes of a file whose text is a value.
const MAX_FILE_BYTES: usize = 64 << 10;

/// Makes plain nodes.
pub(super) struct Expander<'a> {
    /// Files and environment.
    pub(super) loader: &'a mut dyn Loader,
    /// Where values name files.
    pub(super) sources: &'a SourceMap,
    /// Mistakes.
    pub(super) problems: &'a mut Problems,
    /// Nodes and repetitions made so far.
    pub(super) made: &'a mut usize,
}

impl Expander<'_> {
    /// Expands the nodes of a block.
    pub(super) fn block(&mut self, nodes: &mut Vec<Node>, scope: &Scope<'_>) {
        if !nodes.iter().any(needs_expanding) {
            nodes.iter_mut().for_each(|node| self.node(node, scope));
            return;
        }
        let mut names = Names::new();
        self.names(nodes, scope, &mut names);
        let scope = scope.inside(&names);
        for node in mem::take(nodes) {
            self.place(node, &scope, nodes);
        }
    }

    /// Expands one node to where it stands.
    pub(super) fn place(&mut self, mut node: Node, scope: &Scope<'_>, out: &mut Vec<Node>) {
        match node.name.value.as_str() {
            "let" => {}
            "for-each" => self.for_each(node, scope, out),
            "when" => self.when(node, scope, out),
            "vm" if numbered(&node) => self.numbered(node, scope, out),
            _ => {
                self.node(&mut node, scope);
                out.push(node);
            }
        }
    }

    /// Gives names to the values of a block's `let` nodes; each sees those before it.
    pub(super) fn names(&mut self, nodes: &[Node], scope: &Scope<'_>, names: &mut Names) {
        for node in nodes.iter().filter(|node| node.name.value == LET.name) {
            let mut node = node.clone();
            let default = node.properties.iter().find(|property| property.key.value == "default");
            let default = default.map(|property| property.value.value.clone());
            self.values(&mut node, &scope.inside(names), default.as_ref());
            let block = Block::read(&node, &LET, self.problems);
            let Some(name) = block.text("name") else { continue };
            let target = block.text("as").map(|target| target.value);
            let values: Vec<Value> = node.arguments[1..]
                .iter()
                .filter_map(|argument| self.converted(&argument.value, target.as_deref()))
                .collect();
            let value = match <[Value; 1]>::try_from(values) {
                Ok([value]) => Binding::One(value),
                Err(values) => Binding::List(values),
            };
            if let Err(problem) = bind(names, name, value) {
                self.problems.push(problem);
            }
        }
    }

    /// A value read as another type.
    fn converted(&mut self, value: &Spanned<Value>, target: Option<&str>) -> Option<Value> {
        let (Some(target), Value::String(text)) = (target, &value.value) else { return Some(value.value.clone()) };
        let converted = match target {
            "integer" => text.parse().map(Value::Integer).ok(),
            _ => text.parse().map(Value::Bool).ok(),
        };
        if converted.is_none() {
            let message = format!("found `{}`, expected text that reads as {target}", shown(text));
            self.fail(Diagnostic::error("config::wrong-value", message, value.span, "not readable as that"));
        }
        converted
    }

    fn for_each(&mut self, mut node: Node, scope: &Scope<'_>, out: &mut Vec<Node>) {
        self.values(&mut node, scope, None);
        let Some(name) = Block::read(&node, &FOR_EACH, self.problems).text("name") else { return };
        if let Some(word) = node.arguments.get(1).filter(|word| word.value.value == Value::String("in".into())) {
            let message = "found `in`, expected the values right behind the name";
            let problem = Diagnostic::error("config::wrong-value", message, word.value.span, "one word too many");
            self.fail(problem.help(format!("write `for-each \"{}\" VALUE …`", shown(&name.value))));
            return;
        }
        let children = node.children.unwrap_or_default();
        for argument in node.arguments.into_iter().skip(1) {
            let mut names = Names::new();
            // The first name of an empty scope is never taken.
            let _ = bind(&mut names, name.clone(), Binding::One(argument.value.value));
            if !self.repeat(&children, &scope.inside(&names), node.span, out) {
                return;
            }
        }
    }

    /// One more copy of a block; false when there are too many.
    fn repeat(&mut self, children: &[Node], scope: &Scope<'_>, span: Span, out: &mut Vec<Node>) -> bool {
        *self.made += 1 + children.len();
        if *self.made > MAX_MADE {
            let message = format!("repetition makes more than {MAX_MADE} nodes");
            let help = "use `count` for guests that are alike, or repeat fewer";
            let problem = Diagnostic::error("config::too-many", message, span, "repeated here").help(help);
            if !self.problems.has("config::too-many") {
                self.fail(problem);
            }
            return false;
        }
        let mut children = children.to_vec();
        self.block(&mut children, scope);
        out.append(&mut children);
        true
    }

    fn when(&mut self, mut node: Node, scope: &Scope<'_>, out: &mut Vec<Node>) {
        self.values(&mut node, scope, None);
        Block::read(&node, &WHEN, self.problems);
        let Some(value) = node.arguments.first().map(|argument| &argument.value) else { return };
        let property = |key: &str| node.properties.iter().find(|property| property.key.value == key);
        let kept = match (property("is"), property("is-not"), &value.value) {
            (_, _, Value::Unknown) => return,
            (Some(is), None, _) => is.value.value == value.value,
            (None, Some(is_not), _) => is_not.value.value != value.value,
            (None, None, Value::Bool(truth)) => *truth,
            (None, None, other) => {
                let message = format!("found {}, expected `#true` or `#false`", other.kind());
                let problem = Diagnostic::error("config::wrong-value", message, value.span, "not a condition");
                self.fail(problem.help("compare it: `when VALUE is=…` or `is-not=…`"));
                return;
            }
            (Some(_), Some(is_not), _) => {
                let message = "found `is=` and `is-not=` on one `when`, expected one of them";
                self.fail(Diagnostic::error("config::contradiction", message, is_not.key.span, "one too many"));
                return;
            }
        };
        if kept {
            let mut children = node.children.unwrap_or_default();
            self.block(&mut children, scope);
            out.append(&mut children);
        }
    }

    /// A counted guest whose block uses its number: one node for each.
    fn numbered(&mut self, mut node: Node, scope: &Scope<'_>, out: &mut Vec<Node>) {
        let children = node.children.take();
        self.values(&mut node, scope, None);
        let count = node.properties.iter().position(|property| property.key.value == "count");
        let count = count.map(|index| node.properties.remove(index));
        let number = count.as_ref().and_then(|count| match count.value.value {
            Value::Integer(number) => usize::try_from(number).ok(),
            _ => None,
        });
        let name = node.arguments.first().map(|argument| &argument.value.value);
        let (Some(number), Some(Value::String(name))) = (number, name) else {
            // The decoder says what is wrong with the count or the name.
            node.properties.extend(count);
            out.push(node);
            return;
        };
        let (name, span) = (name.clone(), node.span);
        node.children = children;
        for index in 1..=number {
            let mut guest = node.clone();
            guest.arguments[0].value.value = Value::String(format!("{name}-{index}"));
            let mut names = Names::new();
            let index = Value::Integer(index as i128);
            // The first name of an empty scope is never taken.
            let _ = bind(&mut names, Spanned::new("index".into(), span), Binding::One(index));
            if !self.repeat(&[guest], &scope.inside(&names), span, out) {
                return;
            }
        }
    }

    /// Replaces what is to be replaced in a node and everything below it.
    fn node(&mut self, node: &mut Node, scope: &Scope<'_>) {
        self.values(node, scope, None);
        if let Some(children) = &mut node.children {
            self.block(children, scope);
        }
    }

    /// Replaces the values of one node. `default` holds for what is missing outside.
    fn values(&mut self, node: &mut Node, scope: &Scope<'_>, default: Option<&Value>) {
        let replaced =
            |value: &Value, annotated: bool| annotated || matches!(value, Value::String(text) if has_braces(text));
        if node.arguments.iter().any(|argument| replaced(&argument.value.value, argument.annotation.is_some())) {
            for argument in mem::take(&mut node.arguments) {
                self.argument(argument, scope, default, &mut node.arguments);
            }
        }
        for property in &mut node.properties {
            if !replaced(&property.value.value, property.annotation.is_some()) {
                continue;
            }
            let annotation = self.source(&mut property.annotation);
            property.value.value = match self.evaluate(&property.value, annotation, scope, default) {
                Some(Binding::One(value)) => value,
                Some(Binding::List(_)) => {
                    let message = "found a list, expected one value";
                    self.fail(Diagnostic::error("config::list", message, property.value.span, "cannot stand here"));
                    Value::Unknown
                }
                None => Value::Unknown,
            };
        }
    }

    /// One argument becomes one, or the elements of a list.
    fn argument(
        &mut self,
        mut argument: Argument,
        scope: &Scope<'_>,
        default: Option<&Value>,
        out: &mut Vec<Argument>,
    ) {
        let annotation = self.source(&mut argument.annotation);
        let span = argument.value.span;
        let values = match self.evaluate(&argument.value, annotation, scope, default) {
            Some(Binding::One(value)) => vec![value],
            Some(Binding::List(values)) => values,
            None => vec![Value::Unknown],
        };
        out.extend(values.into_iter().map(|value| Argument { value: Spanned::new(value, span), ..argument.clone() }));
    }

    /// Takes `(env)`, `(file)` or `(template)` off a value; other annotations stay, and are reported when the node is decoded.
    fn source(&self, annotation: &mut Option<Box<Spanned<String>>>) -> Option<Outside> {
        let outside = match annotation.as_deref()?.value.as_str() {
            "env" => Outside::Variable,
            "file" => Outside::File,
            "template" => Outside::Template,
            _ => return None,
        };
        *annotation = None;
        Some(outside)
    }

    fn evaluate(
        &mut self,
        value: &Spanned<Value>,
        outside: Option<Outside>,
        scope: &Scope<'_>,
        default: Option<&Value>,
    ) -> Option<Binding> {
        let inside = match &value.value {
            Value::String(text) if has_braces(text) => self.filled(text, value.span, scope)?,
            other => Binding::One(other.clone()),
        };
        match (outside, inside) {
            (None, inside) => Some(inside),
            (Some(outside), Binding::One(Value::String(name))) => {
                match self.fetched(outside, &Spanned::new(name, value.span), default)? {
                    Value::String(text) if outside == Outside::Template => self.completed(&text, value.span, scope),
                    fetched => Some(Binding::One(fetched)),
                }
            }
            (Some(_), _) => {
                let message =
                    "found a value that is no text after `(env)`, `(file)` or `(template)`, expected a name or path";
                self.fail(Diagnostic::error("config::wrong-value", message, value.span, "not accepted"));
                None
            }
        }
    }

    /// A template with its values filled in: always a text.
    fn completed(&mut self, text: &str, span: Span, scope: &Scope<'_>) -> Option<Binding> {
        if !has_braces(text) {
            return Some(Binding::One(Value::String(text.to_owned())));
        }
        match self.filled(text, span, scope)? {
            Binding::One(value) => as_text(&value).map(|text| Binding::One(Value::String(text))),
            list @ Binding::List(_) => Some(list),
        }
    }

    /// A string with its values filled in.
    fn filled(&mut self, text: &str, span: Span, scope: &Scope<'_>) -> Option<Binding> {
        let parts = match parts(text) {
            Ok(parts) => parts,
            Err(from) => {
                let brace = from.find('}').map_or(from, |end| &from[..=end]);
                let message = format!("found `{}`, expected `{{name}}` with the name of a value", shown(brace));
                let problem = Diagnostic::error("config::brace", message, span, "in this string");
                self.fail(problem.help("write `{{` and `}}` for braces"));
                return None;
            }
        };
        let mut filled = String::new();
        for part in &parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(name) => {
                    let Some(bound) = scope.find(name) else {
                        self.fail_incomplete(scope.unknown(name, span));
                        return None;
                    };
                    match &bound.value {
                        Binding::One(Value::Unknown) => return None,
                        whole if parts.len() == 1 => return Some(whole.clone()),
                        Binding::One(value) if as_text(value).is_some() => filled.extend(as_text(value)),
                        _ => {
                            let message = format!(
                                "found a list or `#null` for `{name}`, expected something that can be part of a text"
                            );
                            let problem = Diagnostic::error("config::list", message, span, "in this string");
                            self.fail(problem.also(bound.span, "declared here"));
                            return None;
                        }
                    }
                }
            }
        }
        Some(Binding::One(Value::String(filled)))
    }

    /// What is outside: a variable or the text of a file.
    fn fetched(&mut self, outside: Outside, name: &Spanned<String>, default: Option<&Value>) -> Option<Value> {
        let found = match outside {
            Outside::Variable => self.loader.variable(&name.value).map(Value::String).ok_or(LoadError::Missing),
            Outside::File => self.text(name).map(|text| Value::String(without_line_break(&text))),
            Outside::Template => self.text(name).map(Value::String),
        };
        match (found, default) {
            (Ok(value), _) => Some(value),
            (Err(LoadError::Missing), Some(default)) => Some(default.clone()),
            (Err(error), _) => {
                let shown = shown(&name.value);
                let (code, message) = match (outside, error) {
                    (Outside::Variable, _) => ("config::no-variable", format!("the environment has no `{shown}`")),
                    (Outside::File | Outside::Template, LoadError::Missing) => {
                        ("config::unreadable", format!("found no file `{shown}`"))
                    }
                    (Outside::File | Outside::Template, LoadError::Unreadable(reason)) => {
                        ("config::unreadable", format!("cannot read `{shown}`: {}", crate::syntax::shown(&reason)))
                    }
                };
                let problem = Diagnostic::error(code, message, name.span, "needed here");
                self.fail(problem.help("a `let` may have a `default=` for this"));
                None
            }
        }
    }

    fn text(&mut self, name: &Spanned<String>) -> Result<String, LoadError> {
        let importer = &self.sources.file(name.span.source).path;
        if modules::is_embedded(importer) || name.value.starts_with('~') || Utf8Path::new(&name.value).is_absolute() {
            let reason = "only files beside the fleet's own files can be values";
            return Err(LoadError::Unreadable(reason.into()));
        }
        let text = self.loader.read(&resolve(importer, &name.value))?;
        if text.len() > MAX_FILE_BYTES {
            return Err(LoadError::Unreadable(format!("{} bytes, the limit is {MAX_FILE_BYTES}", text.len())));
        }
        Ok(text)
    }

    /// Reports a mistake; what the value would have been is unknown from here on.
    fn fail(&mut self, problem: Diagnostic) {
        self.problems.incomplete();
        self.problems.push(problem);
    }

    /// As [`Self::fail`], unless a file is missing that may have held what is not found.
    fn fail_incomplete(&mut self, problem: Diagnostic) {
        if self.problems.is_readable() {
            self.fail(problem);
        }
    }
}

/// Where a value is fetched from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    /// An environment variable.
    Variable,
    /// The text of a file without its last line break, whatever is in it.
    File,
    /// The whole text of a file, in which names in braces stand for values.
    Template,
}

fn without_line_break(text: &str) -> String {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line).to_owned()
}

fn needs_expanding(node: &Node) -> bool {
    matches!(node.name.value.as_str(), "let" | "for-each" | "when") || numbered(node)
}

/// Whether a node is a counted guest whose block uses its number.
fn numbered(node: &Node) -> bool {
    matches!(node.name.value.as_str(), "vm" | "container")
        && node.properties.iter().any(|property| property.key.value == "count")
        && node.children.iter().flatten().any(uses_index)
}

fn uses_index(node: &Node) -> bool {
    let mentions = |value: &Value| matches!(value, Value::String(text) if text.contains("{index}"));
    node.arguments.iter().any(|argument| mentions(&argument.value.value))
        || node.properties.iter().any(|property| mentions(&property.value.value))
        || node.children.iter().flatten().any(uses_index)
}

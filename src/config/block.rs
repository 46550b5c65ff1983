//! One node read against its rule: what fits is kept as typed values, what does not is reported.

use super::ByteSize;
use super::language::{Decoded, Kind, NodeRule, Occurs, Presence, suggestion};
use super::node::CONTROL;
use super::problems::Problems;
use crate::syntax::{Diagnostic, Node, Span, Spanned, Value, shown};

/// A node that was read against its rule.
pub(super) struct Block<'a> {
    /// The node.
    pub(super) node: &'a Node,
    values: Vec<(&'static str, Spanned<Decoded>)>,
}

impl<'a> Block<'a> {
    /// Reads a node. The values and child nodes that fit can be asked for afterwards; all others are in `problems`.
    pub(super) fn read(node: &'a Node, rule: &'static NodeRule, problems: &mut Problems) -> Self {
        let mut block = Self { node, values: Vec::new() };
        block.read_annotation(rule, problems);
        block.read_arguments(rule, problems);
        block.read_properties(rule, problems);
        block.check_children(rule, problems);
        block
    }

    /// Text under the name of its argument or property.
    pub(super) fn text(&self, name: &str) -> Option<Spanned<String>> {
        self.texts(name).next()
    }

    /// All texts of a repeated argument.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = Spanned<String>> {
        self.named(name).filter_map(|value| match &value.value {
            Decoded::Text(text) => Some(Spanned::new(text.clone(), value.span)),
            _ => None,
        })
    }

    /// A number.
    pub(super) fn integer(&self, name: &str) -> Option<Spanned<u32>> {
        self.named(name).find_map(|value| match value.value {
            Decoded::Integer(number) => Some(Spanned::new(number, value.span)),
            _ => None,
        })
    }

    /// A size.
    pub(super) fn size(&self, name: &str) -> Option<Spanned<ByteSize>> {
        self.named(name).find_map(|value| match value.value {
            Decoded::Size(size) => Some(Spanned::new(size, value.span)),
            _ => None,
        })
    }

    /// A truth value.
    pub(super) fn boolean(&self, name: &str) -> Option<Spanned<bool>> {
        self.named(name).find_map(|value| match value.value {
            Decoded::Boolean(truth) => Some(Spanned::new(truth, value.span)),
            _ => None,
        })
    }

    /// Whether a value of it could not be made out: what seems to be missing may be that.
    pub(super) fn is_uncertain(&self) -> bool {
        let arguments = self.node.arguments.iter().map(|argument| &argument.value.value);
        let properties = self.node.properties.iter().map(|property| &property.value.value);
        arguments.chain(properties).any(|value| *value == Value::Unknown)
    }

    /// The node's name: where messages about the node as a whole point.
    pub(super) const fn head(&self) -> Span {
        self.node.name.span
    }

    /// Child nodes of one name, in order.
    pub(super) fn children(&self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.all_children().filter(move |child| child.name.value == name)
    }

    /// All child nodes, in order.
    pub(super) fn all_children(&self) -> impl Iterator<Item = &'a Node> {
        self.node.children.iter().flatten()
    }

    fn named<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s Spanned<Decoded>> {
        self.values.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value)
    }

    fn accept(&mut self, name: &'static str, kind: Kind, value: &Spanned<Value>, problems: &mut Problems) {
        match kind.decode(&value.value) {
            _ if value.value == Value::Unknown => {}
            Ok(decoded) => self.values.push((name, Spanned::new(decoded, value.span))),
            Err(rejection) => {
                let message = match &self.node.name.value {
                    node if node == name => format!("`{name}`: {}", rejection.message),
                    node => format!("`{name}` of `{node}`: {}", rejection.message),
                };
                let mut problem = Diagnostic::error("config::wrong-value", message, value.span, "not accepted");
                problem.help = rejection.help;
                problems.push(problem);
            }
        }
    }

    fn read_annotation(&self, rule: &NodeRule, problems: &mut Problems) {
        let values = self.node.arguments.iter().filter_map(|argument| argument.annotation.as_deref());
        let values = values.chain(self.node.properties.iter().filter_map(|property| property.annotation.as_deref()));
        for annotation in values {
            let message = format!("found the annotation `({})` before a value", shown(&annotation.value));
            problems.push(Diagnostic::error("config::annotation", message, annotation.span, "not known here"));
        }
        let Some(annotation) = self.node.annotation.as_deref() else { return };
        let help = match (rule.prioritised, annotation.value.as_str()) {
            (true, "default" | "force") => return,
            (true, _) => "`(default)` and `(force)` are the annotations there are",
            (false, _) => "only settings of guests and profiles have a priority",
        };
        let message = format!("found the annotation `({})` before `{}`", shown(&annotation.value), rule.name);
        problems.push(Diagnostic::error("config::annotation", message, annotation.span, "not known here").help(help));
    }

    fn read_arguments(&mut self, rule: &'static NodeRule, problems: &mut Problems) {
        if self.are_properties(rule) {
            self.report_unnamed(rule, problems);
            return;
        }
        let repeats = rule.arguments.last().filter(|last| matches!(last.presence, Presence::Repeated | Presence::Any));
        for (index, argument) in self.node.arguments.iter().enumerate() {
            match rule.arguments.get(index).or(repeats) {
                Some(expected) => self.accept(expected.name, expected.kind, &argument.value, problems),
                None => {
                    let message = format!("`{}` takes {}", rule.name, counted(rule.arguments.len()));
                    let span = argument.value.span;
                    problems.push(Diagnostic::error("config::surplus-argument", message, span, "one too many"));
                }
            }
        }
        let required = rule.arguments.iter().enumerate().skip(self.node.arguments.len());
        for (_, missing) in
            required.filter(|(_, argument)| matches!(argument.presence, Presence::Required | Presence::Repeated))
        {
            let message = format!("`{}` lacks its {}", rule.name, missing.name);
            let label = format!("expected {}", missing.kind.expected());
            problems.push(Diagnostic::error("config::missing-argument", message, self.head(), label));
        }
    }

    /// Whether values stand without names where only properties may be, and are missing.
    fn are_properties(&self, rule: &NodeRule) -> bool {
        let required = rule.properties.iter().any(|property| property.presence == Presence::Required);
        rule.arguments.is_empty() && required && !self.node.arguments.is_empty() && self.node.properties.is_empty()
    }

    fn report_unnamed(&self, rule: &NodeRule, problems: &mut Problems) {
        let Some(first) = self.node.arguments.first() else { return };
        let known = rule.properties.iter().map(|property| property.name).zip(&self.node.arguments);
        let named: Vec<String> =
            known.map(|(name, argument)| format!("{name}={}", written(&argument.value.value))).collect();
        let message = format!("found a value without a name on `{}`, expected properties", rule.name);
        problems.push(
            Diagnostic::error("config::surplus-argument", message, first.value.span, "lacks its name").help(format!(
                "write `{} {}`",
                rule.name,
                named.join(" ")
            )),
        );
    }

    fn read_properties(&mut self, rule: &'static NodeRule, problems: &mut Problems) {
        for (index, property) in self.node.properties.iter().enumerate() {
            let key = &property.key;
            let earlier = self.node.properties[..index].iter().find(|earlier| earlier.key.value == key.value);
            match rule.property(&key.value) {
                None => problems.push(self.unknown_property(rule, key, &property.value)),
                Some(known) => match earlier {
                    None => self.accept(known.name, known.kind, &property.value, problems),
                    Some(first) => problems.push(
                        Diagnostic::error(
                            "config::duplicate-property",
                            format!("found `{}` twice on one node", shown(&key.value)),
                            key.span,
                            "again here",
                        )
                        .also(first.key.span, "first here"),
                    ),
                },
            }
        }
        let unnamed = self.are_properties(rule);
        for missing in rule.properties.iter().filter(|property| property.presence == Presence::Required && !unnamed) {
            if !self.node.properties.iter().any(|property| property.key.value == missing.name) {
                let message = format!("`{}` lacks the property `{}`", rule.name, missing.name);
                let label = format!("expected `{}=` with {}", missing.name, missing.kind.expected());
                problems.push(Diagnostic::error("config::missing-property", message, self.head(), label));
            }
        }
    }

    fn unknown_property(&self, rule: &NodeRule, key: &Spanned<String>, value: &Spanned<Value>) -> Diagnostic {
        let message = format!("found the unknown property `{}` on `{}`", shown(&key.value), rule.name);
        let problem = Diagnostic::error("config::unknown-property", message, key.span, "not known here");
        if rule.child(&key.value).is_some() {
            let value = written(&value.value);
            return problem.help(format!("it is a node of the block: `{} {{ {} {value} }}`", rule.name, key.value));
        }
        match suggestion(&key.value, rule.properties.iter().map(|property| property.name)) {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    fn check_children(&self, rule: &'static NodeRule, problems: &mut Problems) {
        if rule.open_block {
            return;
        }
        if let (Some(_), true) = (&self.node.children, rule.children.is_empty()) {
            let message = format!("`{}` has no block", rule.name);
            problems.push(Diagnostic::error("config::surplus-block", message, self.head(), "takes no `{ … }`"));
            return;
        }
        for child in self.all_children().filter(|child| rule.child(&child.name.value).is_none()) {
            problems.push(unknown_node(child, rule));
        }
        for expected in rule.children.iter().filter(|child| child.occurs != Occurs::Any) {
            let mut written = self.children(expected.rule.name);
            let first = written.next();
            for again in written {
                problems.push(
                    Diagnostic::error(
                        "config::duplicate-node",
                        format!("found `{}` twice in one block", expected.rule.name),
                        again.name.span,
                        "again here",
                    )
                    .also(first.map_or(self.head(), |first| first.name.span), "first here"),
                );
            }
            if first.is_none() && expected.occurs == Occurs::Once {
                let message = format!("`{}` lacks the node `{}`", rule.name, expected.rule.name);
                let label = format!("expected `{}` in its block", expected.rule.name);
                problems.push(Diagnostic::error("config::missing-node", message, self.head(), label));
            }
        }
    }
}

/// Nodes that people expect: parent (profiles are as guests), name, and what there is instead.
const INSTEAD: [(&str, &str, &str); 12] = [
    ("fleet", "policy", "it stands beside `fleet`, at the top of the file"),
    ("vm", "secret", "a secret is what a file contains: `file \"~/.netrc\" { secret env=\"NETRC\"; }`"),
    ("vm", "profile", "profiles are declared at the top of a file; a guest names those it has with `use`"),
    ("vm", "name", "the name of a guest stands behind `vm`: `vm \"web\" { … }`"),
    ("vm", "hostname", "the name of a guest is its host name: `vm \"web\" { … }`"),
    ("vm", "ram", "did you mean `memory`?"),
    ("vm", "disk", "`work-disk size=\"…\"` is the disk that stays; `size` of the image is that of the root disk"),
    ("vm", "ssh-key", "did you mean `authorized-key`?"),
    ("vm", "package", "packages belong to an image: `image \"…\" { debootstrap suite=\"…\" { package \"…\"; }; }`"),
    ("vm", "packages", "packages belong to an image: `image \"…\" { debootstrap suite=\"…\" { package \"…\"; }; }`"),
    ("vm", "port", "did you mean `forward host=… guest=…`?"),
    ("", "guest", "did you mean `vm`?"),
];

/// A node that its parent does not know.
pub(super) fn unknown_node(node: &Node, parent: &NodeRule) -> Diagnostic {
    let name = &node.name;
    let place = if parent.name.is_empty() { "at the top of the file".into() } else { format!("in `{}`", parent.name) };
    let message = format!("found the unknown node `{}` {place}", shown(&name.value));
    let problem = Diagnostic::error("config::unknown-node", message, name.span, "not known here");
    let inside = if parent.name == "profile" { "vm" } else { parent.name };
    if let Some((.., help)) = INSTEAD.iter().find(|(parent, child, _)| (*parent, *child) == (inside, &*name.value)) {
        return problem.help(*help);
    }
    if parent.property(&name.value).is_some() {
        return problem.help(format!("it is a property: `{} {}=…`", parent.name, name.value));
    }
    let control = CONTROL.iter().map(|rule| rule.name);
    match suggestion(&name.value, parent.children.iter().map(|child| child.rule.name).chain(control)) {
        Some(help) => problem.help(help),
        None => {
            let known: Vec<String> = parent.children.iter().map(|child| format!("`{}`", child.rule.name)).collect();
            problem.help(format!("known here: {}", known.join(", ")))
        }
    }
}

/// A value as a fleet file has it.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Integer(number) => number.to_string(),
        Value::Bool(truth) => format!("#{truth}"),
        Value::Float(_) | Value::Null | Value::Unknown => "…".into(),
    }
}

fn counted(arguments: usize) -> String {
    match arguments {
        0 => "no arguments".into(),
        1 => "one argument".into(),
        count => format!("{count} arguments"),
    }
}

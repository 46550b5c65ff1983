//! Parameters of modules: what the block of an `import` says, checked against what the module declares.

use super::language::{Decoded, suggestion};
use super::node::module::Param;
use super::problems::Problems;
use super::scope::{Binding, Names, bind};
use crate::syntax::{Diagnostic, Node, Span, Spanned, Value, shown};

/// The values a module sees.
pub(super) fn bind_all(params: &[Param], import: &Node, asked: Span, problems: &mut Problems) -> Names {
    let given: Vec<&Node> = import.children.iter().flatten().collect();
    for (index, node) in given.iter().enumerate() {
        if let Some(first) = given[..index].iter().find(|first| first.name.value == node.name.value) {
            let message = format!("the parameter `{}` is set twice", shown(&node.name.value));
            problems.push(
                Diagnostic::error("config::duplicate-node", message, node.name.span, "again here")
                    .also(first.name.span, "first here"),
            );
        } else if !params.iter().any(|param| param.name.value == node.name.value) {
            problems.push(unknown(params, node));
        }
    }
    let mut names = Names::new();
    for param in params {
        let node = given.iter().find(|node| node.name.value == param.name.value);
        let value = match node {
            Some(node) => value(param, node, problems),
            None => default(param, asked, problems),
        };
        if let Err(problem) = bind(&mut names, param.name.clone(), value) {
            problems.push(problem);
        }
    }
    names
}

fn unknown(params: &[Param], node: &Node) -> Diagnostic {
    let names: Vec<&str> = params.iter().map(|param| param.name.value.as_str()).collect();
    let help = suggestion(&node.name.value, names.iter().copied()).unwrap_or_else(|| match names.len() {
        0 => "this module has no parameters".into(),
        _ => format!("parameters: {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
    });
    let message = format!("found the unknown parameter `{}`", shown(&node.name.value));
    Diagnostic::error("config::unknown-parameter", message, node.name.span, "not declared by the module").help(help)
}

fn default(param: &Param, asked: Span, problems: &mut Problems) -> Binding {
    let Some(values) = &param.default else {
        let message = format!("the module needs the parameter `{}`", param.name.value);
        problems.incomplete();
        problems.push(
            Diagnostic::error("config::missing-parameter", message, asked, "not set in the block of this import")
                .also(param.span(), "declared here, without a default")
                .help(format!("set it: `import … {{ {} … }}`", param.name.value)),
        );
        return Binding::One(Value::Unknown);
    };
    let values = values.iter().map(|value| checked(param, value, problems)).collect();
    binding(param, values)
}

fn value(param: &Param, node: &Node, problems: &mut Problems) -> Binding {
    let values: Vec<Value> = node.arguments.iter().map(|argument| checked(param, &argument.value, problems)).collect();
    let surplus = node.properties.first().map(|property| property.key.span);
    if surplus.is_some() || node.children.is_some() || (!param.list && values.len() != 1) {
        let message = format!("found {} values for the parameter `{}`, expected one", values.len(), param.name.value);
        problems.incomplete();
        problems.push(
            Diagnostic::error("config::wrong-value", message, surplus.unwrap_or(node.name.span), "not accepted")
                .also(param.span(), "declared here"),
        );
        return Binding::One(Value::Unknown);
    }
    binding(param, values)
}

fn binding(param: &Param, mut values: Vec<Value>) -> Binding {
    match param.list {
        true => Binding::List(values),
        false => Binding::One(values.pop().unwrap_or(Value::Unknown)),
    }
}

/// The value, if the parameter takes it.
fn checked(param: &Param, value: &Spanned<Value>, problems: &mut Problems) -> Value {
    match param.kind.decode(&value.value) {
        Ok(Decoded::Text(text)) => Value::String(text),
        Ok(_) => value.value.clone(),
        Err(_) if value.value == Value::Unknown => Value::Unknown,
        Err(rejection) => {
            let message = format!("parameter `{}`: {}", param.name.value, rejection.message);
            let mut problem = Diagnostic::error("config::wrong-value", message, value.span, "not accepted");
            problem.help = rejection.help;
            problems.incomplete();
            problems.push(problem.also(param.span(), "declared here"));
            Value::Unknown
        }
    }
}

//! `module "…" { param … }`: what makes a file a module with parameters.

use crate::config::ByteSize;
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::syntax::{Node, Span, Spanned, Value};

/// `module "A box to work in" { param "cpus" type="integer" default=2 }`
pub(in crate::config) static MODULE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("doc", Kind::Text, "What the module is for.")],
    children: &[ChildRule::any(&PARAM)],
    ..NodeRule::new("module", "Makes the file a module; it is the file's first node.")
};

static PARAM: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::ValueName, "What the importing file and the module call it.")],
    properties: &[
        PropertyRule::required(
            "type",
            Kind::Choice(&["text", "name", "package", "integer", "boolean", "size", "path", "list"]),
            "Which values it takes; `list` takes any number of texts.",
        ),
        PropertyRule::optional(
            "default",
            Kind::Any,
            "What holds when the importing file says nothing; without it, it must.",
        ),
        PropertyRule::optional("min", Kind::Integer { min: 0, max: u32::MAX }, "Smallest integer."),
        PropertyRule::optional("max", Kind::Integer { min: 0, max: u32::MAX }, "Largest integer."),
    ],
    children: &[ChildRule::at_most_once(&DOC), ChildRule::at_most_once(&DEFAULT)],
    ..NodeRule::new("param", "A value that the importing file sets in the block of its `import`.")
};

static DOC: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("text", Kind::Text, "What it means.")],
    ..NodeRule::new("doc", "Describes the parameter.")
};

static DEFAULT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::any("value", Kind::Any, "The elements.")],
    ..NodeRule::new("default", "The default of a list.")
};

/// A declared parameter.
#[derive(Debug)]
pub(in crate::config) struct Param {
    /// Its name.
    pub(in crate::config) name: Spanned<String>,
    /// What it takes; for a list, each element.
    pub(in crate::config) kind: Kind,
    /// Whether it takes several values.
    pub(in crate::config) list: bool,
    /// What holds when nothing is said.
    pub(in crate::config) default: Option<Vec<Spanned<Value>>>,
}

/// The parameters of a module, by reading its `module` node.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Vec<Param> {
    let block = Block::read(node, &MODULE, problems);
    block.children("param").filter_map(|param| decode_param(param, problems)).collect()
}

fn decode_param(node: &Node, problems: &mut Problems) -> Option<Param> {
    let block = Block::read(node, &PARAM, problems);
    block.children("doc").for_each(|doc| drop(Block::read(doc, &DOC, problems)));
    let listed = block.children("default").next().map(|default| {
        Block::read(default, &DEFAULT, problems);
        default.arguments.iter().map(|argument| argument.value.clone()).collect()
    });
    let single = node.properties.iter().find(|property| property.key.value == "default");
    let kind = block.text("type")?.value;
    let range =
        (block.integer("min").map_or(0, |min| min.value), block.integer("max").map_or(u32::MAX, |max| max.value));
    Some(Param {
        name: block.text("name")?,
        kind: value_kind(&kind, range),
        list: kind == "list",
        default: single.map(|property| vec![property.value.clone()]).or(listed),
    })
}

fn value_kind(name: &str, (min, max): (u32, u32)) -> Kind {
    match name {
        "name" => Kind::Name,
        "package" => Kind::Package,
        "integer" => Kind::Integer { min, max },
        "boolean" => Kind::Boolean,
        "size" => Kind::Size { min: ByteSize::bytes(1) },
        "path" => Kind::HostPath,
        _ => Kind::Text,
    }
}

impl Param {
    /// Where it is declared: second label of mistakes at the import.
    pub(in crate::config) const fn span(&self) -> Span {
        self.name.span
    }
}

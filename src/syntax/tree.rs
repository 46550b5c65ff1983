//! The parsed form of one KDL document, independent of the parser that made it.

use super::{SourceId, Span, Spanned};

/// One document.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The file it came from.
    pub source: SourceId,
    /// Top-level nodes in order.
    pub nodes: Vec<Node>,
}

/// `name arg… key=value… { children }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The node's name.
    pub name: Spanned<String>,
    /// `(type)name`: the annotation before the name.
    pub annotation: Option<Box<Spanned<String>>>,
    /// Positional arguments in order.
    pub arguments: Vec<Argument>,
    /// Properties in order of writing; a repeated key stands here twice.
    pub properties: Vec<Property>,
    /// Child nodes; `None` when there is no block at all.
    pub children: Option<Vec<Node>>,
    /// The whole node, children included.
    pub span: Span,
}

/// A positional value.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The value.
    pub value: Spanned<Value>,
    /// `(type)value`: the annotation before the value.
    pub annotation: Option<Box<Spanned<String>>>,
}

/// `key=value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    /// The key.
    pub key: Spanned<String>,
    /// The value.
    pub value: Spanned<Value>,
    /// `key=(type)value`: the annotation before the value.
    pub annotation: Option<Box<Spanned<String>>>,
}

/// A KDL value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text, quoted or bare.
    String(String),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction or exponent.
    Float(f64),
    /// `#true` or `#false`.
    Bool(bool),
    /// `#null`.
    Null,
    /// A value that could not be made out, which was reported: nothing more is to be said about it.
    Unknown,
}

impl Value {
    /// What this is, with its article: for «found X».
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::Null => "`#null`",
            Self::Unknown => "an unknown value",
        }
    }
}

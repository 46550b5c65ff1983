//! What one kind of node may hold.

use super::Kind;

/// One kind of node.
#[derive(Debug, Clone, Copy)]
pub struct NodeRule {
    /// Its name.
    pub name: &'static str,
    /// What it means, in sentences for the reference.
    pub doc: &'static str,
    /// Positional arguments, in order.
    pub arguments: &'static [ArgumentRule],
    /// Properties.
    pub properties: &'static [PropertyRule],
    /// Nodes of its block; none means that it has no block.
    pub children: &'static [ChildRule],
    /// Whether its block holds nodes that no table knows: any nodes, or parameters of a module.
    pub open_block: bool,
    /// What holds where the node is not written, as it would be written.
    pub default: Option<&'static str>,
    /// Whether `(default)` and `(force)` may stand before it.
    pub prioritised: bool,
    /// What a change of it does to a guest that runs.
    pub impact: &'static str,
    /// First version that knows it.
    pub since: &'static str,
}

/// A positional argument.
#[derive(Debug, Clone, Copy)]
pub struct ArgumentRule {
    /// Its name, for messages and the reference.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// How often it stands there.
    pub presence: Presence,
}

/// A property.
#[derive(Debug, Clone, Copy)]
pub struct PropertyRule {
    /// Its key.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// How often it stands there; never several times.
    pub presence: Presence,
    /// What holds where it is not written.
    pub default: Option<&'static str>,
}

/// How often a value stands somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Exactly once.
    Required,
    /// At most once.
    Optional,
    /// At least once; only the last argument of a node.
    Repeated,
    /// Any number of times; only the last argument of a node.
    Any,
}

/// A node inside another's block.
#[derive(Debug, Clone, Copy)]
pub struct ChildRule {
    /// Its own rule.
    pub rule: &'static NodeRule,
    /// How often it stands in one block.
    pub occurs: Occurs,
}

/// How often a node stands in one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs {
    /// Exactly once.
    Once,
    /// At most once.
    AtMostOnce,
    /// Any number of times.
    Any,
}

impl NodeRule {
    /// A node without arguments, properties or block.
    pub const fn new(name: &'static str, doc: &'static str) -> Self {
        Self {
            name,
            doc,
            arguments: &[],
            properties: &[],
            children: &[],
            open_block: false,
            default: None,
            prioritised: false,
            impact: "none",
            since: "0.1.0",
        }
    }

    /// The rule of a node in its block.
    pub fn child(&self, name: &str) -> Option<&'static ChildRule> {
        self.children.iter().find(|child| child.rule.name == name)
    }

    /// The rule of one of its properties.
    pub fn property(&self, name: &str) -> Option<&'static PropertyRule> {
        self.properties.iter().find(|property| property.name == name)
    }
}

impl ArgumentRule {
    /// An argument that must be there.
    pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, doc, kind, presence: Presence::Required }
    }

    /// An argument that may be there.
    pub const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, doc, kind, presence: Presence::Optional }
    }

    /// Any number of arguments.
    pub const fn any(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, doc, kind, presence: Presence::Any }
    }

    /// One or more arguments.
    pub const fn repeated(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, doc, kind, presence: Presence::Repeated }
    }
}

impl PropertyRule {
    /// A property that must be there.
    pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, doc, kind, presence: Presence::Required, default: None }
    }

    /// A property that may be there.
    pub const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, doc, kind, presence: Presence::Optional, default: None }
    }

    /// A property with a value of its own where it is not written.
    pub const fn defaulted(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Self {
        Self { name, doc, kind, presence: Presence::Optional, default: Some(default) }
    }
}

impl ChildRule {
    /// A node that must stand in the block.
    pub const fn once(rule: &'static NodeRule) -> Self {
        Self { rule, occurs: Occurs::Once }
    }

    /// A node that may stand in the block.
    pub const fn at_most_once(rule: &'static NodeRule) -> Self {
        Self { rule, occurs: Occurs::AtMostOnce }
    }

    /// A node that may stand in the block several times.
    pub const fn any(rule: &'static NodeRule) -> Self {
        Self { rule, occurs: Occurs::Any }
    }
}

//! Nodes that are gone before anything is decoded: `let`, `for-each`, `when`. They may stand in every block.

use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};

/// `let zone "eu-1"`
pub(in crate::config) static LET: NodeRule = NodeRule {
    arguments: &[
        ArgumentRule::required("name", Kind::ValueName, "What `\"{name}\"` calls it."),
        ArgumentRule::repeated(
            "value",
            Kind::Any,
            "The value; several make a list. `(env)\"NAME\"` is an environment variable, `(file)\"path\"` the text of a \
             file, `(template)\"path\"` the same with the values that it names in braces filled in.",
        ),
    ],
    properties: &[
        PropertyRule::optional("default", Kind::Any, "What holds when the environment variable or file is missing."),
        PropertyRule::optional("as", Kind::Choice(&["integer", "boolean"]), "Reads text as a value of another type."),
    ],
    ..NodeRule::new(
        "let",
        "Names a value for this block or file, and for files that import this file. `\"{name}\"` in a string stands for it; \
         a string that is nothing else becomes the value with its type.",
    )
};

/// `for-each "zone" "a" "b" { … }`
pub(in crate::config) static FOR_EACH: NodeRule = NodeRule {
    arguments: &[
        ArgumentRule::required("name", Kind::ValueName, "What the block calls the value."),
        ArgumentRule::repeated("value", Kind::Any, "The values; a list stands for its elements."),
    ],
    open_block: true,
    ..NodeRule::new("for-each", "Repeats its block once for each value.")
};

/// `when "{zone}" is="a" { … }`
pub(in crate::config) static WHEN: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("value", Kind::Any, "The value to look at.")],
    properties: &[
        PropertyRule::optional("is", Kind::Any, "Keeps the block when the value equals this."),
        PropertyRule::optional("is-not", Kind::Any, "Keeps the block when the value differs from this."),
    ],
    open_block: true,
    ..NodeRule::new("when", "Keeps its block when the value is `#true`, or is what `is=` or `is-not=` say.")
};

//! `import "path"`

use crate::config::language::{ArgumentRule, Kind, NodeRule, PropertyRule};

/// `import "network.kdl"`, `import "std/debian"`
pub(in crate::config) static IMPORT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "path",
        Kind::HostPath,
        "A file, relative to the importing one, or a module that comes with regatta (`std/…`). `*` and `?` in the last \
         part match several files, read in the order of their names.",
    )],
    properties: &[PropertyRule::defaulted(
        "optional",
        Kind::Boolean,
        "#false",
        "Whether it is all right that there is no such file.",
    )],
    open_block: true,
    ..NodeRule::new(
        "import",
        "Reads another file as if it stood here. A file that is imported several times is read once, where it is \
         imported first. The block sets the parameters of a module.",
    )
};

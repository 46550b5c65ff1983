//! `import "path"`

use crate::config::language::{ArgumentRule, Kind, NodeRule};

/// `import "network.kdl"`, `import "std/debian"`
pub(in crate::config) static IMPORT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "path",
        Kind::HostPath,
        "A file, relative to the importing one, or a module that comes with regatta (`std/…`).",
    )],
    ..NodeRule::new(
        "import",
        "Reads another file as if it stood here. A file that is imported several times is read once, where it is \
         imported first.",
    )
};

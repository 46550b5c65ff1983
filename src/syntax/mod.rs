//! Text → [`Tree`] with spans: the only layer that knows the KDL parser.
//!
//! A tree is our own value, not the parser's: the decoder above never sees `kdl` types, every name and value carries
//! the [`Span`] it came from, and hostile input is stopped by a scanner before the parser sees it.

mod convert;
mod diagnostic;
mod format;
mod grammar;
pub mod limits;
mod multiline;
mod parse;
mod plain;
mod quoted;
mod scan;
mod shown;
mod source;
mod token;
mod tree;
mod upgrade;
mod word;

pub use diagnostic::{Diagnostic, Label, Severity};
pub use format::format;
pub use parse::parse;
pub use shown::shown;
pub use source::{Position, SourceFile, SourceId, SourceMap, SourceRef, Span, Spanned};
pub use tree::{Argument, Node, Property, Tree, Value};
pub use upgrade::upgrade;

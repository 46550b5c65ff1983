//! A guest's serial console: kept in a log of bounded size by a small process of its own, read and joined by people.

mod keeper;
mod log;
mod text;

pub use keeper::{Keeping, Line, keep};
pub use log::{Follow, Paths};
pub(super) use text::last_lines;
pub use text::plain_line;

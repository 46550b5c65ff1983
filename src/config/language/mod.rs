//! The language as tables: one [`NodeRule`] per kind of node. The same tables decode fleet files, suggest spellings,
//! and are printed as schema and reference, so that none of them can disagree.

mod kind;
mod rule;

pub(crate) use kind::is_label;
pub(in crate::config) use kind::version_at_least;
pub use kind::{Decoded, Kind, Rejection};
pub use rule::{ArgumentRule, ChildRule, NodeRule, Occurs, Presence, PropertyRule};

/// How alike two words must be (Jaro-Winkler, 0 to 1) before one is suggested for the other.
const ALIKE: f64 = 0.8;

/// «did you mean X?» for the nearest of the words that exist, when one is near.
pub(in crate::config) fn suggestion<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = known.into_iter().map(|word| (strsim::jaro_winkler(found, word), word));
    let best = near.filter(|(alike, _)| *alike >= ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, word)| format!("did you mean `{word}`?"))
}

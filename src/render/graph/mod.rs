//! The graph of steps, as lines for people, as pictures, and as data.

mod dot;
mod json;
mod mermaid;
mod text;

pub use dot::graph_dot;
pub use json::{GRAPH_FORMAT_VERSION, graph_json};
pub use mermaid::graph_mermaid;
pub use text::graph_text;

use crate::plan::Step;

/// What a box in a picture says: the operation, and below it what it serves; more than a few are counted.
fn label(step: &Step) -> Vec<String> {
    const SHOWN: usize = 3;
    let addresses = step.addresses.iter().take(SHOWN).map(|address| super::scrub::line(address.as_str()).into_owned());
    let more = step.addresses.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    std::iter::once(step.op.name().to_owned()).chain(addresses).chain(more).collect()
}

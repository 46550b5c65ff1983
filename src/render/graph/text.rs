//! The graph of steps as text: one line per step, with what it waits for below it.

use crate::plan::{Graph, Repeat, Step};
use crate::render::scrub;

/// The graph in an order that could run, one step per line.
pub fn graph_text(graph: &Graph) -> String {
    graph.steps.iter().flat_map(step_lines).map(|line| line + "\n").collect()
}

fn step_lines(step: &Step) -> Vec<String> {
    let addresses: Vec<_> = step.addresses.iter().map(|address| scrub::line(address.as_str())).collect();
    let repeat = match step.repeat {
        Repeat::Safe => "safe",
        Repeat::CheckFirst => "check-first",
        Repeat::Never => "never",
    };
    let first = format!(
        "[{}] {} {}  within {} s, repeat {repeat}",
        step.id.0,
        step.op.name(),
        addresses.join(" "),
        step.deadline_s
    );
    let after = step.after.iter().map(|edge| format!("      after [{}]: {}", edge.step.0, edge.why));
    let rescues = step.rescues.iter().map(|watched| format!("      only if [{}] fails", watched.0));
    std::iter::once(first).chain(after).chain(rescues).collect()
}

//! The graph for machines.

use serde::Serialize;

use crate::exec::Claim;
use crate::plan::{Edge, Graph, Privilege, Repeat, Step, StepId, Undo};
use crate::resource::Address;

/// The version of the form below.
pub const GRAPH_FORMAT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format_version: u32,
    fleet: &'a str,
    steps: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: StepId,
    op: &'static str,
    addresses: &'a [Address],
    after: &'a [Edge],
    #[serde(skip_serializing_if = "<[StepId]>::is_empty")]
    rescues: &'a [StepId],
    deadline_s: u64,
    repeat: Repeat,
    privilege: Privilege,
    undo: Undo,
    /// What it occupies while it runs: `host local`, `storage local`, `guest web-1`.
    claims: Vec<String>,
}

/// The graph as indented JSON with a line break at the end.
///
/// # Errors
/// Never: every map key is text.
pub fn graph_json(fleet: &str, graph: &Graph) -> serde_json::Result<String> {
    let steps = graph.steps.iter().map(entry).collect();
    serde_json::to_string_pretty(&Document { format_version: GRAPH_FORMAT_VERSION, fleet, steps })
        .map(|text| text + "\n")
}

fn entry(step: &Step) -> Entry<'_> {
    Entry {
        id: step.id,
        op: step.op.name(),
        addresses: &step.addresses,
        after: &step.after,
        rescues: &step.rescues,
        deadline_s: step.deadline_s,
        repeat: step.repeat,
        privilege: step.op.privilege(),
        undo: step.op.undo(),
        claims: Claim::of(step).iter().map(claim).collect(),
    }
}

fn claim(claim: &Claim) -> String {
    match claim {
        Claim::Host(host) => format!("host {host}"),
        Claim::Storage(host) => format!("storage {host}"),
        Claim::Lock(what) => what.clone(),
    }
}

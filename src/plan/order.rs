//! Drafting a graph in any order, and numbering it so that every edge points to a smaller id.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use super::{Edge, Graph, Op, Step, StepId};
use crate::resource::Address;

/// A step that has no number yet.
pub(super) type Drafted = NodeIndex;

/// A graph that still grows. Edges run from what must be done first to what comes after.
#[derive(Debug, Default)]
pub(super) struct Draft {
    steps: DiGraph<(Vec<Address>, Op), Link>,
}

/// Why a step comes after another.
#[derive(Debug)]
enum Link {
    /// It waits for it, for this reason.
    After(String),
    /// It begins to put back what the other changed, should it fail.
    Rescues,
}

impl Draft {
    /// Adds a step.
    pub(super) fn step(&mut self, addresses: Vec<Address>, op: Op) -> Drafted {
        self.steps.add_node((addresses, op))
    }

    /// Adds a step that waits for another, where there is one, for this reason.
    pub(super) fn follow(&mut self, first: Option<(Drafted, &str)>, addresses: Vec<Address>, op: Op) -> Drafted {
        let step = self.step(addresses, op);
        if let Some((first, why)) = first {
            self.after(step, first, why);
        }
        step
    }

    /// Says that `step` waits for `first`, and why.
    pub(super) fn after(&mut self, step: Drafted, first: Drafted, why: impl Into<String>) {
        self.steps.update_edge(first, step, Link::After(why.into()));
    }

    /// Says that `step` is done only when `watched` fails.
    pub(super) fn rescues(&mut self, step: Drafted, watched: Drafted) {
        self.steps.update_edge(watched, step, Link::Rescues);
    }

    /// Numbers the steps: dependencies first, otherwise in the order they were drafted.
    pub(super) fn finish(self) -> Graph {
        let order = self.order();
        let mut ids = vec![StepId(0); self.steps.node_count()];
        for (position, node) in order.iter().enumerate() {
            // Graphs are bounded by the number of declared resources, which the source size limit bounds far below 2^32.
            ids[node.index()] = StepId(u32::try_from(position).unwrap_or(u32::MAX));
        }
        let after = |node: NodeIndex| {
            let mut edges: Vec<Edge> = self
                .steps
                .edges_directed(node, Direction::Incoming)
                .filter_map(|edge| match edge.weight() {
                    Link::After(why) => Some(Edge { step: ids[edge.source().index()], why: why.clone() }),
                    Link::Rescues => None,
                })
                .collect();
            edges.sort_by_key(|edge| edge.step);
            edges
        };
        let rescues = |node: NodeIndex| {
            let links = self.steps.edges_directed(node, Direction::Incoming);
            let watched = links.filter(|edge| matches!(edge.weight(), Link::Rescues));
            let mut watched: Vec<StepId> = watched.map(|edge| ids[edge.source().index()]).collect();
            watched.sort_unstable();
            watched
        };
        let steps = order.iter().map(|&node| {
            let (addresses, op) = self.steps[node].clone();
            Step {
                id: ids[node.index()],
                addresses,
                deadline_s: op.deadline_s(),
                repeat: op.repeat(),
                after: after(node),
                rescues: rescues(node),
                op,
            }
        });
        Graph { steps: steps.collect() }
    }

    /// Kahn's algorithm, taking the step drafted first among those that are ready: stable and without recursion.
    fn order(&self) -> Vec<NodeIndex> {
        let mut waiting: Vec<usize> = self
            .steps
            .node_indices()
            .map(|node| self.steps.edges_directed(node, Direction::Incoming).count())
            .collect();
        let mut ready: BinaryHeap<Reverse<NodeIndex>> =
            self.steps.node_indices().filter(|node| waiting[node.index()] == 0).map(Reverse).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while let Some(Reverse(node)) = ready.pop() {
            order.push(node);
            for next in self.steps.neighbors_directed(node, Direction::Outgoing) {
                waiting[next.index()] -= 1;
                if waiting[next.index()] == 0 {
                    ready.push(Reverse(next));
                }
            }
        }
        debug_assert_eq!(order.len(), waiting.len(), "a lane waits for a later step of its own");
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(draft: &mut Draft, guest: &str) -> Drafted {
        draft.step(vec![Address::vm(guest)], Op::StopGuest { guest: guest.into() })
    }

    #[test]
    fn a_step_is_numbered_after_everything_it_waits_for() {
        let mut draft = Draft::default();
        let first = stop(&mut draft, "a");
        let second = stop(&mut draft, "b");
        let third = stop(&mut draft, "c");
        draft.after(first, third, "a needs c");
        draft.after(second, first, "b needs a");
        let graph = draft.finish();
        let lines: Vec<String> =
            graph.steps.iter().map(|step| format!("{} {} {:?}", step.id.0, step.addresses[0], step.after)).collect();
        assert_eq!(
            lines,
            [
                "0 vm.c []",
                "1 vm.a [Edge { step: StepId(0), why: \"a needs c\" }]",
                "2 vm.b [Edge { step: StepId(1), why: \"b needs a\" }]",
            ]
        );
    }
}

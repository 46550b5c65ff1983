//! Which step may start next: pure bookkeeping over a graph, with no clock, tasks or locks of its own.
//!
//! ```text
//! waiting ──all it needs is done──▶ ready ──start_next()──▶ running ──done()──▶ settled
//!    │                               │ ▲                 │
//!    │                      a claim is full              └──failed()──▶ settled
//!    │                               ▼ │ the claim is released
//!    │                              parked
//!    └──something it needs failed──▶ settled (skipped)
//! ```

use std::collections::{BTreeMap, BinaryHeap};

use super::claim::{Claim, Limits};
use crate::plan::{Graph, StepId};

/// A graph that is not one: its edges do not all point to earlier steps, or an id is not an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedGraph {
    /// A step's id is not its index.
    #[error("step {index} has id {}, expected its index", id.0)]
    Id {
        /// Where it stands.
        index: usize,
        /// What it says.
        id: StepId,
    },
    /// An edge does not point to an earlier step, so that the order could be a circle.
    #[error("step {} is after step {}, expected an earlier step", step.0, after.0)]
    Edge {
        /// The step.
        step: StepId,
        /// What it is said to be after.
        after: StepId,
    },
    /// More steps than ids.
    #[error("the graph has more than {} steps", u32::MAX)]
    Size,
}

/// The longest way from a step to the end of the run first; among equals the smaller id, so that runs are repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Urgency {
    path: u64,
    id: std::cmp::Reverse<StepId>,
}

/// Slots of one claim, and the ready steps that wait for one.
#[derive(Debug)]
struct Slots {
    free: usize,
    parked: BinaryHeap<Urgency>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { unmet: u32 },
    Ready,
    Running,
    Settled,
}

#[derive(Debug)]
struct Node {
    state: State,
    urgency: Urgency,
    dependents: Vec<StepId>,
    /// Indices into [`Schedule::slots`].
    claims: Vec<usize>,
}

/// The state of every step of one run.
#[derive(Debug)]
pub struct Schedule {
    nodes: Vec<Node>,
    ready: BinaryHeap<Urgency>,
    slots: Vec<Slots>,
    running: usize,
    parallel: usize,
}

impl Schedule {
    /// Takes a graph's shape, and each step's cost and claims.
    ///
    /// # Errors
    /// When the graph is malformed: saved plans come from files.
    pub fn new(graph: &Graph, limits: &Limits) -> Result<Self, MalformedGraph> {
        let mut slots = Vec::new();
        let mut known = BTreeMap::new();
        let mut nodes = Vec::with_capacity(graph.steps.len());
        for (index, step) in graph.steps.iter().enumerate() {
            let id = StepId(u32::try_from(index).map_err(|_| MalformedGraph::Size)?);
            if step.id != id {
                return Err(MalformedGraph::Id { index, id: step.id });
            }
            let claims =
                Claim::of(step).into_iter().map(|claim| slot_of(claim, limits, &mut known, &mut slots)).collect();
            let urgency = Urgency { path: 0, id: std::cmp::Reverse(id) };
            nodes.push(Node { state: State::Ready, urgency, dependents: Vec::new(), claims });
            connect(&mut nodes, graph, id)?;
        }
        let mut schedule =
            Self { nodes, ready: BinaryHeap::new(), slots, running: 0, parallel: limits.parallel.max(1) };
        schedule.measure(graph);
        Ok(schedule)
    }

    /// Gives every step the cost of the longest way from it to an end: one pass, because edges only point backwards.
    fn measure(&mut self, graph: &Graph) {
        for index in (0..self.nodes.len()).rev() {
            let onward = self.nodes[index].dependents.iter().map(|id| self.nodes[at(*id)].urgency.path).max();
            let cost = super::claim::cost_s(&graph.steps[index].op);
            let node = &mut self.nodes[index];
            node.urgency.path = onward.unwrap_or(0).saturating_add(cost);
            if node.state == State::Ready {
                self.ready.push(node.urgency);
            }
        }
    }

    /// The next step to start, with its slots taken; `None` while nothing may start.
    pub fn start_next(&mut self) -> Option<StepId> {
        if self.running == self.parallel {
            return None;
        }
        while let Some(urgency) = self.ready.pop() {
            let id = urgency.id.0;
            match self.full_claim(id) {
                Some(full) => self.park(id, full),
                None => {
                    self.take(id);
                    return Some(id);
                }
            }
        }
        None
    }

    fn full_claim(&self, id: StepId) -> Option<usize> {
        self.nodes[at(id)].claims.iter().copied().find(|claim| self.slots[*claim].free == 0)
    }

    /// Lets a step wait for a claim. It may have been woken for another claim that still has a slot: the next waiter
    /// for that one gets its turn, or it would wait for a release that never comes.
    fn park(&mut self, id: StepId, full: usize) {
        self.slots[full].parked.push(self.nodes[at(id)].urgency);
        for claim in self.nodes[at(id)].claims.clone() {
            if self.slots[claim].free > 0
                && let Some(next) = self.slots[claim].parked.pop()
            {
                self.ready.push(next);
            }
        }
    }

    fn take(&mut self, id: StepId) {
        let node = &mut self.nodes[at(id)];
        node.state = State::Running;
        for claim in &node.claims {
            self.slots[*claim].free -= 1;
        }
        self.running += 1;
    }

    fn release(&mut self, id: StepId) {
        let node = &mut self.nodes[at(id)];
        debug_assert_eq!(node.state, State::Running, "step {} ended without running", id.0);
        node.state = State::Settled;
        self.running -= 1;
        for claim in &node.claims {
            let slots = &mut self.slots[*claim];
            slots.free += 1;
            self.ready.extend(slots.parked.pop());
        }
    }

    /// A running step is done: what waited only for it becomes ready.
    pub fn done(&mut self, id: StepId) {
        self.release(id);
        for dependent in std::mem::take(&mut self.nodes[at(id)].dependents) {
            let node = &mut self.nodes[at(dependent)];
            match node.state {
                State::Waiting { unmet: 1 } => {
                    node.state = State::Ready;
                    self.ready.push(node.urgency);
                }
                State::Waiting { unmet } => node.state = State::Waiting { unmet: unmet - 1 },
                State::Ready | State::Running | State::Settled => {}
            }
        }
    }

    /// A running step failed: returns, in order of id, the steps that can no longer start because they need it,
    /// directly or through others. No other step is touched.
    pub fn failed(&mut self, id: StepId) -> Vec<StepId> {
        self.release(id);
        let mut skipped = Vec::new();
        let mut reached = std::mem::take(&mut self.nodes[at(id)].dependents);
        while let Some(next) = reached.pop() {
            let node = &mut self.nodes[at(next)];
            if node.state != State::Settled {
                node.state = State::Settled;
                reached.append(&mut node.dependents);
                skipped.push(next);
            }
        }
        skipped.sort_unstable();
        skipped
    }

    /// How many steps run now.
    pub const fn running(&self) -> usize {
        self.running
    }
}

/// Finds or makes the slots of a claim.
fn slot_of(claim: Claim, limits: &Limits, known: &mut BTreeMap<Claim, usize>, slots: &mut Vec<Slots>) -> usize {
    let free = limits.of(&claim).max(1);
    *known.entry(claim).or_insert_with(|| {
        slots.push(Slots { free, parked: BinaryHeap::new() });
        slots.len() - 1
    })
}

/// Enters a step's edges; two edges to one step count once.
fn connect(nodes: &mut [Node], graph: &Graph, id: StepId) -> Result<(), MalformedGraph> {
    let mut unmet = 0;
    for edge in &graph.steps[at(id)].after {
        if edge.step >= id {
            return Err(MalformedGraph::Edge { step: id, after: edge.step });
        }
        let dependents = &mut nodes[at(edge.step)].dependents;
        // Dependents are entered in order of their ids, so that a repeated edge can only be the last one.
        if dependents.last() != Some(&id) {
            dependents.push(id);
            unmet += 1;
        }
    }
    if unmet > 0 {
        nodes[at(id)].state = State::Waiting { unmet };
    }
    Ok(())
}

/// A step's index. Ids are 32 bits wide and so is, at least, every machine this runs on.
const fn at(id: StepId) -> usize {
    id.0 as usize
}

#[cfg(test)]
mod tests;

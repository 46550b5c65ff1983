//! Which step may start next: pure bookkeeping over a graph, with no clock, tasks or locks of its own.
//!
//! ```text
//! waiting ──all it needs is done──▶ ready ──start_next()──▶ running ──done()──▶ settled
//!    │                               │ ▲                 │
//!    │                      a claim is full              └──failed()──▶ settled
//!    │                               ▼ │ the claim is released
//!    │                              parked
//!    └──something it needs failed──▶ settled (skipped)
//!
//! dormant ──what it watches is settled, and some of it failed──▶ waiting, or ready
//!    └──and none of it failed──▶ settled (unneeded, with everything after it)
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
    /// A rescue: so many of the steps it watches are not settled, and whether one has failed.
    Dormant {
        unsettled: u32,
        alarmed: bool,
    },
    Waiting,
    Ready,
    Running,
    Settled,
}

#[derive(Debug)]
struct Node {
    state: State,
    /// How many of the steps it needs are not done.
    unmet: u32,
    /// The rescues that watch it.
    watchers: Vec<StepId>,
    urgency: Urgency,
    dependents: Vec<StepId>,
    /// Indices into [`Schedule::slots`].
    claims: Vec<usize>,
}

/// Steps that will not start, because of how another one ended; each in order of id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fallout {
    /// They need, directly or through others, a step that failed.
    pub skipped: Vec<StepId>,
    /// They would put back what did not fail.
    pub unneeded: Vec<StepId>,
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
            nodes.push(Node {
                state: State::Waiting,
                unmet: 0,
                watchers: Vec::new(),
                urgency,
                dependents: Vec::new(),
                claims,
            });
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
            if node.state == State::Waiting && node.unmet == 0 {
                node.state = State::Ready;
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

    /// A running step is done: what waited only for it becomes ready. A rescue that only watched it is not needed.
    pub fn done(&mut self, id: StepId) -> Fallout {
        self.release(id);
        for dependent in std::mem::take(&mut self.nodes[at(id)].dependents) {
            self.nodes[at(dependent)].unmet -= 1;
            self.wake(dependent);
        }
        let mut fallout = Fallout::default();
        self.tell_watchers(id, End::Harmless, &mut fallout.unneeded);
        fallout.unneeded.sort_unstable();
        fallout
    }

    /// A running step failed. Steps that need it, directly or through others, can no longer start, and no others; the
    /// rescues that watch it can.
    pub fn failed(&mut self, id: StepId) -> Fallout {
        self.release(id);
        let mut fallout = Fallout::default();
        self.settle_dependents(id, &mut fallout.skipped);
        self.tell_watchers(id, End::Failed, &mut fallout.unneeded);
        for skipped in &fallout.skipped {
            self.tell_watchers(*skipped, End::Harmless, &mut fallout.unneeded);
        }
        fallout.skipped.sort_unstable();
        fallout.unneeded.sort_unstable();
        fallout
    }

    /// Settles steps that have not begun and will not, before anything has. Whatever comes after one of them is among them. Rescues
    /// that only watched them are not needed.
    pub fn hold(&mut self, ids: impl IntoIterator<Item = StepId>) -> Fallout {
        let held: Vec<StepId> = ids.into_iter().filter(|id| self.nodes[at(*id)].state != State::Settled).collect();
        for id in &held {
            self.nodes[at(*id)].state = State::Settled;
        }
        let mut fallout = Fallout::default();
        for id in &held {
            self.settle_dependents(*id, &mut fallout.skipped);
            self.tell_watchers(*id, End::Harmless, &mut fallout.unneeded);
        }
        for skipped in &fallout.skipped {
            self.tell_watchers(*skipped, End::Harmless, &mut fallout.unneeded);
        }
        let Self { ready, nodes, .. } = self;
        ready.retain(|urgency| nodes[at(urgency.id.0)].state == State::Ready);
        fallout.skipped.sort_unstable();
        fallout.unneeded.sort_unstable();
        fallout
    }

    /// Makes a step ready that waits for nothing any more.
    fn wake(&mut self, id: StepId) {
        let node = &mut self.nodes[at(id)];
        if node.state == State::Waiting && node.unmet == 0 {
            node.state = State::Ready;
            self.ready.push(node.urgency);
        }
    }

    /// Settles everything that comes after a step, directly or through others.
    fn settle_dependents(&mut self, id: StepId, settled: &mut Vec<StepId>) {
        let mut reached = std::mem::take(&mut self.nodes[at(id)].dependents);
        while let Some(next) = reached.pop() {
            let node = &mut self.nodes[at(next)];
            if node.state != State::Settled {
                node.state = State::Settled;
                reached.append(&mut node.dependents);
                settled.push(next);
            }
        }
    }

    /// Tells rescues how a step they watch ended. The last end decides whether they are needed.
    fn tell_watchers(&mut self, id: StepId, end: End, unneeded: &mut Vec<StepId>) {
        for watcher in std::mem::take(&mut self.nodes[at(id)].watchers) {
            let node = &mut self.nodes[at(watcher)];
            let State::Dormant { unsettled, alarmed } = node.state else { continue };
            let alarmed = alarmed || end == End::Failed;
            match (unsettled, alarmed) {
                (1, true) => {
                    node.state = State::Waiting;
                    self.wake(watcher);
                }
                (1, false) => {
                    node.state = State::Settled;
                    unneeded.push(watcher);
                    self.settle_dependents(watcher, unneeded);
                }
                _ => node.state = State::Dormant { unsettled: unsettled - 1, alarmed },
            }
        }
    }

    /// How many steps run now.
    pub const fn running(&self) -> usize {
        self.running
    }
}

/// How a step ended, to those who watch it: a step that was skipped has changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Failed,
    Harmless,
}

/// Finds or makes the slots of a claim.
fn slot_of(claim: Claim, limits: &Limits, known: &mut BTreeMap<Claim, usize>, slots: &mut Vec<Slots>) -> usize {
    let free = limits.of(&claim).max(1);
    *known.entry(claim).or_insert_with(|| {
        slots.push(Slots { free, parked: BinaryHeap::new() });
        slots.len() - 1
    })
}

/// Enters a step's edges, and what it watches; two edges to one step count once.
fn connect(nodes: &mut [Node], graph: &Graph, id: StepId) -> Result<(), MalformedGraph> {
    let step = &graph.steps[at(id)];
    for edge in &step.after {
        let first = earlier(nodes, id, edge.step)?;
        // Dependents are entered in order of their ids, so that a repeated edge can only be the last one.
        if first.dependents.last() != Some(&id) {
            first.dependents.push(id);
            nodes[at(id)].unmet += 1;
        }
    }
    let mut unsettled = 0;
    for watched in &step.rescues {
        let watched = earlier(nodes, id, *watched)?;
        if watched.watchers.last() != Some(&id) {
            watched.watchers.push(id);
            unsettled += 1;
        }
    }
    if unsettled > 0 {
        nodes[at(id)].state = State::Dormant { unsettled, alarmed: false };
    }
    Ok(())
}

/// The node of a step that must be an earlier one.
fn earlier(nodes: &mut [Node], id: StepId, after: StepId) -> Result<&mut Node, MalformedGraph> {
    if after >= id {
        return Err(MalformedGraph::Edge { step: id, after });
    }
    Ok(&mut nodes[at(after)])
}

/// A step's index. Ids are 32 bits wide and so is, at least, every machine this runs on.
const fn at(id: StepId) -> usize {
    id.0 as usize
}

#[cfg(test)]
mod tests;

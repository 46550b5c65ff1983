//! Which steps of a graph have to wait, before any of it begins.
//!
//! A stop before a destroy loses nothing by itself and is pointless without it. So a guest of which one step is held is left alone as
//! a whole, with everything that comes after one of its steps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Decision, Grants, Loss, Need, Policy, Provenance, gate};
use crate::config::Benign;
use crate::plan::{Graph, Step, StepId};

/// Why a step waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The step that lacks something: itself, or one that this belongs to or comes after.
    pub because: StepId,
    /// What that one lacks.
    pub need: Need,
}

/// Every step that has to wait. Rescues are left out: nothing has to be put back that was not begun.
///
/// Steps are looked at in the order of their ids, which is one they could run in, so that what the run will have made itself is known
/// when a later step is about it.
pub fn screen(
    graph: &Graph,
    provenance: &Provenance,
    policy: &Policy,
    grants: &Grants,
    now: Timestamp,
) -> BTreeMap<StepId, Held> {
    let rescues = graph.rescues();
    let ordinary = |step: &&Step| rescues.get(step.id.0 as usize).is_none_or(Option::is_none);
    let (mut held, mut provenance) = (BTreeMap::new(), provenance.clone());
    for step in graph.steps.iter().filter(ordinary) {
        if let Decision::Held { need } = gate(step, &provenance, policy, grants, now) {
            held.insert(step.id, Held { because: step.id, need });
        }
        provenance.begins(&step.op);
    }
    if held.is_empty() {
        return held;
    }
    let steps: Vec<&Step> = graph.steps.iter().filter(ordinary).collect();
    if policy.benign() == Benign::Hold {
        hold_all(&steps, &mut held);
    } else {
        spread(&steps, &mut held);
    }
    held
}

fn hold_all(steps: &[&Step], held: &mut BTreeMap<StepId, Held>) {
    let Some(first) = held.values().next().cloned() else { return };
    for step in steps {
        held.entry(step.id).or_insert_with(|| first.clone());
    }
}

/// Holds what belongs to the same guest and what comes after, until nothing more is reached. Each turn reaches a guest more, so that
/// there are at most as many turns as guests.
fn spread(steps: &[&Step], held: &mut BTreeMap<StepId, Held>) {
    let mut guests: BTreeMap<&str, Held> = BTreeMap::new();
    loop {
        let known = guests.len();
        for step in steps {
            let Some(why) = held.get(&step.id) else { continue };
            // What else is done to a guest that is not restarted is in force with its next start.
            if why.need.loss == Loss::Running {
                continue;
            }
            for guest in named(step) {
                guests.entry(guest).or_insert_with(|| why.clone());
            }
        }
        for step in steps {
            let after = step.after.iter().find_map(|edge| held.get(&edge.step)).cloned();
            let same = || named(step).into_iter().find_map(|guest| guests.get(guest).cloned());
            if let Some(why) = after.or_else(same) {
                held.entry(step.id).or_insert(why);
            }
        }
        let counts = |step: &&&Step| held.get(&step.id).is_some_and(|held| held.need.loss != Loss::Running);
        let reached = steps.iter().filter(counts).flat_map(|step| named(step));
        if reached.collect::<BTreeSet<_>>().len() == known {
            return;
        }
    }
}

fn named(step: &Step) -> BTreeSet<&str> {
    step.addresses.iter().filter_map(crate::resource::Address::guest).collect()
}

//! `moved` and `forget`: what becomes of guests whose names left the file.

use std::collections::BTreeMap;

use super::Fleet;
use super::node::moved::Moved;
use super::problems::Problems;
use crate::syntax::{Diagnostic, Span, Spanned, shown};

/// Adds them to the fleet, whose guests are complete.
pub(super) fn add(fleet: &mut Fleet, moved: Vec<Moved>, forget: Vec<Spanned<String>>, problems: &mut Problems) {
    let mut steps: BTreeMap<String, Moved> = BTreeMap::new();
    let mut sources: BTreeMap<String, Span> = BTreeMap::new();
    for step in moved {
        if let Some(problem) = still_declared(fleet, &step.from, "moved").or_else(|| again(&step, &steps, &sources)) {
            problems.push(problem);
            continue;
        }
        sources.insert(step.from.value.clone(), step.from.span);
        steps.insert(step.to.value.clone(), step);
    }
    for step in steps.values() {
        let to = &step.to;
        match fleet.vms.contains_key(&to.value) {
            true => drop(fleet.moved.insert(to.value.clone(), chain(&steps, step))),
            // An earlier step of a chain; a circle has no declared end, and is reported for it.
            false if sources.contains_key(&to.value) && !is_circle(&steps, step) => {}
            false => problems.missing("vm", to),
        }
    }
    for guest in forget {
        match still_declared(fleet, &guest, "forgotten") {
            Some(problem) => problems.push(problem),
            None => fleet.forget.push(guest),
        }
    }
}

/// The names before this step and the steps before it, the latest first.
fn chain(steps: &BTreeMap<String, Moved>, last: &Moved) -> Vec<String> {
    let chain = std::iter::successors(Some(last), |step| steps.get(&step.from.value));
    // A circle would go on for ever.
    chain.take(steps.len()).map(|step| step.from.value.clone()).collect()
}

fn is_circle(steps: &BTreeMap<String, Moved>, step: &Moved) -> bool {
    chain(steps, step).contains(&step.to.value)
}

fn still_declared(fleet: &Fleet, name: &Spanned<String>, what: &str) -> Option<Diagnostic> {
    let vm = fleet.vms.get(&name.value)?;
    let message = format!("guest `{}` is {what}, and declared", shown(&name.value));
    let problem = Diagnostic::error("config::still-declared", message, name.span, "here");
    Some(problem.also(vm.span, "declared here").help("take one of the two out"))
}

fn again(step: &Moved, steps: &BTreeMap<String, Moved>, sources: &BTreeMap<String, Span>) -> Option<Diagnostic> {
    let (name, first) = match (sources.get(&step.from.value), steps.get(&step.to.value)) {
        (Some(first), _) => (&step.from, *first),
        (None, Some(first)) => (&step.to, first.to.span),
        (None, None) => return None,
    };
    let message = format!("guest `{}` is moved twice", shown(&name.value));
    let problem = Diagnostic::error("config::moved-twice", message, name.span, "again here");
    Some(problem.also(first, "first here").help("a guest had one name before, and has one now"))
}

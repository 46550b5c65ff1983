//! `after`: which guests wait for which, and that they do not wait for each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::Fleet;
use super::problems::Problems;
use crate::syntax::{Diagnostic, Span, Spanned};

/// Replaces names of counted nodes by the names of their guests, and reports unknown names and circles.
pub(super) fn resolve(fleet: &mut Fleet, counted: &BTreeMap<String, u32>, problems: &mut Problems) {
    let mut all = waits(fleet);
    let names: BTreeSet<String> = all.keys().cloned().collect();
    for waits in all.values_mut().filter(|waits| !waits.is_empty()) {
        let mut after: BTreeMap<String, Span> = BTreeMap::new();
        for guest in &*waits {
            for name in guests(guest, &names, counted, problems) {
                after.entry(name).or_insert(guest.span);
            }
        }
        *waits = after.into_iter().map(|(name, span)| Spanned::new(name, span)).collect();
    }
    if let Some(circle) = circle(&all) {
        problems.push(described(&circle));
    }
    let mut take = |name: &String, after: &mut Vec<Spanned<String>>| *after = all.remove(name).unwrap_or_default();
    fleet.vms.iter_mut().for_each(|(name, vm)| take(name, &mut vm.after));
    fleet.containers.iter_mut().for_each(|(name, container)| take(name, &mut container.guest.after));
    fleet.cluster_vms.iter_mut().for_each(|(name, vm)| take(name, &mut vm.guest.after));
}

/// Which guests each guest waits for, wherever both are.
type Waits = BTreeMap<String, Vec<Spanned<String>>>;

fn waits(fleet: &Fleet) -> Waits {
    let here = fleet.vms.iter().map(|(name, vm)| (name, &vm.after));
    let containers = fleet.containers.iter().map(|(name, container)| (name, &container.guest.after));
    let vms = fleet.cluster_vms.iter().map(|(name, vm)| (name, &vm.guest.after));
    here.chain(containers).chain(vms).map(|(name, after)| (name.clone(), after.clone())).collect()
}

/// The guests that a name stands for.
fn guests(
    name: &Spanned<String>,
    names: &BTreeSet<String>,
    counted: &BTreeMap<String, u32>,
    problems: &mut Problems,
) -> Vec<String> {
    if names.contains(&name.value) {
        return vec![name.value.clone()];
    }
    match counted.get(&name.value) {
        Some(count) => (1..=*count).map(|number| format!("{}-{number}", name.value)).collect(),
        None => {
            problems.missing("vm", name);
            Vec::new()
        }
    }
}

/// A guest that waits, and the place that makes it wait for the next.
type Step<'a> = (&'a str, Span);

/// Guests that wait for each other: the first, and the others up to the one that waits for the first.
type Circle<'a> = (Step<'a>, Vec<Step<'a>>);

/// A circle, if there is one.
fn circle(all: &Waits) -> Option<Circle<'_>> {
    // Guests are taken out once all they wait for are out; what is left at the end waits in circles, or for one.
    let mut waiting: BTreeMap<&str, usize> = all.iter().map(|(name, after)| (name.as_str(), after.len())).collect();
    let mut followers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, after) in all {
        after.iter().for_each(|before| followers.entry(&before.value).or_default().push(name));
    }
    let mut ready: Vec<&str> = waiting.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = ready.pop() {
        waiting.remove(name);
        for follower in followers.remove(name).unwrap_or_default() {
            if let Some(count) = waiting.get_mut(follower) {
                *count -= 1;
                if *count == 0 {
                    ready.push(follower);
                }
            }
        }
    }
    let mut path: Vec<(&str, Span)> = Vec::new();
    let mut name = *waiting.keys().next()?;
    loop {
        // Every guest that is left waits for another that is left.
        let next = all.get(name)?.iter().find(|before| waiting.contains_key(before.value.as_str()))?;
        path.push((name, next.span));
        name = &next.value;
        if let Some(start) = path.iter().position(|(known, _)| *known == name) {
            let mut steps = path.drain(start..);
            return steps.next().map(|first| (first, steps.collect()));
        }
    }
}

fn described(circle: &Circle<'_>) -> Diagnostic {
    let (first, rest) = circle;
    let names = std::iter::once(first).chain(rest).chain([first]).map(|(name, _)| format!("`{name}`"));
    let message = format!("guests wait for each other in a circle: {}", names.collect::<Vec<_>>().join(" → "));
    let label = |name: &str| format!("`{name}` waits");
    let ((first, span), rest) = circle;
    let problem = Diagnostic::error("config::after-cycle", message, *span, label(first));
    let problem = rest.iter().fold(problem, |problem, (name, span)| problem.also(*span, label(name)));
    problem.help("take one of these `after` nodes out")
}

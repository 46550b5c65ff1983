//! Clusters and their guests: what differs, and the steps that make it right.
//!
//! ```text
//! new        create → update (what creating cannot set) → start
//! running    update → restart (when something needs it and the guest may be restarted)
//! stopped    update → start
//! unwanted   stop → destroy
//! ```
//! What no API token may change is set on the node, before the update that writes down what was applied.

mod attributes;
mod refusals;
mod root;

use std::collections::{BTreeMap, BTreeSet};

use attributes::{anew, attribute, cause, is_configuration, notes_differ, restart_is_due, state_differs};
use refusals::{lifted_with_others, made_otherwise, not_ours, nothing_to_take_over, protected, two_of_a_name};

use super::order::{Draft, Drafted};
use super::select::Taken;
use super::verdict::{Facts, Found, Verdict, Wish, decide, difference};
use super::{Action, Attribute, Cause, Change, Impact, Op, Reason, Refusal, Rule, Shown};
use crate::resource::cluster::{
    ClusterGuestSpec, Effect, GuestKind, Home, ObservedCluster, ObservedClusterGuest, Power, Restart, Value, compare,
};
use crate::resource::{Address, Declared, Desired, Observed, Reading, Resource};
use crate::syntax::SourceRef;

/// Changes, and what is refused.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) changes: Vec<Change>,
    pub(super) refusals: Vec<Refusal>,
    /// What becomes of each declared guest, by name.
    pub(super) ways: BTreeMap<String, Way>,
}

/// What becomes of a declared guest, as far as its files ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// What was found.
    pub(super) found: Found,
    /// Whether it runs now.
    pub(super) runs: bool,
    /// Whether it runs when everything was done.
    pub(super) will_run: bool,
    /// The step that starts it.
    pub(super) start: Option<Drafted>,
    /// The step that sets on its node what no token may.
    pub(super) on_node: Option<Drafted>,
    /// Its last step.
    pub(super) last: Option<Drafted>,
}

/// The steps of a guest that others come before or after.
#[derive(Debug, Clone, Copy, Default)]
struct Steps {
    start: Option<Drafted>,
    on_node: Option<Drafted>,
    last: Option<Drafted>,
}

/// A declared guest.
type Guest<'a> = (&'a Address, &'a Declared, &'a ClusterGuestSpec);

/// Plans everything on clusters so that it matches.
pub(super) fn plan(desired: &Desired, observed: &Observed, taken: &Taken<'_>, draft: &mut Draft) -> Planned {
    let mut planned = Planned::default();
    let mut guests: BTreeMap<&str, Guest<'_>> = BTreeMap::new();
    for (address, declared) in desired.resources.iter().filter(|(address, _)| taken.declared(address)) {
        match &declared.resource {
            Resource::Cluster(spec) => {
                planned.changes.push(cluster(address, declared, observed.clusters.get(&spec.name)));
            }
            Resource::ClusterGuest(spec) => drop(guests.insert(&spec.name, (address, declared, spec))),
            _ => {}
        }
    }
    for guest in guests.values() {
        planned.declared(*guest, desired, observed, draft);
    }
    let known: BTreeSet<&str> = desired.resources.values().filter_map(|declared| name_of(&declared.resource)).collect();
    for (name, reading) in observed.cluster_guests.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        planned.unwanted(name, reading, Wish::Undeclared, None, taken, draft);
    }
    planned
}

fn name_of(resource: &Resource) -> Option<&str> {
    match resource {
        Resource::ClusterGuest(spec) => Some(&spec.name),
        _ => None,
    }
}

/// The names of guests that are declared on clusters.
pub(super) fn names(desired: &Desired) -> impl Iterator<Item = &str> {
    desired.resources.values().filter_map(|declared| name_of(&declared.resource))
}

/// The address of a guest that may not be declared; one that cannot be read may be of either kind.
fn address_of(name: &str, reading: &Reading<ObservedClusterGuest>) -> Address {
    Address::on_cluster(reading.present().map_or(GuestKind::Container, |seen| seen.kind), name)
}

/// Plans the removal of everything of ours on clusters.
pub(super) fn remove(desired: &Desired, observed: &Observed, taken: &Taken<'_>, draft: &mut Draft) -> Planned {
    let mut planned = Planned::default();
    for (name, reading) in &observed.cluster_guests {
        let source = desired.resources.get(&address_of(name, reading)).and_then(|declared| declared.source.clone());
        planned.unwanted(name, reading, Wish::Removal, source, taken, draft);
    }
    planned
}

/// A cluster is read or it is not. What should be known of it is said in every plan.
fn cluster(address: &Address, declared: &Declared, reading: Option<&Reading<ObservedCluster>>) -> Change {
    let mut change = Change::none(address, declared.source.as_ref());
    match reading {
        Some(Reading::Present(seen)) => change.note = notes(seen),
        Some(Reading::Unreadable(why)) => {
            (change.action, change.reason) = (Action::Unreadable, Reason::Unreadable);
            change.note = Some(why.clone());
        }
        Some(Reading::Absent) | None => {
            (change.action, change.reason) = (Action::Unreadable, Reason::Unreadable);
            change.note = Some("it was not read".into());
        }
    }
    change
}

fn notes(seen: &ObservedCluster) -> Option<String> {
    let insecure = seen.unverified.then(|| "insecure: its certificate is not checked".to_owned());
    let offline: Vec<&str> = seen.offline.iter().map(String::as_str).collect();
    let offline = (!offline.is_empty()).then(|| format!("nodes that do not answer: {}", offline.join(", ")));
    let all: Vec<String> = [insecure, offline].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

impl Planned {
    fn declared(
        &mut self,
        (address, declared, spec): Guest<'_>,
        desired: &Desired,
        observed: &Observed,
        draft: &mut Draft,
    ) {
        let mut change = Change::none(address, declared.source.as_ref());
        let cluster = observed.clusters.get(&spec.cluster);
        let reading = observed.cluster_guests.get(&spec.name);
        let (mut found, note) = found(reading, spec.running);
        change.note = note;
        let Some(Reading::Present(cluster)) = cluster else {
            change.note = Some(format!("its cluster `{}` could not be read", spec.cluster));
            let found = Found::Unknown;
            let way = Way { found, runs: false, will_run: spec.running, start: None, on_node: None, last: None };
            self.ways.insert(spec.name.clone(), way);
            return self.push(change, found);
        };
        if let Some(vmid) = cluster.foreign.get(&spec.name).filter(|_| found == Found::Absent) {
            self.refusals.push(not_ours(&change, *vmid));
            found = Found::Unknown;
            change.note = Some(format!("guest {vmid} has its name, and no mark of this fleet"));
        }
        if observed.guests.get(&spec.name).is_some_and(|reading| !matches!(reading, Reading::Absent)) {
            self.refusals.push(two_of_a_name(&change));
        }
        let seen = reading.and_then(Reading::present);
        if let (Found::Absent, Some(vmid)) = (found, spec.taken_over()) {
            self.refusals.push(nothing_to_take_over(&change, vmid));
            found = Found::Unknown;
        }
        let mut for_root = Vec::new();
        match (found, seen) {
            (Found::Absent, _) => {
                change.attributes = anew(spec);
                for_root.extend(spec.left_to_root().map(str::to_owned));
            }
            (Found::Up | Found::Down, Some(seen)) if seen.kind != spec.kind || seen.cluster != spec.cluster => {
                found = Found::Unknown;
                change.note = Some(format!("found it as another kind of guest, or on the cluster `{}`", seen.cluster));
            }
            (Found::Up | Found::Down, Some(seen)) => {
                self.refusals.extend(made_otherwise(&change, spec, seen));
                for_root = self.compare(&mut change, spec, seen);
            }
            _ => {}
        }
        self.refusals.extend(root::refusal(&change, spec, seen, desired, &for_root));
        let Steps { start, on_node, last } = match found {
            Found::Up | Found::Down | Found::Absent => steps(draft, &change, spec, found, seen, !for_root.is_empty()),
            Found::Unfinished | Found::Unknown => Steps::default(),
        };
        let runs = seen.is_some_and(|seen| seen.power == Power::On);
        self.ways.insert(spec.name.clone(), Way { found, runs, will_run: spec.running, start, on_node, last });
        self.push(change, found);
    }

    /// Adds what differs; the paths of what only root may change.
    fn compare(&mut self, change: &mut Change, spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> Vec<String> {
        let found = compare(spec, seen);
        let for_root = found.all.iter().filter(|it| it.needs_root(spec)).map(|it| it.path.clone()).collect();
        for (_, message, help) in found.refused {
            let (rule, source) = (Rule::DiskStays, change.source.clone());
            self.refusals.push(Refusal { address: change.address.clone(), rule, message, help, source });
        }
        let running = seen.power == Power::On;
        for difference in found.all {
            let impact = match (running, difference.effect) {
                (false, _) => Impact::None,
                (true, _) if matches!(difference.home, Home::FirewallOptions | Home::FirewallRules) => {
                    Impact::Connectivity
                }
                (true, Effect::AtStart) if spec.restart != Restart::Never && spec.running => Impact::Restart,
                (true, _) => Impact::Live,
            };
            let cause = cause(spec, seen, &difference);
            change.attributes.push(attribute(&difference.path, difference.before, difference.after, impact, cause));
        }
        change.attributes.extend(notes_differ(spec, seen));
        change.attributes.extend(state_differs(spec, seen));
        self.refusals.extend(lifted_with_others(change, seen));
        change.attributes.extend(restart_is_due(spec, seen));
        if !seen.mark.is_there() {
            change.attributes.push(Attribute {
                after: Shown::plain(&format!("that of the fleet `{}`", spec.fleet)),
                ..attribute("mark", None, None, Impact::None, Cause::Pending)
            });
            change.note = Some("it is taken over: from now on it belongs to this fleet".into());
        } else if !change.attributes.iter().any(is_configuration) && seen.mark.applied != spec.values {
            let text = |text: &str| Some(Value::Text(text.to_owned()));
            let mark = attribute("mark", text("as last applied"), text("as declared"), Impact::None, Cause::Pending);
            change.attributes.push(mark);
        }
        let origin = spec.origin.words();
        if seen.mark.origin != origin && change.note.is_none() {
            change.note = Some(format!(
                "made from {}, not from {origin}: that is decided when a guest is made",
                seen.mark.origin
            ));
        }
        for_root
    }

    fn push(&mut self, mut change: Change, found: Found) {
        let facts =
            Facts { wish: Wish::Declared, found, difference: difference(&change.attributes), loss: Impact::DataLoss };
        let only_state = change.attributes.len() == 1 && change.attributes[0].path == "state";
        let Verdict { action, reason, impact } = decide(facts);
        (change.action, change.reason, change.impact) = (action, reason, impact);
        if action == Action::Update && only_state && found == Found::Down {
            change.reason = Reason::Stopped;
        }
        self.changes.push(change);
    }

    fn unwanted(
        &mut self,
        name: &str,
        reading: &Reading<ObservedClusterGuest>,
        wish: Wish,
        source: Option<SourceRef>,
        taken: &Taken<'_>,
        draft: &mut Draft,
    ) {
        let address = address_of(name, reading);
        // Without our mark, nothing is removed.
        if !taken.undeclared(&address) || reading.present().is_some_and(|seen| !seen.mark.is_there()) {
            return;
        }
        let (found, note) = found(Some(reading), true);
        let facts = Facts { wish, found, difference: None, loss: Impact::DataLoss };
        let Verdict { action, reason, impact } = decide(facts);
        if action == Action::None {
            return;
        }
        if let (Action::Destroy, Some(seen)) = (action, reading.present()) {
            if seen.values.get("protection").and_then(Value::as_text) == Some("true") {
                self.refusals.push(protected(&address, seen, source.clone()));
            } else {
                destroy(draft, &address, seen, name);
            }
        }
        let (attributes, ignored) = (Vec::new(), Vec::new());
        self.changes.push(Change { address, action, reason, impact, attributes, ignored, source, note });
    }
}

/// What was found of a guest, whether it should run or not.
pub(super) fn seen(reading: &Reading<ObservedClusterGuest>) -> (Found, Option<String>) {
    found(Some(reading), true)
}

/// What was found of a guest that should run or not.
fn found(reading: Option<&Reading<ObservedClusterGuest>>, running: bool) -> (Found, Option<String>) {
    match reading {
        None | Some(Reading::Absent) => (Found::Absent, None),
        Some(Reading::Unreadable(why)) => (Found::Unknown, Some(why.clone())),
        Some(Reading::Present(seen)) if seen.power == Power::Off && running => (Found::Down, None),
        Some(Reading::Present(_)) => (Found::Up, None),
    }
}

/// The steps of a declared guest, one after another.
fn steps(
    draft: &mut Draft,
    change: &Change,
    spec: &ClusterGuestSpec,
    found: Found,
    seen: Option<&ObservedClusterGuest>,
    needs_root: bool,
) -> Steps {
    let (cluster, name) = (spec.cluster.clone(), spec.name.clone());
    let differs = |path: &str| change.attributes.iter().any(|attribute| attribute.path == path);
    let restart = change.attributes.iter().any(|a| a.impact == Impact::Restart && a.path != "state");
    let configure = change.attributes.iter().any(is_configuration);
    let mut ops = Vec::new();
    match (found, seen) {
        (Found::Absent, _) => {
            ops.push((Op::CreateClusterGuest { guest: spec.clone() }, "it must be there"));
            if needs_root {
                ops.push((Op::SetOnNode { guest: spec.clone() }, "the mark says what was applied"));
            }
            // A clone is as its original was; firewall and high availability are told once there is a guest.
            if !spec.is_made_whole() {
                ops.push((Op::UpdateClusterGuest { guest: spec.clone() }, "it starts as declared"));
            }
        }
        (_, Some(_)) if configure => {
            if needs_root {
                ops.push((Op::SetOnNode { guest: spec.clone() }, "the mark says what was applied"));
            }
            ops.push((Op::UpdateClusterGuest { guest: spec.clone() }, "it starts as declared"));
        }
        _ => {}
    }
    if spec.running && (found == Found::Absent || differs("state")) {
        ops.push((Op::StartClusterGuest { cluster, guest: name }, ""));
    } else if restart {
        ops.push((Op::RestartClusterGuest { cluster, guest: name, asks: spec.restart == Restart::Ask }, ""));
    } else if let Some(seen) = seen.filter(|_| differs("state")) {
        ops.push((Op::StopClusterGuest { cluster, guest: name, vmid: seen.vmid }, ""));
    }
    let (mut start, mut on_node, mut last) = (None, None, None);
    for (op, why) in ops {
        let starts = matches!(op, Op::StartClusterGuest { .. } | Op::RestartClusterGuest { .. });
        let sets = matches!(op, Op::SetOnNode { .. });
        let step = draft.step(vec![change.address.clone()], op);
        if let Some((before, why)) = last {
            draft.after(step, before, why);
        }
        start = starts.then_some(step);
        on_node = on_node.or(sets.then_some(step));
        last = Some((step, why));
    }
    Steps { start, on_node, last: last.map(|(step, _)| step) }
}

fn destroy(draft: &mut Draft, address: &Address, seen: &ObservedClusterGuest, name: &str) {
    let (cluster, guest, vmid) = (seen.cluster.clone(), name.to_owned(), seen.vmid);
    let stop = (seen.power == Power::On).then(|| {
        draft.step(vec![address.clone()], Op::StopClusterGuest { cluster: cluster.clone(), guest: guest.clone(), vmid })
    });
    let destroy = draft.step(vec![address.clone()], Op::DestroyClusterGuest { cluster, guest, vmid });
    if let Some(stop) = stop {
        draft.after(destroy, stop, "nothing else may use its disks");
    }
}

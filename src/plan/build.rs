//! From the whole of what is wished and what was seen to a plan.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::between::{self, Lanes};
use super::built::{self, Builds};
use super::cluster;
use super::cluster::Way;
use super::disks::DiskWork;
use super::files::{self, Ground, SetPlan};
use super::guests::{self, Set};
use super::inside;
use super::lane::{self, Before, Lane, Work, Writes};
use super::mounts;
use super::network;
use super::order::Draft;
use super::renamed;
use super::select::{Selection, Taken};
use super::sessions;
use super::verdict::{Facts, Found, Verdict, Wish, decide};
use super::vm::{self, Root, Surroundings, VmPlan};
use super::{Action, Change, Impact, Plan, Refusal, Rule};
use crate::resource::{
    Address, Declared, Desired, FileSet, GuestPath, Observed, ObservedGuest, Reading, Record, Resource, VmSpec,
};
use crate::syntax::SourceRef;

/// What a plan is made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Where it leads.
    pub goal: Goal,
    /// Which part of the fleet is planned.
    pub selection: Selection,
    /// Guests whose root disk is made anew although nothing differs.
    pub replace: BTreeSet<Address>,
}

/// Where a plan leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Goal {
    /// The world matches the fleet file.
    #[default]
    Match,
    /// Nothing of the fleet is left. Images and kernels stay in the store: other fleets may use them.
    Destroy,
    /// These guests, by name, are let go of; nothing else changes.
    Forget(BTreeSet<String>),
}

/// Plans. The same desired, observed and options give the same plan, whatever order things were declared or seen in.
pub fn plan(desired: &Desired, observed: &Observed, options: &Options) -> Plan {
    let (seen, refusals) = match options.goal {
        Goal::Match => renamed::seen(desired, observed),
        Goal::Destroy | Goal::Forget(_) => (Cow::Borrowed(observed), Vec::new()),
    };
    let mut making = Making::new(desired, &seen, options);
    making.refusals = refusals;
    match &options.goal {
        Goal::Match => making.make_match(),
        Goal::Destroy => {
            seen.guests.keys().for_each(|name| making.unwanted(name, Wish::Removal));
            let planned = cluster::remove(desired, &seen, &making.taken, &mut making.draft);
            making.add(planned);
            making.networks();
        }
        Goal::Forget(names) => {
            let there = seen.guests.keys().filter(|name| names.contains(*name));
            there.for_each(|name| making.unwanted(name, Wish::Release));
        }
    }
    making.finish()
}

/// A plan being made.
struct Making<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    options: &'a Options,
    around: Surroundings<'a>,
    taken: Taken<'a>,
    /// Guests that come after one that cannot be read, each with that one.
    unknown: BTreeMap<&'a Address, &'a Address>,
    changes: Vec<Change>,
    refusals: Vec<Refusal>,
    draft: Draft,
    lanes: Lanes<'a>,
}

impl<'a> Making<'a> {
    fn new(desired: &'a Desired, observed: &'a Observed, options: &'a Options) -> Self {
        Self {
            desired,
            observed,
            options,
            around: Surroundings::new(desired, observed),
            taken: Taken::new(&options.selection, desired),
            unknown: between::after_unknown(desired, observed),
            changes: Vec::new(),
            refusals: Vec::new(),
            draft: Draft::default(),
            lanes: BTreeMap::new(),
        }
    }

    fn make_match(&mut self) {
        let (changes, refusals, builds) = built::plan(self.desired, self.observed, &self.taken, &mut self.draft);
        self.changes = changes;
        self.refusals.extend(refusals);
        let declared = guests::declared(self.desired);
        let names: BTreeSet<&'a str> = declared
            .iter()
            .filter(|(_, guest)| guest.vm.is_some())
            .map(|(name, _)| *name)
            .chain(self.observed.guests.keys().map(String::as_str))
            .collect();
        for name in names {
            match declared.get(name).and_then(|guest| guest.vm.map(|vm| (vm, &guest.sets))) {
                Some((vm, sets)) if self.taken.declared(vm.0) => self.guest(name, vm, sets, &builds),
                Some(_) => {}
                None if self.desired.forget.contains(name) => self.unwanted(name, Wish::Release),
                None => self.unwanted(name, Wish::Undeclared),
            }
        }
        let mounts = mounts::plan(self.desired, self.observed, &self.taken, &mut self.draft);
        let planned = cluster::plan(self.desired, self.observed, &self.taken, &mut self.draft);
        let ways = planned.ways.clone();
        self.add(planned);
        self.after_mounts(mounts, &ways);
        for name in cluster::names(self.desired) {
            let Some(way) = ways.get(name) else { continue };
            if let Some(guest) = declared.get(name) {
                self.inside(name, &guest.sets, *way);
            }
            self.lanes.insert(name, Lane { stop: None, start: way.start, ready: way.last });
        }
        self.networks();
        between::take_ports_in_turn(self.desired, self.observed, &self.lanes, &mut self.draft);
        between::start_in_declared_order(self.desired, &self.lanes, &mut self.draft);
    }

    fn add(&mut self, planned: cluster::Planned) {
        self.changes.extend(planned.changes);
        self.refusals.extend(planned.refusals);
    }

    /// Guests get directories of disks, and start with them, once those are mounted.
    fn after_mounts(&mut self, mounts: mounts::Planned, ways: &BTreeMap<String, Way>) {
        for (address, declared) in &self.desired.resources {
            let Some(way) = address.guest().and_then(|name| ways.get(name)) else { continue };
            let Some(first) = way.on_node.or(way.start) else { continue };
            for (mount, step) in mounts.steps.iter().filter(|(mount, _)| declared.needs.contains(mount)) {
                self.draft.after(first, *step, format!("it has a directory of {mount}"));
            }
        }
        self.changes.extend(mounts.changes);
        self.refusals.extend(mounts.refusals);
    }

    /// Bridged networks, once it is known which guests stop and start.
    fn networks(&mut self) {
        let around = network::Around {
            desired: self.desired,
            observed: self.observed,
            taken: &self.taken,
            lanes: &self.lanes,
            unknown: &self.unknown,
            goal: &self.options.goal,
        };
        let (changes, refusals) = network::plan(&around, &mut self.draft);
        self.changes.extend(changes);
        self.refusals.extend(refusals);
    }

    fn finish(self) -> Plan {
        Plan {
            fleet: self.desired.fleet.clone(),
            changes: self.changes,
            refusals: self.refusals,
            selected: self.taken.selected,
            graph: self.draft.finish(),
        }
    }

    /// A declared guest with its files.
    fn guest(
        &mut self,
        name: &'a str,
        (address, declared, spec): (&'a Address, &'a Declared, &'a VmSpec),
        sets: &[Set<'a>],
        builds: &Builds,
    ) {
        let reading = self.observed.guests.get(name);
        let special = self.foreign(address, declared, reading).or_else(|| self.blocked(address, declared));
        let VmPlan { found, change, grow, disks, refusals, rests } = match special {
            Some(plan) => plan,
            None => {
                let root = if self.options.replace.contains(address) { Root::MadeAnew } else { Root::Kept };
                vm::declared(address, declared, spec, &self.around, root)
            }
        };
        self.refusals.extend(refusals);
        // Lifting it together with anything else was refused already.
        let protected = reading.and_then(Reading::present).is_some_and(|guest| guest.record.protected);
        let is_lifted = declared.rules.protect == Some(false);
        if change.action == Action::Replace && protected && !is_lifted {
            self.refusals.push(protected_guest(address, "replaced", declared.source.clone()));
        }
        if !disks.remove.is_empty() && protected && !is_lifted {
            self.refusals.push(protected_guest(address, "left without a disk", declared.source.clone()));
        }
        let ground = match (guests::ground(found, &change, reading), self.network_made_again(reading)) {
            (Ground::Unknown(_), Some(network)) if found == Found::Up => Ground::Later(network.clone()),
            (ground, _) => ground,
        };
        let (action, impact) = (change.action, change.impact);
        let differs = |path| change.attributes.iter().any(|attribute| attribute.path == path);
        let (protects, autostarts) = (differs("protected"), differs(vm::AUTOSTART));
        self.changes.push(change);
        let mut writes = Writes::default();
        for (plan, set) in self.sets(name, sets, &ground, rests) {
            self.record(plan, set, &mut writes);
        }
        if let Ground::Later(_) = ground {
            // Nobody has looked, so it is not known whether the sessions that a restart would start again are as declared.
            writes = Writes::default();
        }
        if found != Found::Unknown {
            let record = reading.and_then(Reading::present).map(|guest| &guest.record);
            let protect = declared.rules.protect.filter(|_| protects);
            let autostart = autostarts.then_some(declared.rules.autostart);
            let formerly = record.and_then(|record| record.formerly.as_deref());
            let before = record.and_then(before);
            let work = Work {
                address,
                vm: spec,
                found,
                action,
                impact,
                grow,
                disks,
                writes,
                before,
                formerly,
                protect,
                autostart,
                rests,
            };
            let lane = lane::declared(&mut self.draft, builds, work);
            self.lanes.insert(name, lane);
        }
    }

    /// Nothing without our mark is ever touched, whatever it is called.
    fn foreign(
        &self,
        address: &Address,
        declared: &Declared,
        reading: Option<&Reading<ObservedGuest>>,
    ) -> Option<VmPlan> {
        let owner = &reading?.present()?.record.fleet;
        (*owner != self.desired.fleet).then(|| {
            let reading = Reading::Unreadable(format!("it belongs to the fleet `{owner}`"));
            let (found, note) = vm::found(Some(&reading));
            let refusal = Refusal {
                address: address.clone(),
                rule: Rule::NotOurs,
                message: format!("found a guest of this name that belongs to the fleet `{owner}`"),
                help: "rename the guest, or use another state directory".into(),
                source: declared.source.clone(),
            };
            VmPlan {
                found,
                change: plain(address, declared, found, note),
                grow: None,
                disks: DiskWork::default(),
                refusals: vec![refusal],
                rests: false,
            }
        })
    }

    /// The network by which a guest is reached, when it is gone and this plan makes it.
    fn network_made_again(&self, reading: Option<&Reading<ObservedGuest>>) -> Option<&'a Address> {
        let started = reading?.present()?.record.applied.started.as_ref()?;
        let link = started.network.link.as_ref()?;
        let (address, _) = self.desired.resources.get_key_value(&Address::network(&link.network))?;
        let gone = matches!(self.observed.networks.get(&link.network), None | Some(Reading::Absent));
        (gone && self.taken.declared(address)).then_some(address)
    }

    /// What has to come after something that cannot be read has to wait as well (LESSON 42).
    fn blocked(&self, address: &Address, declared: &Declared) -> Option<VmPlan> {
        let needed = self.unknown.get(address)?;
        let note = Some(format!("it comes after `{needed}`, which could not be read"));
        let found = Found::Unknown;
        Some(VmPlan {
            found,
            change: plain(address, declared, found, note),
            grow: None,
            disks: DiskWork::default(),
            refusals: Vec::new(),
            rests: false,
        })
    }

    /// The files of a guest on a cluster, which are seen and written while it runs.
    fn inside(&mut self, name: &str, sets: &[Set<'a>], way: Way) {
        let Some(first) = sets.first() else { return };
        let reach = first.1.needs.iter().find_map(|guest| match &self.desired.resources.get(guest)?.resource {
            Resource::ClusterGuest(spec) => Some(spec.reach.clone()),
            _ => None,
        });
        let ground = match inside::ground(name, way, self.observed) {
            Ok(ground) => ground,
            Err(rests) => {
                let taken = sets.iter().filter(|(address, ..)| self.taken.declared(address));
                self.changes.extend(taken.map(|(address, declared, _)| Change {
                    note: Some(rests.to_owned()),
                    ..Change::none(address, declared.source.as_ref())
                }));
                return;
            }
        };
        let mut writes = Writes::default();
        for (plan, set) in self.sets(name, sets, &ground, false) {
            self.record(plan, set, &mut writes);
        }
        inside::lane(&mut self.draft, name, writes, (reach, way.last));
    }

    /// The files of a guest: declared ones, and those that an earlier declaration left. A guest that `rests` is stopped and
    /// stays so.
    fn sets(&self, guest: &str, sets: &[Set<'a>], ground: &Ground<'_>, rests: bool) -> Vec<(SetPlan, FileSet)> {
        let claimed: BTreeSet<&GuestPath> = sets.iter().flat_map(|(_, _, set)| set.files.keys()).collect();
        let declared =
            sets.iter().filter(|(address, _, _)| self.taken.declared(address)).map(|(address, declared, set)| {
                (files::declared(address, declared, set, ground, &claimed), (*set).clone())
            });
        let mut plans: Vec<(SetPlan, FileSet)> = declared.collect();
        if let Ground::Files(files, state) = ground {
            let known: BTreeSet<&Address> = sets.iter().map(|(address, _, _)| *address).collect();
            let left =
                files.manifest.keys().filter(|address| !known.contains(address) && self.taken.undeclared(address));
            plans.extend(
                left.filter_map(|address| files::undeclared(address, files, &claimed, *state, rests))
                    .map(|plan| (plan, guests::nothing_of(guest))),
            );
        }
        plans
    }

    fn record(&mut self, plan: SetPlan, set: FileSet, writes: &mut Writes) {
        let is_written = sessions::is_written(&plan);
        let SetPlan { change, remove, refusals } = plan;
        if change.action != Action::Unreadable {
            writes.sessions.add(&change.address, &set, change.action != Action::None);
        }
        if !matches!(change.action, Action::None | Action::Unreadable) && is_written {
            writes.sets.push((change.address.clone(), set));
            writes.remove.extend(remove);
        }
        self.refusals.extend(refusals);
        self.changes.push(change);
    }

    /// A guest that should not be there. Only the fleet's own are known by name here, others are passed over.
    fn unwanted(&mut self, name: &'a str, wish: Wish) {
        let address = Address::vm(name);
        if !self.taken.undeclared(&address) {
            return;
        }
        let reading = self.observed.guests.get(name);
        if reading.and_then(Reading::present).is_some_and(|guest| guest.record.fleet != self.desired.fleet) {
            return;
        }
        let (found, note) = vm::found(reading);
        let Verdict { action, reason, impact } =
            decide(Facts { wish, found, difference: None, loss: Impact::DataLoss });
        if action == Action::None {
            return;
        }
        let declared = self.desired.resources.get(&address);
        let source = declared.and_then(|declared| declared.source.clone());
        let note = if action == Action::Forget { Some(remains(found, declared)) } else { note };
        let protected = reading.and_then(Reading::present).is_some_and(|guest| guest.record.protected);
        if action == Action::Destroy && protected {
            self.refusals.push(protected_guest(&address, "removed", source.clone()));
        } else if action == Action::Destroy {
            let lane = lane::unwanted(&mut self.draft, &address, name, found);
            self.lanes.insert(name, lane);
        } else if action == Action::Forget {
            lane::released(&mut self.draft, &address, name);
        }
        self.changes.push(Change {
            address,
            action,
            reason,
            impact,
            attributes: Vec::new(),
            ignored: Vec::new(),
            source,
            note,
        });
    }
}

fn plain(address: &Address, declared: &Declared, found: Found, note: Option<String>) -> Change {
    let Verdict { action, reason, impact } =
        decide(Facts { wish: Wish::Declared, found, difference: None, loss: Impact::DataLoss });
    let (address, source) = (address.clone(), declared.source.clone());
    Change { address, action, reason, impact, attributes: Vec::new(), ignored: Vec::new(), source, note }
}

/// What is left of a guest that is let go of.
fn remains(found: Found, declared: Option<&Declared>) -> String {
    let runs = match found {
        Found::Up => "it keeps running, and nothing of regatta will stop it; ",
        _ => "",
    };
    let next = if declared.is_some() { "; it is still declared, so the next apply makes a new one" } else { "" };
    format!("{runs}its disks stay, and `regatta adopt --forgotten` takes it back{next}")
}

/// The mark lies on the guest, not in the fleet file: the change that removes a guest cannot remove its protection.
fn protected_guest(address: &Address, what: &str, source: Option<SourceRef>) -> Refusal {
    let name = address.guest().unwrap_or_default();
    Refusal {
        address: address.clone(),
        rule: Rule::Protected,
        message: format!("the guest is protected and would be {what}"),
        help: format!("if that is meant, run `regatta unprotect {name}` first"),
        source,
    }
}

/// What a guest is put back to; nothing when its disks were never whole.
fn before(record: &Record) -> Option<Before<'_>> {
    let disks = record.applied.disks.as_ref()?;
    Some(Before { disks, started: record.applied.started.as_ref().unwrap_or(disks) })
}

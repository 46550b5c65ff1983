//! Bridged networks: what differs, and the one step that makes each as declared.
//!
//! ```text
//! stop of a guest that leaves ─┐
//!                              ├→ ensure network → start of every guest that is plugged to it
//! stop of the last guest ──────┴→ destroy network
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::between::Lanes;
use super::order::{Draft, Drafted};
use super::select::Taken;
use super::verdict::{Facts, Found, Verdict, Wish, decide, difference};
use super::{Action, Aspect, Attribute, Cause, Change, Goal, Impact, Op, Refusal, Rule, Shown};
use crate::resource::{
    Address, BridgeSpec, Declared, Desired, LinkName, LinkSpec, Observed, ObservedNetwork, PortForward, Reading,
    Resolving, Resource, VmSpec,
};

/// What networks are planned in.
pub(super) struct Around<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) taken: &'a Taken<'a>,
    pub(super) lanes: &'a Lanes<'a>,
    /// What has to wait for something that cannot be read, each with that.
    pub(super) unknown: &'a BTreeMap<&'a Address, &'a Address>,
    pub(super) goal: &'a Goal,
}

/// Plans every network: declared ones are made as declared, those that carry our mark and are not declared go.
pub(super) fn plan(around: &Around<'_>, draft: &mut Draft) -> (Vec<Change>, Vec<Refusal>) {
    let (mut changes, mut refusals) = (Vec::new(), Vec::new());
    let (mut wanted, mut made) = (BTreeSet::new(), Vec::new());
    for (address, declared) in &around.desired.resources {
        let Resource::Network(spec) = &declared.resource else { continue };
        wanted.insert(spec.name.as_str());
        if *around.goal == Goal::Match && around.taken.declared(address) {
            let change = self::declared(around, address, declared, spec, &mut refusals);
            if matches!(change.action, Action::Create | Action::Update) {
                made.push((spec, ensure(around, draft, address, spec)));
            }
            changes.push(change);
        }
    }
    for (name, reading) in &around.observed.networks {
        let wish = match around.goal {
            Goal::Destroy => Wish::Removal,
            Goal::Match if wanted.contains(name.as_str()) => continue,
            Goal::Match => Wish::Undeclared,
            Goal::Forget(_) => continue,
        };
        changes.extend(unwanted(around, draft, (name, reading), &made, wish));
    }
    (changes, refusals)
}

fn declared(
    around: &Around<'_>,
    address: &Address,
    declared: &Declared,
    spec: &BridgeSpec,
    refusals: &mut Vec<Refusal>,
) -> Change {
    let mut change = Change::none(address, declared.source.as_ref());
    let refusal = |rule, message, help| Refusal {
        address: address.clone(),
        rule,
        message,
        help,
        source: declared.source.clone(),
    };
    let found = match around.observed.networks.get(&spec.name) {
        None | Some(Reading::Absent) => {
            change.attributes = anew(spec);
            change.note = out_of_reach(around, spec);
            Found::Absent
        }
        Some(Reading::Unreadable(why)) => {
            change.note = Some(why.clone());
            Found::Unknown
        }
        Some(Reading::Present(ObservedNetwork { foreign: Some(owner), bridge, .. })) => {
            let message = format!("found the interface `{bridge}` with the mark of {owner}");
            refusals.push(refusal(Rule::NotOurs, message, "give the fleet or the network another name".into()));
            change.note = Some(format!("it belongs to {owner}"));
            Found::Unknown
        }
        Some(Reading::Present(network)) => match &network.rules {
            Reading::Unreadable(why) => {
                change.note = Some(why.clone());
                Found::Unknown
            }
            _ => {
                change.attributes = compare(spec, network);
                Found::Up
            }
        },
    };
    // A cable is not pulled out of a guest that cannot be moved.
    let held = around.unknown.get(address).filter(|_| found == Found::Up && !change.attributes.is_empty());
    let found = match held {
        Some(guest) => {
            change.attributes.clear();
            change.note = Some(format!("`{guest}` is plugged to it and has to wait for what could not be read"));
            Found::Unknown
        }
        None => found,
    };
    let difference = difference(&change.attributes);
    let verdict = decide(Facts { wish: Wish::Declared, found, difference, loss: Impact::None });
    (change.action, change.reason, change.impact) = (verdict.action, verdict.reason, verdict.impact);
    if matches!(change.action, Action::Create | Action::Update) {
        let obstacles = around.observed.obstacles.get(address).into_iter().flatten();
        refusals.extend(obstacles.map(|it| Refusal::in_the_way(address, declared, it)));
    }
    change
}

/// Guests that run and could not be looked into without the network.
fn out_of_reach(around: &Around<'_>, spec: &BridgeSpec) -> Option<String> {
    let unread = |guest: &&String| {
        let reading = around.observed.guests.get(*guest).and_then(Reading::present);
        reading.is_some_and(|seen| matches!(seen.files, Reading::Unreadable(_))) && started(around, guest, &spec.name)
    };
    let guests: Vec<String> = spec.taps.keys().filter(unread).map(|guest| format!("`{guest}`")).collect();
    (!guests.is_empty())
        .then(|| format!("files of {} can be read when it is there: plan again then", guests.join(", ")))
}

/// Whether nothing may be concluded about a network: it is another's, or it or its rules cannot be read.
pub(super) fn is_unknown(reading: Option<&Reading<ObservedNetwork>>) -> bool {
    match reading {
        None | Some(Reading::Absent) => false,
        Some(Reading::Unreadable(_)) => true,
        Some(Reading::Present(network)) => network.foreign.is_some() || matches!(network.rules, Reading::Unreadable(_)),
    }
}

/// Declared networks, each with a declared guest that runs on it and should be plugged elsewhere.
pub(super) fn left_first<'a>(desired: &'a Desired, observed: &'a Observed) -> Vec<(&'a Address, &'a Address)> {
    let mut found = Vec::new();
    for (name, reading) in &observed.guests {
        let started = reading.present().and_then(|guest| guest.record.applied.started.as_ref());
        let Some(link) = started.and_then(|vm| vm.network.link.as_ref()) else { continue };
        let network = desired.resources.get_key_value(&Address::network(&link.network));
        let guest = desired.resources.get_key_value(&Address::vm(name));
        if let (Some((network, Declared { resource: Resource::Network(spec), .. })), Some((guest, _))) =
            (network, guest)
            && !spec.taps.contains_key(name)
            && super::vm::found(Some(reading)).0 != Found::Down
        {
            found.push((network, guest));
        }
    }
    found
}

/// A setting of a network and its values, before and after.
type Difference = (&'static str, String, String);

/// The settings of a network that does not exist yet.
fn anew(spec: &BridgeSpec) -> Vec<Attribute> {
    let settings = [
        ("addresses", list(spec.addresses())),
        ("nat", spec.nat.to_string()),
        ("isolate", spec.isolate.to_string()),
        ("guests", list(spec.taps.keys())),
        ("forwards", list(&spec.forwards)),
    ];
    let answers = [("dhcp", spec.dhcp), ("dns", spec.dns)].into_iter().filter(|(_, on)| *on);
    let settings = settings.into_iter().chain(answers.map(|(name, _)| (name, "true".to_owned())));
    let attribute = |(path, after): (&str, String)| Attribute {
        path: path.into(),
        aspect: Aspect::Value,
        before: Shown::Absent,
        after: Shown::Plain(after),
        impact: Impact::None,
        cause: Cause::Pending,
    };
    settings.map(attribute).collect()
}

/// Everything that differs in a network of ours. The digest of what was last applied tells who moved.
fn compare(spec: &BridgeSpec, network: &ObservedNetwork) -> Vec<Attribute> {
    let cause = if network.applied.as_ref() == Some(&spec.digest()) { Cause::Drift } else { Cause::Pending };
    let mut found: Vec<Difference> = vec![
        ("state", up(network.up), up(true)),
        ("addresses", list(&network.addresses), list(spec.addresses())),
        ("guests", list(plugged(spec, network)), list(spec.taps.keys().cloned())),
        ("isolate", isolation(spec, network), spec.isolate.to_string()),
    ];
    match &network.rules {
        Reading::Present(rules) => {
            let plain = spec.forwards.iter().map(|forward| without_ipv6(*forward));
            found.push(("nat", rules.nat.to_string(), spec.nat.to_string()));
            found.push(("forwards", list(&rules.forwards), list(plain)));
            found.push(("rules", as_applied(rules.as_applied), as_applied(true)));
        }
        // Nothing is planned for what cannot be read.
        Reading::Absent | Reading::Unreadable(_) => found.push(("rules", "none".into(), as_applied(true))),
    }
    let answers = if spec.dns || spec.dhcp { Resolving::AsDeclared } else { Resolving::Off };
    found.push(("dnsmasq", resolving(network.resolving), resolving(answers)));
    found.retain(|(_, before, after)| before != after);
    if found.is_empty() && cause == Cause::Pending {
        // What was declared differs in nothing that shows, such as the IPv6 address of a forward; or applying it was cut short.
        found.push(("applied", network.applied.clone().unwrap_or_else(|| "unfinished".into()), spec.digest()));
    }
    let attribute = |(path, before, after): Difference| Attribute {
        path: path.into(),
        aspect: Aspect::Value,
        before: Shown::Plain(before),
        after: Shown::Plain(after),
        impact: Impact::Live,
        cause,
    };
    found.into_iter().map(attribute).collect()
}

/// The guests whose cables are plugged in, and cables of guests that are not declared by their own names.
fn plugged(spec: &BridgeSpec, network: &ObservedNetwork) -> Vec<String> {
    let guests: BTreeMap<&LinkName, &String> = spec.taps.iter().map(|(guest, tap)| (&tap.link, guest)).collect();
    let mut names: Vec<String> = network
        .taps
        .keys()
        .map(|tap| guests.get(tap).map_or_else(|| tap.to_string(), |guest| (*guest).clone()))
        .collect();
    names.sort();
    names
}

/// `true`, `false`, or `partly` for the cables that are there.
fn isolation(spec: &BridgeSpec, network: &ObservedNetwork) -> String {
    let states: BTreeSet<bool> = network.taps.values().copied().collect();
    match (states.first(), states.len()) {
        (Some(only), 1) => only.to_string(),
        (Some(_), _) => "partly".into(),
        (None, _) => spec.isolate.to_string(),
    }
}

const fn without_ipv6(forward: PortForward) -> PortForward {
    PortForward { address6: None, ..forward }
}

fn up(up: bool) -> String {
    if up { "up".into() } else { "down".into() }
}

fn as_applied(as_applied: bool) -> String {
    if as_applied { "as applied".into() } else { "changed by somebody else".into() }
}

fn resolving(resolving: Resolving) -> String {
    match resolving {
        Resolving::Off => "off".into(),
        Resolving::AsDeclared => "as declared".into(),
        Resolving::Otherwise => "otherwise".into(),
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}

/// Drafts the step that brings a network to what is declared.
fn ensure(around: &Around<'_>, draft: &mut Draft, address: &Address, spec: &BridgeSpec) -> Drafted {
    let step = draft.step(vec![address.clone()], Op::EnsureNetwork { network: spec.clone() });
    for (guest, lane) in around.lanes {
        let cable = started_link(around, guest, &spec.name).map(|link| &link.tap);
        // To another network, or, when its VMM gets another user, to another cable of this one.
        let leaves = cable.is_some_and(|cable| spec.taps.get(*guest).is_none_or(|tap| tap.link != *cable));
        if let Some(stop) = lane.stop.filter(|_| leaves) {
            draft.after(step, stop, format!("the cable of `{guest}` is taken away"));
        }
        if let Some(start) = lane.start.filter(|_| spec.taps.contains_key(*guest)) {
            draft.after(start, step, format!("it is plugged to {address}"));
        }
    }
    step
}

/// A network that should not be there. One that a guest still uses, and goes on using, stays until that guest goes.
fn unwanted(
    around: &Around<'_>,
    draft: &mut Draft,
    (name, reading): (&str, &Reading<ObservedNetwork>),
    made: &[(&BridgeSpec, Drafted)],
    wish: Wish,
) -> Option<Change> {
    let address = Address::network(name);
    if !around.taken.undeclared(&address) {
        return None;
    }
    let (found, note) = match reading {
        Reading::Absent => (Found::Absent, None),
        Reading::Unreadable(why) => (Found::Unknown, Some(why.clone())),
        // Another's network is nothing to us unless we want its place.
        Reading::Present(network) if network.foreign.is_some() => return None,
        Reading::Present(_) => (Found::Up, None),
    };
    let users: Vec<&String> = around.observed.guests.keys().filter(|guest| started(around, guest, name)).collect();
    let stays = |guest: &String| {
        let runs =
            around.observed.guests.get(guest).is_some_and(|reading| super::vm::found(Some(reading)).0 == Found::Up);
        runs && around.lanes.get(guest.as_str()).is_none_or(|lane| lane.stop.is_none())
    };
    if users.iter().any(|guest| stays(guest)) {
        return None;
    }
    let Verdict { action, reason, impact } = decide(Facts { wish, found, difference: None, loss: Impact::None });
    if action == Action::None {
        return None;
    }
    if let (Action::Destroy, Some(network)) = (action, reading.present()) {
        let op = Op::DestroyNetwork { network: name.into(), bridge: network.bridge.clone() };
        let step = draft.step(vec![address.clone()], op);
        for guest in users {
            if let Some(stop) = around.lanes.get(guest.as_str()).and_then(|lane| lane.stop) {
                draft.after(step, stop, format!("`{guest}` is plugged to it"));
            }
        }
        // The same network under another name.
        for (_, ensure) in made.iter().filter(|(spec, _)| !spec.addresses().is_disjoint(&network.addresses)) {
            draft.after(*ensure, step, format!("it takes over the addresses of {address}"));
        }
    }
    let source = around.desired.resources.get(&address).and_then(|declared| declared.source.clone());
    Some(Change { address, action, reason, impact, attributes: Vec::new(), ignored: Vec::new(), source, note })
}

/// Whether a guest's VMM was last started on this network.
fn started(around: &Around<'_>, guest: &str, network: &str) -> bool {
    started_link(around, guest, network).is_some()
}

/// How a guest's VMM was last plugged to this network.
fn started_link<'a>(around: &Around<'a>, guest: &str, network: &str) -> Option<&'a LinkSpec> {
    let record = around.observed.guests.get(guest).and_then(Reading::present).map(|guest| &guest.record);
    let started: Option<&VmSpec> = record.and_then(|record| record.applied.started.as_ref());
    started.and_then(|vm| vm.network.link.as_deref()).filter(|link| link.network == network)
}

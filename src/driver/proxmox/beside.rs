//! What belongs to a guest and is not in its configuration: its resource pool, its firewall, and what high availability
//! knows of it. Read where the fleet file, or the guest's mark, speaks of it; written one thing at a time.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tokio::sync::OnceCell;

use super::affinity::{Affinities, Between};
use super::answer::{list, scalar, text};
use super::api::{Api, Place};
use super::error::ApiError;
use super::exchange::{Call, Verb};
use crate::resource::cluster::beside::{self, OPTION_KEYS, RULE_KEYS, rule_path, rule_position};
use crate::resource::cluster::{ClusterGuestSpec, GuestKind, ObservedClusterGuest, Properties, Value};

/// What of a guest is asked for beside its configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    firewall: bool,
    high_availability: bool,
    affinity: bool,
    /// The number of a guest without a mark that is ours all the same: it is about to be taken over.
    pub(super) taken_over: Option<u32>,
}

impl Asked {
    /// A guest of this number without a mark, and nothing beside its configuration.
    pub(super) fn taking_over(vmid: u32) -> Self {
        Self { taken_over: Some(vmid), ..Self::default() }
    }

    /// Whether high availability keeps it on nodes.
    pub(super) const fn affinity(self) -> bool {
        self.affinity
    }

    /// What is declared of a guest.
    pub(super) fn of(spec: &ClusterGuestSpec) -> Self {
        Self { taken_over: spec.taken_over(), ..Self::by(&spec.values) }
    }

    /// What these values speak of.
    pub(super) fn by(values: &BTreeMap<String, Value>) -> Self {
        Self {
            firewall: values.keys().any(|path| path == "firewall" || rule_position(path).is_some()),
            high_availability: values.contains_key("ha"),
            affinity: values.get("ha").and_then(Value::as_properties).is_some_and(|ha| ha.get("nodes").is_some()),
            taken_over: None,
        }
    }

    /// What either asks for.
    pub(super) const fn or(self, other: Self) -> Self {
        Self {
            firewall: self.firewall || other.firewall,
            high_availability: self.high_availability || other.high_availability,
            affinity: self.affinity || other.affinity,
            taken_over: self.taken_over,
        }
    }
}

/// What is sent for one of these.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Into a pool, or out of the one that it is in.
    Pool { pool: String, leaves: bool },
    /// Known to high availability like this, or no longer: one request of those that it takes.
    HighAvailability(Call),
    /// Options of the firewall: these are set, those deleted.
    Options { set: Properties, delete: Vec<&'static str> },
    /// One more rule, before all others.
    AddRule(Properties),
    /// The rule at a position becomes this one.
    SetRule(usize, Properties),
    /// The rule at a position goes.
    DeleteRule(usize),
}

impl Change {
    /// In words, for people.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Pool { pool, leaves: false } => format!("joins the pool {pool}"),
            Self::Pool { pool, leaves: true } => format!("leaves the pool {pool}"),
            Self::HighAvailability(call) => format!("high availability: {call}"),
            Self::Options { .. } => "changes options of its firewall".into(),
            Self::AddRule(_) => "adds a firewall rule".into(),
            Self::SetRule(position, _) => format!("changes firewall rule {position}"),
            Self::DeleteRule(position) => format!("removes firewall rule {position}"),
        }
    }

    /// The request. Options and rules of the firewall are guarded, each by a digest of its own; one more rule needs none.
    pub(super) fn call(&self, place: &Place, seen: &ObservedClusterGuest) -> Call {
        let call = self.unguarded(place);
        let guarded_by = match self {
            Self::Options { .. } => "options",
            Self::SetRule(..) | Self::DeleteRule(_) => "rules",
            Self::Pool { .. } | Self::HighAvailability(_) | Self::AddRule(_) => return call,
        };
        match seen.digests.get(guarded_by) {
            Some(digest) => call.with("digest", digest),
            None => call,
        }
    }

    fn unguarded(&self, place: &Place) -> Call {
        let rules = place.path("/firewall/rules");
        match self {
            Self::Pool { pool, leaves } => {
                let call = Call::new(Verb::Put, "/pools").with("poolid", pool).with("vms", place.vmid.to_string());
                call.with(if *leaves { "delete" } else { "allow-move" }, "1")
            }
            Self::HighAvailability(call) => call.clone(),
            Self::Options { set, delete } => {
                let call = with_all(Call::new(Verb::Put, place.path("/firewall/options")), set);
                if delete.is_empty() { call } else { call.with("delete", delete.join(",")) }
            }
            Self::AddRule(rule) => with_all(Call::new(Verb::Post, rules), rule),
            Self::SetRule(position, rule) => {
                let gone = RULE_KEYS.iter().filter(|key| rule.get(key).is_none());
                let gone: Vec<&str> = gone.copied().filter(|key| *key != "enable").collect();
                let call = with_all(Call::new(Verb::Put, format!("{rules}/{position}")), rule);
                let call = if rule.get("enable").is_none() { call.with("enable", "0") } else { call };
                if gone.is_empty() { call } else { call.with("delete", gone.join(",")) }
            }
            Self::DeleteRule(position) => Call::new(Verb::Delete, format!("{rules}/{position}")),
        }
    }
}

/// A guest as high availability calls it.
pub(super) fn service(place: &Place) -> String {
    format!("{}:{}", if place.kind == GuestKind::Container { "ct" } else { "vm" }, place.vmid)
}

fn with_all(call: Call, all: &Properties) -> Call {
    all.iter().fold(call, |call, (key, value)| call.with(key, value))
}

/// What differs first, in this order: pool, rules, options of the firewall, high availability. Options that go, go before
/// the rules that they need.
pub(super) fn change(
    spec: &ClusterGuestSpec,
    (place, seen): (&Place, &ObservedClusterGuest),
    differs: &[String],
    affinities: Affinities,
) -> Option<Change> {
    let differs = |path: &str| differs.iter().any(|it| it == path);
    let properties =
        |values: &BTreeMap<String, Value>, path: &str| values.get(path).and_then(Value::as_properties).cloned();
    if differs("pool") {
        let wish = spec.values.get("pool").and_then(Value::as_text);
        let is = seen.values.get("pool").and_then(Value::as_text).unwrap_or_default();
        return Some(Change::Pool { pool: wish.unwrap_or(is).to_owned(), leaves: wish.is_none() });
    }
    let options = || {
        let set = properties(&spec.values, "firewall").unwrap_or_default();
        let is = properties(&seen.values, "firewall").unwrap_or_default();
        let gone = OPTION_KEYS.into_iter().filter(|key| is.get(key).is_some() && set.get(key).is_none());
        Change::Options { delete: gone.collect(), set }
    };
    if differs("firewall") && !spec.values.contains_key("firewall") {
        return Some(options());
    }
    if let Some(change) = next_rule(&rules(&seen.values), &rules(&spec.values)).filter(|_| asks_for_rules(spec, seen)) {
        return Some(change);
    }
    if differs("firewall") {
        return Some(options());
    }
    let (wish, is) = (properties(&spec.values, "ha"), properties(&seen.values, "ha"));
    let digest = seen.digests.get("affinity").map(String::as_str);
    let between = Between { place, power: seen.power, wish: wish.as_ref(), is: is.as_ref(), digest };
    differs("ha").then(|| affinities.next(&between).map(Change::HighAvailability)).flatten()
}

fn asks_for_rules(spec: &ClusterGuestSpec, seen: &ObservedClusterGuest) -> bool {
    spec.values.keys().chain(seen.mark.applied.keys()).any(|path| rule_position(path).is_some())
}

/// The rules in their order.
fn rules(values: &BTreeMap<String, Value>) -> Vec<Properties> {
    let rules = values.iter().filter_map(|(path, value)| Some((rule_position(path)?, value.as_properties()?.clone())));
    let rules: BTreeMap<usize, Properties> = rules.collect();
    rules.into_values().collect()
}

/// One step from the rules that are there to those that are wished. Proxmox puts a new rule before all others, so they
/// are made right from the last to the first: at no moment is there less than what stays.
fn next_rule(are: &[Properties], wished: &[Properties]) -> Option<Change> {
    let same = are.iter().rev().zip(wished.iter().rev()).take_while(|(is, wish)| is == wish).count();
    let (more, missing) = (are.len() - same, wished.len() - same);
    match (more.checked_sub(1), missing.checked_sub(1)) {
        (Some(position), Some(wish)) => Some(Change::SetRule(position, wished[wish].clone())),
        (None, Some(wish)) => Some(Change::AddRule(wished[wish].clone())),
        (Some(position), None) => Some(Change::DeleteRule(position)),
        (None, None) => None,
    }
}

/// All fields of an answer as text.
fn pairs(object: &Json) -> Vec<(String, String)> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter_map(|(key, value)| Some((key.clone(), scalar(value)?))).collect()
}

/// What was read of a guest beside its configuration.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// By path.
    pub(super) values: BTreeMap<String, Value>,
    /// Names the firewall's `options` and `rules`, and its `affinity`, as they were read.
    pub(super) digests: BTreeMap<String, String>,
}

/// The resources of high availability, and where they are kept: listed once for all guests that are looked at together.
#[derive(Debug, Default)]
pub(super) struct Services {
    resources: OnceCell<Json>,
    affinities: OnceCell<(Affinities, Json)>,
}

impl Services {
    async fn of(&self, api: &Api) -> Result<&[Json], ApiError> {
        Ok(list(self.resources.get_or_try_init(|| api.get("/cluster/ha/resources")).await?))
    }

    async fn affinities(&self, api: &Api) -> Result<(Affinities, &[Json]), ApiError> {
        let read = || async {
            let affinities = api.affinities().await?;
            Ok::<_, ApiError>((affinities, api.get(affinities.path()).await?))
        };
        let (affinities, all) = self.affinities.get_or_try_init(read).await?;
        Ok((*affinities, list(all)))
    }
}

impl Api {
    /// What is kept of a guest beside its configuration.
    ///
    /// # Errors
    /// A part that was asked for cannot be read.
    pub(super) async fn beside(&self, place: &Place, asked: Asked, services: &Services) -> Result<Beside, ApiError> {
        let (mut values, mut digests) = (BTreeMap::new(), BTreeMap::new());
        if asked.firewall {
            let options = self.get(&place.path("/firewall/options")).await?;
            digests.extend(text(&options, "digest").map(|digest| ("options".to_owned(), digest)));
            values.extend(beside::options(pairs(&options)).map(|options| ("firewall".to_owned(), options)));
            let rules = self.get(&place.path("/firewall/rules")).await?;
            // Each rule has the digest of all.
            let digest = list(&rules).first().and_then(|rule| text(rule, "digest"));
            digests.extend(digest.map(|digest| ("rules".to_owned(), digest)));
            let rules = list(&rules).iter().enumerate();
            values.extend(rules.map(|(position, rule)| (rule_path(position), beside::rule(pairs(rule)))));
        }
        if asked.high_availability {
            let service = service(place);
            let mut all = services.of(self).await?.iter();
            let ours = all.find(|item| text(item, "sid").as_deref() == Some(&service));
            let ours = ours.map(|item| beside::high_availability(pairs(item)));
            let mut ours = ours.and_then(|value| value.as_properties().cloned());
            if asked.affinity {
                let (affinities, all) = services.affinities(self).await?;
                let found = affinities.find(all, place);
                ours = affinities.merge(ours, found, place);
                let digest = found.map(|found| text(found, "digest").unwrap_or_default());
                digests.extend(digest.map(|digest| ("affinity".to_owned(), digest)));
            }
            values.extend(ours.map(|ours| ("ha".to_owned(), Value::Properties(ours))));
        }
        Ok(Beside { values, digests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(names: &str) -> Vec<Properties> {
        names.chars().map(|name| Properties::from([("comment", name.to_string().as_str())])).collect()
    }

    /// Does what a server does, until nothing differs.
    fn settled(are: &str, wish: &str) -> (usize, Vec<Properties>) {
        let (mut are, wish) = (rules(are), rules(wish));
        for count in 0..20 {
            match next_rule(&are, &wish) {
                None => return (count, are),
                Some(Change::AddRule(rule)) => are.insert(0, rule),
                Some(Change::SetRule(position, rule)) => are[position] = rule,
                Some(Change::DeleteRule(position)) => drop(are.remove(position)),
                Some(other) => panic!("{other:?}"),
            }
        }
        panic!("it does not settle");
    }

    #[test]
    fn rules_become_the_wished_ones_and_the_least_is_done() {
        for (are, wish, steps) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "xbc", 1),
            ("bc", "abc", 1),
            ("xabc", "abc", 1),
            ("ba", "ab", 2),
        ] {
            assert_eq!(settled(are, wish), (steps, rules(wish)), "{are} → {wish}");
        }
    }
}

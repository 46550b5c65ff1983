//! Which nodes high availability keeps a guest on: said by a group of its own up to Proxmox VE 8, and by a rule of its own from 9 on.
//!
//! ```text
//! 8  group ──named by──▶ resource        made before the resource names it, removed after it no longer does
//! 9  rule ──names──▶ resource            made after the resource is there, removed before it goes
//! ```
//! One request at a time; what is there is looked at again before the next.

use serde_json::Value as Json;

use super::answer::{flag, text};
use super::api::Place;
use super::beside::service;
use super::exchange::{Call, Verb};
use crate::resource::cluster::beside::{AFFINITY_KEYS, HA_KEYS, IDLE_KEYS, affinity_of};
use crate::resource::cluster::{Power, Properties, percent};

/// How a release says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinities {
    /// Up to 8: groups.
    Groups,
    /// From 9 on: rules.
    Rules,
}

/// What is wished, what is there, and where.
pub(super) struct Between<'a> {
    pub(super) place: &'a Place,
    pub(super) power: Power,
    pub(super) wish: Option<&'a Properties>,
    pub(super) is: Option<&'a Properties>,
    /// Names the group or rule as it was read; nothing when there is none.
    pub(super) digest: Option<&'a str>,
}

impl Affinities {
    /// That of a release, such as `9.2.11`.
    pub(super) fn of(version: &str) -> Self {
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < 9) { Self::Groups } else { Self::Rules }
    }

    /// Where all of them are listed.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Groups => "/cluster/ha/groups",
            Self::Rules => "/cluster/ha/rules",
        }
    }

    const fn id_key(self) -> &'static str {
        match self {
            Self::Groups => "group",
            Self::Rules => "rule",
        }
    }

    const fn strict_key(self) -> &'static str {
        match self {
            Self::Groups => "restricted",
            Self::Rules => "strict",
        }
    }

    /// The group or rule of a guest, in a list of all.
    pub(super) fn find<'a>(self, all: &'a [Json], place: &Place) -> Option<&'a Json> {
        all.iter().find(|item| text(item, self.id_key()).as_deref() == Some(name(place).as_str()))
    }

    /// Puts what a group or rule says into what high availability knows of a guest, which may be nothing.
    pub(super) fn merge(self, ha: Option<Properties>, found: Option<&Json>, place: &Place) -> Option<Properties> {
        let Some(found) = found else { return ha };
        let counts = match (self, &ha) {
            (_, None) => false,
            (Self::Groups, Some(ha)) => ha.get("group") == Some(name(place).as_str()),
            (Self::Rules, Some(_)) => {
                let resources = text(found, "resources").unwrap_or_default();
                let is_in = resources.split([',', ' ']).any(|sid| sid == service(place));
                is_in && !flag(found, "disable")
            }
        };
        let mut all = ha.unwrap_or_default();
        if counts {
            all.remove("group");
        }
        let [nodes, strict] = if counts { AFFINITY_KEYS } else { IDLE_KEYS };
        all.set(nodes, affinity_of(&text(found, "nodes").unwrap_or_default()));
        if flag(found, self.strict_key()) {
            all.set(strict, "1");
        }
        Some(all)
    }

    /// What is sent next; nothing when all is as it is wished.
    pub(super) fn next(self, it: &Between<'_>) -> Option<Call> {
        let wished = it.wish.filter(|wish| wish.get("nodes").is_some());
        let known = it.is.filter(|is| is.get("max_restart").is_some());
        let own = self.own(it, wished);
        let resource = self.resource(it, known, wished.is_some());
        match (self, wished) {
            // Made before, or removed before, anything of the resource.
            (Self::Groups, Some(_)) | (Self::Rules, None) => own.or(resource),
            (Self::Groups, None) | (Self::Rules, Some(_)) => resource.or(own),
        }
    }

    /// The group or rule itself.
    fn own(self, it: &Between<'_>, wished: Option<&Properties>) -> Option<Call> {
        let path = format!("{}/{}", self.path(), percent::encode(&name(it.place)));
        let Some(wish) = wished else { return it.digest.map(|_| Call::new(Verb::Delete, path)) };
        let counts = it.is.is_some_and(|is| is.get("nodes").is_some());
        let says = |keys: [&str; 2]| keys.map(|key| it.is.and_then(|is| is.get(key)).unwrap_or_default().to_owned());
        let is = says(if counts { AFFINITY_KEYS } else { IDLE_KEYS });
        let same = is == AFFINITY_KEYS.map(|key| wish.get(key).unwrap_or_default().to_owned());
        // A group counts as soon as the resource names it; a rule that says the right thing and does not count names another.
        if it.digest.is_some() && same && (counts || self == Self::Groups) {
            return None;
        }
        let call = match it.digest {
            None => Call::new(Verb::Post, self.path()).with(self.id_key(), name(it.place)),
            Some(digest) => {
                let call = Call::new(Verb::Put, path);
                if digest.is_empty() { call } else { call.with("digest", digest) }
            }
        };
        let nodes = wish.get("nodes").unwrap_or_default().replace(' ', ",");
        let call = call.with("nodes", nodes).with(self.strict_key(), wish.get("strict").unwrap_or("0"));
        Some(match self {
            Self::Groups => call,
            Self::Rules => {
                let call = call.with("type", "node-affinity").with("resources", service(it.place));
                if it.digest.is_some() { call.with("disable", "0") } else { call }
            }
        })
    }

    /// The resource of high availability.
    fn resource(self, it: &Between<'_>, known: Option<&Properties>, has_own: bool) -> Option<Call> {
        let sid = service(it.place);
        let path = format!("/cluster/ha/resources/{}", percent::encode(&sid));
        let Some(wish) = it.wish else { return known.map(|_| Call::new(Verb::Delete, path)) };
        let named = (self == Self::Groups && has_own).then(|| name(it.place));
        let wish = fields(wish, named);
        let named = known.filter(|is| self == Self::Groups && is.get("nodes").is_some()).map(|_| name(it.place));
        let Some(is) = known.map(|is| fields(is, named)) else {
            // Handing it over starts and stops nothing.
            let state = if it.power == Power::On { "started" } else { "stopped" };
            let call = Call::new(Verb::Post, "/cluster/ha/resources").with("sid", sid).with("state", state);
            return Some(wish.iter().fold(call, |call, (key, value)| call.with(key, value)));
        };
        if wish == is {
            return None;
        }
        let gone: Vec<&str> = is.iter().map(|(key, _)| key).filter(|key| wish.get(key).is_none()).collect();
        let call = wish.iter().fold(Call::new(Verb::Put, path), |call, (key, value)| call.with(key, value));
        Some(if gone.is_empty() { call } else { call.with("delete", gone.join(",")) })
    }
}

/// The fields of the resource itself.
fn fields(all: &Properties, group: Option<String>) -> Properties {
    let mut own = Properties::default();
    all.iter().filter(|(key, _)| HA_KEYS.contains(key)).for_each(|(key, value)| own.set(key, value));
    if let Some(group) = group {
        own.set("group", group);
    }
    own
}

/// What the group or rule of a guest is called: nobody else calls one so.
pub(super) fn name(place: &Place) -> String {
    format!("regatta-{}", service(place).replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::GuestKind;

    #[test]
    fn releases_say_it_differently() {
        use Affinities::{Groups, Rules};
        assert_eq!(["8.4.21", "9.2.11", "10.0", "?"].map(Affinities::of), [Groups, Rules, Rules, Rules]);
    }

    /// Each is one request, and each is in an order that the server takes.
    #[test]
    fn the_order_of_requests() {
        let place = Place { node: "pve1".into(), kind: GuestKind::Container, vmid: 101 };
        let kept = Properties::from([("max_restart", "1"), ("max_relocate", "1"), ("nodes", "pve1:2 pve2")]);
        let plain = Properties::from([("max_restart", "1"), ("max_relocate", "1")]);
        let idle = Properties::from([("idle-nodes", "pve1:2 pve2")]);
        let next = |how: Affinities, wish: Option<&Properties>, is: Option<&Properties>, digest| {
            let it = Between { place: &place, power: Power::On, wish, is, digest };
            how.next(&it).map(|call| format!("{call} {}", call.form()))
        };
        let (groups, rules) = (Affinities::Groups, Affinities::Rules);
        let said = |call: Option<String>| call.unwrap_or_default();
        let make_group = "POST /cluster/ha/groups group=regatta-ct-101&nodes=pve1%3A2%2Cpve2&restricted=0";
        assert_eq!(said(next(groups, Some(&kept), None, None)), make_group);
        assert_eq!(
            said(next(groups, Some(&kept), Some(&idle), Some(""))),
            "POST /cluster/ha/resources sid=ct%3A101&state=started&group=regatta-ct-101&max_relocate=1&max_restart=1"
        );
        assert_eq!(
            said(next(groups, Some(&plain), Some(&kept), Some("d"))),
            "PUT /cluster/ha/resources/ct:101 max_relocate=1&max_restart=1&delete=group"
        );
        assert_eq!(said(next(groups, None, Some(&idle), Some("d"))), "DELETE /cluster/ha/groups/regatta-ct-101 ");
        assert_eq!(
            said(next(rules, Some(&kept), None, None)),
            "POST /cluster/ha/resources sid=ct%3A101&state=started&max_relocate=1&max_restart=1"
        );
        assert_eq!(
            said(next(rules, Some(&kept), Some(&plain), None)),
            "POST /cluster/ha/rules rule=regatta-ct-101&nodes=pve1%3A2%2Cpve2&strict=0&type=node-affinity&resources=ct%3A101"
        );
        assert_eq!(said(next(rules, None, Some(&kept), Some("d"))), "DELETE /cluster/ha/rules/regatta-ct-101 ");
        for how in [groups, rules] {
            assert_eq!(next(how, Some(&kept), Some(&kept), Some("d")), None);
            assert_eq!(next(how, Some(&plain), Some(&plain), None), None);
            assert_eq!(next(how, None, None, None), None);
        }
    }
}

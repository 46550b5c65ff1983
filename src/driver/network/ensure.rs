//! Making a network as declared, and removing it. Every step looks first, so that doing it again does nothing, and doing
//! it after a death in the middle does the rest.
//!
//! ```text
//! bridge → mark (unfinished) → addresses → rules → up → cables → mark (finished)
//! table → cables → bridge
//! ```
//! The bridge carries the mark, so it comes first and goes last: nothing of ours is ever without an owner. Rules are in
//! force before the first guest can send anything.

use std::collections::BTreeSet;

use super::Networks;
use super::links::Link;
use super::observe;
use crate::driver::privilege::{self, Mark, RootCommand};
use crate::effect::process;
use crate::exec::{Failure, Progress};
use crate::resource::{BridgeSpec, LinkName, Reading, Tap};

impl Networks {
    /// Brings a network to what is declared.
    ///
    /// # Errors
    /// When the name is another's, the host is in the way, or a command fails; what was done stays, and is ours.
    pub async fn ensure(&self, spec: &BridgeSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let links = self.links().await?;
        self.must_be_ours(&spec.name, &spec.bridge, &links).await?;
        if let Some(obstacle) = self.host_obstacles(spec, &BTreeSet::new()).await?.into_iter().next() {
            return Err(Failure::permanent(obstacle.message).hint(obstacle.help));
        }
        let Some(guard) = &self.guard else { return self.make(spec, &links, progress).await };
        self.make_guarded(spec, &links, (guard, progress)).await
    }

    /// Makes a network without asking what of the host stands in the way.
    pub(super) async fn make(&self, spec: &BridgeSpec, links: &[Link], progress: &dyn Progress) -> Result<(), Failure> {
        progress.say("making the bridge");
        self.bridge(spec, find(links, &spec.bridge)).await?;
        progress.say("replacing its rules");
        self.root(privilege::replace_rules(spec)).await?;
        self.root(privilege::set_up(&spec.bridge)).await?;
        progress.say("plugging in its guests");
        for tap in spec.taps.values() {
            self.tap(spec, tap, find(links, &tap.link)).await?;
        }
        self.unplug(spec, links).await?;
        self.resolve(spec, progress).await?;
        let Some(listed) = self.listed(&spec.bridge).await? else {
            return Err(Failure::unknown("the rules that were just made are gone: something else removes them"));
        };
        let finished = Mark { applied: spec.digest(), rules: listed.digest, ..self.blank_mark(&spec.name) };
        self.root(privilege::mark(&spec.bridge, &finished)).await
    }

    /// Removes a network with everything that is plugged to it.
    ///
    /// # Errors
    /// When it is another's, or a command fails.
    pub async fn destroy(&self, network: &str, bridge: &LinkName, progress: &dyn Progress) -> Result<(), Failure> {
        let links = self.links().await?;
        self.must_be_ours(network, bridge, &links).await?;
        progress.say("removing the bridge");
        self.stop_resolving(bridge).await?;
        if self.listed(bridge).await?.is_some() {
            self.root(privilege::delete_table(bridge)).await?;
        }
        for tap in plugged(&links, bridge) {
            self.root(privilege::delete_link(&tap)).await?;
        }
        if find(&links, bridge).is_some() {
            self.root(privilege::delete_link(bridge)).await?;
        }
        self.guard.as_ref().map_or(Ok(()), |guard| guard.forget(network))
    }

    pub(super) async fn root(&self, command: Result<RootCommand, privilege::Refused>) -> Result<(), Failure> {
        self.privileged.run_ok(&command?).await.map(drop)
    }

    /// Nothing without our mark is touched, whatever it is called.
    pub(super) async fn must_be_ours(&self, network: &str, bridge: &LinkName, links: &[Link]) -> Result<(), Failure> {
        match self.network(network, bridge.clone(), (links, None)).await? {
            Reading::Present(found) => match found.foreign {
                Some(owner) => Err(Failure::permanent(format!("the interface `{bridge}` belongs to {owner}"))),
                None => Ok(()),
            },
            Reading::Absent => Ok(()),
            Reading::Unreadable(why) => Err(Failure::permanent(why)),
        }
    }

    async fn bridge(&self, spec: &BridgeSpec, found: Option<&Link>) -> Result<(), Failure> {
        let bridge = &spec.bridge;
        if found.is_none() {
            self.root(privilege::add_bridge(bridge)).await?;
        }
        if found.and_then(observe::mark).is_none() {
            self.root(privilege::mark(bridge, &self.blank_mark(&spec.name))).await?;
        }
        let (there, wanted) = (found.map(Link::addresses).unwrap_or_default(), spec.addresses());
        for address in there.difference(&wanted) {
            self.root(privilege::delete_address(bridge, address)).await?;
        }
        for address in wanted.difference(&there) {
            self.root(privilege::add_address(bridge, address)).await?;
        }
        Ok(())
    }

    async fn tap(&self, spec: &BridgeSpec, tap: &Tap, found: Option<&Link>) -> Result<(), Failure> {
        let Tap { link: tap, owner, .. } = tap;
        if found.is_none() {
            let user = match owner {
                Some(jailed) => process::account(Some(jailed)).map_err(Failure::permanent)?.id,
                None => process::user_id(),
            };
            self.root(privilege::add_tap(tap, user)).await?;
        }
        if found.and_then(|link| link.master.as_deref()) != Some(spec.bridge.as_str()) {
            self.root(privilege::plug(tap, &spec.bridge)).await?;
        }
        // What was plugged in just now is not isolated.
        if found.is_some_and(Link::is_isolated) != spec.isolate {
            self.root(privilege::isolate(tap, if spec.isolate { "on" } else { "off" })).await?;
        }
        match found.is_some_and(Link::is_up) {
            true => Ok(()),
            false => self.root(privilege::set_up(tap)).await,
        }
    }

    /// Takes cables away that no declared guest has; one that is in use stays until its guest is gone.
    async fn unplug(&self, spec: &BridgeSpec, links: &[Link]) -> Result<(), Failure> {
        for tap in plugged(links, &spec.bridge) {
            let wanted = spec.taps.values().any(|wanted| wanted.link == tap);
            if !wanted && !find(links, &tap).is_some_and(Link::is_in_use) {
                self.root(privilege::delete_link(&tap)).await?;
            }
        }
        Ok(())
    }

    /// Cables of ours that no declared guest has, for the rules of sudo.
    ///
    /// # Errors
    /// When the host's interfaces cannot be read.
    pub async fn left(&self, spec: &BridgeSpec) -> Result<Vec<LinkName>, Failure> {
        let links = self.links().await?;
        let wanted = |tap: &LinkName| spec.taps.values().any(|wanted| wanted.link == *tap);
        Ok(plugged(&links, &spec.bridge).into_iter().filter(|tap| !wanted(tap)).collect())
    }
}

pub(super) fn find<'a>(links: &'a [Link], name: &LinkName) -> Option<&'a Link> {
    links.iter().find(|link| link.ifname == name.as_str())
}

/// Interfaces of ours that are plugged to a bridge.
pub(super) fn plugged(links: &[Link], bridge: &LinkName) -> Vec<LinkName> {
    let plugged = links.iter().filter(|link| link.master.as_deref() == Some(bridge.as_str()));
    plugged.filter_map(|link| LinkName::try_from(link.ifname.clone()).ok()).collect()
}

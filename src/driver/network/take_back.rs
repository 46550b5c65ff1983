//! Making a network while somebody may be cut off by it, and taking it back.

use std::collections::BTreeSet;

use super::Networks;
use super::ensure::{find, plugged};
use super::guard::{Armed, AsDeclared, Before, Guard};
use super::links::Link;
use super::observe;
use crate::driver::privilege::{self, UNFINISHED};
use crate::exec::{Failure, Progress};
use crate::resource::BridgeSpec;

impl Networks {
    /// Makes a network with its revert armed, and confirms it when all ways into this host are as before.
    pub(super) async fn make_guarded(
        &self,
        spec: &BridgeSpec,
        links: &[Link],
        (guard, progress): (&Guard, &dyn Progress),
    ) -> Result<(), Failure> {
        let ways = self.ways().await?;
        let armed = guard.arm(spec, before(guard, spec, links)).await?;
        let made = self.make(spec, links, progress).await;
        progress.say("looking whether this host is reached as before");
        let lost = match self.lost(&ways).await {
            Ok(lost) => lost,
            Err(why) => {
                vec![format!("it cannot be told whether this host is still reached: {}", why.causes.join(": "))]
            }
        };
        if lost.is_empty() {
            let as_declared = if made.is_ok() { AsDeclared::Whole } else { AsDeclared::Partly };
            guard.confirm(&armed, as_declared).await?;
            return made;
        }
        progress.say("taking it back");
        // Should this fail, it stays armed, and the other process goes on trying.
        self.take_back(&armed, progress).await?;
        guard.disarm(&armed).await?;
        let failure = Failure::permanent("it was taken back, because it would cut off whoever works on this host");
        let hint = "give the network a subnet that no way into this host leads through (`ip route get ADDRESS`)";
        Err(Failure { causes: failure.causes.into_iter().chain(lost).collect(), ..failure }.hint(hint))
    }

    /// Has a network be as it was before a change. What can be taken back is, also when not all of it can.
    pub(super) async fn take_back(&self, armed: &Armed, progress: &dyn Progress) -> Result<(), Failure> {
        let links = self.links().await?;
        let Armed { network, before, .. } = armed;
        self.must_be_ours(&network.name, &network.bridge, &links).await?;
        match before {
            Before::Absent => self.unmake(network, &links).await,
            // Rules of sudo that were printed for what is declared now may not let us make what was declared before.
            Before::As(spec) => match self.make(spec, &links, progress).await {
                Ok(()) => Ok(()),
                Err(_) => self.disconnect(network, &links).await,
            },
            Before::Unknown => self.disconnect(network, &links).await,
        }
    }

    /// Removes what was not there; cables that guests hold stay.
    async fn unmake(&self, network: &BridgeSpec, links: &[Link]) -> Result<(), Failure> {
        self.stop_resolving(&network.bridge).await?;
        if self.listed(&network.bridge).await?.is_some() {
            self.root(privilege::delete_table(&network.bridge)).await?;
        }
        // Those that are plugged in, and those that were not yet.
        let taps = plugged(links, &network.bridge).into_iter().chain(network.taps.values().map(|tap| tap.link.clone()));
        for tap in taps.collect::<BTreeSet<_>>() {
            if find(links, &tap).is_some_and(|found| !found.is_in_use()) {
                self.root(privilege::delete_link(&tap)).await?;
            }
        }
        match find(links, &network.bridge) {
            Some(_) => self.root(privilege::delete_link(&network.bridge)).await,
            None => Ok(()),
        }
    }

    /// Takes away what reaches beyond our own interfaces: addresses, and the rules of the host.
    async fn disconnect(&self, network: &BridgeSpec, links: &[Link]) -> Result<(), Failure> {
        self.stop_resolving(&network.bridge).await?;
        let there = find(links, &network.bridge).map(Link::addresses).unwrap_or_default();
        for address in there.intersection(&network.addresses()) {
            self.root(privilege::delete_address(&network.bridge, address)).await?;
        }
        match self.listed(&network.bridge).await? {
            Some(_) => self.root(privilege::delete_table(&network.bridge)).await,
            None => Ok(()),
        }
    }
}

/// What a network is before it is changed.
fn before(guard: &Guard, spec: &BridgeSpec, links: &[Link]) -> Before {
    let Some(mark) = find(links, &spec.bridge).and_then(observe::mark) else { return Before::Absent };
    if mark.applied == UNFINISHED {
        return Before::Absent;
    }
    match guard.confirmed(&spec.name).filter(|confirmed| confirmed.digest() == mark.applied) {
        Some(confirmed) => Before::As(Box::new(confirmed)),
        None => Before::Unknown,
    }
}

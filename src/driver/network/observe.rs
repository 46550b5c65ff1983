//! Seeing networks as they are. Interfaces and addresses need no privileges; rules do.

use std::collections::{BTreeMap, BTreeSet};

use super::Networks;
use super::links::{self, Link};
use super::rules::{self, Listed};
use crate::driver::privilege::{self, Mark, UNFINISHED};
use crate::effect::{Command, paths};
use crate::exec::Failure;
use crate::resource::{
    Address, BridgeSpec, Desired, LinkName, Observed, ObservedNetwork, ObservedRules, Reading, Resource,
};

impl Networks {
    /// Adds the networks that are declared or carry our mark, and what stands in their way.
    ///
    /// # Errors
    /// When the host's interfaces cannot be read although there are networks; one that cannot be read is part of the
    /// answer.
    pub async fn observe(&self, desired: &Desired, observed: &mut Observed) -> Result<(), Failure> {
        let declared = declared(desired);
        // Most fleets have no bridges, and most hosts then none of ours: nothing is run for them.
        if declared.is_empty() && !has_links_of_ours()? {
            return Ok(());
        }
        let links = self.links().await?;
        let mut wanted: BTreeMap<String, LinkName> =
            declared.iter().map(|(name, spec)| ((*name).to_owned(), spec.bridge.clone())).collect();
        for link in links.iter().filter(|link| link.is_bridge()) {
            let Some(mark) = mark(link).filter(|mark| self.is_ours(mark)) else { continue };
            if let Ok(bridge) = LinkName::try_from(link.ifname.clone()) {
                wanted.entry(mark.network).or_insert(bridge);
            }
        }
        // A network that is called otherwise now has the addresses of the one that goes: the plan has it go first.
        let leaving: BTreeSet<&str> = wanted
            .iter()
            .filter(|(name, _)| !declared.contains_key(name.as_str()))
            .map(|(_, bridge)| bridge.as_str())
            .collect();
        for (name, spec) in &declared {
            observed.obstacles.insert(Address::network(name), self.obstacles(spec, &leaving).await?);
        }
        for (name, bridge) in wanted {
            let spec = declared.get(name.as_str()).copied();
            let reading = self.network(&name, bridge, (&links, spec)).await?;
            observed.networks.insert(name, reading);
        }
        Ok(())
    }

    /// All interfaces.
    pub(super) async fn links(&self) -> Result<Vec<Link>, Failure> {
        let output = self.run.run_ok(&Command::new("ip").args(["-json", "-details", "address", "show"])).await?;
        links::parse(&output.stdout).map_err(Failure::permanent)
    }

    /// One network.
    pub(super) async fn network(
        &self,
        name: &str,
        bridge: LinkName,
        (links, declared): (&[Link], Option<&BridgeSpec>),
    ) -> Result<Reading<ObservedNetwork>, Failure> {
        let Some(link) = links.iter().find(|link| link.ifname == bridge.as_str()) else { return Ok(Reading::Absent) };
        let mark = mark(link);
        let foreign = self.owner(name, link, mark.as_ref());
        let taps = links
            .iter()
            .filter(|tap| tap.master.as_deref() == Some(bridge.as_str()) && tap.is_up())
            .filter_map(|tap| Some((LinkName::try_from(tap.ifname.clone()).ok()?, tap.is_isolated())))
            .collect();
        let rules = match &foreign {
            Some(_) => Reading::Absent,
            None => self.rules(&bridge, mark.as_ref()).await,
        };
        let applied = mark.map(|mark| mark.applied).filter(|applied| applied != UNFINISHED);
        let (up, addresses) = (link.is_up(), link.addresses());
        let resolving = self.resolving(&bridge, declared);
        Ok(Reading::Present(ObservedNetwork { bridge, foreign, applied, up, addresses, taps, resolving, rules }))
    }

    /// Whom an interface with the name of our bridge belongs to, when not to us. One without a mark is ours: nothing else
    /// is called so, and we may have died between making and marking it.
    fn owner(&self, network: &str, link: &Link, mark: Option<&Mark>) -> Option<String> {
        match (mark, &link.ifalias) {
            (Some(mark), _) if self.is_ours(mark) && mark.network == network => None,
            (Some(mark), _) => {
                Some(format!("network `{}` of another fleet file's fleet `{}`", mark.network, mark.fleet))
            }
            (None, Some(alias)) if !alias.is_empty() => Some(format!("`{}`", alias.escape_debug())),
            (None, _) if link.is_bridge() => None,
            (None, _) => Some("nobody, and is no bridge".into()),
        }
    }

    async fn rules(&self, bridge: &LinkName, mark: Option<&Mark>) -> Reading<ObservedRules> {
        match self.listed(bridge).await {
            Ok(None) => Reading::Absent,
            Ok(Some(Listed { digest, nat, forwards })) => {
                let as_applied = mark.is_some_and(|mark| mark.rules == digest);
                Reading::Present(ObservedRules { as_applied, nat, forwards })
            }
            Err(failure) => Reading::Unreadable(failure.causes.join(": ")),
        }
    }

    /// The rules of a bridge; `None` when it has none.
    pub(super) async fn listed(&self, bridge: &LinkName) -> Result<Option<Listed>, Failure> {
        let output = self.privileged.run(&privilege::list_rules(bridge)?).await?;
        if output.success() {
            return rules::listed(&output.stdout).map(Some).map_err(Failure::permanent);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No such file or directory") {
            return Ok(None);
        }
        let said: String = said.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
        Err(Failure::permanent(format!("nft cannot list our rules: {said}")))
    }
}

/// The mark on an interface.
pub(super) fn mark(link: &Link) -> Option<Mark> {
    link.ifalias.as_deref()?.parse().ok()
}

fn declared(desired: &Desired) -> BTreeMap<&str, &BridgeSpec> {
    let networks = desired.resources.values().filter_map(|declared| match &declared.resource {
        Resource::Network(spec) => Some((spec.name.as_str(), spec)),
        _ => None,
    });
    networks.collect()
}

/// Whether the host has an interface with a name of ours.
fn has_links_of_ours() -> Result<bool, Failure> {
    let names = paths::names_in("/sys/class/net".into())?;
    Ok(names.into_iter().any(|name| LinkName::try_from(name).is_ok()))
}

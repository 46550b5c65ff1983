//! Whether this machine can do what a fleet asks of it. Looks only: nothing is written, installed or started.

mod machine;
mod network;
mod preflight;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use preflight::preflight;

use super::network::Networks;
use super::{StateDir, Store, microvm};
use crate::config::{Chosen, Machine};
use crate::effect::Run;
use crate::resource::{BridgeSpec, ContentKey, Desired, Finding, Obstacle, Pin, Resource};

/// What is looked at.
pub struct Doctor {
    run: Arc<dyn Run>,
    state: StateDir,
    networks: Arc<Networks>,
}

impl Doctor {
    /// A doctor for one fleet on this machine; `networks` are its own.
    pub fn new(networks: Arc<Networks>, state: StateDir, run: Arc<dyn Run>) -> Self {
        Self { run, state, networks }
    }

    /// Looks at everything that the fleet needs, and at what every fleet needs.
    pub async fn examine(&self, desired: &Desired) -> Vec<Finding> {
        let bridges: Vec<&BridgeSpec> = desired
            .resources
            .values()
            .filter_map(|declared| match &declared.resource {
                Resource::Network(spec) => Some(spec),
                _ => None,
            })
            .collect();
        let mut findings = self.tools(!bridges.is_empty()).await;
        if needs_firecracker(desired) {
            findings.push(self.firecracker().await);
        }
        findings.extend(jail_users(desired).into_iter().map(|user| self.jail(user)));
        findings.extend(machine::accelerator(&self.state));
        findings.push(machine::namespaces(&*self.run).await);
        findings.extend(machine::copies(&*self.run, &self.state).await);
        findings.extend(machine::state(&self.state));
        findings.extend(self.images(desired));
        if !bridges.is_empty() {
            findings.push(network::tun());
            findings.extend(self.bridges(&bridges).await);
        }
        findings
    }

    async fn firecracker(&self) -> Finding {
        match microvm::firecracker_obstacle(&*self.run).await {
            None => Finding::pass("firecracker", "installed"),
            Some(Obstacle { message, help }) => Finding::fail("firecracker", message, help),
        }
    }

    /// Whether guests can be put into jails of a user.
    fn jail(&self, user: &str) -> Finding {
        match microvm::jail_obstacle(user, self.state.root()) {
            None => Finding::pass("jailer", format!("installed, and there is a user `{user}`")),
            Some(Obstacle { message, help }) => Finding::fail("jailer", message, help),
        }
    }

    /// Whether images and kernels have to be built first.
    fn images(&self, desired: &Desired) -> Vec<Finding> {
        let built = Store::new(self.state.store()).built();
        // What the source of an image stands for is for a plan to find out, and so is what is made of it.
        let resources = || desired.resources.values().map(|declared| &declared.resource);
        let unknown: BTreeSet<&ContentKey> = resources()
            .filter_map(|resource| match resource {
                Resource::Image(image) if image.source.digest().is_some_and(Pin::is_unknown) => Some(&image.key),
                _ => None,
            })
            .collect();
        let key = |resource: &Resource| match resource {
            Resource::Image(image) => Some((image.key.clone(), unknown.contains(&image.key))),
            Resource::Kernel(kernel) => {
                Some((kernel.key.clone(), kernel.image.as_ref().is_some_and(|image| unknown.contains(image))))
            }
            _ => None,
        };
        let keyed =
            desired.resources.iter().filter_map(|(address, it)| Some((address.to_string(), key(&it.resource)?)));
        keyed
            .map(|(address, (key, unknown))| match &built {
                Ok(_) if unknown => Finding::pass(address, "`regatta plan` tells whether it is built"),
                Ok(built) if built.contains_key(&key) => Finding::pass(address, format!("built: {key}")),
                Ok(_) => Finding::pass(address, "not built yet: the first apply builds it"),
                Err(why) => Finding::fail(address, why.to_string(), "look at the state directory's permissions"),
            })
            .collect()
    }
}

/// Which VMM runs the guests that name no machine, and why: a finding for each reason.
pub fn machines(chosen: &BTreeMap<String, Chosen>) -> Vec<Finding> {
    let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for (guest, Chosen { machine, why, .. }) in chosen {
        reasons.entry((machine.vmm(), why)).or_default().push(format!("`{guest}`"));
    }
    let finding =
        |((vmm, why), guests): (_, Vec<_>)| Finding::pass("vmm", format!("{vmm} for {}: {why}", guests.join(", ")));
    reasons.into_iter().map(finding).collect()
}

/// The users of all jails that are declared.
fn jail_users(desired: &Desired) -> BTreeSet<&str> {
    let users = desired.resources.values().filter_map(|declared| match &declared.resource {
        Resource::Vm(vm) => vm.jailer.as_deref(),
        _ => None,
    });
    users.collect()
}

fn needs_firecracker(desired: &Desired) -> bool {
    // A jailed one is another program's.
    let on_firecracker = |resource: &Resource| matches!(resource, Resource::Vm(vm) if vm.machine == Machine::Firecracker && vm.jailer.is_none());
    desired.resources.values().any(|declared| on_firecracker(&declared.resource))
}

//! Networks: how a guest is connected, and the bridges that guests are plugged to.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::Lowering;
use crate::config::{Bridge, NetworkMode, Vm};
use crate::resource::{Address, BridgeSpec, LinkName, LinkSpec, NetworkSpec, PortForward, Resource, Tap};

impl Lowering<'_> {
    /// How a guest is connected.
    pub(super) fn network(&self, vm: &Vm) -> NetworkSpec {
        let mut forwards: Vec<_> = vm.forwards.iter().map(|forward| forward.value).collect();
        forwards.sort_unstable();
        match self.link(vm) {
            // The network forwards.
            Some(link) => NetworkSpec { mode: NetworkMode::Bridge, forwards: Vec::new(), link: Some(link.into()) },
            None => NetworkSpec { mode: NetworkMode::User, forwards, link: None },
        }
    }

    fn link(&self, vm: &Vm) -> Option<LinkSpec> {
        let attachment = vm.attachment.as_ref()?;
        let network = self.fleet.networks.get(&vm.network.as_ref()?.value)?;
        let bridge = network.bridge.as_ref()?;
        let subnet6 = bridge.subnet6.as_ref().map(|subnet| subnet.value);
        Some(LinkSpec {
            network: network.name.clone(),
            tap: self.tap(&network.name, vm),
            mac: attachment.mac,
            address: attachment.address,
            subnet: bridge.subnet.value,
            ipv6: attachment.address6.zip(subnet6),
            nameservers: nameservers(bridge),
        })
    }

    fn tap(&self, network: &str, vm: &Vm) -> LinkName {
        let fleet = &self.desired.fleet;
        match &vm.jailer {
            Some(jailer) => LinkName::jailed_tap(fleet, network, &vm.name, &jailer.value),
            None => LinkName::tap(fleet, network, &vm.name),
        }
    }

    /// Plugs a guest to its bridge, which is declared with the first guest that uses it.
    pub(super) fn bridge(&mut self, vm: &Vm) -> Option<Address> {
        let attachment = vm.attachment?;
        let network = self.fleet.networks.get(&vm.network.as_ref()?.value)?;
        let bridge = network.bridge.as_ref()?;
        let address = Address::network(&network.name);
        if !self.desired.resources.contains_key(&address) {
            let spec = BridgeSpec {
                name: network.name.clone(),
                bridge: LinkName::bridge(&self.desired.fleet, &network.name),
                subnet: bridge.subnet.value,
                subnet6: bridge.subnet6.as_ref().map(|subnet| subnet.value),
                nat: bridge.nat.value,
                isolate: bridge.isolate.value,
                dhcp: bridge.dhcp.value,
                dns: bridge.dns.value,
                taps: BTreeMap::new(),
                forwards: BTreeSet::new(),
            };
            self.declare(address.clone(), Resource::Network(spec), network.span, BTreeSet::new());
        }
        let tap = self.tap(&network.name, vm);
        let declared = self.desired.resources.get_mut(&address)?;
        if let Resource::Network(spec) = &mut declared.resource {
            let link = tap;
            let (address, address6) = (attachment.address, attachment.address6);
            let mac = spec.dhcp.then_some(attachment.mac);
            let owner = vm.jailer.as_ref().map(|jailer| jailer.value.clone());
            spec.taps.insert(vm.name.clone(), Tap { link, address, address6, mac, owner });
            let forwards = vm.forwards.iter().map(|forward| forward.value);
            let forwards =
                forwards.map(|ports| PortForward { host: ports.host, address, address6, guest: ports.guest });
            spec.forwards.extend(forwards);
        }
        Some(address)
    }
}

/// The servers that are declared; the host where it answers and none is.
fn nameservers(bridge: &Bridge) -> Vec<IpAddr> {
    let declared: Vec<IpAddr> = bridge.nameservers.iter().map(|server| server.value).collect();
    if declared.is_empty() && bridge.dns.value { vec![bridge.subnet.value.gateway().into()] } else { declared }
}

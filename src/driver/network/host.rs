//! What of the host a network could get into conflict with. This is what stands between us and cutting the operator off:
//! our own addresses and forwarded ports are the only things of ours that reach beyond our own interfaces.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;

use super::Networks;
use crate::driver::tools::{self, DNSMASQ, PKILL};
use crate::effect::Command;
use crate::exec::Failure;
use crate::resource::{BridgeSpec, Obstacle};

/// One route as `ip -json route show` prints it.
#[derive(Debug, Deserialize)]
struct Route {
    #[serde(default)]
    dst: String,
    #[serde(default)]
    dev: String,
}

impl Networks {
    /// Everything that stands in the way of a network, but for bridges that leave before it is made.
    pub(super) async fn obstacles(
        &self,
        spec: &BridgeSpec,
        leaving: &BTreeSet<&str>,
    ) -> Result<Vec<Obstacle>, Failure> {
        let mut found = self.host_obstacles(spec, leaving).await?;
        found.extend(self.sudo_obstacle(spec).await?);
        Ok(found)
    }

    /// What of the host stands in the way, privileges left out. `leaving` names bridges whose routes do not count.
    pub(in crate::driver) async fn host_obstacles(
        &self,
        spec: &BridgeSpec,
        leaving: &BTreeSet<&str>,
    ) -> Result<Vec<Obstacle>, Failure> {
        let mut found = Vec::new();
        for family in ["-4", "-6"] {
            let command = Command::new("ip").args([family, "-json", "route", "show"]);
            let output = self.run.run_ok(&command).await?;
            let text = if output.stdout.is_empty() { b"[]".to_vec() } else { output.stdout };
            let routes: Vec<Route> = serde_json::from_slice(&text)
                .map_err(|error| Failure::permanent(format!("the routes that `ip` printed cannot be read: {error}")))?;
            let staying = routes.iter().filter(|route| !leaving.contains(route.dev.as_str()));
            found.extend(staying.filter_map(|route| overlap(spec, route)));
        }
        if !spec.forwards.is_empty() {
            let busy = listening_ports();
            let taken = spec.forwards.iter().map(|forward| forward.host).filter(|port| busy.contains(port));
            found.extend(taken.map(|port| Obstacle {
                message: format!("port {port} of this host is in use: forwarding it would cut off what listens there"),
                help: "forward another port, or stop what listens on this one (`ss -ltn` lists it)".into(),
            }));
        }
        found.extend(forwarding(spec));
        if (spec.dns || spec.dhcp)
            && let Err(missing) = tools::require(&*self.run, &[DNSMASQ, PKILL]).await
        {
            let help = missing.hint.unwrap_or_else(|| "remove `dns` and `dhcp`".into());
            found.push(Obstacle { message: missing.causes.join(": "), help });
        }
        Ok(found)
    }
}

/// A route to addresses that the network would take over.
fn overlap(spec: &BridgeSpec, route: &Route) -> Option<Obstacle> {
    let (address, prefix) = route.dst.split_once('/').unwrap_or((&route.dst, ""));
    let address: IpAddr = address.parse().ok()?;
    let prefix = prefix.parse().ok();
    let clashes = match (address, spec.subnet6) {
        (IpAddr::V4(address), _) => {
            let bits = prefix.unwrap_or(32).min(spec.subnet.prefix());
            share(u32::from(address).into(), u32::from(spec.subnet.gateway()).into(), 32 - u32::from(bits))
        }
        (IpAddr::V6(address), Some(subnet)) => {
            let bits = prefix.unwrap_or(128).min(crate::config::Subnet6::PREFIX);
            share(address.into(), subnet.gateway().into(), 128 - u32::from(bits))
        }
        (IpAddr::V6(_), None) => false,
    };
    (clashes && route.dev != spec.bridge.as_str()).then(|| Obstacle {
        message: format!("this host reaches {} through `{}`, which the network would take over", route.dst, route.dev),
        help: "give the network a subnet that nothing else uses (`ip route` lists what is used)".into(),
    })
}

/// Whether two addresses are the same but for their last bits.
const fn share(one: u128, other: u128, last: u32) -> bool {
    last >= 128 || one >> last == other >> last
}

/// Ports that something listens on, but for what only the host itself reaches (proc(5), `/proc/net/tcp`).
fn listening_ports() -> BTreeSet<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(listening).collect()
}

/// The port of a line about a listening socket. Addresses are hexadecimal, byte order of the machine.
fn listening(line: &str) -> Option<u16> {
    const LISTEN: &str = "0A";
    const LOOPBACK6: &str = "00000000000000000000000001000000";
    let fields: Vec<&str> = line.split_whitespace().take(4).collect();
    let [_, local, _, LISTEN] = fields[..] else { return None };
    let (address, port) = local.split_once(':')?;
    let loopback = address == LOOPBACK6 || address.len() == 8 && address.ends_with("7F");
    u16::from_str_radix(port, 16).ok().filter(|_| !loopback)
}

/// The host's switches for forwarding. They are not ours: other firewalls rely on them.
fn forwarding(spec: &BridgeSpec) -> Vec<Obstacle> {
    if !spec.nat && spec.forwards.is_empty() {
        return Vec::new();
    }
    let switches = [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward", true),
        ("net.ipv6.conf.all.forwarding", "/proc/sys/net/ipv6/conf/all/forwarding", spec.subnet6.is_some()),
    ];
    let off = |path: &str| fs::read_to_string(path).is_ok_and(|value| value.trim() == "0");
    let wanted = switches.iter().filter(|(_, path, wanted)| *wanted && off(path));
    wanted
        .map(|(name, _, _)| Obstacle {
            message: format!("this host does not forward packets: `{name}` is 0"),
            help: format!("as root: `sysctl -w {name}=1`, and put `{name} = 1` into a file of /etc/sysctl.d"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::resource::LinkName;

    #[test]
    fn a_route_of_somebody_elses_to_our_addresses_is_an_obstacle() {
        let spec = BridgeSpec {
            name: "lan".into(),
            bridge: LinkName::bridge("shop", "lan"),
            subnet: "172.31.7.0/24".parse().unwrap(),
            subnet6: "fd12::/64".parse().ok(),
            nat: true,
            isolate: false,
            dhcp: false,
            dns: false,
            taps: BTreeMap::new(),
            forwards: BTreeSet::new(),
        };
        let clashes = |dst: &str, dev: &str| overlap(&spec, &Route { dst: dst.into(), dev: dev.into() }).is_some();
        for dst in ["172.31.7.0/24", "172.31.0.0/16", "172.31.7.9", "172.31.7.128/25", "fd12::/64", "fd00::/8"] {
            assert!(clashes(dst, "eth0"), "{dst}");
            assert!(!clashes(dst, spec.bridge.as_str()), "{dst}");
        }
        for dst in ["default", "172.31.8.0/24", "10.0.0.0/8", "fd13::/64", "unreachable"] {
            assert!(!clashes(dst, "eth0"), "{dst}");
        }
    }

    #[test]
    fn only_sockets_that_others_reach_are_in_the_way() {
        let line =
            |address: &str, state: &str| format!("   0: {address} 00000000:0000 {state} 00000000:00000000 00:0 0 0");
        assert_eq!(listening(&line("00000000:0016", "0A")), Some(22));
        assert_eq!(listening(&line("00000000:0016", "01")), None);
        assert_eq!(listening(&line("0100007F:0016", "0A")), None);
        assert_eq!(listening(&line("00000000000000000000000001000000:0016", "0A")), None);
        assert_eq!(listening(&line("00000000000000000000000000000000:1F90", "0A")), Some(8080));
        assert_eq!(listening("  sl  local_address rem_address   st"), None);
    }
}

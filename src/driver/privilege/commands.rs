//! The root commands by what they do, and all of them that one network may need.

use core::net::IpAddr;

use uuid::Uuid;

use super::catalogue::{Program, Refused, RootCommand, admit, jailed_program};
use super::slot::{Mark, UNFINISHED};
use crate::config::{Mac, Subnet6};
use crate::driver::network::{resolver, rules};
use crate::effect::process::Account;
use crate::resource::{BridgeSpec, LinkName};

/// Below it the jailer makes its jails: its own default.
pub(in crate::driver) const JAILS: &str = "/srv/jailer";

/// Where a jailed Firecracker listens, as it sees it.
pub(in crate::driver) const JAILED_SOCKET: &str = "/run/api.sock";

type Admitted = Result<RootCommand, Refused>;

fn ip(arguments: &[&str]) -> Admitted {
    admit(Program::Ip.name(), arguments)
}

fn nft(arguments: &[&str]) -> Admitted {
    admit(Program::Nft.name(), arguments)
}

/// Makes a bridge. Its MAC address follows from its name: without one, Linux takes the lowest of what is plugged in, and
/// guests would have to find their gateway again with every cable.
pub(in crate::driver) fn add_bridge(bridge: &LinkName) -> Admitted {
    let digits = bridge.as_str().trim_start_matches("rgt");
    let mac = Mac::local(u64::from_str_radix(digits, 16).unwrap_or_default()).to_string();
    ip(&["link", "add", "name", bridge.as_str(), "address", &mac, "type", "bridge"])
}

/// Puts a mark on a bridge.
pub(in crate::driver) fn mark(bridge: &LinkName, mark: &Mark) -> Admitted {
    ip(&["link", "set", "dev", bridge.as_str(), "alias", &mark.to_string()])
}

/// Gives a bridge an address, with the length of its prefix.
pub(in crate::driver) fn add_address(bridge: &LinkName, address: &str) -> Admitted {
    let arguments = ["address", "add", address, "dev", bridge.as_str(), "nodad"];
    let is_ipv6 = address.split('/').next().is_some_and(|it| matches!(it.parse(), Ok(IpAddr::V6(_))));
    ip(if is_ipv6 { &arguments } else { &arguments[..5] })
}

/// Takes an address off a bridge.
pub(in crate::driver) fn delete_address(bridge: &LinkName, address: &str) -> Admitted {
    ip(&["address", "delete", address, "dev", bridge.as_str()])
}

/// Switches an interface on.
pub(in crate::driver) fn set_up(link: &LinkName) -> Admitted {
    ip(&["link", "set", "dev", link.as_str(), "up"])
}

/// Makes a tap that a user may open.
pub(in crate::driver) fn add_tap(tap: &LinkName, user: u32) -> Admitted {
    ip(&["tuntap", "add", "dev", tap.as_str(), "mode", "tap", "user", &user.to_string()])
}

/// Plugs a tap to a bridge.
pub(in crate::driver) fn plug(tap: &LinkName, bridge: &LinkName) -> Admitted {
    ip(&["link", "set", "dev", tap.as_str(), "master", bridge.as_str()])
}

/// Whether a tap is kept from the others: `on` or `off`.
pub(in crate::driver) fn isolate(tap: &LinkName, switch: &str) -> Admitted {
    ip(&["link", "set", "dev", tap.as_str(), "type", "bridge_slave", "isolated", switch])
}

/// Removes an interface.
pub(in crate::driver) fn delete_link(link: &LinkName) -> Admitted {
    ip(&["link", "delete", "dev", link.as_str()])
}

/// Prints the table of a bridge as JSON.
pub(in crate::driver) fn list_rules(bridge: &LinkName) -> Admitted {
    nft(&["-j", "list", "table", "inet", &bridge.table()])
}

/// Replaces the table of a bridge, in one transaction.
pub(in crate::driver) fn replace_rules(spec: &BridgeSpec) -> Admitted {
    nft(&[&rules::text(spec)])
}

/// Removes the table of a bridge.
pub(in crate::driver) fn delete_table(bridge: &LinkName) -> Admitted {
    nft(&["delete", "table", "inet", &bridge.table()])
}

/// Starts DHCP and DNS for a bridge that asks for them.
pub(in crate::driver) fn start_resolver(fleet: &str, spec: &BridgeSpec) -> Admitted {
    admit(Program::Dnsmasq.name(), &resolver::arguments(fleet, spec).unwrap_or_default())
}

/// Ends them.
pub(in crate::driver) fn stop_resolver(bridge: &LinkName) -> Admitted {
    let path = format!("/run/regatta-{bridge}.pid");
    admit(Program::Pkill.name(), &["--pidfile", &path, "--exact", "dnsmasq"])
}

/// Starts a Firecracker in its jail, as an account that is not root.
pub(in crate::driver) fn start_jailed(guest: Uuid, account: &Account) -> Admitted {
    let (id, program) = (guest.to_string(), jailed_program());
    let (user, group) = (account.id.to_string(), account.group.to_string());
    let who = ["--id", &id, "--exec-file", &program, "--uid", &user, "--gid", &group];
    let jail = ["--chroot-base-dir", JAILS, "--new-pid-ns", "--", "--api-sock", JAILED_SOCKET];
    admit(Program::Jailer.name(), &[&who[..], &jail[..]].concat())
}

/// Every command that a network may need: to be made, kept, changed and removed, for guests of this user. `left` are
/// taps of guests that are gone from the fleet file and not yet from the host.
///
/// # Errors
/// Never for what a checked fleet file declares.
pub fn needed(spec: &BridgeSpec, owner: &Mark, user: u32, left: &[LinkName]) -> Result<Vec<RootCommand>, Refused> {
    let bridge = &spec.bridge;
    let network = spec.name.clone();
    let blank = Mark { network, applied: UNFINISHED.into(), rules: UNFINISHED.into(), ..owner.clone() };
    let any_address = format!("{}/{}", spec.subnet.gateway(), Subnet6::PREFIX / 2);
    let mut commands = vec![
        list_rules(bridge)?,
        add_bridge(bridge)?,
        mark(bridge, &blank)?,
        set_up(bridge)?,
        delete_address(bridge, &any_address)?,
        replace_rules(spec)?,
        delete_table(bridge)?,
        delete_link(bridge)?,
    ];
    for address in spec.addresses() {
        commands.push(add_address(bridge, &address)?);
    }
    for tap in spec.taps.values().map(|tap| &tap.link) {
        let made = [add_tap(tap, user)?, plug(tap, bridge)?, isolate(tap, "on")?, isolate(tap, "off")?, set_up(tap)?];
        commands.extend(made);
        commands.push(delete_link(tap)?);
    }
    if spec.dns || spec.dhcp {
        commands.extend([start_resolver(&owner.fleet, spec)?, stop_resolver(bridge)?]);
    }
    for tap in left {
        commands.push(delete_link(tap)?);
    }
    Ok(commands)
}

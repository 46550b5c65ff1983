//! What makes a guest itself, written to its work disk before it boots: our initramfs applies it at every boot.

use core::net::Ipv6Addr;

use crate::config::Subnet6;
use crate::driver::files::Seed;
use crate::effect::KeyPair;
use crate::exec::Failure;
use crate::resource::{GuestPath, LinkSpec, NetworkSpec, Record};

/// The files below `.regatta/guest/` that never change.
pub(super) fn seeds(record: &Record, host_key: &KeyPair) -> Result<Vec<Seed>, Failure> {
    Ok(vec![
        host_name(&record.name)?,
        // systemd takes 32 lower-case hexadecimal digits: the uuid without its dashes.
        seed("machine-id", format!("{}\n", record.uuid.simple()), 0o644)?,
        seed("ssh_host_ed25519_key.pub", format!("{}\n", host_key.public_line()?), 0o644)?,
        seed("ssh_host_ed25519_key", host_key.private_pem()?, 0o600)?,
    ])
}

/// Those that say how it is connected. Values that do not apply are empty lines, so that none of an earlier network is
/// left.
pub(super) fn network_seeds(network: &NetworkSpec) -> Result<Vec<Seed>, Failure> {
    let values = match network.link.as_deref() {
        // QEMU's user-mode network: its documented defaults.
        None => ["10.0.2.15/24", "10.0.2.2", "10.0.2.3", "", ""].map(str::to_owned),
        Some(LinkSpec { address, subnet, ipv6, nameservers, .. }) => {
            let servers: Vec<String> = nameservers.iter().map(ToString::to_string).collect();
            let six = |value: fn(&(Ipv6Addr, Subnet6)) -> String| ipv6.as_ref().map(value).unwrap_or_default();
            [
                format!("{address}/{}", subnet.prefix()),
                subnet.gateway().to_string(),
                servers.join(" "),
                six(|(address, _)| format!("{address}/{}", Subnet6::PREFIX)),
                six(|(_, subnet)| subnet.gateway().to_string()),
            ]
        }
    };
    let names = ["address", "gateway", "nameserver", "address6", "gateway6"];
    names.into_iter().zip(values).map(|(name, value)| seed(name, format!("{value}\n"), 0o644)).collect()
}

/// The file that names the guest.
pub(super) fn host_name(guest: &str) -> Result<Seed, Failure> {
    seed("hostname", format!("{guest}\n"), 0o644)
}

fn seed(name: &str, content: String, mode: u32) -> Result<Seed, Failure> {
    let path = GuestPath::new(format!(".regatta/guest/{name}")).map_err(Failure::permanent)?;
    Ok(Seed { path, bytes: content.into_bytes(), mode })
}

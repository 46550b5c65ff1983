//! What makes a guest itself, written to its work disk before first boot: our initramfs applies it at every boot.

use crate::driver::files::Seed;
use crate::effect::KeyPair;
use crate::exec::Failure;
use crate::resource::{GuestPath, Record};

/// Address, gateway and name server of QEMU's user-mode network (its documented defaults).
const USER_NETWORK: [(&str, &str); 3] =
    [("address", "10.0.2.15/24"), ("gateway", "10.0.2.2"), ("nameserver", "10.0.2.3")];

/// The files below `.regatta/guest/`.
pub(super) fn seeds(record: &Record, host_key: &KeyPair) -> Result<Vec<Seed>, Failure> {
    let mut seeds = vec![
        host_name(&record.name)?,
        // systemd takes 32 lower-case hexadecimal digits: the uuid without its dashes.
        seed("machine-id", format!("{}\n", record.uuid.simple()), 0o644)?,
        seed("ssh_host_ed25519_key.pub", format!("{}\n", host_key.public_line()?), 0o644)?,
        seed("ssh_host_ed25519_key", host_key.private_pem()?, 0o600)?,
    ];
    for (name, value) in USER_NETWORK {
        seeds.push(seed(name, format!("{value}\n"), 0o644)?);
    }
    Ok(seeds)
}

/// The file that names the guest.
pub(super) fn host_name(guest: &str) -> Result<Seed, Failure> {
    seed("hostname", format!("{guest}\n"), 0o644)
}

fn seed(name: &str, content: String, mode: u32) -> Result<Seed, Failure> {
    let path = GuestPath::new(format!(".regatta/guest/{name}")).map_err(Failure::permanent)?;
    Ok(Seed { path, bytes: content.into_bytes(), mode })
}

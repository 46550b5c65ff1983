//! What bridged networks need of this machine.

use std::collections::BTreeSet;
use std::fs::OpenOptions;

use super::Doctor;
use crate::driver::namespace;
use crate::resource::{BridgeSpec, Finding};

/// Whether guests can be plugged in by us.
pub(super) fn tun() -> Finding {
    match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Finding::pass("/dev/net/tun", "can be opened"),
        Err(cause) => Finding::fail(
            "/dev/net/tun",
            format!("cannot be opened: {cause}"),
            "as root: `modprobe tun`; the device has mode 0666 where udev runs (`chmod 0666 /dev/net/tun`)",
        ),
    }
}

impl Doctor {
    /// Rules of sudo, and what of the host stands in the way.
    pub(super) async fn bridges(&self, bridges: &[&BridgeSpec]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for spec in bridges {
            let network = format!("network.{}", spec.name);
            findings.push(self.sudo(&network, spec).await);
            match self.networks.host_obstacles(spec, &BTreeSet::new()).await {
                Ok(found) if found.is_empty() => {
                    let found = format!("{} and its forwarded ports are free", spec.subnet);
                    findings.push(Finding::pass(network, found));
                }
                Ok(found) => findings.extend(found.into_iter().map(|it| Finding::fail(&network, it.message, it.help))),
                Err(why) => findings.push(Finding::fail(network, why.causes.join(": "), "install iproute2")),
            }
        }
        findings
    }

    async fn sudo(&self, network: &str, spec: &BridgeSpec) -> Finding {
        let check = format!("sudo for {network}");
        if namespace::is_root() {
            return Finding::pass(check, "not needed by root");
        }
        match self.networks.not_allowed(spec).await {
            Ok(missing) if missing.is_empty() => Finding::pass(check, "every command is allowed"),
            Ok(missing) => {
                let found = format!("{} commands are not allowed, such as `{}`", missing.len(), missing[0]);
                Finding::fail(check, found, crate::driver::network::INSTALL_RULES)
            }
            Err(why) => Finding::fail(check, why.causes.join(": "), "apt install sudo"),
        }
    }
}

//! Where the SSH server of a guest is, and by which key it is known: what the cluster can tell of that.
//!
//! Everything here came over a connection whose certificate was checked, so that a host key that is read here is no
//! «first use».

use core::net::{IpAddr, Ipv4Addr};

use super::api::{Config, Place};
use super::cluster::Cluster;
use super::clusters::Clusters;
use super::error::ApiError;
use super::exchange::{Call, Verb};
use crate::exec::Failure;
use crate::resource::cluster::{GuestKind, Mark, ObservedClusterGuest, Power, Reach, mark};

/// The host key that OpenSSH servers have had since 2014.
const HOST_KEY_FILE: &str = "/etc/ssh/ssh_host_ed25519_key.pub";

/// What is known of a running guest's SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its node.
    pub node: String,
    /// Its number.
    pub vmid: u32,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Address or name to connect to.
    pub host: String,
    /// The host key that is trusted, or why none is known.
    pub host_key: Result<String, String>,
}

impl Clusters {
    /// Where a guest's SSH server is.
    ///
    /// # Errors
    /// The guest is not there, or stopped; nobody knows its address; its cluster cannot be asked.
    pub async fn whereabouts(&self, reach: &Reach) -> Result<Whereabouts, Failure> {
        let cluster = self.get(&reach.cluster).await?;
        match cluster.find(&reach.guest).await? {
            Some((_, seen)) => cluster.whereabouts(reach, &seen).await,
            None => Err(Failure::permanent(format!("guest `{}` is not made yet", reach.guest))),
        }
    }

    /// The same of a guest that was seen a moment ago.
    ///
    /// # Errors
    /// As [`Clusters::whereabouts`].
    pub async fn whereabouts_of(&self, reach: &Reach, seen: &ObservedClusterGuest) -> Result<Whereabouts, Failure> {
        self.get(&reach.cluster).await?.whereabouts(reach, seen).await
    }
}

/// Where a running container is gone into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// Its node.
    pub node: String,
    /// Its number.
    pub vmid: u32,
}

impl Clusters {
    /// On which node a container of ours is gone into, if root in it is nobody on the node.
    ///
    /// # Errors
    /// The guest is not there, stopped, no container, or privileged; its cluster cannot be asked.
    pub async fn entrance(&self, reach: &Reach) -> Result<Entrance, Failure> {
        let cluster = self.get(&reach.cluster).await?;
        match cluster.find(&reach.guest).await? {
            Some((_, seen)) => cluster.entrance(reach, &seen).await,
            None => Err(Failure::permanent(format!("guest `{}` is not made yet", reach.guest))),
        }
    }

    /// The same of a guest that was seen a moment ago.
    ///
    /// # Errors
    /// As [`Clusters::entrance`].
    pub async fn entrance_of(&self, reach: &Reach, seen: &ObservedClusterGuest) -> Result<Entrance, Failure> {
        self.get(&reach.cluster).await?.entrance(reach, seen).await
    }

    /// Keeps the host key of a guest in its mark.
    ///
    /// # Errors
    /// The guest is not there, or its description cannot be written.
    pub async fn pin(&self, reach: &Reach, host_key: &str) -> Result<(), Failure> {
        let cluster = self.get(&reach.cluster).await?;
        let Some((place, seen)) = cluster.find(&reach.guest).await? else {
            return Err(Failure::permanent(format!("guest `{}` is not made yet", reach.guest)));
        };
        let mark = Mark { host_key: Some(host_key.to_owned()), ..seen.mark };
        let call = Call::new(Verb::Put, place.path("/config"));
        let call = call.with("description", mark::write(&seen.notes, &mark)).with("digest", seen.digest);
        cluster.api.call(&call).await.map(drop).map_err(Failure::from)
    }
}

impl Cluster {
    async fn entrance(&self, reach: &Reach, seen: &ObservedClusterGuest) -> Result<Entrance, Failure> {
        if seen.power == Power::Off {
            return Err(Failure::permanent(format!("guest `{}` is stopped", reach.guest)));
        }
        let place = Place { node: seen.node.clone(), kind: seen.kind, vmid: seen.vmid };
        // Whether it is unprivileged is decided when it is made: what is asked for once may still be another guest's answer.
        let config = self.api.config(&place, seen.power).await?;
        if !self.is_still(seen, &config) {
            let message = format!("number {} is not guest `{}` any more", seen.vmid, reach.guest);
            return Err(Failure::permanent(message).hint("plan again: somebody made another guest of this number"));
        }
        let nobody = config.fields.get("unprivileged").is_some_and(|value| value == "1");
        if seen.kind != GuestKind::Container || !nobody {
            let message =
                format!("guest `{}` is no unprivileged container, and no way leads into it by its node", reach.guest);
            let failure = Failure::permanent(message);
            return Err(failure.hint("root in a privileged container is root on its node: leave `via=\"node\"` out"));
        }
        Ok(Entrance { node: place.node, vmid: place.vmid })
    }

    /// Whether a configuration is that of the guest that was seen: by its mark, or, of one that is about to be taken over, by
    /// its having none.
    fn is_still(&self, seen: &ObservedClusterGuest, config: &Config) -> bool {
        let description = config.fields.get("description").map(String::as_str).unwrap_or_default();
        match mark::read(description).mark {
            Some(mark) => mark.fleet == self.fleet && mark.vmid == seen.vmid && mark.guest == seen.mark.guest,
            None => seen.mark.version == 0 && !description.contains(mark::BEGIN),
        }
    }

    async fn whereabouts(&self, reach: &Reach, seen: &ObservedClusterGuest) -> Result<Whereabouts, Failure> {
        if seen.power == Power::Off {
            return Err(Failure::permanent(format!("guest `{}` is stopped", reach.guest)));
        }
        let place = Place { node: seen.node.clone(), kind: seen.kind, vmid: seen.vmid };
        let host = match &reach.host {
            Some(host) => host.clone(),
            None => self.address(&place, &reach.guest).await?,
        };
        let host_key = match reach.host_key.as_ref().or(seen.mark.host_key.as_ref()) {
            Some(key) => Ok(key.clone()),
            None => self.agents_key(&place).await,
        };
        Ok(Whereabouts { node: place.node, vmid: place.vmid, kind: place.kind, host, host_key })
    }

    /// The address that others most likely reach it by.
    async fn address(&self, place: &Place, name: &str) -> Result<String, Failure> {
        let unknown = |why: String| {
            let failure = Failure::transient(format!("nobody knows the address of guest `{name}` yet: {why}"));
            failure.hint("write it into the guest's block: `ssh host=\"10.0.0.5\"`")
        };
        let found = match self.api.addresses(place).await {
            Ok(found) => found,
            Err(error @ ApiError::Refused(_)) => return Err(unknown(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        best(&found).map(|address| address.to_string()).ok_or_else(|| unknown("it has none".into()))
    }

    /// What the guest's agent reads. A container has no agent.
    async fn agents_key(&self, place: &Place) -> Result<String, String> {
        if place.kind == GuestKind::Container {
            return Err("nothing is known of its host key".into());
        }
        let line = match self.api.agent_file(place, HOST_KEY_FILE).await {
            Ok(line) => line,
            Err(error) => {
                return Err(format!("nothing is known of its host key, and its agent does not tell: {error}"));
            }
        };
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        match words.as_slice() {
            ["ssh-ed25519", key] => Ok(format!("ssh-ed25519 {key}")),
            _ => Err(format!("its agent tells no key in `{HOST_KEY_FILE}`")),
        }
    }
}

/// IPv4 before IPv6; what only means something on one link, or in the guest itself, is none.
fn best(addresses: &[IpAddr]) -> Option<IpAddr> {
    let is_reachable = |address: &&IpAddr| match address {
        IpAddr::V4(four) => !four.is_loopback() && !four.is_link_local() && *four != Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(six) => !six.is_loopback() && !six.is_unicast_link_local() && !six.is_unspecified(),
    };
    addresses.iter().filter(is_reachable).min_by_key(|address| address.is_ipv6()).copied()
}

#[cfg(test)]
mod tests {
    use super::best;

    #[test]
    fn the_address_is_one_that_others_reach() {
        let of = |addresses: &[&str]| {
            let addresses: Vec<_> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            best(&addresses).map(|address| address.to_string())
        };
        assert_eq!(of(&["127.0.0.1", "::1", "fe80::1", "2001:db8::5", "10.99.0.51"]), Some("10.99.0.51".into()));
        assert_eq!(of(&["169.254.3.4", "fd00::5"]), Some("fd00::5".into()));
        assert_eq!(of(&["127.0.0.1", "fe80::1"]), None);
    }
}

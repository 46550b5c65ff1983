//! The ways by which operators reach this host, as far as the kernel tells: who is connected from outside, and where packets to
//! them go. Compared before and after a change, they say whether it cut somebody off.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde::Deserialize;

use super::Networks;
use crate::effect::Command;
use crate::exec::Failure;
use crate::resource::LinkName;

/// Peers that are looked at: more than administrators a host has, and few enough to ask for each.
const PEERS: usize = 64;

/// How long connections are watched after a change. A packet that gets no answer is sent again after 0.2 s, then after twice
/// that (tcp(7), RFC 6298).
const WATCHED: Duration = Duration::from_millis(1500);

/// From one look at them to the next.
const LOOK: Duration = Duration::from_millis(100);

/// A packet may be lost on its own; two in a row are not.
const LOST: u32 = 2;

/// What is seen of the ways in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ways {
    /// Where packets go to peers and gateways.
    hops: BTreeMap<IpAddr, String>,
    /// Connections from outside of which nothing was lost.
    steady: BTreeSet<Connection>,
}

/// Both ends of a connection, as `/proc/net/tcp` writes them.
type Connection = (String, String);

/// One line of `/proc/net/tcp` (proc_pid_net(5)).
#[derive(Debug, PartialEq, Eq)]
struct Socket<'a> {
    local: &'a str,
    remote: &'a str,
    state: &'a str,
    retransmits: u32,
}

/// Part of what `ip -json route` prints.
#[derive(Debug, Deserialize)]
struct Hop {
    #[serde(default)]
    gateway: Option<String>,
    #[serde(default)]
    dev: String,
    #[serde(default)]
    prefsrc: Option<String>,
}

impl Networks {
    /// The ways in as they are.
    pub(super) async fn ways(&self) -> Result<Ways, Failure> {
        let tables = tables();
        let from_outside = connections(&tables);
        let mut peers: BTreeSet<IpAddr> = from_outside.keys().filter_map(|(_, remote)| address(remote)).collect();
        for family in ["-4", "-6"] {
            peers.extend(self.routes(&[family, "-json", "route", "show", "default"]).await?.iter().filter_map(gateway));
        }
        let mut hops = BTreeMap::new();
        for peer in peers.into_iter().take(PEERS) {
            let hop = self.hop(peer).await?;
            // Our own guests are no operators.
            if !hop.split(' ').any(|word| LinkName::try_from(word.to_owned()).is_ok()) {
                hops.insert(peer, hop);
            }
        }
        let steady = from_outside.into_iter().filter(|(_, retransmits)| *retransmits == 0).map(|(both, _)| both);
        Ok(Ways { hops, steady: steady.collect() })
    }

    /// What of them is no longer as it was, a sentence for each.
    pub(super) async fn lost(&self, before: &Ways) -> Result<Vec<String>, Failure> {
        let mut lost = Vec::new();
        for (peer, hop) in &before.hops {
            let now = self.hop(*peer).await?;
            if now != *hop {
                lost.push(format!("packets to {peer} went {hop}, and now go {now}"));
            }
        }
        if lost.is_empty() && !before.steady.is_empty() {
            lost.extend(starved(&before.steady).await);
        }
        Ok(lost)
    }

    /// Where packets to an address go.
    async fn hop(&self, peer: IpAddr) -> Result<String, Failure> {
        let command = Command::new("ip").args(["-json", "route", "get"]).arg(peer.to_string());
        let output = self.run.run(&command).await?;
        let hops: Vec<Hop> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(match hops.first().filter(|_| output.success()) {
            None => "nowhere".into(),
            Some(Hop { gateway, dev, prefsrc }) => {
                let via = gateway.iter().map(|it| format!("via {it} "));
                let from = prefsrc.iter().map(|it| format!(" from {it}"));
                via.chain([format!("through {dev}")]).chain(from).collect()
            }
        })
    }

    async fn routes(&self, arguments: &[&str]) -> Result<Vec<Hop>, Failure> {
        let output = self.run.run_ok(&Command::new("ip").args(arguments.iter().copied())).await?;
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    }
}

fn gateway(hop: &Hop) -> Option<IpAddr> {
    hop.gateway.as_deref()?.parse().ok()
}

/// Watches connections for a while. One that lost packets has the time to get over it.
async fn starved(steady: &BTreeSet<Connection>) -> Option<String> {
    let end = tokio::time::Instant::now() + WATCHED;
    loop {
        tokio::time::sleep(LOOK).await;
        let tables = tables();
        let now = connections(&tables);
        let retransmits = |both: &&Connection| now.get(*both).copied().unwrap_or_default();
        if let Some((_, remote)) = steady.iter().find(|both| retransmits(both) >= LOST) {
            let peer = address(remote).map_or_else(|| "a peer".into(), |peer| peer.to_string());
            return Some(format!("{peer} no longer answers on a connection that it had made"));
        }
        if tokio::time::Instant::now() >= end {
            return None;
        }
    }
}

fn tables() -> [String; 2] {
    ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default())
}

/// Established connections to ports that something listens on, but for those of the host with itself; how often each has sent
/// its last packet again.
fn connections(tables: &[String; 2]) -> BTreeMap<Connection, u32> {
    const LISTEN: &str = "0A";
    const ESTABLISHED: &str = "01";
    let sockets: Vec<Socket<'_>> = tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(socket).collect();
    let port = |end: &str| end.rsplit(':').next().unwrap_or_default().to_owned();
    let listening: BTreeSet<String> =
        sockets.iter().filter(|socket| socket.state == LISTEN).map(|socket| port(socket.local)).collect();
    let from_outside = sockets.iter().filter(|socket| {
        socket.state == ESTABLISHED
            && listening.contains(&port(socket.local))
            && address(socket.remote).is_some_and(|peer| !peer.is_loopback())
            && address(socket.remote) != address(socket.local)
    });
    from_outside.map(|it| ((it.local.to_owned(), it.remote.to_owned()), it.retransmits)).collect()
}

fn socket(line: &str) -> Option<Socket<'_>> {
    let fields: Vec<&str> = line.split_whitespace().take(7).collect();
    let [_, local, remote, state, _, _, retransmits] = fields[..] else { return None };
    Some(Socket { local, remote, state, retransmits: u32::from_str_radix(retransmits, 16).ok()? })
}

/// The address of an end: hexadecimal words of 32 bits in the machine's byte order.
fn address(end: &str) -> Option<IpAddr> {
    let (address, _) = end.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match address.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";

    #[test]
    fn those_who_are_connected_from_outside_are_known_with_what_was_lost() {
        let v4 = [
            "0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0",
            // 10.9.9.2 on port 22, nothing lost; 10.9.9.3, three times sent again.
            "1: 0109090A:0016 0209090A:C001 01 00000000:00000000 00:00000000 00000000 0",
            "2: 0109090A:0016 0309090A:C002 01 00000034:00000000 01:00000014 00000003 0",
            // From the host itself, and to somewhere else.
            "3: 0100007F:0016 0100007F:C003 01 00000000:00000000 00:00000000 00000000 0",
            "4: 0109090A:C004 0409090A:01BB 01 00000000:00000000 00:00000000 00000000 0",
        ];
        let v6 = ["5: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0"];
        let tables = [format!("{HEAD}{}\n", v4.join("\n")), format!("{HEAD}{}\n", v6.join("\n"))];
        let found: Vec<_> =
            connections(&tables).into_iter().map(|((_, remote), lost)| (address(&remote).unwrap(), lost)).collect();
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(found, [(peer("10.9.9.2"), 0), (peer("10.9.9.3"), 3)]);
    }

    #[test]
    fn ipv6_ends_are_read_and_mapped_ones_are_ipv4() {
        let end = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(end("0000000000000000FFFF00000209090A:0016").as_deref(), Some("10.9.9.2"));
        assert_eq!(end("B80D0120000000000000000001000000:0016").as_deref(), Some("2001:db8::1"));
        assert_eq!(end("zz:0016"), None);
    }
}

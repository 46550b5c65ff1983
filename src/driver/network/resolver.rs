//! DHCP and DNS for the guests of a bridge, by dnsmasq: one process for a bridge, started and stopped with it. Everything that it
//! says is in its arguments, so that what is in force is what the process table shows, and nothing is written down.

use std::fs;

use super::Networks;
use crate::driver::privilege;
use crate::effect::{Liveness, ProcFs, wait_for_exit};
use crate::exec::{Failure, Progress};
use crate::resource::{BridgeSpec, LinkName, Resolving};

/// How long dnsmasq may take to end.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

/// Longest command line that is looked at: as long as any that we would write.
const LIMIT: usize = 1 << 20;

/// dnsmasq's arguments for a bridge; `None` when it asks for neither.
///
/// sudo joins them with spaces, and they are in an order in which no argument can swallow the next: each either takes no value,
/// or none with a space in it. What says where it listens comes first.
pub(in crate::driver) fn arguments(fleet: &str, spec: &BridgeSpec) -> Option<Vec<String>> {
    if !spec.dns && !spec.dhcp {
        return None;
    }
    let gateway = spec.subnet.gateway();
    let gateway6 = spec.subnet6.map(|subnet| format!(",{}", subnet.gateway())).unwrap_or_default();
    let mut arguments = vec![
        "--bind-interfaces".to_owned(),
        format!("--listen-address={gateway}{gateway6}"),
        "--conf-file=/dev/null".into(),
        "--no-hosts".into(),
        "--user=nobody".into(),
        pid_file(&spec.bridge),
        format!("--local=/{fleet}/"),
        format!("--domain={fleet}"),
        format!("--port={}", if spec.dns { 53 } else { 0 }),
    ];
    for (guest, tap) in spec.taps.iter().filter(|_| spec.dns) {
        let six = tap.address6.map(|address| format!(",{address}")).unwrap_or_default();
        arguments.push(format!("--host-record={guest}.{fleet},{guest},{}{six}", tap.address));
    }
    if spec.dhcp {
        arguments.push(format!("--dhcp-range={gateway},static"));
        arguments.push("--leasefile-ro".into());
        let leases = spec.taps.iter().filter_map(|(guest, tap)| Some((guest, tap.address, tap.mac?)));
        arguments.extend(leases.map(|(guest, address, mac)| format!("--dhcp-host={mac},{address},{guest}")));
    }
    Some(arguments)
}

/// Says which bridge a process is for: no other program has such an argument. Only root writes to `/run`.
fn pid_file(bridge: &LinkName) -> String {
    format!("--pid-file=/run/regatta-{bridge}.pid")
}

impl Networks {
    /// Whether dnsmasq runs for a bridge, and as it is declared.
    pub(super) fn resolving(&self, bridge: &LinkName, declared: Option<&BridgeSpec>) -> Resolving {
        let Some((_, found)) = running(bridge) else { return Resolving::Off };
        let wanted = declared.and_then(|spec| arguments(&self.fleet, spec));
        if wanted.as_ref() == Some(&found) { Resolving::AsDeclared } else { Resolving::Otherwise }
    }

    /// Has dnsmasq run as declared.
    pub(super) async fn resolve(&self, spec: &BridgeSpec, progress: &dyn Progress) -> Result<(), Failure> {
        match (self.resolving(&spec.bridge, Some(spec)), arguments(&self.fleet, spec)) {
            (Resolving::AsDeclared, _) | (Resolving::Off, None) => Ok(()),
            (Resolving::Otherwise, None) => self.stop_resolving(&spec.bridge).await,
            (found, Some(_)) => {
                progress.say("starting dnsmasq");
                if found == Resolving::Otherwise {
                    self.stop_resolving(&spec.bridge).await?;
                }
                let start = privilege::start_resolver(&self.fleet, spec)?;
                self.privileged.run_ok(&start).await.map(drop).map_err(|failure| {
                    failure.hint("port 53 or 67 of the bridge's address may be taken: `ss -lntup` lists by whom")
                })
            }
        }
    }

    /// Ends dnsmasq, when it runs for this bridge.
    pub(super) async fn stop_resolving(&self, bridge: &LinkName) -> Result<(), Failure> {
        let Some((pid, _)) = running(bridge) else { return Ok(()) };
        let unreadable = |error: crate::effect::ProcessError| Failure::unknown(error.to_string());
        let table = ProcFs::default();
        let Some(id) = table.identify(pid).map_err(unreadable)? else { return Ok(()) };
        self.privileged.run_ok(&privilege::stop_resolver(bridge)?).await?;
        match wait_for_exit(&table, &id, DEADLINE).await {
            Liveness::Dead => Ok(()),
            Liveness::Alive | Liveness::Unknown(_) => Err(Failure::unknown(format!(
                "dnsmasq (pid {pid}) was told to end, and did not within {} s",
                DEADLINE.as_secs()
            ))),
        }
    }
}

/// The process for a bridge, and its arguments. Command lines are open to everybody (proc_pid_cmdline(5)).
fn running(bridge: &LinkName) -> Option<(i32, Vec<String>)> {
    let mark = pid_file(bridge);
    let pids =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|bytes| bytes.len() <= LIMIT)?;
        let text = String::from_utf8(bytes).ok()?;
        let mut words = text.trim_end_matches('\0').split('\0').map(str::to_owned);
        let program = words.next()?;
        let arguments: Vec<String> = words.collect();
        (program.ends_with("/dnsmasq") && arguments.contains(&mark)).then_some((pid, arguments))
    })
    .next()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::driver::privilege::admit;
    use crate::resource::Tap;

    #[test]
    fn what_it_is_started_with_is_in_the_catalogue_and_says_every_guest() {
        let tap = Tap {
            link: LinkName::tap("shop", "lan", "web"),
            address: "172.31.7.5".parse().unwrap(),
            address6: "fd12::5".parse().ok(),
            mac: "02:00:00:00:00:05".parse().ok(),
            owner: None,
        };
        let mut spec = BridgeSpec {
            name: "lan".into(),
            bridge: LinkName::bridge("shop", "lan"),
            subnet: "172.31.7.0/24".parse().unwrap(),
            subnet6: "fd12::/64".parse().ok(),
            nat: true,
            isolate: false,
            dns: false,
            dhcp: false,
            taps: BTreeMap::from([("web".to_owned(), tap)]),
            forwards: BTreeSet::new(),
        };
        assert_eq!(arguments("shop", &spec), None);
        (spec.dns, spec.dhcp) = (true, true);
        let arguments = arguments("shop", &spec).unwrap();
        assert_eq!(
            arguments[8..],
            [
                "--port=53",
                "--host-record=web.shop,web,172.31.7.5,fd12::5",
                "--dhcp-range=172.31.7.1,static",
                "--leasefile-ro",
                "--dhcp-host=02:00:00:00:00:05,172.31.7.5,web",
            ]
        );
        assert!(admit("dnsmasq", &arguments).is_ok());
        for wrong in ["--conf-file=/tmp/x", "--dhcp-script=/tmp/x", "--host-record=a b,1.2.3.4", "--tftp-root=/"] {
            assert!(admit("dnsmasq", &[&arguments[..], &[wrong.to_owned()]].concat()).is_err(), "{wrong}");
        }
    }
}

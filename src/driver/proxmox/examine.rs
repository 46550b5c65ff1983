//! Whether a cluster lets a fleet do what it asks for: what `doctor` says of it. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::Cluster;
use crate::exec::Failure;
use crate::resource::cluster::{ClusterGuestSpec, GuestKind, GuestOrigin, Value, VolumeSource};
use crate::resource::{Address, Finding};

/// Whether there is a way to root on nodes of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    None,
    Some,
}

/// Privileges by path of Proxmox's access control.
type Needs = BTreeMap<String, BTreeSet<&'static str>>;

/// What every fleet with guests on a cluster needs below `/vms`.
const ALWAYS: [&str; 8] = [
    "VM.Allocate",
    "VM.Audit",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
];

const GRANT: &str = "give them with `pveum acl modify PATH --roles ROLE --tokens USER@REALM!NAME` and the same with \
                     `--users`: a token with privilege separation has what both it and its user have";

impl Cluster {
    /// Connection, certificate, token, nodes, and privileges that these guests need.
    pub(super) async fn examine(&self, check: &str, guests: &[&ClusterGuestSpec], fence: Fence) -> Vec<Finding> {
        let version = match self.api.version().await {
            Ok(version) => version,
            Err(error) => return vec![failed(check, &error.into())],
        };
        let mut findings = vec![if self.unverified {
            let fix = "write its `fingerprint` or `ca` into the fleet file instead of `insecure`";
            Finding::warn(check, format!("Proxmox VE {version}, whose certificate is not checked"), fix)
        } else {
            Finding::pass(check, format!("Proxmox VE {version}"))
        }];
        findings.extend(self.nodes(&format!("{check} nodes")).await);
        findings.push(self.privileges(&format!("{check} privileges"), guests).await);
        if fence == Fence::None {
            findings.extend(guests.iter().filter_map(|guest| for_root(guest)));
        }
        findings
    }

    async fn nodes(&self, check: &str) -> Option<Finding> {
        let listing = match self.api.listing().await {
            Ok(listing) => listing,
            Err(error) => return Some(failed(check, &error.into())),
        };
        let names = |online| {
            let nodes = listing.nodes.values().filter(|node| node.online == online);
            nodes.map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (up, down) = (names(true), names(false));
        Some(match down.is_empty() {
            true => Finding::pass(check, format!("online: {up}")),
            false => Finding::warn(check, format!("online: {up}; no answer: {down}"), "bring the nodes back"),
        })
    }

    async fn privileges(&self, check: &str, guests: &[&ClusterGuestSpec]) -> Finding {
        let needs = needs(guests);
        let (mut missing, mut count) = (Vec::new(), 0);
        for (path, privileges) in &needs {
            let has = match self.api.privileges(path).await {
                Ok(has) => has,
                Err(error) => return failed(check, &error.into()),
            };
            count += privileges.len();
            let lacks: Vec<String> =
                privileges.iter().filter(|name| !has.contains(**name)).map(|name| format!("`{name}`")).collect();
            if !lacks.is_empty() {
                missing.push(format!("{} on `{path}`", lacks.join(", ")));
            }
        }
        match missing.is_empty() {
            true => Finding::pass(check, format!("has the {count} that this fleet needs")),
            false => Finding::fail(check, format!("the API token lacks {}", missing.join("; ")), GRANT),
        }
    }
}

/// A failure as something that was found.
pub(super) fn failed(check: &str, failure: &Failure) -> Finding {
    let fix = failure.hint.clone().unwrap_or_else(|| "mend this first: nothing else could be looked at".to_owned());
    Finding::fail(check, failure.causes.join(": "), fix)
}

/// What guests need, by path.
fn needs(guests: &[&ClusterGuestSpec]) -> Needs {
    let mut needs = Needs::new();
    let mut add = |path: String, privilege| needs.entry(path).or_default().extend([privilege]);
    add("/vms".into(), "VM.Audit");
    for guest in guests {
        ALWAYS.iter().for_each(|privilege| add("/vms".into(), privilege));
        match &guest.origin {
            GuestOrigin::Template { volume, source } | GuestOrigin::DiskImage { volume, source } => {
                let storage = format!("/storage/{}", volume.split(':').next().unwrap_or_default());
                if source.is_some() {
                    add(storage.clone(), "Datastore.AllocateTemplate");
                }
                if let Some(VolumeSource::Url { .. }) = source {
                    ["Sys.Audit", "Sys.Modify"].iter().for_each(|privilege| add("/".into(), privilege));
                }
                add(storage, "Datastore.Audit");
            }
            GuestOrigin::Existing => {}
            GuestOrigin::Restore { volume, storage, .. } => {
                let from = volume.split(':').next().unwrap_or_default();
                add(format!("/storage/{from}"), "Datastore.AllocateSpace");
                storage.iter().for_each(|name| add(format!("/storage/{name}"), "Datastore.AllocateSpace"));
            }
            GuestOrigin::Clone { vmid, storage, .. } => {
                add(format!("/vms/{vmid}"), "VM.Clone");
                storage.iter().for_each(|name| add(format!("/storage/{name}"), "Datastore.AllocateSpace"));
            }
        }
        for (path, value) in &guest.values {
            for (path, privilege) in needs_of(guest.kind, path, value) {
                add(path, privilege);
            }
        }
    }
    needs
}

/// What one value needs beyond [`ALWAYS`].
fn needs_of(kind: GuestKind, path: &str, value: &Value) -> Vec<(String, &'static str)> {
    let part = |key| value.as_properties().and_then(|all| all.get(key));
    let mut needs = Vec::new();
    if let ("pool", Some(pool)) = (path, value.as_text()) {
        needs.push((format!("/pool/{pool}"), "Pool.Allocate"));
    }
    if path == "ha" {
        needs.extend([("/".into(), "Sys.Audit"), ("/".into(), "Sys.Console")]);
    }
    needs.extend(part("storage").map(|name| (format!("/storage/{name}"), "Datastore.AllocateSpace")));
    needs.extend(part("bridge").map(|name| (format!("/sdn/zones/localnetwork/{name}"), "SDN.Use")));
    if path.starts_with("cloud-init") || path.starts_with("ip-config") {
        needs.push(("/vms".into(), "VM.Config.Cloudinit"));
    }
    if path == "startup" && kind == GuestKind::Vm {
        needs.push(("/".into(), "Sys.Modify"));
    }
    needs
}

/// What Proxmox lets no token do, not even one of root's, and nobody else does for it.
fn for_root(guest: &ClusterGuestSpec) -> Option<Finding> {
    let refused: Vec<String> = guest.left_to_root().map(|path| format!("`{path}`")).collect();
    (!refused.is_empty()).then(|| {
        let found = format!("no API token may set {} as declared, and the cluster has no fence", refused.join(", "));
        let fix = "write a `fence` into the cluster, or leave them out";
        Finding::fail(Address::on_cluster(guest.kind, &guest.name).to_string(), found, fix)
    })
}

//! Who may do what: privileges by path, and what only root with a password may.

use std::collections::BTreeMap;

use regatta::driver::proxmox::exchange::{Call, Verb};
use serde_json::{Value, json};

use super::{Refusal, World, parameter, refused};
use regatta::resource::cluster::GuestKind;

/// What a token for fleets has.
pub(crate) const ALL: [&str; 20] = [
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Pool.Allocate",
    "SDN.Use",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

impl World {
    pub(super) fn has(&self, path: &str, privilege: &str) -> bool {
        let holds = |at: &str| at == "/" || at == path || path.starts_with(&format!("{at}/"));
        self.is_root || self.privileges.iter().any(|(at, all)| holds(at) && all.contains(privilege))
    }

    pub(super) fn permissions(&self, path: Option<&str>) -> Value {
        let Some(path) = path else {
            let of = |names: &std::collections::BTreeSet<String>| {
                json!(names.iter().map(|name| (name, 1)).collect::<BTreeMap<_, _>>())
            };
            return json!(self.privileges.iter().map(|(path, names)| (path, of(names))).collect::<BTreeMap<_, _>>());
        };
        let holds = |at: &str| at == "/" || at == path || path.starts_with(&format!("{at}/"));
        let granted = self.privileges.iter().filter(|(at, _)| holds(at)).flat_map(|(_, names)| names);
        let all: BTreeMap<&String, u8> = granted.map(|name| (name, 1)).collect();
        json!({ path: all })
    }

    /// Whether the request is allowed; a guest that is not there is told only to those who might see it.
    pub(super) fn may(&self, verb: Verb, vmid: u32, rest: &[&str], call: &Call) -> Result<(), Refusal> {
        let path = format!("/vms/{vmid}");
        let needs: &[&str] = match (verb, rest) {
            (Verb::Get, _) => &["VM.Audit"],
            (Verb::Post, ["status", _]) => &["VM.PowerMgmt"],
            (Verb::Post, ["snapshot", ..]) | (Verb::Delete, ["snapshot", ..]) => &["VM.Snapshot"],
            (Verb::Post, ["clone"]) => &["VM.Clone"],
            (Verb::Delete, []) => &["VM.Allocate"],
            (_, ["config"]) => {
                &["VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"]
            }
            _ => return Ok(()),
        };
        if !needs.iter().any(|privilege| self.has(&path, privilege)) {
            return refused(403, format!("Permission check failed ({path}, {})", needs.join("|")));
        }
        match rest {
            ["config"] if verb != Verb::Get => self.may_set(vmid, call),
            _ => Ok(()),
        }
    }

    /// What tokens, root's own among them, are refused.
    fn may_set(&self, vmid: u32, call: &Call) -> Result<(), Refusal> {
        let Some(guest) = self.guests.get(&vmid).filter(|_| !self.is_root) else { return Ok(()) };
        let is = guest.config.get("features").map(String::as_str).unwrap_or_default();
        let deleted = parameter(call, "delete").unwrap_or_default().split(',').any(|key| key == "features");
        let wish = if deleted { Some("") } else { parameter(call, "features") };
        if let Some(wish) = wish.filter(|_| guest.kind == GuestKind::Container) {
            only_nesting(is, wish)?;
        }
        only_root_sets(call)
    }
}

/// Keys that only root sets.
fn only_root_sets(call: &Call) -> Result<(), Refusal> {
    for (key, value) in &call.parameters {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let what = match stem {
            "mp" if value.starts_with('/') => "mount point type bind is only allowed for root@pam",
            "dev" => "configuring device passthrough is only allowed for root@pam",
            "hookscript" => "changing the hookscript is only allowed for root@pam",
            _ => continue,
        };
        return refused(403, format!("Permission check failed ({what})"));
    }
    Ok(())
}

fn flags(features: &str) -> Vec<&str> {
    let mut flags: Vec<&str> =
        features.split(',').filter(|flag| !flag.is_empty() && !flag.starts_with("nesting=")).collect();
    flags.sort_unstable();
    flags
}

fn only_nesting(is: &str, wish: &str) -> Result<(), Refusal> {
    if flags(is) == flags(wish) {
        return Ok(());
    }
    let what = "changing feature flags (except nesting) is only allowed for root@pam";
    refused(403, format!("Permission check failed ({what})"))
}

impl World {
    /// Whether a container may be made like this.
    pub(super) fn may_create(&self, vmid: u32, call: &Call) -> Result<(), Refusal> {
        if !self.has(&format!("/vms/{vmid}"), "VM.Allocate") {
            return refused(403, "Permission check failed");
        }
        if self.is_root {
            return Ok(());
        }
        let features = parameter(call, "features").unwrap_or_default();
        if parameter(call, "unprivileged") != Some("1") && !features.is_empty() {
            let what = "changing feature flags for privileged container is only allowed for root@pam";
            return refused(403, format!("Permission check failed ({what})"));
        }
        only_nesting("", features)?;
        only_root_sets(call)
    }
}

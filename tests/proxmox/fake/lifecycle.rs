//! What is done to a guest that is there: its configuration, its disks, its run state, its snapshots, its end.

use regatta::config::ByteSize;
use regatta::driver::proxmox::exchange::{Call, Verb};
use regatta::resource::cluster::GuestKind;
use regatta::resource::cluster::forms::{disk_size, wire_size};
use regatta::resource::cluster::percent;
use serde_json::Value;

use super::tasks::Then;
use super::values::is_known;
use super::{Refusal, World, parameter, refused, wrong_parameter};

/// Parameters of a change that are no fields.
const NO_FIELDS: [&str; 5] = ["delete", "digest", "revert", "skiplock", "background_delay"];

/// Whether every key of that kind has the length of one.
fn are_keys(encoded: &str) -> bool {
    let keys = percent::decode(encoded);
    let blobs = keys.lines().filter_map(|line| line.strip_prefix("ssh-ed25519 ")?.split(' ').next());
    blobs.into_iter().all(|blob| blob.len() == 68)
}

impl World {
    pub(super) fn unlocked(&self, vmid: u32) -> Result<(), Refusal> {
        let guest = &self.guests[&vmid];
        match &guest.lock {
            Some(lock) => refused(500, format!("{} is locked ({lock})", guest.word())),
            None => Ok(()),
        }
    }

    fn current_digest(&self, vmid: u32, call: &Call) -> Result<(), Refusal> {
        let guest = &self.guests[&vmid];
        match parameter(call, "digest") {
            Some(digest) if digest != guest.digest() => refused(
                500,
                match guest.kind {
                    GuestKind::Container => "detected modified configuration - file changed by other user? Try again.",
                    GuestKind::Vm => "checksum mismatch (file change by other user?)",
                },
            ),
            _ => Ok(()),
        }
    }

    pub(super) fn configure(&mut self, verb: Verb, vmid: u32, call: &Call) -> Result<Value, Refusal> {
        let mut guest = self.guests[&vmid].clone();
        let kind = guest.kind;
        let fields: Vec<&(String, String)> =
            call.parameters.iter().filter(|(key, _)| !NO_FIELDS.contains(&key.as_str())).collect();
        let deleted: Vec<&str> = parameter(call, "delete").into_iter().flat_map(|keys| keys.split(',')).collect();
        if fields.is_empty() && deleted.is_empty() && parameter(call, "revert").is_none() {
            return refused(500, "no options specified");
        }
        for key in &deleted {
            if !is_known(kind, key) {
                return wrong_parameter("delete", format!("unknown option '{key}'"));
            }
            if fields.iter().any(|(set, _)| set == key) {
                return wrong_parameter(
                    "delete",
                    format!("you can't use '-{key}' and -delete {key}' at the same time"),
                );
            }
            if matches!(*key, "rootfs" | "memory") && kind == GuestKind::Container {
                self.current_digest(vmid, call)?;
                return refused(500, format!("unable to delete required option '{key}'"));
            }
        }
        let keys = fields.iter().find(|(key, _)| key == "sshkeys").map(|(_, keys)| keys.as_str());
        if keys.is_some_and(|keys| !are_keys(keys)) {
            return refused(500, "SSH public key validation error");
        }
        for (key, value) in &fields {
            self.normalised(kind, key, value, vmid)?;
        }
        self.current_digest(vmid, call)?;
        self.unlocked(vmid)?;
        if fields.iter().any(|(key, _)| key == "unprivileged") {
            return refused(500, "unable to modify read-only option: 'unprivileged'");
        }
        for (key, value) in fields {
            if key == "lock" {
                guest.lock = Some(value.clone());
                continue;
            }
            guest.set(key, Some(self.normalised(kind, key, value, vmid)?));
        }
        deleted.iter().for_each(|key| guest.set(key, None));
        parameter(call, "revert").into_iter().flat_map(|keys| keys.split(',')).for_each(|key| {
            guest.pending.remove(key);
        });
        self.guests.insert(vmid, guest);
        Ok(if verb == Verb::Post { self.begin("qmconfig", vmid, Then::Nothing) } else { Value::Null })
    }

    pub(super) fn resize(&mut self, vmid: u32, call: &Call) -> Result<Value, Refusal> {
        let (Some(disk), Some(size)) = (parameter(call, "disk"), parameter(call, "size")) else {
            return wrong_parameter("disk", "property is missing and it is not optional");
        };
        self.current_digest(vmid, call)?;
        self.unlocked(vmid)?;
        let guest = &self.guests[&vmid];
        let container = guest.kind == GuestKind::Container;
        let Some(raw) = guest.config.get(disk) else {
            return refused(500, format!("disk '{disk}' does not exist"));
        };
        let part = raw.split(',').find_map(|part| part.strip_prefix("size=")).unwrap_or("0");
        let is = disk_size(part).map_or(0, ByteSize::as_bytes);
        let wish = match size.strip_prefix('+') {
            Some(more) => is + disk_size(more).map_or(0, ByteSize::as_bytes),
            None => disk_size(size).map_or(0, ByteSize::as_bytes),
        };
        match (container, wish.cmp(&is)) {
            (true, std::cmp::Ordering::Less) => return refused(500, "unable to shrink disk size"),
            (true, std::cmp::Ordering::Equal) => return refused(500, "disk is already at specified size"),
            (false, std::cmp::Ordering::Less) => {
                return Ok(self.fail("resize", vmid, "shrinking disks is not supported"));
            }
            _ => {}
        }
        let size = wire_size(ByteSize::bytes(wish));
        let others = raw.split(',').filter(|part| !part.starts_with("size=")).map(str::to_owned);
        let grown = others.chain([format!("size={size}")]).collect::<Vec<_>>().join(",");
        Ok(self.begin("resize", vmid, Then::Grow(vmid, disk.to_owned(), grown)))
    }

    pub(super) fn power(&mut self, vmid: u32, what: &str, call: &Call) -> Result<Value, Refusal> {
        let guest = &self.guests[&vmid];
        let (word, running, container) = (guest.word(), guest.running, guest.kind == GuestKind::Container);
        let on = matches!(what, "start" | "resume");
        if container && running == on {
            let word = if what == "reboot" { "VM" } else { word };
            return refused(500, format!("{word} {vmid} {} running", if on { "already" } else { "not" }));
        }
        let prefix = if container { "vz" } else { "qm" };
        let managed = self.beside.services.contains_key(&vmid);
        let kind = if managed { format!("ha{what}") } else { format!("{prefix}{what}") };
        if let Err((_, reason, _)) = self.unlocked(vmid) {
            return Ok(self.fail(&kind, vmid, reason));
        }
        if on && self.guests[&vmid].template {
            return Ok(self.fail(&kind, vmid, "you can't start a CT if it's a template"));
        }
        if what == "shutdown" && running && self.stubborn.contains(&vmid) && parameter(call, "forceStop") != Some("1") {
            return Ok(match parameter(call, "timeout").and_then(|timeout| timeout.parse().ok()) {
                Some(0..10) => self.fail(&kind, vmid, "VM quit/powerdown failed - got timeout"),
                _ => self.begin_endless(&kind, vmid),
            });
        }
        // Where high availability manages it, this only puts the wish into a queue.
        let then = if managed { Then::Wish(vmid, on) } else { Then::Power(vmid, on) };
        Ok(self.begin(&kind, vmid, then))
    }

    pub(super) fn delete(&mut self, vmid: u32, call: &Call) -> Result<Value, Refusal> {
        let guest = &self.guests[&vmid];
        let word = guest.word();
        if guest.config.get("protection").is_some_and(|on| on == "1") {
            return refused(500, format!("can't remove {word} {vmid} - protection mode enabled"));
        }
        self.unlocked(vmid)?;
        let guest = &self.guests[&vmid];
        if guest.running {
            return refused(
                500,
                match guest.kind {
                    GuestKind::Container => format!("unable to destroy CT {vmid} - container is running"),
                    GuestKind::Vm => format!("VM {vmid} is running - destroy failed"),
                },
            );
        }
        if self.beside.services.contains_key(&vmid) && parameter(call, "purge") != Some("1") {
            let why = format!("unable to remove {word} {vmid} - used in HA resources and purge parameter not set.");
            return refused(500, why);
        }
        let kind = if guest.kind == GuestKind::Container { "vzdestroy" } else { "qmdestroy" };
        let base = format!("/base-{vmid}-");
        let mut others =
            self.guests.iter().filter(|(number, _)| **number != vmid).flat_map(|(_, it)| it.config.values());
        if others.any(|value| value.contains(&base)) {
            let why = format!("base volume 'local:{vmid}{base}disk-0.qcow2' is still in use by linked cloned");
            return Ok(self.fail(kind, vmid, why));
        }
        Ok(self.begin(kind, vmid, Then::Remove(vmid)))
    }

    pub(super) fn on_snapshot(&mut self, verb: Verb, vmid: u32, rest: &[&str], call: &Call) -> Result<Value, Refusal> {
        let guest = &self.guests[&vmid];
        let prefix = if guest.kind == GuestKind::Container { "vz" } else { "qm" };
        if let Err((_, reason, _)) = self.unlocked(vmid) {
            return Ok(self.fail(&format!("{prefix}snapshot"), vmid, reason));
        }
        match (verb, rest) {
            (Verb::Post, []) => Ok(self.take_snapshot(prefix, vmid, parameter(call, "snapname").unwrap_or_default())),
            (Verb::Post, [name, "rollback"]) => {
                let Some(then) = guest.snapshots.get(*name).cloned() else {
                    return refused(500, format!("snapshot '{name}' does not exist"));
                };
                let guest = self.guests.get_mut(&vmid).unwrap();
                // A description is no part of a snapshot.
                let description = guest.config.remove("description");
                guest.config = then;
                guest.config.remove("description");
                guest.config.extend(description.map(|text| ("description".to_owned(), text)));
                guest.config.insert("parent".into(), (*name).to_owned());
                guest.running = false;
                guest.pending.clear();
                Ok(self.begin(&format!("{prefix}rollback"), vmid, Then::Nothing))
            }
            (Verb::Delete, [name]) => {
                let kind = format!("{prefix}delsnapshot");
                let guest = self.guests.get_mut(&vmid).unwrap();
                if guest.snapshots.remove(*name).is_none() {
                    return Ok(self.fail(&kind, vmid, format!("snapshot '{name}' does not exist")));
                }
                guest.config.remove("parent");
                Ok(self.begin(&kind, vmid, Then::Nothing))
            }
            _ => refused(501, "not implemented"),
        }
    }

    fn take_snapshot(&mut self, prefix: &str, vmid: u32, name: &str) -> Value {
        let kind = format!("{prefix}snapshot");
        let guest = self.guests.get_mut(&vmid).unwrap();
        if guest.is_on_directory() {
            return self.fail(&kind, vmid, "snapshot feature is not available");
        }
        if guest.snapshots.contains_key(name) {
            return self.fail(&kind, vmid, format!("snapshot name '{name}' already used"));
        }
        guest.snapshots.insert(name.to_owned(), guest.config.clone());
        guest.config.insert("parent".into(), name.to_owned());
        self.begin(&kind, vmid, Then::Nothing)
    }

    pub(super) fn move_volume(&mut self, vmid: u32, call: &Call) -> Value {
        let key = parameter(call, "volume").or_else(|| parameter(call, "disk")).unwrap_or_default().to_owned();
        let storage = parameter(call, "storage").unwrap_or_default();
        let guest = &self.guests[&vmid];
        let raw = guest.config.get(&key).cloned().unwrap_or_default();
        let rest = raw.split_once(':').map_or("", |(_, rest)| rest);
        let moved = format!("{storage}:{rest}");
        let kind = if guest.kind == GuestKind::Container { "move_volume" } else { "qmmove" };
        if guest.running {
            return self.fail(kind, vmid, "storage migration failed: qemu-img: Could not open the image");
        }
        self.begin(kind, vmid, Then::Set(vmid, [(key, moved)].into()))
    }
}

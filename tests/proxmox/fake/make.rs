//! Making guests: from templates, from backups, as clones; and making templates of them.

use std::collections::BTreeMap;

use regatta::driver::proxmox::exchange::Call;
use regatta::resource::cluster::GuestKind;
use serde_json::Value;

use super::guest::Guest;
use super::tasks::Then;
use super::{Refusal, World, parameter, refused, wrong_parameter};

/// Parameters of a create that are no fields of the guest.
const NO_FIELDS: [&str; 12] = [
    "archive",
    "vmid",
    "ostemplate",
    "ssh-public-keys",
    "storage",
    "restore",
    "unique",
    "force",
    "start",
    "password",
    "pool",
    "bwlimit",
];

impl World {
    /// `POST /nodes/NODE/lxc` and `…/qemu`. Until its task ends there is nothing but the lock.
    pub(super) fn create(&mut self, kind: GuestKind, node: &str, call: &Call) -> Result<Value, Refusal> {
        let Some(vmid) = parameter(call, "vmid").and_then(|vmid| vmid.parse::<u32>().ok()) else {
            return wrong_parameter("vmid", "property is missing and it is not optional");
        };
        if kind == GuestKind::Container {
            self.may_create(vmid, call)?;
        }
        let (word, task) = if kind == GuestKind::Container { ("CT", "vzcreate") } else { ("VM", "qmcreate") };
        let used = parameter(call, "ostemplate").or_else(|| {
            let disk = parameter(call, "scsi0")?;
            disk.split(',').find_map(|part| part.strip_prefix("import-from="))
        });
        if let Some(volume) =
            used.filter(|volume| !self.backups.contains_key(*volume) && !self.has_volume(node, volume))
        {
            return refused(500, format!("volume '{volume}' does not exist"));
        }
        let mut config = self.first_config(kind, vmid, call)?;
        if let Some(there) = self.guests.get(&vmid).filter(|_| parameter(call, "force") != Some("1")) {
            let taken = format!("{} {vmid} already exists on node 'pve1'", there.word());
            let same = there.kind == kind;
            return refused(500, if same { taken } else { format!("unable to create {word} {vmid} - {taken}") });
        }
        for (key, value) in call.parameters.iter().filter(|(key, _)| !NO_FIELDS.contains(&key.as_str())) {
            config.insert(key.clone(), self.normalised(kind, key, value, vmid)?);
        }
        if config.get("unprivileged").is_some_and(|value| value == "0") {
            config.remove("unprivileged");
        }
        let guest = Guest { kind, lock: Some("create".into()), ..Guest::of(node, &[], false) };
        self.guests.insert(vmid, guest);
        if let Some(pool) = parameter(call, "pool") {
            let Some((_, members)) = self.beside.pools.get_mut(pool) else {
                self.guests.remove(&vmid);
                return refused(500, format!("pool '{pool}' does not exist"));
            };
            members.insert(vmid);
        }
        let restores = parameter(call, "restore") == Some("1") || parameter(call, "archive").is_some();
        let restored = if kind == GuestKind::Container { "vzrestore" } else { "qmrestore" };
        let name = self.begin(if restores { restored } else { task }, vmid, Then::Made(vec![vmid], config));
        if parameter(call, "ostemplate").is_some_and(|volume| volume.contains("warn")) {
            self.end_with(&name, "WARNINGS: 1");
        }
        if parameter(call, "start") == Some("1") {
            self.let_tasks_end();
            self.guests.get_mut(&vmid).unwrap().power(true);
        }
        Ok(name)
    }

    /// What a guest has without being told.
    fn first_config(&mut self, kind: GuestKind, vmid: u32, call: &Call) -> Result<BTreeMap<String, String>, Refusal> {
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let volume = parameter(call, "ostemplate").or_else(|| parameter(call, "archive")).unwrap_or_default();
        if let Some(backup) = self.backups.get(volume) {
            let mut config = backup.config.clone();
            if kind == GuestKind::Container {
                config.insert("rootfs".into(), format!("local:{vmid}/vm-{vmid}-disk-0.raw,size=1G"));
            }
            let unique = parameter(call, "unique") == Some("1");
            let nets = config.iter_mut().filter(|(key, _)| unique && super::values::stem(key) == "net");
            for (_, value) in nets {
                *value = with_mac(value, &self.mac());
            }
            return Ok(config);
        }
        if kind == GuestKind::Vm {
            return Ok(owned(&[
                ("boot", ""),
                ("meta", "creation-qemu=10.0.13,ctime=1"),
                ("smbios1", "uuid=8594ee90-df1a-43a0-afdb-14ccf66b7cb0"),
                ("vmgenid", "b97bd708-f703-4b3d-82fe-724d9d96ceca"),
            ]));
        }
        let hostname = format!("CT{vmid}");
        Ok(owned(&[
            ("arch", "amd64"),
            ("hostname", &hostname),
            ("memory", "512"),
            ("ostype", "debian"),
            ("swap", "512"),
        ]))
    }

    pub(super) fn clone_of(&mut self, original: u32, call: &Call) -> Result<Value, Refusal> {
        let Some(newid) = parameter(call, "newid").and_then(|vmid| vmid.parse::<u32>().ok()) else {
            return wrong_parameter("newid", "property is missing and it is not optional");
        };
        let source = self.guests[&original].clone();
        if let Some(there) = self.guests.get(&newid) {
            return refused(500, format!("{} {newid} already exists on node 'pve1'", there.word()));
        }
        let full = parameter(call, "full").map_or(!source.template, |full| full == "1");
        if source.kind == GuestKind::Container {
            // While it is copied the original is locked; virtual machines share their lock.
            self.unlocked(original)?;
            if source.running {
                let why = match self.manner {
                    super::Manner::V8 => "Cannot do full clones on a running container without snapshots",
                    super::Manner::V9 => "Full clone of a running container is only possible from a snapshot",
                };
                return refused(500, why);
            }
        }
        if !full && !source.template {
            let disk = source.config.get("scsi0").map(|disk| disk.split(',').next().unwrap_or_default());
            let what = disk.unwrap_or_default();
            return refused(500, format!("Linked clone feature is not supported for '{what}' (scsi0)"));
        }
        let config = self.cloned_config(&source, newid, call)?;
        let (lock, task) = if source.kind == GuestKind::Vm { ("clone", "qmclone") } else { ("create", "vzclone") };
        if source.kind == GuestKind::Vm && source.running {
            // Two programs cannot have one qcow2 image open.
            return Ok(self.fail(task, original, "clone failed: qemu-img: Could not open the image"));
        }
        let node = parameter(call, "target").unwrap_or(&source.node).to_owned();
        if let Some(pool) = parameter(call, "pool") {
            let Some((_, members)) = self.beside.pools.get_mut(pool) else {
                return refused(500, format!("pool '{pool}' does not exist"));
            };
            members.insert(newid);
        }
        if let Some(wall) = self.beside.firewalls.get(&original).cloned() {
            self.beside.firewalls.insert(newid, wall);
        }
        let made = Guest { kind: source.kind, lock: Some(lock.into()), ..Guest::of(&node, &[], false) };
        self.guests.insert(newid, made);
        let mut vmids = vec![newid];
        if source.kind == GuestKind::Container {
            self.guests.get_mut(&original).unwrap().lock = Some("disk".into());
            vmids.push(original);
        }
        Ok(self.begin(task, original, Then::Made(vmids, config)))
    }

    fn cloned_config(&mut self, source: &Guest, newid: u32, call: &Call) -> Result<BTreeMap<String, String>, Refusal> {
        let mut config = source.config.clone();
        let storage = parameter(call, "storage");
        let full = parameter(call, "full") == Some("1");
        for (key, value) in &mut config {
            match super::values::stem(key) {
                "scsi" if !full && source.template => *value = layered(value, key, newid),
                "rootfs" | "mp" | "scsi" | "ide" => *value = moved(value, key, newid, storage),
                "net" => *value = with_mac(value, &self.mac()),
                _ => {}
            }
        }
        for key in ["hostname", "name", "description"] {
            if let Some(value) = parameter(call, key) {
                config.insert(key.into(), self.normalised(source.kind, key, value, newid)?);
            }
        }
        Ok(config)
    }

    /// A container's answer names no task, although there is one.
    pub(super) fn make_template(&mut self, vmid: u32) -> Value {
        let container = self.guests[&vmid].kind == GuestKind::Container;
        let name = self.begin(if container { "vztemplate" } else { "qmtemplate" }, vmid, Then::Nothing);
        let guest = self.guests.get_mut(&vmid).unwrap();
        guest.template = true;
        let disks = guest.config.iter_mut().filter(|(key, _)| matches!(super::values::stem(key), "rootfs" | "scsi"));
        disks.for_each(|(_, value)| *value = value.replace("/vm-", "/base-"));
        if container { Value::Null } else { name }
    }
}

/// The volume of a copy.
fn moved(value: &str, key: &str, newid: u32, storage: Option<&str>) -> String {
    let (volume, rest) = value.split_once(',').unwrap_or((value, ""));
    let (found, name) = volume.split_once(':').unwrap_or((volume, ""));
    let end = name.rsplit_once('.').map_or("raw", |(_, end)| end);
    let what = if name.contains("cloudinit") { "cloudinit" } else { key };
    let volume = format!("{}:{newid}/vm-{newid}-{what}.{end}", storage.unwrap_or(found));
    if rest.is_empty() { volume } else { format!("{volume},{rest}") }
}

/// The volume of a layer over a template's.
fn layered(value: &str, key: &str, newid: u32) -> String {
    let (volume, rest) = value.split_once(',').unwrap_or((value, ""));
    format!("{volume}/{newid}/vm-{newid}-{key}.qcow2,{rest}")
}

/// A copy gets addresses of its own.
fn with_mac(value: &str, mac: &str) -> String {
    let parts = value.split(',').map(|part| match part.split_once('=') {
        Some((key, old)) if old.matches(':').count() == 5 => format!("{key}={mac}"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

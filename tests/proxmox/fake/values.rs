//! What a genuine server makes of the values that it is given.

use std::collections::{BTreeMap, BTreeSet};

use regatta::resource::cluster::GuestKind;

use super::{Refusal, World, wrong_parameter};

/// Fields of containers, numbers left out.
const CONTAINER: [&str; 26] = [
    "arch",
    "cmode",
    "cores",
    "cpulimit",
    "cpuunits",
    "description",
    "dev",
    "features",
    "hookscript",
    "hostname",
    "lock",
    "memory",
    "mp",
    "nameserver",
    "net",
    "onboot",
    "ostype",
    "protection",
    "rootfs",
    "searchdomain",
    "startup",
    "swap",
    "tags",
    "tty",
    "unprivileged",
    "unused",
];

/// Fields of virtual machines, numbers left out.
const VM: [&str; 28] = [
    "agent",
    "boot",
    "cipassword",
    "ciuser",
    "cores",
    "cpu",
    "cpulimit",
    "cpuunits",
    "description",
    "hookscript",
    "ide",
    "ipconfig",
    "memory",
    "name",
    "nameserver",
    "net",
    "onboot",
    "ostype",
    "protection",
    "scsi",
    "scsihw",
    "searchdomain",
    "serial",
    "sockets",
    "sshkeys",
    "startup",
    "tags",
    "vga",
];

pub(super) fn stem(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

pub(super) fn is_known(kind: GuestKind, key: &str) -> bool {
    let known: &[&str] = if kind == GuestKind::Container { &CONTAINER } else { &VM };
    known.contains(&stem(key)) || stem(key) == "unused"
}

impl World {
    /// A value as it is kept. `vmid` is the guest's.
    pub(super) fn normalised(&mut self, kind: GuestKind, key: &str, value: &str, vmid: u32) -> Result<String, Refusal> {
        if !is_known(kind, key) {
            let why = "property is not defined in schema and the schema does not allow additional properties";
            return wrong_parameter(key, why);
        }
        if value.is_empty() {
            return wrong_parameter(key, "value may not be empty");
        }
        if matches!(key, "onboot" | "protection" | "unprivileged") && !matches!(value, "0" | "1") {
            return wrong_parameter(key, "type check ('boolean') failed");
        }
        if matches!(key, "memory" | "swap" | "cores") && value.parse::<u64>().is_err() {
            return wrong_parameter(key, "type check ('integer') failed");
        }
        Ok(match (kind, stem(key)) {
            (GuestKind::Container, "description") => format!("{}\n", value.trim_end_matches('\n')),
            (GuestKind::Container, "tags") => tags(value),
            (GuestKind::Container, "net") => self.container_net(value),
            (GuestKind::Vm, "net") => self.vm_net(value),
            (GuestKind::Container, "rootfs" | "mp") => disk(value, key, vmid, "raw"),
            (GuestKind::Vm, "scsi") => disk(value, key, vmid, "qcow2"),
            (GuestKind::Vm, "ide") if value.contains(":cloudinit") => {
                let storage = value.split(':').next().unwrap_or_default();
                format!("{storage}:{vmid}/vm-{vmid}-cloudinit.qcow2,media=cdrom")
            }
            (GuestKind::Vm, "cipassword") => "**********".to_owned(),
            _ => value.to_owned(),
        })
    }

    fn container_net(&mut self, value: &str) -> String {
        let mut parts = parts(value, "name");
        if !parts.contains_key("hwaddr") {
            parts.insert("hwaddr".into(), self.mac());
        }
        parts.insert("type".into(), "veth".into());
        parts.iter().rev().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }

    /// The model becomes a key, whose value is the address.
    fn vm_net(&mut self, value: &str) -> String {
        let mut parts = parts(value, "model");
        let model = parts.remove("model");
        let mac = parts.remove("macaddr");
        let card = model.or_else(|| {
            let card = parts.keys().find(|key| key.starts_with("virtio") || key.starts_with("e1000")).cloned();
            card.inspect(|card| drop(parts.get(card).cloned()))
        });
        let card = card.unwrap_or_else(|| "virtio".into());
        let mac = mac.or_else(|| parts.remove(&card)).unwrap_or_else(|| self.mac());
        let others = parts.iter().map(|(key, value)| format!("{key}={value}"));
        [format!("{card}={mac}")].into_iter().chain(others).collect::<Vec<_>>().join(",")
    }
}

fn tags(value: &str) -> String {
    let lower = value.to_lowercase();
    let tags: BTreeSet<&str> = lower.split([';', ',', ' ']).filter(|tag| !tag.is_empty()).collect();
    tags.into_iter().collect::<Vec<_>>().join(";")
}

fn parts(value: &str, first: &str) -> BTreeMap<String, String> {
    let pairs = value.split(',').map(|part| part.split_once('=').unwrap_or((first, part)));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// `storage:8` becomes a volume with its size.
fn disk(value: &str, key: &str, vmid: u32, format: &str) -> String {
    let mut parts = parts(value, "volume");
    let volume = parts.remove("volume").or_else(|| parts.remove("file")).unwrap_or_default();
    let volume = match volume.split_once(':') {
        Some((storage, size)) if size.parse::<f64>().is_ok() => {
            let mib = size.parse::<f64>().unwrap() * 1024.0;
            // What an image brings along.
            let mib = if parts.remove("import-from").is_some() { 2048.0 } else { mib };
            let whole = mib % 1024.0 == 0.0;
            parts.insert("size".into(), if whole { format!("{}G", mib / 1024.0) } else { format!("{mib}M") });
            parts.remove("format");
            format!("{storage}:{vmid}/vm-{vmid}-{key}.{format}")
        }
        _ => volume,
    };
    let others = parts.iter().map(|(key, value)| format!("{key}={value}"));
    [volume].into_iter().chain(others).collect::<Vec<_>>().join(",")
}

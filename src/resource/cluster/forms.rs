//! How fields are written: the forms that [`FIELDS`](super::field::FIELDS) names.

use std::collections::BTreeSet;

use super::{Properties, Value};
use crate::config::ByteSize;

/// How a field is written.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A number; Proxmox writes it with and without quotes.
    Number,
    /// Memory, on the wire in MiB.
    Mebibytes,
    /// A truth value, on the wire 0 or 1.
    Flag,
    /// Text; a line end at its end means nothing.
    Text,
    /// Text that is percent-encoded on the wire.
    UrlEncoded,
    /// Words in an order that counts.
    Words,
    /// Words in no order; case does not count.
    Set,
    /// A property string.
    Properties(&'static Shape),
    /// A property string that says where a volume is and how large.
    Disk(&'static Shape),
    /// A drive for cloud-init: the storage that it is on. Other drives in its place are the user's.
    CloudInit,
}

/// What is known about the keys of a property string.
#[derive(Debug)]
pub struct Shape {
    /// The key that may be left out.
    pub first: Option<&'static str>,
    /// Keys that keep their value when nobody sets them.
    pub carried: &'static [&'static str],
    /// What holds for keys that are not there: written or not is the same.
    pub absent: &'static [(&'static str, &'static str)],
    /// Keys whose case does not count.
    pub upper: &'static [&'static str],
}

const PLAIN: Shape = Shape { first: None, carried: &[], absent: &[], upper: &[] };

/// `rootfs` of a container.
pub static ROOT_DISK: Shape = Shape {
    first: Some("volume"),
    carried: &["volume"],
    absent: &[("acl", "0"), ("quota", "0"), ("replicate", "1"), ("ro", "0"), ("shared", "0")],
    ..PLAIN
};

/// `mpN` of a container.
pub static MOUNT: Shape = Shape {
    absent: &[("acl", "0"), ("backup", "0"), ("quota", "0"), ("replicate", "1"), ("ro", "0"), ("shared", "0")],
    ..ROOT_DISK
};

/// `mpN` of a container that is a directory of its node.
pub static BIND: Shape = Shape { first: Some("from"), absent: MOUNT.absent, ..PLAIN };

/// `devN` of a container.
pub static DEVICE: Shape = Shape {
    first: Some("path"),
    absent: &[("deny-write", "0"), ("gid", "0"), ("mode", "0660"), ("uid", "0")],
    ..PLAIN
};

/// `scsiN` of a virtual machine.
pub static VM_DISK: Shape = Shape {
    carried: &["volume", "aio", "cache", "format", "serial", "wwn"],
    absent: &[("backup", "1"), ("discard", "ignore"), ("iothread", "0"), ("replicate", "1"), ("ssd", "0")],
    first: Some("volume"),
    ..PLAIN
};

/// `netN` of a container.
pub static CONTAINER_NET: Shape = Shape {
    carried: &["hwaddr"],
    absent: &[("firewall", "0"), ("ip", "manual"), ("ip6", "manual"), ("link_down", "0"), ("type", "veth")],
    upper: &["hwaddr"],
    ..PLAIN
};

/// `netN` of a virtual machine.
pub static VM_NET: Shape = Shape {
    first: Some("model"),
    carried: &["macaddr"],
    absent: &[("firewall", "0"), ("link_down", "0")],
    upper: &["macaddr"],
};

/// `cpu`.
pub static CPU: Shape = Shape { first: Some("cputype"), ..PLAIN };

/// `ipconfigN` of a virtual machine.
pub static IP_CONFIG: Shape = PLAIN;

/// `features` of a container.
pub static FEATURES: Shape = Shape {
    absent: &[("force_rw_sys", "0"), ("fuse", "0"), ("keyctl", "0"), ("mknod", "0"), ("nesting", "0")],
    ..PLAIN
};

/// `agent` of a virtual machine.
pub static AGENT: Shape = Shape { first: Some("enabled"), ..PLAIN };

/// `startup`.
pub static STARTUP: Shape = Shape { first: Some("order"), ..PLAIN };

/// A resource of high availability. Its run state is not part of it: that follows from the guest's own.
pub static HA: Shape = Shape { absent: &[("strict", "0")], ..PLAIN };

/// The options of a guest's firewall.
pub static FIREWALL: Shape = Shape {
    absent: &[
        ("dhcp", "0"),
        ("ipfilter", "0"),
        ("log_level_in", "nolog"),
        ("log_level_out", "nolog"),
        ("macfilter", "1"),
        ("ndp", "1"),
        ("radv", "0"),
    ],
    ..PLAIN
};

/// One rule of a guest's firewall. Those that are made without a word do not count.
pub static FIREWALL_RULE: Shape = Shape { absent: &[("enable", "0"), ("log", "nolog")], ..PLAIN };

/// Models of network cards, which Proxmox writes as a key whose value is the MAC address: `virtio=BC:24:…`.
const CARDS: [&str; 6] = ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "ne2k_pci"];

impl Form {
    /// The canonical form of what was read; nothing when it means the same as no value.
    pub fn canonical(&self, raw: &str) -> Option<Value> {
        let text = match self {
            Self::Number => number(raw),
            Self::Mebibytes => mebibytes(raw),
            Self::Flag => matches!(raw.trim(), "1" | "true" | "yes" | "on").to_string(),
            Self::Text => raw.trim_end_matches('\n').to_owned(),
            Self::UrlEncoded => super::percent::decode(raw).trim_end_matches('\n').to_owned(),
            Self::Words => words(raw, ' '),
            Self::Set => set(raw),
            Self::CloudInit => cloud_init(raw).unwrap_or_default(),
            Self::Properties(shape) | Self::Disk(shape) => {
                let properties = self.properties(shape, raw);
                return (!properties.is_empty()).then_some(Value::Properties(properties));
            }
        };
        (!text.is_empty()).then_some(Value::Text(text))
    }

    /// What is sent for a canonical value.
    pub fn wire(&self, value: &Value) -> String {
        match (self, value) {
            (Self::Mebibytes, Value::Text(text)) => {
                ByteSize::parse(text).map_or_else(|_| text.clone(), |size| size.as_mib().to_string())
            }
            (Self::Flag, Value::Text(text)) => if text == "true" { "1" } else { "0" }.to_owned(),
            (Self::UrlEncoded, Value::Text(text)) => super::percent::encode(text),
            (Self::Disk(shape), Value::Properties(properties)) => {
                let mut sent = properties.clone();
                let size = sent.remove("size").and_then(|size| disk_size(&size));
                let storage = sent.remove("storage").unwrap_or_default();
                if sent.get("volume").is_none() {
                    let size = size.map_or_else(|| "1".to_owned(), gibibytes);
                    sent.set("volume", format!("{storage}:{size}"));
                } else if let Some(size) = size {
                    sent.set("size", wire_size(size));
                }
                sent.text(shape.first)
            }
            (Self::Properties(shape), Value::Properties(properties)) => properties.text(shape.first),
            (Self::CloudInit, Value::Text(storage)) => format!("{storage}:cloudinit"),
            (_, Value::Text(text)) => text.clone(),
            (_, Value::Properties(properties)) => properties.text(None),
        }
    }

    fn properties(&self, shape: &Shape, raw: &str) -> Properties {
        let mut properties = Properties::parse(raw, shape.first);
        for card in CARDS.iter().filter(|_| shape.upper.contains(&"macaddr")) {
            if let Some(mac) = properties.remove(card) {
                properties.set("model", *card);
                properties.set("macaddr", mac);
            }
        }
        for key in shape.upper {
            if let Some(value) = properties.remove(key) {
                properties.set(key, value.to_uppercase());
            }
        }
        if matches!(self, Self::Disk(_)) {
            if let Some(volume) = properties.get("volume").or(properties.get("file")).map(str::to_owned) {
                properties.remove("file");
                properties.set("storage", volume.split(':').next().unwrap_or_default());
                properties.set("volume", volume);
            }
            if let Some(size) = properties.get("size").and_then(disk_size) {
                properties.set("size", size.to_string());
            }
        }
        shape.without_defaults(properties)
    }
}

impl Shape {
    /// Without what would hold anyway.
    pub(super) fn without_defaults(&self, mut properties: Properties) -> Properties {
        for (key, default) in self.absent {
            if properties.get(key) == Some(default) {
                properties.remove(key);
            }
        }
        properties
    }
}

/// A size as Proxmox writes it in a disk: `8G`, `1536M`, or bytes.
pub fn disk_size(text: &str) -> Option<ByteSize> {
    if let Ok(size) = ByteSize::parse(text) {
        return Some(size);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match &text[digits..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let number: u64 = text[..digits].parse().ok()?;
    number.checked_mul(1 << shift).map(ByteSize::bytes)
}

/// A size as Proxmox takes it for a disk that exists: `8G`, `1536M`.
pub fn wire_size(size: ByteSize) -> String {
    let mib = size.as_mib();
    if mib.is_multiple_of(1024) { format!("{}G", mib / 1024) } else { format!("{mib}M") }
}

/// The number of GiB that a new volume is asked for with: Proxmox takes fractions.
fn gibibytes(size: ByteSize) -> String {
    let mib = size.as_mib();
    if mib.is_multiple_of(1024) {
        (mib / 1024).to_string()
    } else {
        format!("{}.{:03}", mib / 1024, (mib % 1024) * 1000 / 1024)
    }
}

/// The storage of `local:100/vm-100-cloudinit.qcow2,media=cdrom`, or of what is asked for, `local:cloudinit`.
fn cloud_init(raw: &str) -> Option<String> {
    let (storage, volume) = raw.split(',').next()?.split_once(':')?;
    volume.contains("cloudinit").then(|| storage.to_owned())
}

fn number(raw: &str) -> String {
    let text = raw.trim();
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole.to_owned(),
        _ => text.to_owned(),
    }
}

fn mebibytes(raw: &str) -> String {
    // 9.x writes `current=512` for the memory of virtual machines with hotplug.
    let text = number(raw.trim().strip_prefix("current=").unwrap_or(raw));
    match text.parse() {
        Ok(0) => "0MiB".to_owned(),
        Ok(mib) => ByteSize::mib(mib).to_string(),
        Err(_) => text,
    }
}

fn set(raw: &str) -> String {
    let lower = words(raw, ';').to_lowercase();
    lower.split(';').collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(";")
}

fn words(raw: &str, separator: char) -> String {
    let words = raw.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '\0')).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(separator.to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_proxmox_units() {
        for (text, size) in [("8G", ByteSize::gib(8)), ("1536M", ByteSize::mib(1536)), ("512", ByteSize::bytes(512))] {
            assert_eq!(disk_size(text), Some(size));
        }
        assert_eq!(disk_size("8X"), None);
    }

    #[test]
    fn a_new_disk_is_asked_for_in_gibibytes() {
        let disk = |size: &str| Value::Properties([("size", size), ("storage", "fast"), ("mp", "/d")].into());
        assert_eq!(Form::Disk(&MOUNT).wire(&disk("20GiB")), "fast:20,mp=/d");
        assert_eq!(Form::Disk(&MOUNT).wire(&disk("1536MiB")), "fast:1.500,mp=/d");
    }

    #[test]
    fn a_disk_that_is_there_keeps_its_volume() {
        let read = Form::Disk(&ROOT_DISK).canonical("l:101/vm-101-disk-0.raw,size=8G").unwrap();
        assert_eq!(Form::Disk(&ROOT_DISK).wire(&read), "l:101/vm-101-disk-0.raw,size=8G");
    }
}

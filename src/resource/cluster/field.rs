//! What a field of a Proxmox guest's configuration means: the one table by which both sides of a comparison are brought
//! into one form, and written back (LESSON 41).
//!
//! Proxmox completes, reorders and reformats what it is given: a description gains a line end, tags are sorted, property
//! strings gain a MAC address and a size, numbers are now strings and now numbers. Nothing else in regatta knows that.

use super::Properties;
use super::forms::{self, Form, Shape};

/// Which guests have a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Containers.
    Containers,
    /// Virtual machines.
    Vms,
    /// Both.
    Both,
}

/// When a change of a field takes effect in a guest that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// At once.
    Live,
    /// At the next start: until then it is pending.
    AtStart,
}

/// What tells fields of one kind apart, where there are several (`net0`, `net1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Several {
    /// There is one.
    No,
    /// A property of each: `name` of a network interface. The number is Proxmox's business.
    By(&'static str),
    /// Their number.
    Number,
}

/// Where a field is kept: it is read and written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// In the guest's configuration.
    Config,
    /// In the list of a resource pool.
    Pool,
    /// In the resources of high availability.
    HighAvailability,
    /// In the options of the guest's firewall.
    FirewallOptions,
    /// In the list of the guest's firewall rules.
    FirewallRules,
}

impl Home {
    /// Whether the request that makes a guest sets it.
    pub const fn is_set_when_made(self) -> bool {
        matches!(self, Self::Config | Self::Pool)
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// What the fleet file and the plan call it.
    pub path: &'static str,
    /// What Proxmox calls it, without its number.
    pub key: &'static str,
    /// Whose it is.
    pub of: Of,
    /// Whether there are several.
    pub several: Several,
    /// How it is written.
    pub form: Form,
    /// When a change takes effect.
    pub effect: Effect,
    /// What holds where Proxmox has nothing, in canonical form.
    pub absent: Option<&'static str>,
    /// Where it is kept.
    pub home: Home,
}

const fn field(path: &'static str, key: &'static str, of: Of, form: Form, effect: Effect) -> Field {
    Field { path, key, of, several: Several::No, form, effect, absent: None, home: Home::Config }
}

impl Field {
    const fn by(self, property: &'static str) -> Self {
        Self { several: Several::By(property), ..self }
    }

    const fn numbered(self) -> Self {
        Self { several: Several::Number, ..self }
    }

    const fn kept_in(self, home: Home) -> Self {
        Self { home, ..self }
    }

    const fn absent(self, canonical: &'static str) -> Self {
        Self { absent: Some(canonical), ..self }
    }
}

/// Every field that regatta manages. What is not in here is nobody's business but the user's, and is left alone.
pub static FIELDS: &[Field] = &[
    field("hostname", "hostname", Of::Containers, Form::Text, Effect::Live),
    field("hostname", "name", Of::Vms, Form::Text, Effect::Live),
    field("cores", "cores", Of::Containers, Form::Number, Effect::Live),
    field("cores", "cores", Of::Vms, Form::Number, Effect::AtStart).absent("1"),
    field("sockets", "sockets", Of::Vms, Form::Number, Effect::AtStart).absent("1"),
    field("cpu", "cpu", Of::Vms, Form::Properties(&forms::CPU), Effect::AtStart),
    field("cpu-limit", "cpulimit", Of::Both, Form::Number, Effect::Live).absent("0"),
    field("cpu-units", "cpuunits", Of::Both, Form::Number, Effect::Live),
    field("memory", "memory", Of::Containers, Form::Mebibytes, Effect::Live).absent("512MiB"),
    field("memory", "memory", Of::Vms, Form::Mebibytes, Effect::AtStart).absent("512MiB"),
    field("swap", "swap", Of::Containers, Form::Mebibytes, Effect::Live).absent("512MiB"),
    field("root-disk", "rootfs", Of::Containers, Form::Disk(&forms::ROOT_DISK), Effect::AtStart),
    field("mount", "mp", Of::Containers, Form::Disk(&forms::MOUNT), Effect::AtStart).by("mp"),
    field("bind", "mp", Of::Containers, Form::Properties(&forms::BIND), Effect::AtStart).by("mp"),
    field("device", "dev", Of::Containers, Form::Properties(&forms::DEVICE), Effect::AtStart).by("path"),
    field("disk", "scsi", Of::Vms, Form::Disk(&forms::VM_DISK), Effect::AtStart).numbered(),
    field("disk-controller", "scsihw", Of::Vms, Form::Text, Effect::AtStart),
    field("interface", "net", Of::Containers, Form::Properties(&forms::CONTAINER_NET), Effect::Live).by("name"),
    field("interface", "net", Of::Vms, Form::Properties(&forms::VM_NET), Effect::Live).numbered(),
    field("ip-config", "ipconfig", Of::Vms, Form::Properties(&forms::IP_CONFIG), Effect::AtStart).numbered(),
    field("cloud-init-drive", "ide2", Of::Vms, Form::CloudInit, Effect::AtStart),
    field("cloud-init-user", "ciuser", Of::Vms, Form::Text, Effect::AtStart),
    field("cloud-init-keys", "sshkeys", Of::Vms, Form::UrlEncoded, Effect::AtStart),
    field("dns-servers", "nameserver", Of::Both, Form::Words, Effect::AtStart),
    field("search-domain", "searchdomain", Of::Both, Form::Words, Effect::AtStart),
    field("features", "features", Of::Containers, Form::Properties(&forms::FEATURES), Effect::AtStart),
    field("hook-script", "hookscript", Of::Both, Form::Text, Effect::Live),
    field("agent", "agent", Of::Vms, Form::Properties(&forms::AGENT), Effect::AtStart),
    field("tags", "tags", Of::Both, Form::Set, Effect::Live),
    field("startup", "startup", Of::Both, Form::Properties(&forms::STARTUP), Effect::Live),
    field("protection", "protection", Of::Both, Form::Flag, Effect::Live).absent("false"),
    field("on-boot", "onboot", Of::Both, Form::Flag, Effect::Live).absent("false"),
    field("pool", "pool", Of::Both, Form::Text, Effect::Live).kept_in(Home::Pool),
    field("ha", "ha", Of::Both, Form::Properties(&forms::HA), Effect::Live).kept_in(Home::HighAvailability),
    field("firewall", "firewall", Of::Both, Form::Properties(&forms::FIREWALL), Effect::Live)
        .kept_in(Home::FirewallOptions),
    field("firewall-rule", "firewall-rule", Of::Both, Form::Properties(&forms::FIREWALL_RULE), Effect::Live)
        .numbered()
        .kept_in(Home::FirewallRules),
];

/// What a guest is, to Proxmox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestKind {
    /// LXC.
    Container,
    /// QEMU.
    Vm,
}

impl GuestKind {
    /// The part of the API's paths that stands for it.
    pub const fn api_name(self) -> &'static str {
        match self {
            Self::Container => "lxc",
            Self::Vm => "qemu",
        }
    }

    const fn has(self, of: Of) -> bool {
        matches!((self, of), (_, Of::Both) | (Self::Container, Of::Containers) | (Self::Vm, Of::Vms))
    }
}

/// The row of a key as Proxmox writes it (`net0`), and its number where it has one. Of mount points, which may be volumes
/// or directories of the node, it is that of volumes.
pub fn by_key(kind: GuestKind, key: &str) -> Option<(&'static Field, Option<u32>)> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    FIELDS.iter().filter(|field| kind.has(field.of)).find_map(|field| match field.several {
        Several::No => (field.key == key).then_some((field, None)),
        Several::By(_) | Several::Number if field.key == stem => {
            key[stem.len()..].parse().ok().map(|number| (field, Some(number)))
        }
        Several::By(_) | Several::Number => None,
    })
}

/// The row of a path as the fleet file writes it (`interface eth0`), and what tells it apart from its like.
pub fn by_path(kind: GuestKind, path: &str) -> Option<(&'static Field, Option<&str>)> {
    let (stem, which) = path.split_once(' ').map_or((path, None), |(stem, which)| (stem, Some(which)));
    let rows = FIELDS.iter().filter(|field| kind.has(field.of) && field.path == stem);
    let fits = |field: &&Field| (field.several == Several::No) == which.is_none();
    rows.into_iter().find(fits).map(|field| (field, which))
}

/// A field as it was read: its path, and its value in canonical form; nothing for fields that are not managed, and for
/// values that mean the same as no value.
pub fn canonical(kind: GuestKind, key: &str, raw: &str) -> Option<(String, super::Value)> {
    let (field, number) = by_key(kind, key)?;
    let field = if field.path == "mount" && raw.starts_with('/') { by_path(kind, "bind /")?.0 } else { field };
    let value = field.form.canonical(raw)?;
    let path = match (field.several, number, &value) {
        (Several::By(property), _, super::Value::Properties(all)) => {
            format!("{} {}", field.path, all.get(property).unwrap_or(key))
        }
        (Several::Number, Some(number), _) => format!("{} {number}", field.path),
        _ => field.path.to_owned(),
    };
    Some((path, value))
}

/// What a property string gets from what is there, so that setting one thing does not change another: the MAC address
/// of an interface, the volume of a disk.
pub fn carry(shape: &Shape, desired: &Properties, observed: Option<&Properties>) -> Properties {
    let mut whole = desired.clone();
    for key in shape.carried {
        if let (None, Some(value)) = (whole.get(key), observed.and_then(|observed| observed.get(key))) {
            whole.set(key, value);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::Value;

    #[test]
    fn rows_are_found_by_either_name() {
        let found = |kind, key| by_key(kind, key).map(|(field, number)| (field.path, number));
        assert_eq!(found(GuestKind::Container, "net12"), Some(("interface", Some(12))));
        assert_eq!(found(GuestKind::Container, "net"), None);
        assert_eq!(found(GuestKind::Container, "name"), None);
        assert_eq!(found(GuestKind::Vm, "name"), Some(("hostname", None)));
        let found = |path| by_path(GuestKind::Container, path).map(|(field, which)| (field.key, which));
        assert_eq!(found("mount /srv/a b"), Some(("mp", Some("/srv/a b"))));
        assert_eq!(found("memory"), Some(("memory", None)));
        assert_eq!(found("interface"), None);
    }

    /// LESSON 41, PROXMOX A5: what was written and what comes back are one value.
    #[test]
    fn written_and_read_back_are_one() {
        let same = [
            (GuestKind::Container, "tags", "Zed;b,a", "a;b;zed"),
            (GuestKind::Container, "net0", "name=eth0,bridge=vmbr0", "bridge=vmbr0,firewall=0,name=eth0,type=veth"),
            (GuestKind::Container, "net0", "name=eth0,hwaddr=bc:24:11:00:00:01", "name=eth0,hwaddr=BC:24:11:00:00:01"),
            (
                GuestKind::Vm,
                "net0",
                "virtio=bc:24:11:00:00:01,bridge=b",
                "model=virtio,macaddr=BC:24:11:00:00:01,bridge=b",
            ),
            (GuestKind::Container, "mp0", "l:101/a.raw,mp=/d,size=1024M", "l:101/a.raw,backup=0,mp=/d,size=1G"),
            (GuestKind::Container, "mp3", "/mnt/usb,mp=/srv,ro=0", "/mnt/usb,backup=0,mp=/srv"),
            (GuestKind::Container, "dev0", "/dev/ttyUSB0", "path=/dev/ttyUSB0,mode=0660,gid=0"),
            (GuestKind::Vm, "memory", "512", "512.0"),
            (GuestKind::Container, "onboot", "1", "true"),
            (GuestKind::Container, "nameserver", "10.0.0.1,10.0.0.2", "10.0.0.1 10.0.0.2"),
        ];
        for (kind, key, written, read) in same {
            assert_eq!(canonical(kind, key, written), canonical(kind, key, read), "{key}");
            assert!(canonical(kind, key, written).is_some(), "{key}");
        }
    }

    #[test]
    fn what_means_nothing_is_nothing() {
        for (key, raw) in [("features", "nesting=0"), ("tags", ""), ("nameserver", " "), ("arch", "amd64")] {
            assert_eq!(canonical(GuestKind::Container, key, raw), None, "{key}");
        }
    }

    #[test]
    fn a_mac_address_that_nobody_set_is_carried() {
        let desired = Properties::from([("bridge", "b"), ("name", "eth0")]);
        let observed = Properties::from([("hwaddr", "BC:24:11:00:00:01"), ("ip", "dhcp")]);
        let whole = carry(&forms::CONTAINER_NET, &desired, Some(&observed));
        assert_eq!(whole.text(None), "bridge=b,hwaddr=BC:24:11:00:00:01,name=eth0");
        let Some((path, Value::Properties(_))) = canonical(GuestKind::Container, "net3", "name=eth0") else { panic!() };
        assert_eq!(path, "interface eth0");
    }
}

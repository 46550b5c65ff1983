//! The arguments of root commands: each is checked against the one thing it names (LESSON 33).

use core::net::{Ipv4Addr, Ipv6Addr};
use std::fmt;
use std::str::FromStr;

use super::{enter, on_node};
use crate::config::{self, Mac, Subnet4, Subnet6};
use crate::resource::LinkName;

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// An interface of ours.
    Link,
    /// The table of one of our bridges.
    Table,
    /// The MAC address of one interface.
    Mac,
    /// The mark on a bridge of ours.
    Mark,
    /// An address with the length of its prefix, IPv4.
    Address4,
    /// An address with the length of its prefix, IPv6.
    Address6,
    /// Any address with the length of its prefix: only to take it off an interface of ours.
    AnyAddress,
    /// A user, by number.
    User,
    /// `on` or `off`.
    Switch,
    /// A TCP port.
    Port,
    /// The address of a guest.
    Guest4,
    /// The IPv6 address of a guest.
    Guest6,
    /// A private network.
    Subnet4,
    /// A unique local network.
    Subnet6,
    /// A whole set of rules for one table of ours.
    Rules,
    /// The addresses that dnsmasq listens on: private ones.
    Listen,
    /// Where dnsmasq writes its pid, as its option.
    PidFile,
    /// The same as a path.
    PidPath,
    /// The domain of a fleet, that dnsmasq answers for itself.
    Local,
    /// The same, that it tells.
    Domain,
    /// Whether dnsmasq answers questions for names.
    DnsPort,
    /// What dnsmasq answers about a guest.
    Answer,
    /// A guest's identity.
    Uuid,
    /// Firecracker's program, where root puts programs.
    Firecracker,
    /// The user or group of a jail, by number: not root.
    Jailed,
    /// The number of a guest of a cluster.
    Vmid,
    /// What names a guest's configuration as it was read.
    Digest,
    /// Features of a container.
    Features,
    /// The option for a mount point of a container.
    MountKey,
    /// A directory of a node in a container.
    Directory,
    /// The option for a device of a container.
    DeviceKey,
    /// A device of a node in a container.
    Device,
    /// A snippet on a storage.
    Snippet,
    /// What only root takes away from a container.
    RootKey,
    /// A whole disk of a node.
    Disk,
    /// A filesystem of a node, by its UUID.
    Volume,
    /// Where a node has a disk mounted.
    MountPoint,
    /// What makes sed append the line of such a disk.
    FstabLine,
    /// The script that a container is gone into with.
    Enter,
}

/// What patterns call the kinds of arguments.
const NAMES: [(&str, Slot); 39] = [
    ("{link}", Slot::Link),
    ("{table}", Slot::Table),
    ("{mac}", Slot::Mac),
    ("{mark}", Slot::Mark),
    ("{address4}", Slot::Address4),
    ("{address6}", Slot::Address6),
    ("{any-address}", Slot::AnyAddress),
    ("{user}", Slot::User),
    ("{on-off}", Slot::Switch),
    ("{port}", Slot::Port),
    ("{guest4}", Slot::Guest4),
    ("{guest6}", Slot::Guest6),
    ("{subnet4}", Slot::Subnet4),
    ("{subnet6}", Slot::Subnet6),
    ("{rules}", Slot::Rules),
    ("{listen}", Slot::Listen),
    ("{pid-file}", Slot::PidFile),
    ("{pid-path}", Slot::PidPath),
    ("{local}", Slot::Local),
    ("{domain}", Slot::Domain),
    ("{dns-port}", Slot::DnsPort),
    ("{answer}", Slot::Answer),
    ("{uuid}", Slot::Uuid),
    ("{firecracker}", Slot::Firecracker),
    ("{jailed}", Slot::Jailed),
    ("{vmid}", Slot::Vmid),
    ("{digest}", Slot::Digest),
    ("{features}", Slot::Features),
    ("{mount-key}", Slot::MountKey),
    ("{directory}", Slot::Directory),
    ("{device-key}", Slot::DeviceKey),
    ("{device}", Slot::Device),
    ("{snippet}", Slot::Snippet),
    ("{root-key}", Slot::RootKey),
    ("{disk}", Slot::Disk),
    ("{volume}", Slot::Volume),
    ("{mount-point}", Slot::MountPoint),
    ("{fstab-line}", Slot::FstabLine),
    ("{enter}", Slot::Enter),
];

impl Slot {
    /// The kind that a word of a pattern stands for; `None` for a word that stands for itself.
    pub(super) fn named(word: &str) -> Option<Self> {
        NAMES.iter().find(|(name, _)| *name == word).map(|(_, slot)| *slot)
    }

    /// Whether an argument is of this kind, in its one spelling: what is printed is what was read.
    pub(super) fn accepts(self, text: &str) -> bool {
        match self {
            Self::Link => LinkName::try_from(text.to_owned()).is_ok(),
            Self::Table => text.strip_prefix("regatta_").is_some_and(is_hex12),
            Self::Mac => is_canonical::<Mac>(text),
            Self::Mark => is_canonical::<Mark>(text),
            Self::Address4 => text.split_once('/').is_some_and(|(address, prefix)| {
                is_canonical::<Ipv4Addr>(address)
                    && address.parse().is_ok_and(|address: Ipv4Addr| address.is_private())
                    && number(prefix).is_some_and(|bits| (16..=29).contains(&bits))
            }),
            Self::Address6 => text.strip_suffix("/64").is_some_and(|address| Self::Guest6.accepts(address)),
            Self::AnyAddress => text.split_once('/').is_some_and(|(address, prefix)| {
                let four = is_canonical::<Ipv4Addr>(address) && number(prefix).is_some_and(|bits| bits <= 32);
                four || is_canonical::<Ipv6Addr>(address) && number(prefix).is_some_and(|bits| bits <= 128)
            }),
            Self::User => number(text).is_some_and(|user| user < u32::MAX),
            Self::Switch => matches!(text, "on" | "off"),
            Self::Port => number(text).is_some_and(|port| (1..=65535).contains(&port)),
            Self::Guest4 => text.parse().is_ok_and(|it: Ipv4Addr| it.is_private() && it.to_string() == text),
            Self::Guest6 => text.parse().is_ok_and(|it: Ipv6Addr| it.octets()[0] == 0xfd && it.to_string() == text),
            Self::Subnet4 => is_canonical::<Subnet4>(text),
            Self::Subnet6 => is_canonical::<Subnet6>(text),
            Self::Rules => super::catalogue::are_rules(text),
            Self::Listen => text.strip_prefix("--listen-address=").is_some_and(are_guests),
            Self::PidFile => text.strip_prefix("--pid-file=").is_some_and(|path| Self::PidPath.accepts(path)),
            Self::PidPath => {
                let link = text.strip_prefix("/run/regatta-").and_then(|rest| rest.strip_suffix(".pid"));
                link.is_some_and(|link| Self::Link.accepts(link))
            }
            Self::Local => text.strip_prefix("--local=/").and_then(|it| it.strip_suffix('/')).is_some_and(is_label),
            Self::Domain => text.strip_prefix("--domain=").is_some_and(is_label),
            Self::DnsPort => matches!(text, "--port=53" | "--port=0"),
            Self::Answer => is_answer(text),
            Self::Uuid => is_canonical::<uuid::Uuid>(text),
            Self::Firecracker => super::catalogue::is_jailed_program(text),
            Self::Jailed => number(text).is_some_and(|user| (1..u32::MAX).contains(&user)),
            Self::Vmid => number(text).is_some_and(|vmid| (100..=999_999_999).contains(&vmid)),
            Self::Digest => on_node::is_digest(text),
            Self::Features => on_node::are_features(text),
            Self::MountKey => on_node::is_numbered("--mp", text),
            Self::Directory => on_node::is_directory(text),
            Self::DeviceKey => on_node::is_numbered("--dev", text),
            Self::Device => on_node::is_device(text),
            Self::Snippet => config::is_snippet(text),
            Self::Enter => text == enter::ENTER,
            Self::Disk => config::is_whole_disk(text),
            Self::Volume => text.strip_prefix("--source=UUID=").is_some_and(config::is_filesystem_uuid),
            Self::MountPoint => text.strip_prefix("--target=").is_some_and(config::is_mount_point),
            Self::FstabLine => on_node::is_fstab_line(text),
            Self::RootKey => matches!(text, "features" | "hookscript") || on_node::is_numbered("dev", text),
        }
    }

    /// What an argument of this kind may be in a sudo rule besides the one that was given: a regular expression that
    /// matches no space, so that no other splitting of the arguments fits. `None`: exactly what was given.
    pub(super) fn in_rules(self, given: &str) -> Option<String> {
        match self {
            Self::Mark => {
                let mark: Mark = given.parse().ok()?;
                Some(format!("regatta:1:{}:{}:{}:[0-9a-f]{{12}}:[0-9a-f]{{12}}", mark.fleet, mark.network, mark.origin))
            }
            Self::AnyAddress => Some("[0-9a-f.:]{2,39}/[0-9]{1,3}".into()),
            Self::Digest => Some("[0-9a-f]{40}".into()),
            // Which number is free is known when it is set.
            Self::MountKey => Some("--mp[0-9]{1,3}".into()),
            Self::DeviceKey => Some("--dev[0-9]{1,3}".into()),
            Self::RootKey => given.starts_with("dev").then(|| "dev[0-9]{1,3}".into()),
            _ => None,
        }
    }
}

/// One IPv4 address of a guest or gateway, and maybe an IPv6 one.
fn are_guests(text: &str) -> bool {
    let (four, six) = text.split_once(',').map_or((text, None), |(four, six)| (four, Some(six)));
    Slot::Guest4.accepts(four) && six.is_none_or(|six| Slot::Guest6.accepts(six))
}

/// What dnsmasq is told of a guest, or of all of them.
fn is_answer(text: &str) -> bool {
    if let Some(record) = text.strip_prefix("--host-record=") {
        let parts: Vec<&str> = record.splitn(3, ',').collect();
        let [name, guest, addresses] = parts[..] else { return false };
        let is_name = name.split_once('.').is_some_and(|(first, domain)| first == guest && is_label(domain));
        return is_name && is_label(guest) && are_guests(addresses);
    }
    if let Some(host) = text.strip_prefix("--dhcp-host=") {
        let parts: Vec<&str> = host.split(',').collect();
        let [mac, address, guest] = parts[..] else { return false };
        return Slot::Mac.accepts(mac) && Slot::Guest4.accepts(address) && is_label(guest);
    }
    let range = text.strip_prefix("--dhcp-range=").and_then(|range| range.strip_suffix(",static"));
    text == "--leasefile-ro" || range.is_some_and(|start| Slot::Guest4.accepts(start))
}

/// A name as fleets, networks and guests have it.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A number without sign, space or leading zero.
fn number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().filter(|number| number.to_string() == text)
}

fn is_canonical<T: FromStr + fmt::Display>(text: &str) -> bool {
    text.parse::<T>().is_ok_and(|value| value.to_string() == text)
}

fn is_hex12(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The mark on a bridge, in the alias of its interface: whose it is, and what was last applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The fleet.
    pub fleet: String,
    /// The network's name in the fleet file.
    pub network: String,
    /// Digest of the fleet file's path, twelve hexadecimal digits.
    pub origin: String,
    /// Digest of what was last applied, or [`UNFINISHED`].
    pub applied: String,
    /// Digest of what the kernel said its rules were then, or [`UNFINISHED`].
    pub rules: String,
}

/// The digest of what was never finished.
pub const UNFINISHED: &str = "000000000000";

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fleet, network, origin, applied, rules } = self;
        write!(f, "regatta:1:{fleet}:{network}:{origin}:{applied}:{rules}")
    }
}

impl FromStr for Mark {
    type Err = String;

    /// Reads a mark.
    ///
    /// # Errors
    /// It is none of version 1.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{}` is no mark of regatta's", text.escape_debug());
        let parts: Vec<&str> = text.split(':').collect();
        let ["regatta", "1", fleet, network, origin, applied, rules] = parts[..] else { return Err(refused()) };
        if !is_label(fleet) || !is_label(network) || ![origin, applied, rules].into_iter().all(is_hex12) {
            return Err(refused());
        }
        let [fleet, network, origin, applied, rules] = [fleet, network, origin, applied, rules].map(str::to_owned);
        Ok(Self { fleet, network, origin, applied, rules })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LESSON 33: an argument is checked against the thing it names, and has one spelling.
    #[test]
    fn an_argument_is_what_it_names_and_nothing_else() {
        let good = [
            (Slot::Link, "rgt0123456789ab"),
            (Slot::Table, "regatta_0123456789ab"),
            (Slot::Mac, "02:00:00:00:00:01"),
            (Slot::Mark, "regatta:1:shop:lan:0123456789ab:000000000000:000000000000"),
            (Slot::Address4, "172.31.7.1/24"),
            (Slot::Address6, "fd12::1/64"),
            (Slot::AnyAddress, "2001:db8::1/128"),
            (Slot::User, "1000"),
            (Slot::Switch, "on"),
            (Slot::Port, "8080"),
            (Slot::Guest4, "10.0.0.2"),
            (Slot::Guest6, "fd12::2"),
            (Slot::Uuid, "0190c2a4-7c3e-7000-8000-0000000000ab"),
            (Slot::Firecracker, "/usr/local/bin/firecracker"),
            (Slot::Jailed, "998"),
            (Slot::Vmid, "105"),
            (Slot::Digest, "0123456789abcdef0123456789abcdef01234567"),
            (Slot::Features, "keyctl=1,nesting=1"),
            (Slot::MountKey, "--mp0"),
            (Slot::Directory, "/mnt/usb,mp=/srv,ro=1"),
            (Slot::DeviceKey, "--dev12"),
            (Slot::Device, "/dev/ttyUSB0,gid=20,mode=0660,uid=0"),
            (Slot::Snippet, "local:snippets/hook.sh"),
            (Slot::RootKey, "dev0"),
            (Slot::Disk, "/dev/disk/by-id/ata-WDC"),
            (Slot::Volume, "--source=UUID=1234-ABCD"),
            (Slot::MountPoint, "--target=/mnt/backup"),
            (Slot::FstabLine, r"--expression=$aUUID=1234-ABCD\t/mnt/backup\tauto\tnosuid,nodev,nofail\t0\t2"),
        ];
        for (slot, text) in good {
            assert!(slot.accepts(text), "{slot:?} {text}");
            for other in ["", " ", "-x", "--help", "a b", "/etc/passwd", "../x", "eth0", "\n", "é", "*"] {
                assert!(!slot.accepts(other), "{slot:?} {other:?}");
                assert!(!slot.accepts(&format!("{text}{other} ")), "{slot:?} {text}{other}");
            }
        }
        for (slot, wrong) in [
            (Slot::Address4, "8.8.8.8/24"),
            (Slot::Address4, "10.0.0.1/8"),
            (Slot::Address4, "10.0.0.1/024"),
            (Slot::Address6, "fe80::1/64"),
            (Slot::Guest6, "FD12::2"),
            (Slot::Guest6, "fd12:0::2"),
            (Slot::Port, "0"),
            (Slot::Port, "+80"),
            (Slot::User, "-1"),
            (Slot::User, "4294967295"),
            (Slot::Mac, "02:00:00:00:00:0A"),
            (Slot::Uuid, "0190C2A4-7c3e-7000-8000-0000000000ab"),
            (Slot::Firecracker, "/tmp/firecracker"),
            (Slot::Firecracker, "/usr/bin/../../tmp/firecracker"),
            (Slot::Jailed, "0"),
        ] {
            assert!(!slot.accepts(wrong), "{slot:?} {wrong}");
        }
    }

    /// LESSON 33, on the nodes of clusters.
    #[test]
    fn what_root_sets_on_a_node_has_one_spelling() {
        for (slot, wrong) in [
            (Slot::Vmid, "99"),
            (Slot::Vmid, "0105"),
            (Slot::Features, "nesting=1,keyctl=1"),
            (Slot::Features, "nesting=1,nesting=1"),
            (Slot::Features, "mount=nfs"),
            (Slot::Features, "keyctl=2"),
            (Slot::MountKey, "--mp"),
            (Slot::MountKey, "--mp00"),
            (Slot::MountKey, "--mp256"),
            (Slot::Directory, "/etc,mp=/srv"),
            (Slot::Directory, "/mnt/usb"),
            (Slot::Directory, "/mnt/usb,mp=/srv,ro=0"),
            (Slot::Directory, "/mnt/usb,mp=/srv,mp=/"),
            (Slot::Directory, "/mnt/usb,ro=1,mp=/srv"),
            (Slot::Directory, "local:8,mp=/srv"),
            (Slot::Device, "/dev/sda"),
            (Slot::Device, "/dev/ttyUSB0,mode=4777"),
            (Slot::Device, "/dev/ttyUSB0,uid=0,gid=0"),
            (Slot::Disk, "/dev/sda1"),
            (Slot::Disk, "/dev/mem"),
            (Slot::Volume, "--source=UUID=1234-abcd"),
            (Slot::Volume, "--source=LABEL=backup"),
            (Slot::Volume, "--source=/dev/sda1"),
            (Slot::MountPoint, "--target=/etc"),
            (Slot::MountPoint, "--target=/mnt"),
            (Slot::MountPoint, "--target=/mnt/a/b"),
            (Slot::MountPoint, "--target=/mnt/.."),
            (Slot::FstabLine, r"--expression=$aUUID=1234-ABCD\t/etc\tauto\tnosuid,nodev,nofail\t0\t2"),
            (Slot::FstabLine, r"--expression=$aUUID=1234-ABCD\t/mnt/backup\tauto\tdefaults\t0\t2"),
            (Slot::FstabLine, r"--expression=$a/dev/sda1\t/mnt/backup\tauto\tnosuid,nodev,nofail\t0\t2"),
            (
                Slot::FstabLine,
                r"--expression=$aUUID=1234-ABCD\t/mnt/backup\tauto\tnosuid,nodev,nofail\t0\t2\n/dev/sda1",
            ),
            (Slot::FstabLine, r"--expression=1eid"),
            (Slot::RootKey, "mp0"),
            (Slot::RootKey, "protection"),
        ] {
            assert!(!slot.accepts(wrong), "{slot:?} {wrong}");
        }
    }
}

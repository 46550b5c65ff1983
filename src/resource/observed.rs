//! The world as it is: what drivers report, read-only, in one pass.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::cluster::{ObservedCluster, ObservedClusterGuest, ObservedNodeMount};
use super::{Address, Digest, FileKind, GuestPath, LinkName, ObservedSession, PortForward, ProcessIdentity, Record};
use crate::config::ByteSize;

/// The outcome of a read: unreadable is not absent.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading<T> {
    /// It is certainly not there.
    #[default]
    Absent,
    /// It is there.
    Present(T),
    /// It could not be read, for this reason: nothing may be concluded.
    Unreadable(String),
}

impl<T> Reading<T> {
    /// The value, if it is there.
    pub const fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }
}

/// A built image or kernel in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Bytes on disk.
    pub allocated: u64,
    /// Its name when it was built, and the digest that its source was pinned to.
    pub pinned: Option<(String, String)>,
}

/// Everything seen on one host that concerns one fleet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Images and kernels by content key.
    pub built: BTreeMap<super::ContentKey, Built>,
    /// Guests that carry this fleet's mark, and declared guests that were looked for; by name.
    pub guests: BTreeMap<String, Reading<ObservedGuest>>,
    /// Bridged networks that carry this fleet's mark, and declared ones that were looked for; by name.
    pub networks: BTreeMap<String, Reading<ObservedNetwork>>,
    /// What of the host stands in the way of declared networks and guests.
    pub obstacles: BTreeMap<Address, Vec<Obstacle>>,
    /// Whether what starts this fleet's guests with the host is in place, as we would write it.
    pub starts_with_host: bool,
    /// Declared clusters, by name.
    pub clusters: BTreeMap<String, Reading<ObservedCluster>>,
    /// Guests on clusters that carry this fleet's mark, and declared ones that were looked for; by name.
    pub cluster_guests: BTreeMap<String, Reading<ObservedClusterGuest>>,
    /// Disks that nodes of clusters should have mounted, and that were looked for. One that is not there was read all the same.
    pub mounts: BTreeMap<Address, Reading<ObservedNodeMount>>,
    /// Files of guests on clusters that were logged in to, by the guest's name: those that run and of which files are
    /// declared.
    pub inside: BTreeMap<String, Reading<GuestFiles>>,
}

/// Something of the host that is not ours and that keeps a network or a guest from being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What was found; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// A bridge with the name of one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNetwork {
    /// Its interface.
    pub bridge: LinkName,
    /// Whom its mark names, when that is not this fleet.
    pub foreign: Option<String>,
    /// What was last applied ([`BridgeSpec::digest`](super::BridgeSpec::digest)); `None` when applying was cut short.
    pub applied: Option<String>,
    /// Whether it is up.
    pub up: bool,
    /// Addresses with the length of their prefixes, link-local ones left out.
    pub addresses: BTreeSet<String>,
    /// Interfaces of ours that are plugged to it and up, and whether each is kept from the others.
    pub taps: BTreeMap<LinkName, bool>,
    /// Whether somebody answers its guests' questions for addresses and names.
    pub resolving: Resolving,
    /// What its nftables table says.
    pub rules: Reading<ObservedRules>,
}

/// Whether DHCP and DNS of a network run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolving {
    /// They do not.
    Off,
    /// As is declared.
    AsDeclared,
    /// With other settings, or although nobody asks for them.
    Otherwise,
}

/// What an nftables table of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedRules {
    /// Whether it is as it was when it was last applied.
    pub as_applied: bool,
    /// Whether guests reach the outside.
    pub nat: bool,
    /// Ports of the host that lead to guests, without IPv6.
    pub forwards: BTreeSet<PortForward>,
}

/// One guest of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedGuest {
    /// Its mark: the record beside its disks.
    pub record: Record,
    /// Whether its VMM runs.
    pub state: RunState,
    /// Size of its work disk.
    pub work_disk: Reading<ByteSize>,
    /// Sizes of its further disks, by name.
    pub disks: BTreeMap<String, ByteSize>,
    /// Its files, as far as they were asked for.
    pub files: Reading<GuestFiles>,
}

/// A guest that is not, or not yet, one of this fleet file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Its directory, below the state directory.
    pub at: String,
    /// What was read of it.
    pub guest: Reading<ObservedGuest>,
}

/// Whether a guest runs: three values, because "cannot tell" must never be taken for "dead".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// The VMM process is alive.
    Running(ProcessIdentity),
    /// It is certainly not.
    Stopped,
    /// It is certainly not, but its memory is kept and goes on one day: its disks belong to that until then.
    Suspended,
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// Files of a guest's work directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestFiles {
    /// Those asked for that exist.
    pub files: BTreeMap<GuestPath, ObservedFile>,
    /// What we wrote last: the manifest on the guest's disk.
    pub manifest: Manifest,
    /// Its sessions by name; `Absent` when nobody asked, because none is declared or the guest is stopped.
    pub sessions: Reading<BTreeMap<String, ObservedSession>>,
}

/// What was written into a guest, by address and path.
pub type Manifest = BTreeMap<Address, BTreeMap<GuestPath, WrittenFile>>;

/// A file or directory as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenFile {
    /// Digest of its content; directories have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its permission bits; unknown for what was written before they were recorded (2026-11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Numbers of its user and group, with the same exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
}

impl WrittenFile {
    /// A file of which only the content is known.
    pub const fn of(digest: Digest) -> Self {
        Self { digest: Some(digest), mode: None, owner: None }
    }
}

/// One file as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedFile {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Bytes.
    pub size: u64,
    /// Digest of a regular file's content, or what tells a link's target.
    pub digest: Option<Digest>,
    /// The content, when it is small UTF-8 text; a link's target.
    pub text: Option<String>,
}

impl ObservedFile {
    /// Takes over where a link leads, unless that is no text: then it is another than any that is wanted.
    pub fn describe_link(&mut self, target: &[u8]) {
        let Ok(target) = std::str::from_utf8(target) else { return };
        self.size = 0;
        self.digest = Some(Digest::of_link(target));
        self.text = Some(target.to_owned());
    }
}

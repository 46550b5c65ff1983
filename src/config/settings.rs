//! What a guest's block, its profiles and the top of the file say about it, and which of them decides.
//!
//! Every definition has a priority: `(default)` < normal < `(force)`. For a setting of one value the highest priority
//! decides; among equals the block itself goes before the profiles it uses, and those go before the top of the file.
//! Two profiles that disagree at the same priority are an error that names both. For a list the definitions of the
//! highest priority are joined: the top of the file first, then profiles in the order of `use`, then the block itself.

use core::net::Ipv4Addr;

use super::problems::Problems;
use super::{Accelerator, AuthorizedKey, ByteSize, Disk, File, FileSync, Forward, GitIdentity, Mac, Machine, Session};
use crate::syntax::{Diagnostic, Node, Span, Spanned};

/// How strongly something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// `(default)`: holds until somebody says otherwise.
    Default,
    /// Nothing said.
    Normal,
    /// `(force)`: holds whatever others say.
    Force,
}

/// One place that says something about a setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition<T> {
    /// What it says, and where.
    pub(super) value: Spanned<T>,
    /// How strongly.
    pub(super) priority: Priority,
}

impl<T> Definition<T> {
    /// A definition with the priority its node is annotated with.
    pub(super) fn new(value: Spanned<T>, node: &Node) -> Self {
        let priority = match node.annotation.as_deref().map(|annotation| annotation.value.as_str()) {
            Some("default") => Priority::Default,
            Some("force") => Priority::Force,
            _ => Priority::Normal,
        };
        Self { value, priority }
    }
}

/// Everything that can be set for a guest; nothing where nobody says anything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) cpus: Option<Definition<u32>>,
    pub(super) memory: Option<Definition<ByteSize>>,
    pub(super) image: Option<Definition<String>>,
    pub(super) kernel: Option<Definition<String>>,
    pub(super) network: Option<Definition<String>>,
    pub(super) address: Option<Definition<Ipv4Addr>>,
    pub(super) mac: Option<Definition<Mac>>,
    pub(super) forwards: Vec<Definition<Forward>>,
    pub(super) work_disk: Option<Definition<ByteSize>>,
    pub(super) disks: Vec<Definition<Disk>>,
    pub(super) accel: Option<Definition<Accelerator>>,
    pub(super) machine: Option<Definition<Machine>>,
    pub(super) jailer: Option<Definition<String>>,
    pub(super) authorized_keys: Vec<Definition<AuthorizedKey>>,
    pub(super) git_identity: Option<Definition<GitIdentity>>,
    pub(super) file_syncs: Vec<Definition<FileSync>>,
    pub(super) files: Vec<Definition<File>>,
    pub(super) sessions: Vec<Definition<Session>>,
    pub(super) after: Vec<Definition<String>>,
    pub(super) tags: Vec<Definition<String>>,
    pub(super) autostart: Option<Definition<bool>>,
    pub(super) protect: Option<Definition<bool>>,
    pub(super) ignore_drift: Vec<Definition<String>>,
}

impl Settings {
    /// The places of all values with a priority.
    pub(super) fn priorities(&self) -> Vec<(Span, Priority)> {
        fn one<T>(setting: &Option<Definition<T>>) -> Option<(Span, Priority)> {
            setting.as_ref().map(|definition| (definition.value.span, definition.priority))
        }
        fn all<T>(list: &[Definition<T>]) -> impl Iterator<Item = (Span, Priority)> {
            list.iter().map(|definition| (definition.value.span, definition.priority))
        }
        let single = [
            one(&self.cpus),
            one(&self.memory),
            one(&self.image),
            one(&self.kernel),
            one(&self.network),
            one(&self.address),
            one(&self.mac),
            one(&self.work_disk),
            one(&self.accel),
            one(&self.machine),
            one(&self.jailer),
            one(&self.git_identity),
            one(&self.autostart),
            one(&self.protect),
        ];
        let several = all(&self.forwards).chain(all(&self.authorized_keys)).chain(all(&self.file_syncs));
        let several = several.chain(all(&self.files)).chain(all(&self.after)).chain(all(&self.tags));
        let several = several.chain(all(&self.ignore_drift)).chain(all(&self.disks)).chain(all(&self.sessions));
        single.into_iter().flatten().chain(several).filter(|(_, priority)| *priority != Priority::Normal).collect()
    }

    /// These settings on top of those that are used, which are equals among each other.
    pub(super) fn over(self, used: &[&Self], problems: &mut Problems) -> Self {
        Self {
            cpus: one("cpus", self.cpus, used.iter().map(|s| &s.cpus), problems),
            memory: one("memory", self.memory, used.iter().map(|s| &s.memory), problems),
            image: one("image", self.image, used.iter().map(|s| &s.image), problems),
            kernel: one("kernel", self.kernel, used.iter().map(|s| &s.kernel), problems),
            network: one("network", self.network, used.iter().map(|s| &s.network), problems),
            address: one("address", self.address, used.iter().map(|s| &s.address), problems),
            mac: one("mac", self.mac, used.iter().map(|s| &s.mac), problems),
            forwards: joined(self.forwards, used.iter().map(|s| &s.forwards)),
            work_disk: one("work-disk", self.work_disk, used.iter().map(|s| &s.work_disk), problems),
            disks: joined(self.disks, used.iter().map(|s| &s.disks)),
            accel: one("accel", self.accel, used.iter().map(|s| &s.accel), problems),
            machine: one("machine", self.machine, used.iter().map(|s| &s.machine), problems),
            jailer: one("jailer", self.jailer, used.iter().map(|s| &s.jailer), problems),
            authorized_keys: joined(self.authorized_keys, used.iter().map(|s| &s.authorized_keys)),
            git_identity: one("git-identity", self.git_identity, used.iter().map(|s| &s.git_identity), problems),
            file_syncs: joined(self.file_syncs, used.iter().map(|s| &s.file_syncs)),
            files: joined(self.files, used.iter().map(|s| &s.files)),
            sessions: joined(self.sessions, used.iter().map(|s| &s.sessions)),
            after: joined(self.after, used.iter().map(|s| &s.after)),
            tags: joined(self.tags, used.iter().map(|s| &s.tags)),
            autostart: one("autostart", self.autostart, used.iter().map(|s| &s.autostart), problems),
            protect: one("protect", self.protect, used.iter().map(|s| &s.protect), problems),
            ignore_drift: joined(self.ignore_drift, used.iter().map(|s| &s.ignore_drift)),
        }
    }
}

/// The definition that decides.
fn one<'a, T: Clone + PartialEq + 'a>(
    setting: &str,
    own: Option<Definition<T>>,
    used: impl Iterator<Item = &'a Option<Definition<T>>>,
    problems: &mut Problems,
) -> Option<Definition<T>> {
    let mut decided: Option<&Definition<T>> = None;
    let mut disagrees = None;
    for definition in used.flatten() {
        match decided {
            Some(first) if definition.priority < first.priority => {}
            Some(first) if definition.priority == first.priority => {
                if definition.value.value != first.value.value {
                    disagrees = Some((first, definition));
                }
            }
            _ => {
                decided = Some(definition);
                disagrees = None;
            }
        }
    }
    if let Some(own) = own
        && decided.is_none_or(|used| own.priority >= used.priority)
    {
        return Some(own);
    }
    if let Some((first, second)) = disagrees {
        let message = format!("two profiles disagree about `{setting}`");
        problems.push(
            Diagnostic::error("config::conflict", message, second.value.span, "one says this")
                .also(first.value.span, "the other this")
                .help(format!(
                    "state `{setting}` in the block itself, or put `(default)` or `(force)` before one of them"
                )),
        );
    }
    decided.cloned()
}

/// All definitions of the highest priority. What comes twice by two ways is there once.
fn joined<'a, T: Clone + PartialEq + 'a>(
    own: Vec<Definition<T>>,
    used: impl Iterator<Item = &'a Vec<Definition<T>>>,
) -> Vec<Definition<T>> {
    let mut all: Vec<Definition<T>> = Vec::new();
    for definition in used.flatten().cloned().chain(own) {
        if !all.contains(&definition) {
            all.push(definition);
        }
    }
    let highest = all.iter().map(|definition| definition.priority).max();
    all.retain(|definition| Some(definition.priority) == highest);
    all
}

//! Whose data a step works on: read from the marks that objects carry themselves, and from what this run did so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Harmless, Loss};
use crate::plan::Op;
use crate::resource::cluster::{ClusterGuestSpec, ObservedClusterGuest, Value};
use crate::resource::{
    Content, DesiredFile, Digest, FileKind, GuestFiles, GuestPath, Observed, ObservedFile, ObservedGuest, Reading,
    RunState,
};

/// What is known of the data in the world. Made of what was observed, never of the fleet file or a plan.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    seen: Arc<Observed>,
    /// Guests that steps of this run made, by name.
    made: BTreeSet<String>,
    /// Guests that steps of this run gave a new root disk.
    rooted: BTreeSet<String>,
    /// Names that guests were seen under, by those that steps of this run gave them.
    renamed: BTreeMap<String, String>,
}

impl Provenance {
    /// Before a run has done anything.
    pub fn new(seen: Arc<Observed>) -> Self {
        Self { seen, ..Self::default() }
    }

    /// Takes note of a step that begins. What it makes is ours and temporary from here on.
    pub fn begins(&mut self, op: &Op) {
        match op {
            // Something of that name that was there before is not what this run made.
            Op::CreateGuest { vm } if self.is_absent(&vm.name) => {
                self.made.insert(vm.name.clone());
            }
            Op::CreateClusterGuest { guest } if self.is_absent_on_clusters(&guest.name) => {
                self.made.insert(guest.name.clone());
            }
            Op::ReplaceRoot { vm } => {
                self.rooted.insert(vm.name.clone());
            }
            Op::RenameGuest { from, to } => {
                let seen_as = self.renamed.remove(from).unwrap_or_else(|| from.clone());
                // A rename that was cut short is seen under its new name already.
                if self.seen.guests.contains_key(&seen_as) {
                    self.renamed.insert(to.clone(), seen_as);
                }
                if self.made.remove(from) {
                    self.made.insert(to.clone());
                }
            }
            _ => {}
        }
    }

    /// Whether a guest is ours and temporary, and why.
    pub(super) fn is_temporary(&self, guest: &str) -> Option<Harmless> {
        self.is_made_here(guest).or_else(|| match self.reading(guest) {
            Some(Reading::Present(ObservedGuest { record, state: RunState::Stopped, .. }))
                if record.applied.disks.is_none() =>
            {
                Some(Harmless::NeverWhole)
            }
            _ => None,
        })
    }

    /// Whether this run made a guest.
    pub(super) fn is_made_here(&self, guest: &str) -> Option<Harmless> {
        self.made.contains(guest).then_some(Harmless::MadeInThisRun)
    }

    /// Whether this run gave a guest a new root disk.
    pub(super) fn has_new_root(&self, guest: &str) -> bool {
        self.rooted.contains(guest)
    }

    /// Whether nothing is lost when a file is written.
    pub(super) fn may_overwrite(&self, guest: &str, path: &GuestPath, file: &DesiredFile) -> bool {
        let Some(files) = self.files(guest) else { return false };
        let Some(found) = files.files.get(path) else { return true };
        match (&file.content, found.kind) {
            (Content::Directory, FileKind::Directory) => true,
            (Content::Directory, _) => false,
            (Content::Link(_), FileKind::Symlink) => is_written(files, path) || is_same(&file.content, found),
            (Content::Link(_), FileKind::File) => is_written(files, path),
            (_, FileKind::File) => is_written(files, path) || is_same(&file.content, found),
            _ => false,
        }
    }

    /// Whether a file is what we wrote, and so may go.
    pub(super) fn may_remove(&self, guest: &str, path: &GuestPath) -> bool {
        let Some(files) = self.files(guest) else { return false };
        let Some(found) = files.files.get(path) else { return true };
        let written = files.manifest.values().filter_map(|written| written.get(path)?.digest.as_ref());
        written.into_iter().any(|digest| found.digest.as_ref() == Some(digest))
    }

    /// What the new configuration of a cluster's guest takes from it.
    pub(super) fn cluster_loss(&self, guest: &ClusterGuestSpec) -> Option<Loss> {
        if self.made.contains(&guest.name) {
            return None;
        }
        let Some(Reading::Present(seen)) = self.seen.cluster_guests.get(&guest.name) else { return Some(Loss::Volume) };
        if loses_volume(seen, guest) {
            Some(Loss::Volume)
        } else {
            let is_protected = |value: Option<&Value>| value.and_then(Value::as_text) == Some("true");
            let lifted = is_protected(seen.values.get("protection")) && !is_protected(guest.values.get("protection"));
            lifted.then_some(Loss::Protection)
        }
    }

    fn is_absent(&self, guest: &str) -> bool {
        matches!(self.reading(guest), None | Some(Reading::Absent))
    }

    fn is_absent_on_clusters(&self, guest: &str) -> bool {
        matches!(self.seen.cluster_guests.get(guest), None | Some(Reading::Absent))
    }

    fn reading(&self, guest: &str) -> Option<&Reading<ObservedGuest>> {
        let seen_as = self.renamed.get(guest).map_or(guest, String::as_str);
        self.seen.guests.get(seen_as)
    }

    fn files(&self, guest: &str) -> Option<&GuestFiles> {
        match self.seen.inside.get(guest) {
            Some(inside) => inside.present(),
            None => self.reading(guest)?.present()?.files.present(),
        }
    }
}

fn is_written(files: &GuestFiles, path: &GuestPath) -> bool {
    files.manifest.values().any(|written| written.get(path).is_some_and(|file| file.digest.is_some()))
}

/// Whether a file has the wished content already.
fn is_same(content: &Content, found: &ObservedFile) -> bool {
    let wished = match content {
        Content::Host(file) => file.digest.clone(),
        Content::Text(text) => Digest::of(text.as_bytes()),
        Content::Link(target) => Digest::of_link(target),
        Content::Directory | Content::Secret(_) | Content::AuthorizedKeys(_) | Content::GitIdentity { .. } => {
            return false;
        }
    };
    found.digest.as_ref() == Some(&wished)
}

/// Whether a volume that a guest has is not among those it is to have. Proxmox keeps what was detached as unused, and removes it the
/// next time that it is asked to.
fn loses_volume(seen: &ObservedClusterGuest, spec: &ClusterGuestSpec) -> bool {
    let is_volume =
        |path: &&String| path.as_str() == "rootfs" || path.starts_with("mount ") || path.starts_with("disk ");
    // What was never applied is the user's, and stays.
    let is_ours = |path: &&String| seen.mark.applied.contains_key(*path);
    seen.values.keys().filter(is_volume).filter(is_ours).any(|path| !spec.values.contains_key(path))
}

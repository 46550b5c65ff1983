//! What a step does to data: benign, or destructive (LESSON 43).
//!
//! The question is whether it removes or overwrites data that is not provably ours and temporary, not what it is called. What is
//! not known counts as destructive.

use serde::{Deserialize, Serialize};

use super::Provenance;
use crate::config::Demand;
use crate::plan::Op;
use crate::resource::{Content, FileSet, GuestPath};

/// What a step does to data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Nothing that cannot be had again.
    Benign(Harmless),
    /// It loses data, or may.
    Destructive(Loss),
}

/// Why a step loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harmless {
    /// It removes and overwrites nothing.
    AddsOnly,
    /// What it removes was made in this run.
    MadeInThisRun,
    /// What it removes was never whole: its record says that its making was cut short.
    NeverWhole,
    /// What it overwrites are files that we wrote, or parts of files that are ours.
    OwnFiles,
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// A guest with all its disks.
    Guest,
    /// What was written to a root disk.
    RootDisk,
    /// Files that we did not write.
    Files,
    /// A snapshot.
    Snapshot,
    /// What was written since a snapshot.
    SinceSnapshot,
    /// A further disk of a guest.
    Disk,
    /// A volume of a guest.
    Volume,
    /// What keeps a guest from being removed.
    Protection,
    /// Whose signatures count.
    Trust,
    /// What runs in a guest whose declaration asks for a word before it is restarted.
    Running,
}

impl Loss {
    /// What somebody has to give at least, whatever the policies say.
    pub const fn least_demand(self) -> Demand {
        match self {
            Self::Running => Demand::Name,
            _ => Demand::Agreement,
        }
    }

    /// In words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Guest => "the guest with all its disks",
            Self::RootDisk => "what was written to the root disk",
            Self::Files => "files that regatta did not write",
            Self::Snapshot => "a snapshot",
            Self::SinceSnapshot => "what was written since the snapshot",
            Self::Disk => "a disk with what is on it",
            Self::Volume => "a volume",
            Self::Protection => "the protection of the guest",
            Self::Trust => "whose signatures count",
            Self::Running => "what runs in it: it is restarted",
        }
    }
}

/// Classes a step. Exhaustive, so that a new operation does not compile before somebody has said what it does to data.
pub fn class(op: &Op, provenance: &Provenance) -> Class {
    match op {
        Op::BuildImage { .. }
        | Op::BuildKernel { .. }
        | Op::EnsureNetwork { .. }
        | Op::DestroyNetwork { .. }
        | Op::CreateGuest { .. }
        | Op::GrowWorkDisk { .. }
        | Op::FitDisks { .. }
        | Op::StartGuest { .. }
        | Op::AwaitReady { .. }
        | Op::StopGuest { .. }
        | Op::RenameGuest { .. }
        | Op::AutostartGuest { .. }
        | Op::SnapshotGuest { .. }
        // The disks that it has are kept as a snapshot.
        | Op::RestoreSnapshot { .. }
        | Op::ForgetGuest { .. }
        | Op::AdoptGuest { .. }
        | Op::CreateClusterGuest { .. }
        // What goes in is written by root in the rules of sudo; nothing that is there is lost.
        | Op::SetOnNode { .. }
        // Nothing is formatted; a directory that had files keeps them below.
        | Op::MountOnNode { .. }
        | Op::StartClusterGuest { .. }
        | Op::RestartClusterGuest { asks: false, .. }
        | Op::SnapshotClusterGuest { .. }
        | Op::StopClusterGuest { .. } => Class::Benign(Harmless::AddsOnly),
        Op::ProtectGuest { protected: true, .. } => Class::Benign(Harmless::AddsOnly),
        Op::ProtectGuest { protected: false, .. } => Class::Destructive(Loss::Protection),
        Op::RestartClusterGuest { asks: true, .. } => Class::Destructive(Loss::Running),
        Op::RollBackClusterGuest { .. } => Class::Destructive(Loss::SinceSnapshot),
        Op::DeleteSnapshot { .. } | Op::DeleteClusterSnapshot { .. } => Class::Destructive(Loss::Snapshot),
        Op::RemoveDisk { guest, .. } => temporary(provenance.is_temporary(guest), Loss::Disk),
        Op::DestroyGuest { guest } => temporary(provenance.is_temporary(guest), Loss::Guest),
        Op::ReplaceRoot { vm } => temporary(provenance.is_temporary(&vm.name), Loss::RootDisk),
        Op::RestoreRoot { vm } => {
            let made_here = provenance.has_new_root(&vm.name).then_some(Harmless::MadeInThisRun);
            temporary(made_here.or_else(|| provenance.is_temporary(&vm.name)), Loss::RootDisk)
        }
        // Only what carries our mark is ended, and what it wrote goes with it.
        Op::EnsureSessions { .. } => Class::Benign(Harmless::OwnFiles),
        Op::WriteFiles { guest, sets, remove, .. } => files(guest, sets, remove, provenance),
        Op::DestroyClusterGuest { guest, .. } => temporary(provenance.is_made_here(guest), Loss::Guest),
        Op::UpdateClusterGuest { guest } => match provenance.cluster_loss(guest) {
            None => Class::Benign(Harmless::AddsOnly),
            Some(loss) => Class::Destructive(loss),
        },
    }
}

const fn temporary(because: Option<Harmless>, loss: Loss) -> Class {
    match because {
        Some(because) => Class::Benign(because),
        None => Class::Destructive(loss),
    }
}

/// Files are ours when the guest's manifest says that we wrote them; what is merged keeps what is not ours by itself.
fn files(
    guest: &str,
    sets: &[(crate::resource::Address, FileSet)],
    remove: &[GuestPath],
    provenance: &Provenance,
) -> Class {
    if let Some(because) = provenance.is_temporary(guest) {
        return Class::Benign(because);
    }
    let written = sets.iter().flat_map(|(_, set)| &set.files);
    let replaced =
        written.filter(|(_, file)| !matches!(file.content, Content::AuthorizedKeys(_) | Content::GitIdentity { .. }));
    let overwrites = replaced.into_iter().all(|(path, file)| provenance.may_overwrite(guest, path, file));
    let removes = remove.iter().all(|path| provenance.may_remove(guest, path));
    if overwrites && removes { Class::Benign(Harmless::OwnFiles) } else { Class::Destructive(Loss::Files) }
}

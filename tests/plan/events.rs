//! What can happen to a world between two plans.

use std::collections::BTreeMap;

use regatta::config::ByteSize;
use regatta::resource::{
    Address, Digest, FileKind, GuestPath, ObservedFile, ObservedGuest, ObservedNetwork, ObservedSession, Obstacle,
    Reading, RunState, SessionState,
};
use serde::Deserialize;

use crate::world::{World, file};

/// One thing that happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// The VMM is killed.
    Killed { guest: String },
    /// Its memory is kept in a file.
    Suspended { guest: String },
    /// It cannot be told whether it runs.
    Unclear { guest: String, why: String },
    /// The guest cannot be read at all.
    Unreadable { guest: String, why: String },
    /// Its files cannot be read.
    FilesUnreadable { guest: String, why: String },
    /// Its creation was cut off before the disks were whole.
    Unfinished { guest: String },
    /// It was created and never started.
    NeverStarted { guest: String },
    /// It was protected.
    Protected { guest: String },
    /// It belongs to another fleet.
    Foreign { guest: String, fleet: String },
    /// Another fleet file made it.
    Elsewhere { guest: String, origin: String },
    /// It was being renamed, and only its directory was.
    RenamedHalfway { guest: String, to: String },
    /// Its work disk has another size, or none at all.
    WorkDisk { guest: String, size: Option<String> },
    /// A file has this text now; it is made if there was none.
    Edited { guest: String, path: String, text: String },
    /// A file has these bytes now, which are no text.
    Binary { guest: String, path: String, bytes: Vec<u8> },
    /// A file is removed.
    Removed { guest: String, path: String },
    /// A file has other permissions (octal) or another owner.
    Changed { guest: String, path: String, mode: Option<String>, owner: Option<(u32, u32)> },
    /// A path is something else now.
    Became { guest: String, path: String, kind: FileKind },
    /// The content of a file cannot be read.
    FileUnreadable { guest: String, path: String },
    /// A session ended with this code.
    SessionEnded { guest: String, session: String, code: i32 },
    /// A session was started by hand.
    SessionByHand { guest: String, session: String },
    /// Its sessions cannot be listed.
    SessionsUnreadable { guest: String, why: String },
    /// A bridge is removed.
    BridgeGone { network: String },
    /// Somebody edits the rules of a bridge.
    RulesEdited { network: String },
    /// The rules of a bridge cannot be read.
    RulesUnreadable { network: String, why: String },
    /// A bridge of that name is somebody else's.
    BridgeForeign { network: String, owner: String },
    /// Something of the host stands in the way.
    Obstacle { address: Address, message: String, help: String },
    /// What starts guests with the host is gone.
    UnitGone,
    /// The store holds nothing any more.
    StoreEmptied,
}

impl Event {
    /// Makes it happen.
    pub fn happen(&self, world: &mut World) {
        match self {
            Self::Killed { guest } => world.guest(guest).state = RunState::Stopped,
            Self::Suspended { guest } => suspend(world.guest(guest)),
            Self::Unclear { guest, why } => world.guest(guest).state = RunState::Unknown(why.clone()),
            Self::Unreadable { guest, why } => {
                world.observed.guests.insert(guest.clone(), Reading::Unreadable(why.clone()));
            }
            Self::FilesUnreadable { guest, why } => world.guest(guest).files = Reading::Unreadable(why.clone()),
            Self::Unfinished { guest } => {
                world.guest(guest).state = RunState::Stopped;
                world.guest(guest).record.applied.disks = None;
            }
            Self::NeverStarted { guest } => {
                world.guest(guest).state = RunState::Stopped;
                world.guest(guest).record.applied.started = None;
            }
            Self::Protected { guest } => world.guest(guest).record.protected = true,
            Self::Foreign { guest, fleet } => world.guest(guest).record.fleet.clone_from(fleet),
            Self::Elsewhere { guest, origin } => world.guest(guest).record.origin.clone_from(origin),
            Self::RenamedHalfway { guest, to } => {
                world.guest(guest).record.name.clone_from(to);
                world.guest(guest).record.formerly = Some(guest.clone());
                let found = world.observed.guests.remove(guest).unwrap();
                world.observed.guests.insert(to.clone(), found);
            }
            Self::WorkDisk { guest, size } => {
                let size = size.as_ref().map(|size| ByteSize::parse(size).unwrap());
                world.guest(guest).work_disk = size.map_or(Reading::Absent, Reading::Present);
            }
            Self::Edited { guest, path, text } => put(world, guest, path, file(text, 0o644)),
            Self::Binary { guest, path, bytes } => {
                let found = ObservedFile {
                    digest: Some(Digest::of(bytes)),
                    size: bytes.len() as u64,
                    text: None,
                    ..file("", 0o644)
                };
                put(world, guest, path, found);
            }
            Self::Removed { guest, path } => drop(world.files(guest).files.remove(&at(path)).unwrap()),
            Self::Changed { guest, path, mode, owner } => {
                let found = present(world, guest, path);
                found.mode = mode.as_ref().map_or(found.mode, |mode| u32::from_str_radix(mode, 8).unwrap());
                found.owner = owner.unwrap_or(found.owner);
            }
            Self::Became { guest, path, kind } => {
                let found = present(world, guest, path);
                *found = ObservedFile { kind: *kind, digest: None, text: None, ..found.clone() };
            }
            Self::FileUnreadable { guest, path } => {
                let found = present(world, guest, path);
                (found.digest, found.text) = (None, None);
            }
            elsewhere => elsewhere.happen_elsewhere(world),
        }
    }

    /// What concerns sessions, and what is beside guests.
    fn happen_elsewhere(&self, world: &mut World) {
        match self {
            Self::SessionEnded { guest, session, code } => {
                sessions(world, guest).get_mut(session).unwrap().state = SessionState::Exited(*code);
            }
            Self::SessionByHand { guest, session } => {
                let by_hand = ObservedSession { state: SessionState::Running, declared: None };
                sessions(world, guest).insert(session.clone(), by_hand);
            }
            Self::SessionsUnreadable { guest, why } => {
                world.files(guest).sessions = Reading::Unreadable(why.clone());
            }
            Self::BridgeGone { network } => drop(world.observed.networks.remove(network).unwrap()),
            Self::RulesEdited { network } => {
                let Reading::Present(rules) = &mut bridge(world, network).rules else { panic!("no rules") };
                rules.as_applied = false;
            }
            Self::RulesUnreadable { network, why } => {
                bridge(world, network).rules = Reading::Unreadable(why.clone());
            }
            Self::BridgeForeign { network, owner } => bridge(world, network).foreign = Some(owner.clone()),
            Self::Obstacle { address, message, help } => {
                let obstacle = Obstacle { message: message.clone(), help: help.clone() };
                world.observed.obstacles.entry(address.clone()).or_default().push(obstacle);
            }
            Self::UnitGone => world.observed.starts_with_host = false,
            Self::StoreEmptied => world.observed.built.clear(),
            _ => unreachable!("it concerns a guest"),
        }
    }
}

fn sessions<'a>(world: &'a mut World, guest: &str) -> &'a mut BTreeMap<String, ObservedSession> {
    match &mut world.files(guest).sessions {
        Reading::Present(sessions) => sessions,
        other => panic!("its sessions are {other:?}"),
    }
}

fn suspend(guest: &mut ObservedGuest) {
    guest.state = RunState::Suspended;
    guest.files = Reading::Unreadable("it is suspended".into());
}

fn bridge<'a>(world: &'a mut World, name: &str) -> &'a mut ObservedNetwork {
    match world.observed.networks.get_mut(name) {
        Some(Reading::Present(network)) => network,
        other => panic!("`{name}` is {other:?}"),
    }
}

fn at(path: &str) -> GuestPath {
    GuestPath::new(path.strip_prefix("~/").unwrap()).unwrap()
}

fn present<'a>(world: &'a mut World, guest: &str, path: &str) -> &'a mut ObservedFile {
    world.files(guest).files.get_mut(&at(path)).unwrap()
}

/// A file that was there keeps its permissions.
fn put(world: &mut World, guest: &str, path: &str, found: ObservedFile) {
    let files = &mut world.files(guest).files;
    let mode = files.get(&at(path)).map_or(found.mode, |before| before.mode);
    files.insert(at(path), ObservedFile { mode, ..found });
}

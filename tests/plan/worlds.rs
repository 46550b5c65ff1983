//! What happens to a world behind our back.

use proptest::prelude::*;
use regatta::config::ByteSize;
use regatta::resource::{GuestFiles, GuestPath, Observed, Reading, RunState, SessionState};

use crate::world;

/// One thing that happens to one guest, chosen by index among those that are there.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// Its VMM is killed.
    Killed,
    /// It cannot be told whether it runs.
    Unclear,
    /// Its record cannot be read.
    Unreadable,
    /// Its files cannot be read.
    FilesUnreadable,
    /// Creation was cut off before the disks were whole.
    Unfinished,
    /// A file is edited.
    Edited(usize, String),
    /// A file is removed.
    Removed(usize),
    /// A file gets other permissions.
    Loosened(usize),
    /// A new file appears.
    Appeared(String, String),
    /// A bridge is removed by hand.
    BridgeGone(usize),
    /// A bridge is switched off, and somebody edits its rules.
    BridgeChanged(usize),
    /// A cable is pulled.
    CableGone(usize),
    /// The rules of a bridge cannot be read.
    RulesUnreadable(usize),
    /// A session ends with this code.
    SessionEnded(usize, i32),
    /// A session is gone, with its directory.
    SessionGone(usize),
    /// The store loses an image or a kernel.
    StoreLoses(usize),
}

/// Random mishaps, each with the index of its guest.
pub fn mishaps() -> impl Strategy<Value = Vec<(usize, Mishap)>> {
    let mishap = prop_oneof![
        Just(Mishap::Killed),
        Just(Mishap::Unclear),
        Just(Mishap::Unreadable),
        Just(Mishap::FilesUnreadable),
        Just(Mishap::Unfinished),
        (0usize..8, "[a-z\n\x1b]{0,9}").prop_map(|(index, text)| Mishap::Edited(index, text)),
        (0usize..8).prop_map(Mishap::Removed),
        (0usize..8).prop_map(Mishap::Loosened),
        ("[x-z]/[a-c]", "[a-z\n]{0,9}").prop_map(|(path, text)| Mishap::Appeared(path, text)),
        (0usize..2).prop_map(Mishap::BridgeGone),
        (0usize..2).prop_map(Mishap::BridgeChanged),
        (0usize..2).prop_map(Mishap::CableGone),
        (0usize..2).prop_map(Mishap::RulesUnreadable),
        (0usize..2, 0i32..2).prop_map(|(index, code)| Mishap::SessionEnded(index, code)),
        (0usize..2).prop_map(Mishap::SessionGone),
        (0usize..3).prop_map(Mishap::StoreLoses),
    ];
    proptest::collection::vec((0usize..4, mishap), 0..5)
}

/// Lets it happen.
pub fn strike(observed: &mut Observed, (index, mishap): &(usize, Mishap)) {
    if let Mishap::StoreLoses(which) = mishap {
        let lost = observed.built.keys().nth(*which).cloned();
        lost.map(|key| observed.built.remove(&key));
        return;
    }
    if let Mishap::BridgeGone(which)
    | Mishap::BridgeChanged(which)
    | Mishap::CableGone(which)
    | Mishap::RulesUnreadable(which) = mishap
    {
        strike_network(observed, *which, mishap);
        return;
    }
    let Some(reading) = observed.guests.values_mut().nth(*index) else { return };
    let Reading::Present(guest) = reading else { return };
    match mishap {
        Mishap::Killed => guest.state = RunState::Stopped,
        Mishap::Unclear => guest.state = RunState::Unknown("no permission".into()),
        Mishap::Unreadable => *reading = Reading::Unreadable("the record is torn".into()),
        Mishap::FilesUnreadable => guest.files = Reading::Unreadable("no answer".into()),
        Mishap::Unfinished => {
            guest.state = RunState::Stopped;
            guest.record.applied.disks = None;
            guest.work_disk = Reading::Present(ByteSize::bytes(0));
        }
        Mishap::Edited(which, text) => change(guest, *which, |file| *file = world::file(text, file.mode)),
        Mishap::Loosened(which) => change(guest, *which, |file| file.mode |= 0o077),
        Mishap::Removed(which) => {
            let Reading::Present(files) = &mut guest.files else { return };
            let path = files.files.iter().filter(|(_, file)| file.digest.is_some()).map(|(path, _)| path).nth(*which);
            path.cloned().map(|path| files.files.remove(&path));
        }
        Mishap::Appeared(path, text) => {
            let Reading::Present(files) = &mut guest.files else { return };
            let path = GuestPath::new(path.as_str()).unwrap();
            let parent = path.parent().unwrap();
            files.files.entry(parent).or_insert_with(|| world::directory(0o755));
            files.files.insert(path, world::file(text, 0o644));
        }
        Mishap::SessionEnded(which, code) => {
            let Reading::Present(GuestFiles { sessions: Reading::Present(sessions), .. }) = &mut guest.files else {
                return;
            };
            if let Some(session) = sessions.values_mut().nth(*which) {
                session.state = SessionState::Exited(*code);
            }
        }
        Mishap::SessionGone(which) => {
            let Reading::Present(GuestFiles { sessions: Reading::Present(sessions), .. }) = &mut guest.files else {
                return;
            };
            let name = sessions.keys().nth(*which).cloned();
            name.map(|name| sessions.remove(&name));
        }
        _ => unreachable!("handled above"),
    }
}

fn strike_network(observed: &mut Observed, which: usize, mishap: &Mishap) {
    let Some(name) = observed.networks.keys().nth(which).cloned() else { return };
    if let Mishap::BridgeGone(_) = mishap {
        observed.networks.remove(&name);
        return;
    }
    let Some(Reading::Present(network)) = observed.networks.get_mut(&name) else { return };
    match (mishap, &mut network.rules) {
        (Mishap::BridgeChanged(_), Reading::Present(rules)) => {
            (network.up, rules.as_applied, rules.nat) = (false, false, !rules.nat);
        }
        (Mishap::CableGone(_), _) => drop(network.taps.pop_first()),
        (Mishap::RulesUnreadable(_), _) => network.rules = Reading::Unreadable("sudo says no".into()),
        _ => {}
    }
}

fn change(
    guest: &mut regatta::resource::ObservedGuest,
    which: usize,
    change: impl FnOnce(&mut regatta::resource::ObservedFile),
) {
    let Reading::Present(files) = &mut guest.files else { return };
    files.files.values_mut().filter(|file| file.digest.is_some()).nth(which).map(change);
}

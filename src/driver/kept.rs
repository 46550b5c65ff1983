//! Guests that were destroyed, and disks that were taken from guests: they stay for a while, under names where nobody looks for
//! a guest.
//!
//! ```text
//! fleets/FLEET/vms/.destroyed-GUEST.UUID/{destroyed, record.json, disks, snapshots …}
//! fleets/FLEET/vms/.detached-GUEST.DISK/{destroyed, DISK.img}
//! ```
//!
//! `regatta adopt --destroyed` takes a guest back, a disk is moved back by hand, `regatta gc` removes both. There is one of each
//! name at most.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::state::StateDir;
use crate::effect::{files, paths};
use crate::exec::Failure;

/// Before the name of a guest that was destroyed: names that begin with a dot are no guests.
pub(super) const DESTROYED: &str = ".destroyed-";

/// Before the names of a guest and a disk that was taken from it.
const DETACHED: &str = ".detached-";

/// The file whose age says when that was.
const MARK: &str = "destroyed";

/// Folders below one another in a guest's directory: snapshots have a folder of disks.
const DEPTH: usize = 4;

/// A guest that was destroyed, or a disk that was taken from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// `destroyed guest web of fleet shop`, `removed disk data of guest web of fleet shop`, for people.
    pub name: String,
    /// Its directory.
    pub path: Utf8PathBuf,
    /// Bytes on disk.
    pub allocated: u64,
    /// Since it was destroyed.
    pub age: Duration,
}

/// Those of all fleets that were destroyed at least this long ago.
///
/// # Errors
/// When the state directory cannot be read.
pub fn kept(state: &StateDir, at_least: Duration) -> Result<Vec<Kept>, Failure> {
    let mut found = Vec::new();
    for fleet in paths::names_in(&state.fleets())? {
        let guests = state.guests(&fleet);
        for directory in paths::names_in(&guests)? {
            let Some(what) = what(&directory) else { continue };
            let path = guests.join(&directory);
            let age = paths::age(&path.join(MARK))?.unwrap_or_default();
            if age >= at_least {
                let (name, allocated) = (format!("{what} of fleet {fleet}"), allocated(&path, DEPTH)?);
                found.push(Kept { name, path, allocated, age });
            }
        }
    }
    Ok(found)
}

/// What a directory of this name holds; `None` for a guest that is there.
pub(super) fn what(directory: &str) -> Option<String> {
    if let Some(rest) = directory.strip_prefix(DESTROYED) {
        return rest.split('.').next().map(|guest| format!("destroyed guest {guest}"));
    }
    let (guest, disk) = directory.strip_prefix(DETACHED)?.split_once('.')?;
    Some(format!("removed disk {disk} of guest {guest}"))
}

/// Removes one for good. Whoever calls this holds the host's lock.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_kept(kept: &Kept) -> Result<(), Failure> {
    Ok(paths::remove_tree(&kept.path)?)
}

/// Puts a guest's directory aside, in place of one of the same name that was destroyed before.
pub(super) fn put_aside(
    guests: &Utf8Path,
    guest: &str,
    directory: &Utf8Path,
    uuid: &uuid::Uuid,
) -> Result<(), Failure> {
    let prefix = format!("{DESTROYED}{guest}.");
    for earlier in paths::names_in(guests)?.into_iter().filter(|name| name.starts_with(&prefix)) {
        paths::remove_tree(&guests.join(earlier))?;
    }
    files::write_atomic(&directory.join(MARK), b"")?;
    Ok(paths::rename(directory, &guests.join(format!("{prefix}{}", uuid.simple())))?)
}

/// Puts a guest's disk aside, in place of one of the same name that was taken from it before. Fine when it is gone.
pub(super) fn put_disk_aside(guests: &Utf8Path, (guest, name): (&str, &str), disk: &Utf8Path) -> Result<(), Failure> {
    if !paths::exists(disk)? {
        return Ok(());
    }
    let directory = guests.join(format!("{DETACHED}{guest}.{name}"));
    paths::remove_tree(&directory)?;
    files::private_dir(&directory)?;
    files::write_atomic(&directory.join(MARK), b"")?;
    Ok(paths::rename(disk, &directory.join(format!("{name}.img")))?)
}

/// Takes the mark from a guest that was taken back.
pub(super) fn take_back(directory: &Utf8Path) -> Result<(), Failure> {
    Ok(paths::remove_if_there(&directory.join(MARK))?)
}

/// Bytes that a directory takes.
fn allocated(directory: &Utf8Path, depth: usize) -> Result<u64, Failure> {
    let mut bytes = 0;
    for name in paths::names_in(directory)? {
        let path = directory.join(name);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() && depth > 0 => bytes += allocated(&path, depth - 1)?,
            Ok(found) => bytes += found.blocks() * 512,
            // Gone since it was listed.
            Err(_) => {}
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::testing::scratch;

    #[test]
    fn the_last_one_of_a_name_is_kept_until_it_is_old_enough() {
        let (_guard, dir) = scratch();
        let state = StateDir::new(dir);
        let guests = state.guests("shop");
        for (number, content) in [(1, "first"), (2, "second")] {
            let directory = guests.join("web");
            files::private_dir(&directory.join("disks")).unwrap();
            std::fs::write(directory.join("disks/data.img"), content).unwrap();
            put_aside(&guests, "web", &directory, &uuid::Uuid::from_u128(number)).unwrap();
        }
        assert_eq!(kept(&state, Duration::from_secs(3600)).unwrap(), []);
        let found = kept(&state, Duration::ZERO).unwrap();
        let [only] = &found[..] else { panic!("{found:?}") };
        assert_eq!((only.name.as_str(), only.allocated >= 4096), ("destroyed guest web of fleet shop", true));
        assert_eq!(std::fs::read_to_string(only.path.join("disks/data.img")).unwrap(), "second");
        let disk = guests.join("disk");
        std::fs::write(&disk, "data").unwrap();
        put_disk_aside(&guests, ("web", "data"), &disk).unwrap();
        put_disk_aside(&guests, ("web", "data"), &disk).unwrap();
        let both = kept(&state, Duration::ZERO).unwrap();
        assert_eq!(both[1].name, "removed disk data of guest web of fleet shop");
        remove_kept(&both[1]).unwrap();
        remove_kept(only).unwrap();
        assert_eq!(kept(&state, Duration::ZERO).unwrap(), []);
    }
}

//! What the guests of all fleets in a state directory are made from: it must stay in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::state::{GuestDir, StateDir};
use super::{kept, microvm, record};
use crate::config::Machine;
use crate::effect::paths;
use crate::exec::Failure;
use crate::resource::{ContentKey, Reading};

/// The longest name that a qcow2 file can give what lies under it.
const BACKING_LIMIT: usize = 1023;

/// The keys of images and kernels that any guest on this machine has, by its record and by its root disks themselves,
/// with those guests: `FLEET/GUEST`, or `destroyed guest GUEST of fleet FLEET` for what is left of one.
///
/// # Errors
/// When a record or a disk cannot be read: what it needs is not known then.
pub fn used(state: &StateDir) -> Result<BTreeMap<ContentKey, BTreeSet<String>>, Failure> {
    let mut used: BTreeMap<ContentKey, BTreeSet<String>> = BTreeMap::new();
    for fleet in paths::names_in(&state.fleets())? {
        for guest in paths::names_in(&state.guests(&fleet))? {
            let needs = needs(&state.guest(&fleet, &guest)).map_err(|why| {
                Failure::permanent(format!("cannot tell what guest `{guest}` of fleet `{fleet}` needs: {why}"))
                    .hint("put its directory right, or move it away")
            })?;
            let name = kept::what(&guest).map_or(format!("{fleet}/{guest}"), |what| format!("{what} of fleet {fleet}"));
            for key in needs {
                used.entry(key).or_default().insert(name.clone());
            }
        }
    }
    Ok(used)
}

/// What one guest needs, or why nobody can tell.
fn needs(dir: &GuestDir) -> Result<BTreeSet<ContentKey>, String> {
    let mut needs = BTreeSet::new();
    match record::read(&dir.record()) {
        Reading::Present(record) => {
            for vm in [record.applied.disks, record.applied.started].into_iter().flatten() {
                needs.extend([vm.image, vm.kernel]);
            }
        }
        Reading::Absent => {}
        Reading::Unreadable(why) => return Err(why),
    }
    // Firecracker's disks are whole, and lie over nothing.
    let mut disks = vec![dir.root_disk(Machine::Microvm), dir.previous_root_disk(Machine::Microvm)];
    let why = |failure: Failure| failure.causes.join(": ");
    for folder in microvm::snapshot_folders(dir).map_err(why)? {
        let snapshot = microvm::describe_snapshot(&folder).map_err(why)?;
        let made = snapshot.into_iter().flat_map(|snapshot| std::iter::once(snapshot.disks).chain(snapshot.started));
        needs.extend(made.flat_map(|vm| [vm.image, vm.kernel]));
        disks.extend(dir.root_disk(Machine::Microvm).file_name().map(|name| folder.join(name)));
    }
    for disk in disks {
        let backing = backing(&disk).map_err(|cause| format!("`{disk}`: {cause}"))?;
        needs.extend(backing.as_deref().and_then(key));
    }
    Ok(needs)
}

/// `…/images/KEY/root.img` → KEY.
fn key(backing: &Utf8Path) -> Option<ContentKey> {
    serde_json::from_value(backing.parent()?.file_name()?.into()).ok()
}

/// What a qcow2 file lies over, as it says itself (offset at byte 8, length at byte 16); `None` without a file or a name.
fn backing(disk: &Utf8Path) -> io::Result<Option<Utf8PathBuf>> {
    let file = match File::open(disk) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut header = [0; 20];
    file.read_exact_at(&mut header, 0)?;
    let (Some(offset), Some(length)) = (header[8..].first_chunk(), header[16..].first_chunk()) else { return Ok(None) };
    let (offset, length) = (u64::from_be_bytes(*offset), u32::from_be_bytes(*length) as usize);
    if !header.starts_with(b"QFI\xfb") || length > BACKING_LIMIT {
        return Err(io::Error::other("it is no qcow2 file"));
    }
    if offset == 0 {
        return Ok(None);
    }
    let mut name = vec![0; length];
    file.read_exact_at(&mut name, offset)?;
    String::from_utf8(name).map(|name| Some(name.into())).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::testing::{lacks, scratch};

    #[test]
    fn a_disk_says_itself_what_it_lies_over() {
        let (_guard, dir) = scratch();
        let disk = dir.join("root.qcow2");
        assert_eq!(backing(&disk).unwrap(), None);
        std::fs::write(&disk, "no disk, and long enough for a header").unwrap();
        assert!(backing(&disk).is_err());
        if lacks("qemu-img") {
            return;
        }
        let base = ContentKey::of(&"image");
        let image = format!("../store/images/{base}/root.img");
        let made = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-u", "-b", &image, disk.as_str(), "1M"])
            .status();
        assert!(made.unwrap().success());
        assert_eq!(backing(&disk).unwrap().as_deref().and_then(key), Some(base));
    }
}

//! What the guests of all fleets in a state directory are made from: it must stay in the store.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::state::StateDir;
use super::{microvm, record};
use crate::config::Machine;
use crate::effect::paths;
use crate::exec::Failure;
use crate::resource::{ContentKey, Reading};

/// The longest name that a qcow2 file can give what lies under it.
const BACKING_LIMIT: usize = 1023;

/// The keys of images and kernels that any guest on this machine has, by its record and by its root disks themselves.
///
/// # Errors
/// When a record or a disk cannot be read: what it needs is not known then.
pub fn used(state: &StateDir) -> Result<BTreeSet<ContentKey>, Failure> {
    let mut used = BTreeSet::new();
    for fleet in paths::names_in(&state.fleets())? {
        for guest in paths::names_in(&state.guests(&fleet))? {
            let dir = state.guest(&fleet, &guest);
            let unknown = |why: String| {
                Failure::permanent(format!("cannot tell what guest `{guest}` of fleet `{fleet}` needs: {why}"))
                    .hint("put its directory right, or move it away")
            };
            match record::read(&dir.record()) {
                Reading::Present(record) => {
                    for vm in [record.applied.disks, record.applied.started].into_iter().flatten() {
                        used.extend([vm.image, vm.kernel]);
                    }
                }
                Reading::Absent => {}
                Reading::Unreadable(why) => return Err(unknown(why)),
            }
            // Firecracker's disks are whole, and lie over nothing.
            let mut disks = vec![dir.root_disk(Machine::Microvm), dir.previous_root_disk(Machine::Microvm)];
            for folder in microvm::snapshot_folders(&dir)? {
                let snapshot =
                    microvm::describe_snapshot(&folder).map_err(|failure| unknown(failure.causes.join(": ")))?;
                used.extend(snapshot.into_iter().flat_map(|snapshot| [snapshot.disks.image, snapshot.disks.kernel]));
                disks.extend(dir.root_disk(Machine::Microvm).file_name().map(|name| folder.join(name)));
            }
            for disk in disks {
                let backing = backing(&disk).map_err(|cause| unknown(format!("`{disk}`: {cause}")))?;
                used.extend(backing.as_deref().and_then(key));
            }
        }
    }
    Ok(used)
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

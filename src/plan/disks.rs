//! Further disks of a guest: made, grown, mounted elsewhere, or removed with what is on them.

use std::collections::BTreeMap;

use super::verdict::Found;
use super::{Aspect, Attribute, Cause, Change, Impact, Refusal, Rule, Shown};
use crate::config::Disk;
use crate::resource::{ObservedGuest, VmSpec};

/// What is done to the disks of one guest.
#[derive(Debug, Default)]
pub(super) struct DiskWork {
    /// Whether some are made, grown or mounted elsewhere.
    pub(super) fit: bool,
    /// Those that are removed.
    pub(super) remove: Vec<String>,
}

/// Compares the disks that there are with those that are declared.
///
/// What there is tells the truth about sizes; what was applied, how they are used.
pub(super) fn compare(
    change: &mut Change,
    refusals: &mut Vec<Refusal>,
    found: Found,
    (want, guest): (&VmSpec, &ObservedGuest),
) -> DiskWork {
    let mut work = DiskWork::default();
    let applied = guest.record.applied.started.as_ref().filter(|_| found == Found::Up);
    let applied = applied.or(guest.record.applied.disks.as_ref());
    let applied: BTreeMap<&str, &Disk> =
        applied.iter().flat_map(|vm| &vm.disks).map(|disk| (disk.name.as_str(), disk)).collect();
    for disk in &want.disks {
        let Some(size) = guest.disks.get(&disk.name) else {
            change.attributes.push(attribute(&disk.name, Shown::Absent, shown(disk), restart(found)));
            work.fit = true;
            continue;
        };
        // One that nothing is known of was made by an apply that was cut short, as it is declared.
        let was = applied.get(disk.name.as_str()).map_or(&disk.at, |was| &was.at);
        let before = Disk { name: disk.name.clone(), size: *size, at: was.clone() };
        if let Some((message, help)) = refused(&before, disk) {
            let (address, source) = (change.address.clone(), change.source.clone());
            refusals.push(Refusal { address, rule: Rule::DiskStays, message, help, source });
        } else if before != *disk || !applied.contains_key(disk.name.as_str()) {
            change.attributes.push(attribute(&disk.name, shown(&before), shown(disk), restart(found)));
            work.fit = true;
        }
    }
    for (name, size) in &guest.disks {
        if want.disks.iter().any(|disk| disk.name == *name) {
            continue;
        }
        let at = applied.get(name.as_str()).and_then(|disk| disk.at.clone());
        let before = Disk { name: name.clone(), size: *size, at };
        change.attributes.push(attribute(name, shown(&before), Shown::plain("removed"), Impact::DataLoss));
        work.remove.push(name.clone());
    }
    work
}

/// A disk that was made, is declared, and is not there.
pub(super) fn lost<'a>(want: &'a VmSpec, guest: &ObservedGuest) -> Option<&'a str> {
    let made = &guest.record.applied.disks.as_ref()?.disks;
    let is_lost = |disk: &&Disk| made.iter().any(|one| one.name == disk.name) && !guest.disks.contains_key(&disk.name);
    want.disks.iter().find(is_lost).map(|disk| disk.name.as_str())
}

/// The disks of a guest that does not exist yet.
pub(super) fn anew(want: &VmSpec) -> impl Iterator<Item = Attribute> {
    want.disks.iter().map(|disk| attribute(&disk.name, Shown::Absent, shown(disk), Impact::None))
}

/// What would lose what is on a disk is not done to it.
fn refused(before: &Disk, want: &Disk) -> Option<(String, String)> {
    let (name, has, wants) = (&want.name, before.size, want.size);
    if wants < has {
        let message = format!("found the disk `{name}` of {has}, the fleet file asks for {wants}");
        return Some((message, format!("a disk never shrinks: write `{has}`, or declare another disk")));
    }
    let change = match (&before.at, &want.at) {
        (None, Some(_)) => "is a raw block device, and would be formatted",
        (Some(_), None) => "has a file system of regatta's, and would become a raw block device",
        _ => return None,
    };
    Some((
        format!("the disk `{name}` {change}"),
        "declare another disk, and remove this one when it is not needed".into(),
    ))
}

/// `10GiB at /srv/data`, `10GiB raw`
fn shown(disk: &Disk) -> Shown {
    let place = disk.at.as_ref().map_or_else(|| "raw".to_owned(), |at| format!("at {at}"));
    Shown::plain(&format!("{} {place}", disk.size))
}

const fn restart(found: Found) -> Impact {
    if matches!(found, Found::Down) { Impact::None } else { Impact::Restart }
}

fn attribute(name: &str, before: Shown, after: Shown, impact: Impact) -> Attribute {
    Attribute { path: format!("disk:{name}"), aspect: Aspect::Value, before, after, impact, cause: Cause::Pending }
}

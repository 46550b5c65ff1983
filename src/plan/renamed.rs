//! The world as if every guest had its new name already: what `moved` says, and what a rename that was cut short left.

use std::borrow::Cow;

use super::{Refusal, Rule};
use crate::resource::{Address, Desired, GuestFiles, Observed, ObservedGuest, Reading};

/// What was observed, under the names that are declared; and what stands in the way of that.
pub(super) fn seen<'a>(desired: &Desired, observed: &'a Observed) -> (Cow<'a, Observed>, Vec<Refusal>) {
    let mut seen = Cow::Borrowed(observed);
    let mut refusals = Vec::new();
    for (to, earlier) in &desired.moved {
        let there = |name: &&String| !matches!(observed.guests.get(*name), None | Some(Reading::Absent));
        let mut names = earlier.iter().filter(there);
        let Some(from) = names.next() else { continue };
        let also = names.next().or_else(|| Some(to).filter(there));
        if let Some(also) = also {
            refusals.push(both(desired, to, from, also));
        }
        let guests = &mut seen.to_mut().guests;
        for name in earlier {
            guests.remove(name);
        }
        if also.is_none() {
            guests.insert(to.clone(), moved(&observed.guests[from], from, to));
        }
    }
    for (name, guest) in observed.guests.iter().filter(|(_, guest)| is_half_renamed(guest)) {
        if seen.guests.contains_key(name) {
            seen.to_mut().guests.insert(name.clone(), moved(guest, name, name));
        }
    }
    (seen, refusals)
}

fn is_half_renamed(guest: &Reading<ObservedGuest>) -> bool {
    guest.present().is_some_and(|guest| guest.record.formerly.is_some())
}

fn both(desired: &Desired, to: &str, from: &str, also: &str) -> Refusal {
    let address = Address::vm(to);
    Refusal {
        rule: Rule::NameTaken,
        message: format!("`{from}` should become `{to}`, and `{also}` is there as well"),
        help: format!("forget or destroy one of the two, or take `moved \"{from}\"` out of the file"),
        source: desired.resources.get(&address).and_then(|declared| declared.source.clone()),
        address,
    }
}

/// A guest under its new name, which remembers the old one.
fn moved(reading: &Reading<ObservedGuest>, from: &str, to: &str) -> Reading<ObservedGuest> {
    let mut guest = match reading {
        Reading::Present(guest) => guest.clone(),
        Reading::Absent => return Reading::Absent,
        Reading::Unreadable(why) => return Reading::Unreadable(format!("it is still called `{from}`: {why}")),
    };
    let record = &mut guest.record;
    if record.formerly.is_none() {
        record.formerly = Some(from.into());
    }
    record.name = to.into();
    let specs = [&mut record.applied.disks, &mut record.applied.started];
    specs.into_iter().flatten().for_each(|vm| vm.name = to.into());
    if let Reading::Present(GuestFiles { manifest, .. }) = &mut guest.files {
        let entries = std::mem::take(manifest).into_iter();
        *manifest = entries.map(|(address, written)| (address.of_guest(to), written)).collect();
    }
    Reading::Present(guest)
}

//! Choosing the loopback port that leads to a guest's SSH server.

use std::collections::BTreeSet;

/// Ports regatta picks from: below the range Linux hands out by itself (32768 and up), above the well-known ones.
const RANGE: std::ops::Range<u16> = 22_000..30_000;

/// Picks a port for a guest: the same one each time while it is free, so that a recreated guest keeps its address.
/// `taken` are the ports other guests have or declare; `is_free` asks the system. `None` when all are taken.
pub(super) fn choose(fleet: &str, guest: &str, taken: &BTreeSet<u16>, is_free: impl Fn(u16) -> bool) -> Option<u16> {
    let count = RANGE.end - RANGE.start;
    let first = preferred(fleet, guest) % count;
    (0..count).map(|step| RANGE.start + (first + step) % count).find(|port| !taken.contains(port) && is_free(*port))
}

/// A stable number for a name (FNV-1a, folded): not secret, only spread.
fn preferred(fleet: &str, guest: &str) -> u16 {
    let hash = fleet
        .bytes()
        .chain([0])
        .chain(guest.bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    // The fold keeps 16 of the 32 bits, both halves counted.
    ((hash >> 16) ^ (hash & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_stable_and_moves_on_when_taken() {
        let free = |_| true;
        let first = choose("demo", "web-1", &BTreeSet::new(), free).unwrap();
        assert_eq!(choose("demo", "web-1", &BTreeSet::new(), free), Some(first));
        assert!(RANGE.contains(&first));
        let second = choose("demo", "web-1", &BTreeSet::from([first]), free).unwrap();
        assert_ne!(first, second);
        assert_eq!(choose("demo", "web-1", &BTreeSet::new(), |port| port != first), Some(second));
        assert_eq!(choose("demo", "web-1", &BTreeSet::new(), |_| false), None);
    }
}

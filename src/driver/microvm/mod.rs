//! Guests as virtual machines of QEMU and Firecracker on this machine.

mod accel;
mod autostart;
mod choice;
pub mod console;
mod create;
mod disks;
mod firecracker;
mod further_disks;
mod guests;
mod identity;
mod migration;
mod observe;
mod obstacles;
mod owner;
mod pause;
mod pin;
mod port;
mod protect;
mod qemu;
mod qmp;
pub mod ready;
mod rename;
mod serial;
mod snapshot;
mod start;
mod stop;
mod suspend;
#[cfg(test)]
mod tests;
mod usage;
mod vmm;
mod write;

pub use accel::Trial;
pub(in crate::driver) use accel::probed;
pub use choice::hypervisors;
pub use firecracker::Jails;
pub(in crate::driver) use firecracker::jail_obstacle;
pub(super) use guests::process_id;
pub use guests::{Effects, Guests, Login};
pub(in crate::driver) use obstacles::firecracker as firecracker_obstacle;
pub use owner::Where;
pub use pause::Pause;
pub use protect::Protection;
pub use serial::KEEP_CONSOLE;
pub use snapshot::KeptSnapshot;
pub(super) use snapshot::{describe as describe_snapshot, folders as snapshot_folders};

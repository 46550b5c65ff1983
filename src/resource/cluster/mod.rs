//! Guests of Proxmox VE clusters, as data: what is wished, what was seen, and what differs.
//!
//! A guest's configuration is a map from *path* (the fleet file's word: `memory`, `interface eth0`) to a canonical
//! [`Value`]. [`field`] is the one table that brings Proxmox's words and numbers into that form and back; [`compare`]
//! finds what differs; [`mark`] is how a guest says whose it is. `docs/design/proxmox.md` tells the whole.

pub mod beside;
mod compare;
pub mod field;
pub mod forms;
pub mod mark;
mod mount;
mod node;
mod observed;
pub mod percent;
mod properties;
mod reach;
pub mod root;
mod spec;
mod value;
mod written;

pub use compare::{Act, Difference, Differences, compare};
pub use field::{Effect, GuestKind, Home};
pub use mark::Mark;
pub use mount::{MountRefusal, MountStanding, Mounted, NodeMountSpec, NodeVolume, ObservedNodeMount};
pub use node::{DiskHealth, MountHealth, MountState, NodeHealth, NodeSpec};
pub use observed::{ObservedCluster, ObservedClusterGuest, Power};
pub use properties::Properties;
pub use reach::{Reach, Via};
pub use spec::{ClusterGuestSpec, ClusterSpec, GuestOrigin, Restart, VmidRange, VolumeSource};
pub use value::Value;
pub use written::written;

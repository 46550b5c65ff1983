//! [`Tree`](crate::syntax::Tree) → [`Fleet`]: the user's words, typed, merged and checked for shape.
//!
//! Nothing here reads a file, the environment or a clock. What the fleet file names on the host (keys, synced trees,
//! the git identity) stays a name until the composition root has read it.

mod block;
mod bridge;
mod build;
mod cluster;
mod cluster_guests;
mod content;
mod expand;
mod explain;
mod fence;
pub mod filter;
mod firewall;
mod fleet;
pub(crate) mod guest_path;
mod guests;
mod image;
mod inside;
pub(crate) mod key_line;
pub mod language;
mod load;
mod lock_file;
mod machine;
mod modules;
pub mod network;
mod node;
mod oci;
mod order;
mod params;
mod pattern;
mod policy;
mod problems;
mod profiles;
mod reference;
mod renames;
mod schema;
mod scope;
mod session;
mod settings;
mod template;
mod units;

pub use bridge::{Bridge, Network, NetworkMode};
pub use cluster::{
    Bind, CloudInit, Cluster, ClusterGuest, ClusterOrigin, ClusterTrust, ClusterVm, Connection, Container, Device,
    HighAvailability, Interface, Restarts, Startup, TokenSource, VmDisk, VmInterface, Volume, VolumeSource,
};
pub use content::{AuthorizedKey, File, FileContent, FileSync, GitIdentity, Links, OnDrift, Secret, SecretSource};
pub use explain::{Decided, Explained, Explanation, explain};
pub use fence::{
    FenceNode, NodeMount, NodeRoad, is_filesystem_uuid, is_mount_point, is_plain_path, is_shareable,
    is_shareable_device, is_snippet, is_whole_disk,
};
pub use firewall::{Firewall, FirewallRule};
pub use fleet::{Fleet, Origin, Provenance, Setting};
pub(crate) use guests::FIRECRACKER_CPUS;
pub use image::{FileForm, Image, ImageCommand, ImageFile, ImageSource, Kernel, KernelSource};
pub use inside::{GuestSsh, Inside};
pub(crate) use language::is_label;
pub use load::{LoadError, Loader, load};
pub use lock_file::{LockFile, Locked};
pub use machine::{Accelerator, Attachment, Chosen, Disk, Forward, Machine, Vm};
pub use modules::is_embedded as is_module;
pub use network::{Mac, Subnet4, Subnet6};
pub use node::{CLUSTER_VM, CONTROL, DOCUMENT};
pub use oci::OciReference;
pub use policy::{Benign, Commits, Demand, Policy, Role, Threshold};
pub use reference::reference;
pub use schema::schema;
pub use session::{Restart, Session, Stdin};
pub use settings::Priority;
pub use units::ByteSize;

/// The kernel package of a kernel that names none: Debian's kernel for virtual machines, without drivers they never
/// have.
pub const DEFAULT_KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";

/// A commented fleet file to start from: what `regatta init` writes.
pub const STARTER: &str = include_str!("starter.kdl");

/// The name of a fleet that does not name itself: that of its directory, made a DNS label; `fleet` when nothing of it
/// is left.
pub fn default_name(directory: &str) -> String {
    let lower = directory.chars().map(|c| c.to_ascii_lowercase());
    let mut name: String = lower.map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    name.truncate(63);
    match name.trim_matches('-') {
        "" => "fleet".into(),
        label => label.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_names_its_fleet() {
        for (directory, name) in
            [("shop", "shop"), ("My Shop_2", "my-shop-2"), ("--", "fleet"), ("", "fleet"), ("größe", "gr--e")]
        {
            assert_eq!(default_name(directory), name);
            assert!(is_label(name));
        }
    }
}

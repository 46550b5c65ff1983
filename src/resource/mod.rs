//! [`Fleet`](crate::config::Fleet) + what was read of the host → [`Desired`]: the resources that should exist; and
//! [`Observed`]: what does exist, as drivers report it. Both are plain ordered data keyed by [`Address`].

mod address;
mod bridge;
pub mod cluster;
mod desired;
mod files;
mod finding;
mod inputs;
mod lower;
pub mod merge;
mod observed;
mod record;
mod session;
mod snapshot;
mod spec;
mod stored;

pub use address::Address;
pub use bridge::{BridgeSpec, LinkName, PortForward, Tap};
pub use desired::{Declared, Desired, Resource, Rules};
pub use files::{
    Content, DesiredFile, Digest, FileKind, FileSet, FileSetKind, GuestPath, HostFile, ROOT, SecretContent, SecretRef,
};
pub use finding::{Finding, Health};
pub use inputs::{HostEntry, HostInput, HostPath, HostTree, Inputs, Pin, Pinned, SecretInput};
pub use lower::{Firecracker, Hypervisors, Lowered, Requests, chosen, lower, outline, reaches, requests, undecided};
pub use observed::{
    Built, GuestFiles, Manifest, Observed, ObservedFile, ObservedGuest, ObservedNetwork, ObservedRules, Obstacle,
    Reading, Resolving, RunState, Stray, WrittenFile,
};
pub use record::{AppliedGuest, ProcessIdentity, Record};
pub use session::{ObservedSession, SessionSpec, SessionState, Standing};
pub use snapshot::Snapshot;
pub use spec::{ContentKey, ImageSpec, KernelFile, KernelSpec, LinkSpec, NetworkSpec, SourceSpec, VmSpec};
pub use stored::{Recipe, Stored};

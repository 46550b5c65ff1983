//! Proxmox VE clusters: seeing their guests, and carrying out the steps that concern them, over the API alone.
//!
//! ```text
//! clusters ── observe, perform: which cluster a step is for
//!   cluster ── one cluster: find · create · update · power · remove · examine
//!     waiting ── locks that pass, tasks that end, answers that were lost
//!       api ── requests and what they give
//!         answer, error ── decoding; errors told apart
//!           exchange ── one request, one answer: `server` is the real one
//! ```
//! Nothing here can run a command, and nothing that runs commands can speak HTTP. `docs/design/proxmox.md` tells the
//! whole.

mod affinity;
pub mod answer;
pub mod api;
mod beside;
mod cluster;
mod clusters;
mod create;
mod error;
mod examine;
pub mod exchange;
mod existing;
mod for_root;
mod making;
mod observe;
mod power;
mod read;
mod server;
mod snapshots;
pub mod task;
mod update;
mod upload;
mod volumes;
mod waiting;
mod whereabouts;

pub use cluster::{Cluster, Pace};
pub use clusters::{Clusters, Open};
pub use error::ApiError;
pub use for_root::ForRoot;
pub use server::{Servers, Token};
pub use snapshots::GuestSnapshot;
pub use whereabouts::{Entrance, Whereabouts};

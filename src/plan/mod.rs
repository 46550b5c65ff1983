//! [`Desired`](crate::resource::Desired) × [`Observed`](crate::resource::Observed) → [`Plan`]: changes with their
//! reasons and impact, and the graph of steps that makes them. Pure, and free of layout: what people read is made of
//! these values by the render layer.
//!
//! `verdict` is the one table that decides; `vm`, `files` and `built` find out what differs for their kind; `lane`
//! says which steps that takes; `order` numbers them. `docs/design/plan.md` tells the model as a whole.

mod between;
mod build;
mod built;
mod change;
mod cluster;
mod disks;
mod drift;
mod file;
mod files;
mod fingerprint;
pub mod gate;
mod guests;
mod inside;
mod lane;
mod mounts;
mod network;
mod op;
mod order;
mod owner;
mod pattern;
pub mod power;
mod power_cluster;
mod renamed;
mod saved;
mod select;
mod sensitive;
mod sessions;
mod snapshots;
mod status;
mod step;
mod summary;
mod verdict;
mod vm;

pub use build::{Goal, Options, plan};
pub use built::recipe;
pub use change::{Action, Aspect, Attribute, Cause, Change, Impact, Reason, Shown};
pub use drift::{Drift, Mute, drift};
pub use owner::{Owner, adopt};
pub use pattern::Pattern;
pub use saved::{SAVED_PLAN_FORMAT_VERSION, SavedPlan, Stale};
pub use select::{Selected, Selection};
pub use snapshots::{SnapshotOf, Snapshots, named_on_clusters, snapshots};
pub use status::{GuestState, GuestStatus, Held, StoreUsage, Usage, status};
pub use step::{Edge, Graph, Op, Plan, Privilege, Refusal, Repeat, Rule, Step, StepId, Undo};
pub use summary::Summary;

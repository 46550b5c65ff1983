//! [`Desired`](crate::resource::Desired) × [`Observed`](crate::resource::Observed) → [`Plan`]: changes with their
//! reasons and impact, and the graph of steps that makes them. Pure: no strings for people are made here beyond names.

mod change;
mod step;

pub use change::{Action, Attribute, Change, Impact, Reason, Shown};
pub use step::{Edge, Graph, Op, Plan, Repeat, Step, StepId};

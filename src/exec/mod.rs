//! Order, journal and events: runs a [`Graph`](crate::plan::Graph) through [`Perform`], knowing no driver.

mod perform;

pub use perform::{Failure, FailureKind, Perform, Progress};

//! Addresses of bridged networks: what they are, and who gets which.

mod assign;
mod mac;
mod spread;
mod subnet;

pub(in crate::config) use assign::assign;
pub use mac::Mac;
pub use spread::spread;
pub use subnet::{Subnet4, Subnet6};

//! **regatta** makes a fleet of virtual machines match a KDL file.
//!
//! The crate is a stack of layers; a folder is a layer and may import only what stands below it
//! (`tests/layers` asserts this):
//!
//! ```text
//! cli                     composition root: the only place that builds real effects
//! render   driver         what people read; what a step does on a host or in a guest
//! exec                    order, journal, events; declares `Perform`, knows no driver
//! plan → resource → config → syntax      pure: same bytes in, same bytes out
//! effect                  capability traits and their real forms
//! ```
//!
//! `docs/architecture.md` has the data flow, the invariants and the glossary.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod cli;
pub mod config;
pub mod driver;
pub mod effect;
pub mod exec;
pub mod plan;
pub mod render;
pub mod resource;
pub mod syntax;

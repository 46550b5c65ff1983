//! Runs against a model world: real plans, the real coordinator and journal, and steps that change a world in memory.
//! The process dies at every append of the journal and at every move in the world, every step goes wrong in every way,
//! and each time the next apply must lead where an undisturbed one would have led.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a model that contradicts itself is a failed test")]

mod apply;
mod disk;
mod fate;
mod fleet;
mod gate;
mod matrix;
mod perform;
mod world;

//! Plans: golden cases, and laws over random fleets and worlds.

#![allow(unreachable_pub, reason = "shared test modules are public to whoever includes them")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what cannot be built here is a failed test")]

mod case;
#[path = "../common/cases.rs"]
mod cases;
mod coverage;
mod events;
mod fleets;
#[path = "../common/golden.rs"]
mod golden;
mod laws;
mod order;
mod schema;
#[path = "../common/world.rs"]
mod world;
mod worlds;

#[test]
fn golden_cases() {
    golden::check("plan", case::outputs);
}

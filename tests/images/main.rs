//! Scenario: images of a real registry, pushed with `umoci` and `skopeo`. What can go wrong is in `failures`, and needs no
//! guest; `boot` makes two guests of one image and looks at everything from the inside.
//!
//! ```text
//! cargo test --test images -- --ignored --nocapture --test-threads=1
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here is the test")]
#![allow(clippy::print_stderr, reason = "a scenario says what it skips and how long it took")]

mod boot;
mod failures;
mod layer;
mod registry;
#[path = "../common/user.rs"]
mod user;
mod world;

use std::process::Command;

/// Whether a program is missing; says loudly that the scenario is skipped then.
fn missing(programs: &[&str]) -> bool {
    let found = |program: &&str| {
        Command::new("which").arg(program).env("PATH", registry::path()).output().unwrap().status.success()
    };
    let missing: Vec<_> = programs.iter().filter(|program| !found(program)).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: not installed: {missing:?}");
    }
    !missing.is_empty()
}

//! Planning a large fleet from a prepared observation: 1,000 and 10,000 guests, one in a hundred changed.
//!
//! `cargo bench --bench plan` prints the time of each stage, how it grows, and the peak of memory. What is promised:
//! 10,000 guests within 1 s and 300 MB, and ten times the guests in about ten times the time.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has to fail")]

#[path = "../tests/plan/fleets.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use more of it")]
mod fleets;
#[path = "../tests/common/world.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use more of it")]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fleets::{GuestSketch, Sketch};
use regatta::plan::{Options, SavedPlan, plan};
use regatta::render::{Length, PlanView, Screen, plan as plan_text, plan_json};
use world::World;

fn main() {
    let small = measure(1_000);
    let large = measure(10_000);
    println!("ten times the guests take {:.1} times as long to plan", large.as_secs_f64() / small.as_secs_f64());
}

/// Plans `guests` guests of which one in a hundred changed, and tells how long each stage took.
fn measure(guests: usize) -> Duration {
    let mut sketch = sketch(guests);
    let mut world = World::empty("demo");
    world.apply(&plan(&sketch.desired(), &world.observed, &Options::default()));
    for guest in sketch.guests.values_mut().step_by(100) {
        guest.cpus = 2;
    }
    let desired = sketch.desired();
    // What making the world took is not what is measured.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak_mb();
    let mut time = Duration::ZERO;
    let mut made = None;
    for _ in 0..3 {
        let start = Instant::now();
        made = Some(plan(&desired, &world.observed, &Options::default()));
        time = if time.is_zero() { start.elapsed() } else { time.min(start.elapsed()) };
    }
    let made = made.unwrap();
    println!("{guests} guests: peak {} MB, {before} MB of it the world and the fleet", peak_mb());
    let start = Instant::now();
    let view = PlanView { screen: Screen::plain(100), length: Length::Short, next: "regatta apply", links: None };
    let bytes = plan_text(&made, view).len() + plan_json(&made).unwrap().len();
    let shown = start.elapsed();
    let start = Instant::now();
    let saved = SavedPlan::new(made.clone(), &desired, &world.observed, "bench", "SHA256:bench").to_json().unwrap();
    println!(
        "{guests} guests, {} changed: plan {time:?}, show {shown:?} ({bytes} bytes), save {:?} ({} bytes)",
        made.summary().changes(),
        start.elapsed(),
        saved.len()
    );
    time
}

fn sketch(guests: usize) -> Sketch {
    let files = BTreeMap::from([
        ("init".to_owned(), ("set number\n".repeat(20), 0o644)),
        ("keys".to_owned(), ("map x y\n".repeat(20), 0o600)),
    ]);
    let guest = GuestSketch {
        cpus: 1,
        image: 0,
        work_disk_gib: 4,
        port: None,
        bridge: None,
        keys: BTreeSet::from([1, 2]),
        syncs: BTreeMap::from([("config".to_owned(), files)]),
        prune: false,
        git: true,
        sessions: BTreeMap::new(),
    };
    Sketch { guests: (0..guests).map(|number| (format!("g{number}"), guest.clone())).collect() }
}

/// `VmHWM` of this process.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

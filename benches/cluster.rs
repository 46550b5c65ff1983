//! Looking at a large Proxmox VE cluster and planning: 2,000 guests of ours on 20 nodes, on our fake, each of whose answers
//! takes 20 ms.
//!
//! `cargo bench --bench cluster` prints the time, and how many requests it took. What is promised: one listing for the
//! cluster and at most one configuration per guest, in under 3 s.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its figures")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that cannot run has to fail")]
#![allow(dead_code, unused_imports, unreachable_pub, reason = "shared with the tests, which use more of it")]

#[path = "../tests/proxmox/fake/mod.rs"]
mod fake;
#[path = "../tests/proxmox/fleet.rs"]
mod fleet;
#[path = "../tests/proxmox/recorded.rs"]
mod recorded;
#[path = "../tests/proxmox/schema.rs"]
mod schema;

use std::time::{Duration, Instant};

use fake::Fake;
use fleet::{EVERYTHING, Regatta, desired, told};

const GUESTS: u32 = 2_000;
const NODES: u32 = 20;
const LATENCY: Duration = Duration::from_millis(20);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let fake = cluster().await;
    let wish = desired(&guests(GUESTS));
    let regatta = Regatta::new(&fake);
    for round in ["first", "second"] {
        fake.world().requests.clear();
        let start = Instant::now();
        let made = regatta.plan(&wish).await;
        let time = start.elapsed();
        assert_eq!(told(&made), Vec::<String>::new());
        let requests = fake.world().requests.clone();
        let listings = requests.iter().filter(|request| *request == "GET /cluster/resources").count();
        let configurations = requests.iter().filter(|request| request.ends_with("/pending")).count();
        println!(
            "{round} plan over {GUESTS} guests on {NODES} nodes, {} ms for each answer: {} ms; {} requests, {listings} \
             listing, {configurations} configurations",
            LATENCY.as_millis(),
            time.as_millis(),
            requests.len()
        );
        assert!(listings == 1 && configurations == GUESTS as usize && time < Duration::from_secs(3));
    }
}

fn guests(count: u32) -> String {
    let block = EVERYTHING.replace("to=1999", "to=9999");
    format!("container \"web\" count={count} {{ cluster \"pve\"\n{block} }}")
}

/// A cluster on which all guests are as declared: one is made, the others are as that one.
async fn cluster() -> Fake {
    let fake = Fake::new();
    fake.world().nodes = (1..=NODES).map(|node| (format!("pve{node}"), true)).collect();
    assert_eq!(Regatta::new(&fake).apply(&desired(&guests(1))).await, []);
    let mut world = fake.world();
    let first = world.guests[&1000].clone();
    for number in 1..=GUESTS {
        let mut guest = first.clone();
        guest.node = format!("pve{}", number % NODES + 1);
        guest.config.insert("hostname".into(), format!("web-{number}"));
        let description = guest.config["description"].replace("web-1\"", &format!("web-{number}\""));
        guest.config.insert("description".into(), description.replace("1000,", &format!("{},", 999 + number)));
        world.guests.insert(999 + number, guest);
    }
    world.latency = LATENCY;
    drop(world);
    fake
}

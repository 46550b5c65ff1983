//! The same on a machine that runs and has data: nothing stands in for anything.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::watch::Farm;
use crate::world::{EMPTY, program};

/// One machine, with somebody's data on its work disk.
const WITH_DB: &str = r#"fleet "shop"
import "std/debian"
vm "db" { image "bookworm"; cpus 1; memory "192MiB"; work-disk size="128MiB"; }
"#;

/// What the record says of the process of the VMM, while that process is there.
fn vmm(farm: &Farm) -> Option<u64> {
    let record = fs::read_to_string(farm.world.state().join("fleets/shop/vms/db/record.json")).ok()?;
    let pid = serde_json::from_str::<Value>(&record).unwrap()["process"]["pid"].as_u64()?;
    runs(pid).then_some(pid)
}

/// A process that ended and that nobody has asked after is still there as a zombie.
fn runs(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

/// Whatever becomes of the test: its machine ends.
struct Ends<'a>(&'a Farm);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if let Some(pid) = vmm(self.0) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

#[test]
#[ignore = "builds an image and boots a guest: needs a package archive and some minutes"]
fn a_merge_that_removes_a_running_machine_with_data_is_held_and_applied_once() {
    let farm = Farm::in_state_of_scenarios();
    let _ends = Ends(&farm);
    let world = &farm.world;
    let before = if world.state().join("audit.jsonl").exists() { world.audit().len() } else { 0 };
    farm.commit(WITH_DB, &[]);
    farm.code(0, &[]);
    let file = farm.checkout().join("fleet.kdl");
    let file = file.to_str().unwrap();
    let inside = |script: &str| world.code(0, &["-f", file, "exec", "db", "--", "sh", "-c", script]);
    inside("echo precious >/root/data && sync /root/data");
    let pid = vmm(&farm).unwrap();

    // The merge is benign in part: nothing of it happens to the machine before somebody has signed.
    farm.commit(EMPTY, &[]);
    farm.code(3, &[]);
    assert_eq!(vmm(&farm), Some(pid));
    assert!(world.read("status/metrics.prom").contains("regatta_watch_held 1\n"));
    assert_eq!(farm.status()["state"], "held");
    fs::copy(world.path("status/plan.json"), world.path("first.json")).unwrap();
    world.code(0, &["approve", "first.json", "--key", "alice", "--yes", "-o", "ok"]);

    let apply = |plan: &str, approval: &str| {
        let arguments =
            ["-f", file, "--policy", "policy.kdl", "apply", plan, "--yes", "--allow-empty", "--approval", approval];
        world.code(3, &arguments).stderr
    };
    let plan = world.read("first.json");
    world.write("edited.json", &plan.replace("\"vm.db\"", "\"vm.da\""));
    let edited = apply("edited.json", "ok");
    assert!(edited.contains("it was changed after it was saved"), "{edited}");
    let document = world.code(0, &["approve", "first.json", "--document"]).stdout;
    let host = document.lines().find(|line| line.starts_with("host ")).unwrap();
    world.write("elsewhere", &document.replace(host, "host SHA256:another"));
    program(
        "ssh-keygen",
        &["-q", "-Y", "sign", "-n", "regatta-approval-v1", "-f", "alice", "elsewhere"],
        &world.home(),
    );
    world.write("foreign", &(world.read("elsewhere") + &world.read("elsewhere.sig")));
    let foreign = apply("first.json", "foreign");
    assert!(foreign.contains("it is for the host SHA256:another"), "{foreign}");
    // The machine changes after the plan was made and approved.
    farm.commit(&WITH_DB.replace("192MiB", "208MiB"), &[]);
    farm.code(0, &[]);
    inside("grep -qx precious /root/data");
    let pid = vmm(&farm).unwrap();
    farm.commit(EMPTY, &[]);
    let stale = apply("first.json", "ok");
    assert!(stale.contains("moved since it was made") || stale.contains("changed since"), "{stale}");
    // What was approved was another plan than the one that is held now.
    fs::copy(world.path("ok"), world.path("approvals/ok")).unwrap();
    farm.code(3, &[]);
    assert_eq!(vmm(&farm), Some(pid));
    fs::copy(world.path("status/plan.json"), world.path("second.json")).unwrap();
    world.code(0, &["approve", "second.json", "--key", "alice", "--yes", "-o", "approvals/second"]);
    farm.code(0, &[]);
    assert_eq!(vmm(&farm), None);
    assert!(!runs(pid), "its machine ended");
    assert!(!world.has_guest("db"));

    // The same approval once more, by the agent and by hand.
    let runs = farm.runs();
    farm.code(0, &[]);
    let replayed = apply("second.json", "approvals/second");
    assert!(replayed.contains("replayed") && replayed.contains("which ended: done"), "{replayed}");
    assert_eq!(farm.runs(), runs);
    // Scenarios before this one may have written there.
    let audit = &world.audit()[before..];
    let destroyed = |entry: &&Value| {
        entry["fact"] == "decision" && entry["operation"] == "destroy-guest" && entry["decision"] == "allowed"
    };
    assert_eq!(audit.iter().filter(destroyed).count(), 1);
    world.code(0, &["audit", "verify"]);
}

//! Sessions that are declared in guests on clusters: the fake says that the guest runs, and a real SSH server and real
//! processes stand for it.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fake::Fake;
use crate::fleet::{Regatta, told};
use crate::house::House;
use crate::inside::{container, insides, ssh};

/// Says which processes it is, its keeper and itself, and waits.
const SESSION: &str =
    r#"session "shop" { command "sh" "-c" "echo $PPID $$. >$HOME/pids; exec sleep 600"; env "LEVEL" "1"; }"#;

/// The keeper of the session and its process, once it has said so.
async fn processes(house: &House) -> [Pid; 2] {
    let (start, path) = (Instant::now(), house.path("guest/pids"));
    loop {
        let said = fs::read_to_string(&path).unwrap_or_default();
        if let Some((keeper, own)) = said.trim().strip_suffix('.').and_then(|said| said.split_once(' ')) {
            fs::remove_file(&path).unwrap();
            return [keeper, own].map(|pid| Pid::from_raw(pid.parse().unwrap()));
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the session does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a process is gone.
async fn gone(pid: Pid) {
    let start = Instant::now();
    while kill(pid, None).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(30), "{pid} still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// LESSON 41: a declared session is started after the guest, started again when it has ended, started anew when it is
/// declared otherwise, and ended when it has left the file; each time, the plan is empty afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_declared_session_runs_as_declared() {
    let Some(house) = House::new() else { return };
    let fake = Fake::new();
    let regatta = Regatta::new(&fake).with_insides(insides(&house));
    let wish = container(&house, &ssh(&house), SESSION).await;
    let first = regatta.plan(&wish).await;
    let ops: Vec<&str> = first.graph.steps.iter().map(|step| step.op.name()).collect();
    assert_eq!(ops, ["create-cluster-guest", "start-cluster-guest", "write-files", "ensure-sessions"]);
    assert_eq!(regatta.carry_out(&first).await, []);
    assert!(told(&regatta.plan(&wish).await).is_empty());

    for pid in processes(&house).await {
        kill(pid, Signal::SIGKILL).unwrap();
        gone(pid).await;
    }
    assert_eq!(told(&regatta.plan(&wish).await), ["session.web/shop Update Drift Live: state"]);
    assert_eq!(regatta.apply(&wish).await, []);
    assert!(told(&regatta.plan(&wish).await).is_empty());

    let [_, before] = processes(&house).await;
    let wish = container(&house, &ssh(&house), &SESSION.replace("\"1\"", "\"2\"")).await;
    assert_eq!(
        told(&regatta.plan(&wish).await),
        ["session.web/shop Update Pending Live: ~/.regatta/declared/shop.json"]
    );
    assert_eq!(regatta.apply(&wish).await, []);
    gone(before).await;
    let [_, last] = processes(&house).await;
    assert!(told(&regatta.plan(&wish).await).is_empty());

    let wish = container(&house, &ssh(&house), r#"git-identity name="Ada" email="ada@lab.test""#).await;
    assert_eq!(regatta.apply(&wish).await, []);
    gone(last).await;
    assert!(told(&regatta.plan(&wish).await).is_empty());
}

//! Who has to agree, and what becomes of what nobody agreed to.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use crate::world::{EMPTY, World, finish};

/// Who has no policy is asked as ever, and the log says who relied on what.
#[test]
fn without_a_policy_yes_is_enough_and_is_written_down() {
    let world = World::new(EMPTY, &["db"]);
    world.code(1, &["destroy"]);
    assert!(world.has_guest("db"));
    world.code(0, &["destroy", "--yes"]);
    assert!(!world.has_guest("db"));
    let audit = world.audit();
    let decision = audit.iter().find(|entry| entry["operation"] == "destroy-guest").unwrap();
    assert_eq!(
        (&decision["decision"], &decision["ground"]["ground"], &decision["ground"]["agreement"]["by"]),
        (&"allowed".into(), &"agreed".into(), &"yes".into())
    );
    let facts: Vec<&str> = audit.iter().map(|entry| entry["fact"].as_str().unwrap()).collect();
    assert_eq!(facts, ["run", "decision", "mutation", "finished"]);
}

const POLICY: &str = "policy { people \"name\"; pipelines \"name\"; }\n";

#[test]
fn a_policy_asks_for_the_name_of_what_is_lost() {
    let world = World::new(&format!("{EMPTY}{POLICY}"), &["db", "web"]);
    let held = world.code(3, &["destroy", "--yes"]);
    assert!(
        held.stderr.contains("destroy-guest vm.db is held: it loses the guest with all its disks"),
        "{}",
        held.stderr
    );
    assert!(world.has_guest("db") && world.has_guest("web"));
    world.code(64, &["destroy", "--yes", "--yes-destroy", "vm.nobody"]);
    let json = world.code(3, &["destroy", "--yes", "--yes-destroy", "vm.db", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&report["outcome"], &report["steps"][1]["outcome"]), (&"held".into(), &"held".into()));
    assert!(!world.has_guest("db") && world.has_guest("web"), "what was named goes, the rest waits");
    world.code(0, &["destroy", "--yes", "--yes-destroy", "web"]);
    assert!(!world.has_guest("web"));
}

#[test]
fn a_pipeline_cannot_agree_by_itself() {
    let world = World::new(&format!("{EMPTY}policy\n"), &["db"]);
    let held = world.code(3, &["destroy", "--yes", "--yes-destroy", "vm.db"]);
    assert!(held.stderr.contains("needs approval"), "{}", held.stderr);
    let unprotect = world.code(3, &["unprotect", "db"]);
    assert!(unprotect.stderr.contains("needs approval here"), "{}", unprotect.stderr);
    assert!(world.has_guest("db"));
}

/// A named policy holds whatever the fleet file says.
#[test]
fn the_fleet_cannot_weaken_a_named_policy() {
    let lax = format!("{EMPTY}policy {{ people \"agreement\"; pipelines \"agreement\"; }}\n");
    let world = World::new(&lax, &["db"]);
    world.write("policy.kdl", "policy\n");
    world.code(3, &["destroy", "--yes", "--policy", "policy.kdl"]);
    world.write("policy.kdl", "policy\nvm \"web\" { image \"x\"; }\n");
    assert!(world.run(&["destroy", "--yes", "--policy", "policy.kdl"]).code != 0, "no policy, and something else");
    assert!(world.has_guest("db"));
    world.code(0, &["destroy", "--yes"]);
}

/// The host's policy holds for everybody on it, is found without being named, and must be root's alone.
#[test]
fn the_hosts_policy_holds_and_must_be_roots() {
    let world = World::new(EMPTY, &["db"]);
    let etc = world.path("etc");
    fs::create_dir_all(etc.join("regatta")).unwrap();
    for name in ["passwd", "group", "nsswitch.conf", "ld.so.cache"] {
        if let Ok(text) = fs::read(format!("/etc/{name}")) {
            fs::write(etc.join(name), text).unwrap();
        }
    }
    let file = etc.join("regatta/policy.kdl");
    fs::write(&file, "policy\n").unwrap();
    let as_host = |world: &World| {
        let mount = "mount --bind \"$1\" /etc && shift && exec \"$@\"";
        let mut command = Command::new("unshare");
        let destroy = world.command(&["destroy", "--yes"]);
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]).arg(&etc);
        command.arg(destroy.get_program()).args(destroy.get_args()).current_dir(world.home());
        command.env_clear().envs(destroy.get_envs().filter_map(|(name, value)| Some((name, value?))));
        finish(&mut command)
    };
    let held = as_host(&world);
    if held.stderr.contains("unshare:") || held.stderr.contains("mount:") {
        println!("SKIPPED: this machine lets nobody make user and mount namespaces: {}", held.stderr);
        return;
    }
    assert_eq!(held.code, 3, "{}", held.stderr);
    assert!(held.stderr.contains("needs approval"), "{}", held.stderr);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let refused = as_host(&world);
    assert!(refused.code == 1 && refused.stderr.contains("writable by nobody else"), "{}", refused.stderr);
    if chown(&file, Some(12_345), None).is_ok() {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(as_host(&world).code, 1, "another user's");
    }
    assert!(world.has_guest("db"));
}

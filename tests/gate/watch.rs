//! The agent: a merge that removes a machine is held, approved, applied once; and a poisoned repository causes nothing but benign
//! changes.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::world::{Done, EMPTY, World, program};

/// A repository, an agent with a policy of its own, and keys that the repository does not know.
pub(crate) struct Farm {
    pub(crate) world: World,
}

const IDENTITY: [&str; 4] = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"];

impl Farm {
    fn new(policy: &str) -> Self {
        Self::of(World::new("", &[]), policy)
    }

    /// One whose guests are real.
    pub(crate) fn in_state_of_scenarios() -> Self {
        Self::of(World::new("", &[]).with_images(), "")
    }

    fn of(world: World, policy: &str) -> Self {
        fs::remove_file(world.path("fleet.kdl")).unwrap();
        for name in ["alice", "mallory"] {
            program("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name], &world.home());
        }
        world.write("allowed", &format!("alice {}", world.read("alice.pub")));
        world.write("policy.kdl", &format!("policy {{ signers \"allowed\"; {policy} }}\n"));
        for dir in ["repo", "approvals", "status"] {
            fs::create_dir(world.path(dir)).unwrap();
        }
        program("git", &["init", "-q", "-b", "main"], &world.path("repo"));
        let farm = Self { world };
        farm.commit(EMPTY, &[]);
        farm
    }

    /// Commits a fleet file; `extra` goes before `commit`.
    pub(crate) fn commit(&self, fleet: &str, extra: &[&str]) {
        self.world.write("repo/fleet.kdl", fleet);
        program("git", &["add", "-A"], &self.world.path("repo"));
        let message = ["commit", "-q", "--allow-empty", "-m", "change"];
        program("git", &[&IDENTITY[..], extra, &message].concat(), &self.world.path("repo"));
    }

    fn watch(&self, more: &[&str]) -> Done {
        let (repo, approvals, status) =
            (self.world.path("repo"), self.world.path("approvals"), self.world.path("status"));
        let paths = [&repo, &approvals, &status].map(|path| path.to_str().unwrap().to_owned());
        let arguments = [
            "watch",
            "--once",
            "--policy",
            "policy.kdl",
            "--repo",
            &paths[0],
            "--approvals",
            &paths[1],
            "--status",
            &paths[2],
        ];
        self.world.run(&[&arguments[..], more].concat())
    }

    pub(crate) fn code(&self, expected: i32, more: &[&str]) -> Done {
        let done = self.watch(more);
        assert_eq!(done.code, expected, "{}\n{}", done.stdout, done.stderr);
        done
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.world.read("status/status.json")).unwrap()
    }

    /// Where the agent has its checkout: guests belong to the fleet file in it.
    pub(crate) fn checkout(&self) -> PathBuf {
        let agents = fs::read_dir(self.world.state().join("watch")).unwrap();
        let agents = agents.map(|agent| agent.unwrap().path().join("tree"));
        // Scenarios before this one may have left theirs.
        agents.max_by_key(|tree| fs::metadata(tree).unwrap().modified().unwrap()).unwrap()
    }

    fn guest(&self, name: &str) {
        self.world.make_guest_of(name, &self.checkout().join("fleet.kdl"));
    }

    pub(crate) fn runs(&self) -> usize {
        fs::read_dir(self.world.state().join("fleets/shop/runs")).map_or(0, Iterator::count)
    }
}

#[test]
fn a_merge_that_removes_a_machine_is_held_approved_and_applied_once() {
    let farm = Farm::new("");
    farm.code(0, &[]);
    farm.guest("db");
    // The merge that no longer has it.
    farm.commit(EMPTY, &[]);
    farm.code(3, &[]);
    assert!(farm.world.has_guest("db"));
    let status = farm.status();
    assert_eq!((&status["state"], &status["held"][0]["operation"]), (&"held".into(), &"destroy-guest".into()));
    assert!(farm.world.read("status/metrics.prom").contains("regatta_watch_held 1\n"));
    assert!(farm.world.read("status/status.md").contains("`destroy-guest` of `vm.db`: needs approval"));
    let runs = farm.runs();
    farm.code(3, &[]);
    assert_eq!(farm.runs(), runs, "nothing is done twice for a commit");

    // Somebody whom the policy does not know, then somebody whom it does.
    let sign = |key: &str| {
        let out = format!("approvals/{key}");
        farm.world.code(0, &["approve", "status/plan.json", "--key", key, "--yes", "-o", &out]);
    };
    sign("mallory");
    farm.code(3, &[]);
    assert!(farm.world.has_guest("db"));
    sign("alice");
    farm.code(0, &[]);
    assert!(!farm.world.has_guest("db"));
    assert_eq!((&farm.status()["state"], farm.status()["held"].as_array().unwrap().len()), (&"done".into(), 0));
    assert!(!farm.world.path("status/plan.json").exists());

    // The approval is still there, and a machine of that name as well.
    farm.guest("db");
    farm.commit(EMPTY, &[]);
    farm.code(3, &[]);
    assert!(farm.world.has_guest("db"), "an approval is spent once");
    let verdicts: Vec<String> = farm
        .world
        .audit()
        .iter()
        .filter(|entry| entry["fact"] == "approval")
        .map(|entry| entry["verdict"].as_str().unwrap().to_owned())
        .collect();
    assert!(verdicts.contains(&"accepted".into()) && verdicts.contains(&"replayed".into()), "{verdicts:?}");
    assert!(verdicts.contains(&"unknown-signer".into()), "{verdicts:?}");
    farm.world.code(0, &["audit", "verify"]);
}

/// Everything that somebody who may write the repository can put into it: at worst, nothing is done.
#[test]
fn a_poisoned_repository_destroys_nothing_and_runs_nothing() {
    let farm = Farm::new("");
    farm.code(0, &[]);
    farm.guest("db");
    let trace = farm.world.path("trace");
    let image = "image \"x\" { directory \"rootfs\"; }\n";
    let vm = |inside: &str| format!("{EMPTY}{image}vm \"web\" {{ image \"x\"; {inside}; }}\n");
    let touch = format!("secret command=\"touch\" \"{}\"", trace.display());
    let evil = format!("{EMPTY}policy {{ people \"agreement\"; pipelines \"agreement\"; signers \"evil\"; }}\n");
    farm.world.write("repo/evil", &format!("mallory {}", farm.world.read("mallory.pub")));
    farm.world.write("repo/.gitattributes", "* filter=evil diff=evil merge=evil\n");
    farm.world.write("repo/.git/hooks/post-checkout", &format!("#!/bin/sh\ntouch {}\n", trace.display()));
    std::os::unix::fs::symlink("/etc/passwd", farm.world.path("repo/linked")).unwrap();
    let node = |road: &str| {
        let cluster = "endpoint \"https://127.0.0.1:1\"; token file=\"token\"";
        format!("{EMPTY}cluster \"pve\" {{ {cluster}; fence {{ node \"a\" {road}; }}; }}\n")
    };
    let key = "host-key \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi\"";
    let with_key = node(&format!("host=\"10.0.0.1\" user=\"ci\" identity=\"/root/.ssh/id\" {{ {key}; }}"));
    for (what, fleet, expected) in [
        ("root of the host", node("via=\"local\""), "cluster.pve asks root of this host"),
        ("a key of the host for a node", with_key, "cluster.pve names `/root/.ssh/id`, outside"),
        ("a weaker policy, with signers of its own", evil, "held"),
        ("a file of the host", vm("file-sync \"/etc/passwd\" to=\"~/x\""), "names `/etc/passwd`, outside"),
        (
            "a way out of the checkout",
            vm("file-sync \"../../../../../etc/passwd\" to=\"~/x\""),
            "outside of the repository",
        ),
        ("the user's own home", vm("file-sync \"~/../../../alice\" to=\"~/x\""), "outside of the repository"),
        ("a program", vm(&format!("file \"~/x\" {{ {touch}; }}")), "vm.web runs a program"),
        ("a variable", vm("file \"~/x\" { secret env=\"HOME\"; }"), "vm.web reads a variable"),
        ("an import from outside", format!("{EMPTY}import \"/etc/passwd\"\n"), "it is outside of the repository"),
        (
            "what the policy of a fleet must not say",
            format!("{EMPTY}policy {{ trust-commands #true; }}\n"),
            "in the policy of a fleet file",
        ),
        ("no fleet file at all", "this is { not".to_owned(), "Error"),
        ("everything gone", EMPTY.to_owned(), "held"),
    ] {
        farm.commit(&fleet, &[]);
        let out = "approvals/mallory";
        if farm.world.path("status/plan.json").exists() {
            farm.world.code(0, &["approve", "status/plan.json", "--key", "mallory", "--yes", "-o", out]);
        }
        let done = farm.watch(&[]);
        assert!([1, 3].contains(&done.code), "{what}: {} {}", done.code, done.stderr);
        assert!(done.stderr.to_lowercase().contains(&expected.to_lowercase()), "{what}: {}", done.stderr);
        assert!(farm.world.has_guest("db"), "{what}");
        assert!(!trace.exists(), "{what}: something was run");
    }
}

/// Where the policy asks for it, a commit counts when somebody whom the policy trusts has signed it.
#[test]
fn only_signed_commits_count_where_policy_asks() {
    let farm = Farm::new("commits \"signed\";");
    let refused = farm.code(3, &[]);
    assert!(refused.stderr.contains("is not signed by anybody who is trusted"), "{}", refused.stderr);
    let signed = |key: &str| {
        let key = format!("user.signingkey={}", farm.world.path(key).display());
        farm.commit(EMPTY, &["-c", "gpg.format=ssh", "-c", &key, "-c", "commit.gpgsign=true"]);
    };
    signed("mallory");
    farm.code(3, &[]);
    assert_eq!(farm.status()["state"], "refused");
    signed("alice");
    farm.code(0, &[]);
    assert_eq!(farm.status()["state"], "done");
}

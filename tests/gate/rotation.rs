//! Replacing the signers' file: only those may approve it whom policy keeps for it, and they approve nothing else.

use std::fs;

use crate::world::{Done, EMPTY, World, program};

const POLICY: &str = r#"policy {
    signers "allowed"
    revoked "revoked"
    role "operators" { principal "alice"; }
    role "vault" recovery=#true { principal "vault" "safe"; }
    threshold 2 on="policy.signers"
}
"#;

/// A host with two recovery keys, and a machine that nobody declares any more.
fn host() -> World {
    let world = World::new(EMPTY, &["db"]);
    let mut allowed = String::new();
    for name in ["alice", "vault", "safe", "carol"] {
        program("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name], &world.home());
        allowed.push_str(&format!("{name} {}", world.read(&format!("{name}.pub"))));
    }
    world.write("policy.kdl", POLICY);
    world.write("new", &allowed);
    let without_carol: Vec<&str> = allowed.lines().filter(|line| !line.starts_with("carol")).collect();
    world.write("allowed", &(without_carol.join("\n") + "\n"));
    world.write("revoked", "");
    world.write("new-revoked", &world.read("alice.pub"));
    world
}

fn with_policy(world: &World, expected: i32, args: &[&str]) -> Done {
    world.code(expected, &[&["--policy", "policy.kdl"], args].concat())
}

fn sign(world: &World, what: &str, key: &str) {
    world.code(0, &["approve", what, "--key", key, "--yes", "-o", &format!("{what}.{key}")]);
}

#[test]
fn recovery_keys_replace_the_signers_together_and_once() {
    let world = host();
    let shown = with_policy(&world, 0, &["signers", "show"]).stdout;
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    assert_eq!(rows[1..], [vec!["alice", "yes", "no"], vec!["vault", "yes", "yes"], vec!["safe", "yes", "yes"]]);

    let propose = ["signers", "propose", "new", "--revoked", "new-revoked", "-o", "proposal"];
    with_policy(&world, 0, &propose);
    for key in ["alice", "vault", "safe", "carol"] {
        sign(&world, "proposal", key);
    }
    let rotate = |expected: i32, approvals: &[&str]| {
        let mut args = vec!["signers", "rotate", "new", "--revoked", "new-revoked"];
        approvals.iter().for_each(|file| args.extend(["--approval", file]));
        with_policy(&world, expected, &args).stderr
    };
    let before = world.read("allowed");
    for (why, approvals) in [
        ("needs approval: 0 of 2", &["proposal.alice"][..]),
        ("needs approval: 1 of 2", &["proposal.alice", "proposal.vault"]),
        ("needs approval: 1 of 2", &["proposal.vault", "proposal.vault"]),
        ("unknown-signer", &["proposal.vault", "proposal.carol"]),
        ("malformed", &["proposal"]),
    ] {
        let refused = rotate(3, approvals);
        assert!(refused.contains(why), "{approvals:?}: {refused}");
    }
    assert_eq!(world.read("allowed"), before);
    assert!(!world.path("state/fleets/shop/approvals.json").exists(), "none of this spent one");

    // What was signed is what comes.
    let wished = world.read("new");
    world.write("new", &wished.replace("carol", "mallory"));
    assert!(rotate(3, &["proposal.vault", "proposal.safe"]).contains("rebound"));
    world.write("new", &wished);
    rotate(0, &["proposal.vault", "proposal.safe"]);
    assert_eq!((world.read("allowed"), world.read("revoked")), (wished, world.read("alice.pub")));
    let again = rotate(3, &["proposal.vault", "proposal.safe"]);
    assert!(again.contains("replayed") && again.contains("which ended: done"), "{again}");

    let shown = with_policy(&world, 0, &["signers", "show"]).stdout;
    assert!(shown.lines().any(|line| line.split_whitespace().take(2).eq(["alice", "revoked"])), "{shown}");
    let audit = world.code(0, &["audit", "show"]).stdout;
    assert!(audit.contains("rotate-signers: held, needs approval: 1 of 2"), "{audit}");
    assert!(audit.contains("rotate-signers: allowed, approved by safe, vault"), "{audit}");
}

#[test]
fn a_recovery_key_approves_nothing_else() {
    let world = host();
    with_policy(&world, 0, &["plan", "-o", "plan.json"]);
    sign(&world, "plan.json", "vault");
    let apply = ["apply", "plan.json", "--yes", "--allow-empty", "--approval", "plan.json.vault"];
    let held = with_policy(&world, 3, &apply).stderr;
    assert!(held.contains("needs approval"), "{held}");
    assert!(world.has_guest("db"));
    // Nor is an approval of a plan one of a rotation.
    let rotate = ["signers", "rotate", "new", "--approval", "plan.json.vault"];
    assert!(with_policy(&world, 3, &rotate).stderr.contains("rebound"));
}

#[test]
fn what_would_lock_everybody_out_is_refused_before_anybody_signs() {
    let world = host();
    let allowed = world.read("allowed");
    let one: Vec<&str> = allowed.lines().filter(|line| !line.starts_with("safe")).collect();
    let revoking = world.read("safe.pub");
    world.write("revoking", &revoking);
    for (why, signers, revoked) in [
        ("too few would be left", one.join("\n"), ""),
        ("too few would be left", allowed.clone(), revoking.as_str()),
        ("too few would be left", String::new(), ""),
        ("`lonely` cannot be used", "this is no signers' file\n".to_owned(), ""),
    ] {
        world.write("lonely", &signers);
        world.write("revoking", revoked);
        let refused = with_policy(&world, 3, &["signers", "propose", "lonely", "--revoked", "revoking"]);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    with_policy(&world, 3, &["signers", "propose", "missing"]);
    assert_eq!(world.read("allowed"), allowed);
}

#[test]
fn the_fleets_own_signers_are_replaced_in_its_repository() {
    let world = host();
    world.write("fleet.kdl", &format!("{EMPTY}policy {{ signers \"allowed\"; }}\n"));
    let refused = world.code(3, &["signers", "propose", "new"]).stderr;
    assert!(refused.contains("replaced in its repository"), "{refused}");
    fs::remove_file(world.path("revoked")).unwrap();
    world.write("policy.kdl", "policy { signers \"allowed\"; }\n");
    let refused = with_policy(&world, 3, &["signers", "propose", "new", "--revoked", "new-revoked"]).stderr;
    assert!(refused.contains("names no file of revoked keys"), "{refused}");
    // Without roles every signer may.
    with_policy(&world, 0, &["signers", "propose", "new", "-o", "proposal"]);
    sign(&world, "proposal", "alice");
    with_policy(&world, 0, &["signers", "rotate", "new", "--approval", "proposal.alice"]);
    assert!(world.read("allowed").contains("carol"));
}

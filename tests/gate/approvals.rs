//! Every way in which an approval can be wrong, against signatures of the real `ssh-keygen` (LESSON 44), and both directions of
//! interoperability.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use camino::Utf8PathBuf;
use jiff::{SignedDuration, Timestamp};
use regatta::driver::approvals::{SpentStore, verify};
use regatta::exec::{Outcome, RunId};
use regatta::plan::gate::approval::{Approval, Approved, NAMESPACE};
use regatta::plan::gate::{Refusal, Signers, Target};
use regatta::resource::{Address, Digest};

use crate::world::{EMPTY, World, program};

/// Keys that `ssh-keygen` makes: type and bits.
const KINDS: [(&str, &str); 4] = [("ed25519", "256"), ("rsa", "3072"), ("ecdsa", "256"), ("ecdsa", "521")];

fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}

fn hours(n: i64) -> Timestamp {
    now() + SignedDuration::from_hours(n)
}

fn step() -> Approved {
    Approved {
        operation: "destroy-guest".into(),
        digest: Digest::of(b"parameters"),
        addresses: vec![Address::vm("db"), Address::file_sync("db", "~/a b")],
    }
}

fn approval() -> Approval {
    Approval {
        fleet: "shop".into(),
        host: "SHA256:host".into(),
        plan: Digest::of(b"plan"),
        nonce: "0123456789abcdef0123456789abcdef".into(),
        issued: hours(-1),
        expires: hours(1),
        steps: vec![step()],
    }
}

fn target() -> Target {
    Target {
        fleet: "shop".into(),
        host: "SHA256:host".into(),
        plan: Digest::of(b"plan"),
        steps: vec![step()],
        lifetime_hours: Some(48),
    }
}

/// A directory with keys, and nothing spent.
struct Desk {
    dir: tempfile::TempDir,
    spent: SpentStore,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::try_from(dir.path().join("approvals.json")).unwrap();
        Self { spent: SpentStore::open(&path).unwrap(), dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a key; its public line.
    fn key(&self, name: &str, (kind, bits): (&str, &str)) -> String {
        program("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", "", "-C", "", "-f", name], self.path());
        fs::read_to_string(self.path().join(format!("{name}.pub"))).unwrap().trim().to_owned()
    }

    /// Signs with the real `ssh-keygen`.
    fn sign(&self, key: &str, namespace: &str, text: &str) -> String {
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-q", "-f", key, "-n", namespace])
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        format!("{text}{}", String::from_utf8(output.stdout).unwrap())
    }

    fn verify(&self, file: &str, signers: &Signers) -> Result<String, Refusal> {
        let verified = verify(file.as_bytes(), signers, &target(), &self.spent, now());
        verified.map(|accepted| accepted.principal).map_err(|rejected| rejected.refusal)
    }
}

fn signers(line: &str) -> Signers {
    Signers::parse(&format!("alice@example.org,*@ops {line}\n"), "").unwrap()
}

#[test]
fn what_ssh_keygen_signs_counts_and_what_regatta_signs_it_verifies() {
    let desk = Desk::new();
    for (index, kind) in KINDS.into_iter().enumerate() {
        let name = format!("key-{index}");
        let public = desk.key(&name, kind);
        let file = desk.sign(&name, NAMESPACE, &approval().to_text());
        assert_eq!(desk.verify(&file, &signers(&public)), Ok("alice@example.org".into()), "{kind:?}");
        // The other way round.
        let text = approval().to_text();
        let private = fs::read_to_string(desk.path().join(&name)).unwrap();
        let armour = regatta::effect::sign(&private, NAMESPACE, text.as_bytes()).unwrap().unwrap();
        assert_eq!(
            desk.verify(&format!("{text}{armour}"), &signers(&public)),
            Ok("alice@example.org".into()),
            "{kind:?}"
        );
        accepted_by_openssh(&desk, &public, &text, &armour);
    }
}

/// `ssh-keygen -Y verify` agrees.
fn accepted_by_openssh(desk: &Desk, public: &str, text: &str, armour: &str) {
    fs::write(desk.path().join("allowed"), format!("alice@example.org {public}\n")).unwrap();
    fs::write(desk.path().join("armour"), armour).unwrap();
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "verify", "-f", "allowed", "-I", "alice@example.org", "-n", NAMESPACE, "-s", "armour"])
        .current_dir(desk.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{public}");
}

/// The adversarial matrix: each row is one thing that is wrong, and the refusal has its name.
#[test]
fn every_wrong_approval_has_its_own_refusal() {
    let desk = Desk::new();
    let public = desk.key("alice", KINDS[0]);
    let mallory = desk.key("mallory", KINDS[0]);
    let trusted = signers(&public);
    let signed = |approval: &Approval| desk.sign("alice", NAMESPACE, &approval.to_text());
    let good = signed(&approval());
    assert!(desk.verify(&good, &trusted).is_ok());
    let text = approval().to_text();
    let respelt = |from: &str, to: &str| desk.sign("alice", NAMESPACE, &text.replace(from, to));
    let table = [
        ("malformed", String::new()),
        ("malformed", text.clone()),
        ("malformed", good.replace("U1NIU0lH", "U1NIU0lI")),
        ("malformed", format!("{good}{}", good.split_at(text.len()).1)),
        ("malformed", format!("{}{good}", "x".repeat(70 << 10))),
        ("malformed", respelt("fleet shop", "fleet  shop")),
        ("malformed", respelt("nonce 0", "nonce A")),
        ("malformed", respelt("%20", " ")),
        ("malformed", respelt("regatta-approval-v1", "regatta-approval-v2")),
        ("malformed", respelt("fleet shop\nhost SHA256:host\n", "host SHA256:host\nfleet shop\n")),
        ("malformed", desk.sign("alice", NAMESPACE, &format!("{text}\n"))),
        ("malformed", desk.sign("alice", NAMESPACE, &text.replace('\n', "\r\n"))),
        ("foreign", desk.sign("alice", "file", &text)),
        ("foreign", signed(&Approval { fleet: "bakery".into(), ..approval() })),
        ("foreign", signed(&Approval { host: "SHA256:another".into(), ..approval() })),
        ("unknown-signer", desk.sign("mallory", NAMESPACE, &text)),
        ("forged", good.replace("fleet shop", "fleet shot")),
        ("forged", good.replace("vm.db", "vm.da")),
        ("rebound", signed(&Approval { plan: Digest::of(b"edited"), ..approval() })),
        ("rebound", signed(&Approval { steps: vec![Approved { digest: Digest::of(b"x"), ..step() }], ..approval() })),
        (
            "rebound",
            signed(&Approval { steps: vec![Approved { operation: "replace-root".into(), ..step() }], ..approval() }),
        ),
        (
            "rebound",
            signed(&Approval { steps: vec![Approved { addresses: vec![Address::vm("db")], ..step() }], ..approval() }),
        ),
        ("not-yet-valid", signed(&Approval { issued: hours(2), expires: hours(3), ..approval() })),
        ("expired", signed(&Approval { issued: hours(-2), expires: hours(-1), ..approval() })),
        ("expired", signed(&Approval { issued: hours(0), expires: hours(0), ..approval() })),
        ("too-long", signed(&Approval { expires: hours(100), ..approval() })),
    ];
    for (index, (expected, file)) in table.iter().enumerate() {
        let refusal = desk.verify(file, &trusted).unwrap_err();
        assert_eq!(refusal.name(), *expected, "row {index}: {refusal}");
    }
    let lines = [
        ("unknown-signer", format!("alice@example.org namespaces=\"git,file\" {public}"), ""),
        ("signer-expired", format!("alice@example.org valid-before=\"20200101Z\" {public}"), ""),
        ("signer-not-yet-valid", format!("alice@example.org valid-after=\"29990101000000Z\" {public}"), ""),
        ("revoked", format!("alice@example.org {public}"), public.as_str()),
        ("unknown-signer", format!("alice@example.org {mallory}"), ""),
    ];
    for (expected, line, revoked) in lines {
        let signers = Signers::parse(&line, revoked).unwrap();
        assert_eq!(desk.verify(&good, &signers).unwrap_err().name(), expected, "{line}");
    }
    let with = format!("alice@example.org namespaces=\"regatta-approval-*\",valid-after=\"20200101Z\" {public}");
    assert!(desk.verify(&good, &Signers::parse(&with, &mallory).unwrap()).is_ok());
    assert!(!fs::exists(desk.path().join("approvals.json")).unwrap(), "a bad one burns no nonce");
}

/// A file of signers that is not understood as a whole is not used at all: what was left out could be a limit.
#[test]
fn a_line_that_is_not_understood_stops_everything() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPAWkGqOaVvQIIkDO1yPYmUDh2YmzfvUm3xkZ4GUZzx";
    for wrong in [
        format!("* {key}"),
        format!("alice cert-authority {key}"),
        format!("alice valid-before=\"20300101\" {key}"),
        format!("alice valid-before=\"20301301Z\" {key}"),
        format!("alice namespaces=\"a {key}"),
        format!("alice namespaces= {key}"),
        "alice".to_owned(),
        "alice ssh-ed25519".to_owned(),
    ] {
        assert!(Signers::parse(&format!("# ours\n\n{wrong}\n"), "").is_err(), "{wrong}");
    }
    assert!(Signers::parse("", "no key").is_err());
}

/// What was spent stays spent until it has expired, over restarts and clocks that are set back, and tells what came of it.
#[test]
fn a_spent_approval_is_replayed_and_tells_its_outcome() {
    let mut desk = Desk::new();
    let public = desk.key("alice", KINDS[0]);
    let file = desk.sign("alice", NAMESPACE, &approval().to_text());
    let accepted = verify(file.as_bytes(), &signers(&public), &target(), &desk.spent, now()).unwrap();
    let run = RunId::from_u128(7);
    desk.spent.spend(&[&accepted], run, now()).unwrap();
    let path = Utf8PathBuf::try_from(desk.path().join("approvals.json")).unwrap();
    desk.spent = SpentStore::open(&path).unwrap();
    let replayed =
        |outcome: Option<&str>| Err(Refusal::Replayed { run: run.to_string(), outcome: outcome.map(str::to_owned) });
    assert_eq!(desk.verify(&file, &signers(&public)), replayed(None), "its run died");
    desk.spent.finish(run, Outcome::Done).unwrap();
    assert_eq!(desk.verify(&file, &signers(&public)), replayed(Some("done")));
    // Another text with the same nonce, and a clock that was set back.
    let twin = desk.sign("alice", NAMESPACE, &Approval { issued: hours(-2), ..approval() }.to_text());
    assert_eq!(desk.verify(&twin, &signers(&public)), replayed(Some("done")));
    let back = verify(twin.as_bytes(), &signers(&public), &target(), &desk.spent, hours(-10)).unwrap_err();
    assert_eq!(back.refusal.name(), "replayed");
    fs::write(&path, "torn").unwrap();
    assert!(SpentStore::open(&path).is_err(), "nobody knows what was spent");
}

/// A security key in software: the same signature that a touch of a FIDO2 key makes, accepted by OpenSSH as well; and one without the
/// touch, which is not accepted here.
#[test]
fn a_security_key_counts_when_it_was_touched() {
    let desk = Desk::new();
    let text = approval().to_text();
    for (flags, expected) in [(1, Ok("alice@example.org".to_owned())), (0, Err("forged"))] {
        let (public, armour) = crate::security_key::sign(NAMESPACE, text.as_bytes(), flags);
        let found = desk.verify(&format!("{text}{armour}"), &signers(&public));
        assert_eq!(found.map_err(|refusal| refusal.name()), expected);
        if flags == 1 {
            accepted_by_openssh(&desk, &public, &text, &armour);
        }
    }
}

/// An agent of this test's own, which ends with it.
struct Agent(std::process::Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The key has a passphrase, and only the agent has it open: its public half is enough to sign, and nothing of it is asked for again.
#[test]
fn a_key_in_the_agent_approves() {
    let world = pipeline(&["db"]);
    let socket = world.path("agent");
    let agent = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let _agent = Agent(agent);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !socket.exists() {
        assert!(std::time::Instant::now() < end, "the agent does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut add = Command::new("ssh-add");
    add.args(["-q", "alice"]).env("SSH_AUTH_SOCK", &socket).current_dir(world.home()).stdin(Stdio::null());
    assert!(add.status().unwrap().success());
    program("ssh-keygen", &["-q", "-p", "-P", "", "-N", "a passphrase", "-f", "alice"], &world.home());
    world.code(0, &["plan", "-o", "plan.json"]);
    let approve = |key: &str, with_agent: bool| {
        let mut command = world.command(&["approve", "plan.json", "--key", key, "--yes", "-o", "ok"]);
        if with_agent {
            command.env("SSH_AUTH_SOCK", &socket);
        }
        crate::world::finish(&mut command)
    };
    let closed = approve("alice", false);
    assert!(closed.code == 1 && closed.stderr.contains("ssh-add"), "{}", closed.stderr);
    for key in ["alice", "alice.pub"] {
        let signed = approve(key, true);
        assert_eq!(signed.code, 0, "{key}: {}", signed.stderr);
    }
    world.code(0, &["apply", "plan.json", "--yes", "--allow-empty", "--approval", "ok"]);
    assert!(!world.has_guest("db"));
}

const POLICY: &str = "policy { signers \"allowed\"; threshold 2 on=\"vm.vault\"; }\n";

/// A pipeline with a key of its own for each signer.
fn pipeline(guests: &[&str]) -> World {
    let world = World::new(&format!("{EMPTY}{POLICY}"), guests);
    let mut allowed = String::new();
    for name in ["alice", "bob"] {
        program("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", name], &world.home());
        allowed.push_str(&format!("{name} {}", world.read(&format!("{name}.pub"))));
    }
    world.write("allowed", &allowed);
    world
}

#[test]
fn a_plan_is_approved_and_applied_exactly_once() {
    let world = pipeline(&["db"]);
    world.code(0, &["plan", "-o", "plan.json"]);
    let apply = ["apply", "plan.json", "--yes", "--allow-empty"];
    world.code(3, &apply);
    world.code(0, &["approve", "plan.json", "--key", "alice", "--yes", "-o", "ok"]);
    let with = |file: &'static str| [&apply[..], &["--approval", file]].concat();
    world.write("policy.kdl", "policy { signers \"nobody\"; }\n");
    world.write("nobody", "");
    let host = world.code(3, &[&with("ok")[..], &["--policy", "policy.kdl"]].concat());
    assert!(host.stderr.contains("unknown-signer"), "the fleet's signers do not count: {}", host.stderr);
    assert!(world.has_guest("db"));
    world.code(0, &with("ok"));
    assert!(!world.has_guest("db"));
    let replayed = world.code(3, &with("ok"));
    assert!(
        replayed.stderr.contains("replayed") && replayed.stderr.contains("which ended: done"),
        "{}",
        replayed.stderr
    );
    let shown = world.code(0, &["audit", "show"]).stdout;
    assert!(shown.contains("destroy-guest vm.db: allowed, approved by alice"), "{shown}");
    assert!(shown.contains("of alice: replayed"), "{shown}");
    assert!(world.code(0, &["audit", "verify"]).stdout.contains("all of them fit"));
    let log = world.read("state/audit.jsonl");
    world.write("state/audit.jsonl", &log.replace("approved", "agreed__"));
    assert!(world.code(1, &["audit", "verify"]).stderr.contains("does not fit"));
    world.write("state/audit.jsonl", &log[..log.trim_end().rfind('\n').unwrap() + 1]);
    assert!(world.code(1, &["audit", "verify"]).stderr.contains("its end was cut off"));
}

#[test]
fn two_of_two_and_only_what_was_signed() {
    let world = pipeline(&["db", "vault"]);
    world.code(0, &["plan", "-o", "plan.json"]);
    for name in ["alice", "bob"] {
        world
            .code(0, &["approve", "plan.json", "--key", name, "--only", "vault", "--yes", "-o", &format!("{name}.ok")]);
    }
    let apply = ["apply", "plan.json", "--yes", "--allow-empty", "--approval", "alice.ok"];
    let one = world.code(3, &apply);
    assert!(one.stderr.contains("needs approval: 1 of 2"), "{}", one.stderr);
    // It was not enough, so that it was not spent.
    let two = world.code(3, &[&apply[..], &["--approval", "bob.ok"]].concat());
    assert!(two.stderr.contains("destroy-guest vm.db is held"), "{}", two.stderr);
    assert!(world.has_guest("db") && !world.has_guest("vault"));
}

/// An edited plan, another host's approval, and a plan that is stale.
#[test]
fn what_was_approved_is_what_is_applied() {
    let world = pipeline(&["db"]);
    world.code(0, &["plan", "-o", "plan.json"]);
    world.code(0, &["approve", "plan.json", "--key", "alice", "--yes", "-o", "ok"]);
    let plan = world.read("plan.json");
    world.write("edited.json", &plan.replace("\"vm.db\"", "\"vm.da\""));
    let edited = world.code(3, &["apply", "edited.json", "--yes", "--allow-empty", "--approval", "ok"]);
    assert!(edited.stderr.contains("it was changed after it was saved"), "{}", edited.stderr);

    let other = pipeline(&["db"]);
    other.write("allowed", &world.read("allowed"));
    other.write("ok", &world.read("ok"));
    let foreign = other.code(3, &["apply", "--yes", "--allow-empty", "--approval", "ok"]);
    assert!(foreign.stderr.contains("foreign"), "{}", foreign.stderr);

    world.make_guest("new");
    let stale = world.code(3, &["apply", "plan.json", "--yes", "--allow-empty", "--approval", "ok"]);
    assert!(stale.stderr.contains("the world moved since it was made"), "{}", stale.stderr);
    let rebound = world.code(3, &["apply", "--yes", "--allow-empty", "--approval", "ok"]);
    assert!(rebound.stderr.contains("rebound"), "{}", rebound.stderr);
    assert!(world.has_guest("db") && other.has_guest("db"));
    assert!(!world.path("state/fleets/shop/approvals.json").exists(), "none of this spent it");
}

//! The real program over TLS against `fakepve`, somebody else's fake: installed by pip, unmodified, in a process of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::peer::{Peer, TOKEN, five, run};

#[test]
fn five_containers_are_made_changed_and_removed() {
    let Some(peer) = Peer::start("five", "plain") else { return };
    peer.fleet(&peer.fingerprint, &five("256MiB"));
    let empty = "No changes: 6 resources are as declared.";
    let text = peer.settles(empty);
    assert!(!text.contains("secret-1"), "{text}");

    peer.fleet(&peer.fingerprint, &five("384MiB"));
    peer.settles(empty);

    let (code, text) = peer.regatta(&["destroy", "--yes"], TOKEN);
    assert_eq!(code, 0, "{text}");
    // Guest 900 is nobody's business: it still has its name, so that one of ours cannot have it.
    peer.fleet(&peer.fingerprint, &five("64MiB").replace("\"web\" count=5", "\"other\""));
    let (code, text) = peer.regatta(&["plan"], TOKEN);
    assert!(
        code == 3 && text.contains("found guest 900 of this name, without the mark of this fleet"),
        "{code}\n{text}"
    );
}

/// It knows no way to let disks of virtual machines grow: they stay as they are here.
fn two_vms(memory: &str) -> String {
    format!(
        r#"vm "db" count=2 {{
    cluster "pve"
    vmid from=2000 to=2999
    clone 901 full=#true
    cores 2
    cpu "host"
    memory "{memory}"
    disk 0 storage="local-lvm" size="3GiB" discard=#true
    disk 1 storage="local-lvm" size="2GiB" backup=#false
    interface 0 bridge="vmbr0" ip="10.0.0.5/24" gateway="10.0.0.1" vlan=7
    cloud-init user="admin" {{
        authorized-key "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi ann@host"
    }}
    dns "10.0.0.1" domain="lab.test"
    agent #true
    tags "db"
    notes "The *shop*'s data"
    startup order=2
    on-boot #true
}}"#
    )
}

#[test]
fn two_vms_are_cloned_changed_and_removed() {
    let Some(peer) = Peer::start("vms", "vms") else { return };
    let empty = "No changes: 3 resources are as declared.";
    for memory in ["1GiB", "2GiB"] {
        peer.fleet(&peer.fingerprint, &two_vms(memory));
        peer.settles(empty);
    }
    // PROXMOX C4: `--yes` is no word about restarting these; what needs it stays pending, and the plan goes on saying so.
    peer.fleet(&peer.fingerprint, &two_vms("3GiB").replace("agent", "restart \"ask\"\n    agent"));
    let (code, text) = peer.regatta(&["apply", "--yes"], TOKEN);
    assert_eq!(code, 3, "{text}");
    let (code, text) = peer.regatta(&["plan", "--detailed-exitcode"], TOKEN);
    assert!(code == 2 && text.contains("waits for a restart: memory"), "{code}\n{text}");
    let (code, text) = peer.regatta(&["apply", "--yes", "--yes-destroy", "db-1", "--yes-destroy", "db-2"], TOKEN);
    assert_eq!(code, 0, "{text}");
    let (code, text) = peer.regatta(&["plan", "--detailed-exitcode"], TOKEN);
    assert!(code == 0 && text.contains(empty), "{code}\n{text}");
    let (code, text) = peer.regatta(&["destroy", "--yes"], TOKEN);
    assert_eq!(code, 0, "{text}");
    let (code, text) = peer.regatta(&["plan", "--detailed-exitcode"], TOKEN);
    assert!(code == 2 && text.contains("vm.db-2"), "{code}\n{text}");
}

/// What is kept beside the configuration, and snapshots. The peer keeps no resources of high availability.
#[test]
fn pools_firewalls_and_snapshots() {
    let Some(peer) = Peer::start("pools", "pools") else { return };
    let empty = "No changes: 2 resources are as declared.";
    let fleet = |beside: &str| {
        let one = five("256MiB").replace("count=5", "").replace("tags \"web\"", beside);
        peer.fleet(&peer.fingerprint, &one);
    };
    fleet(
        "pool \"lab\"; firewall in=\"drop\" { rule \"in\" \"accept\" proto=\"tcp\" port=\"22,80\" comment=\"a, b\"; rule \"out\" \"reject\" proto=\"udp\"; }",
    );
    peer.settles(empty);
    fleet(
        "pool \"prod\"; firewall log-in=\"info\" { rule \"in\" \"drop\" source=\"10.0.0.0/8\"; rule \"in\" \"accept\" proto=\"tcp\" port=\"22,80\" comment=\"c\"; }",
    );
    peer.settles(empty);

    // The peer says of every container that its storages keep none.
    let (code, text) = peer.regatta(&["snapshot", "create", "web", "--name", "before"], TOKEN);
    assert!(code == 1 && text.contains("a storage of guest `web` keeps no snapshots"), "{code}\n{text}");
    let (code, text) = peer.regatta(&["snapshot", "list"], TOKEN);
    assert!(code == 0 && text.contains("no snapshots"), "{code}\n{text}");
    let (code, text) = peer.regatta(&["snapshot", "restore", "web", "before", "--yes"], TOKEN);
    assert!(code == 1 && text.contains("guest `web` has no snapshot `before`"), "{code}\n{text}");
    fleet("");
    peer.settles(empty);
}

#[test]
fn status_and_doctor_know_clusters() {
    let Some(peer) = Peer::start("status", "plain") else { return };
    peer.fleet(&peer.fingerprint, &five("256MiB").replace("count=5", "count=1"));
    let line = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("web-1 ")).unwrap_or(text);
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(&peer.regatta(&["status"], TOKEN).1), "web-1 absent - - - - - - 17 create");
    assert_eq!(peer.regatta(&["apply", "--yes"], TOKEN).0, 0);
    assert_eq!(line(&peer.regatta(&["status"], TOKEN).1), "web-1 running - - - - - - - -");
    let (_, text) = peer.regatta(&["status"], "ci@pve!regatta=wrong");
    assert_eq!(line(&text), "web-1 unknown - - - - - - - unreadable");

    let (_, text) = peer.regatta(&["doctor", "--format", "json"], TOKEN);
    let findings: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    let findings = findings["findings"].as_array().unwrap();
    let found = |check: &str| findings.iter().find(|it| it["check"] == check).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(found("cluster.pve nodes")["found"], "online: pve1");
    assert_eq!(found("cluster.pve privileges")["verdict"], "pass", "{text}");
}

/// A template of this machine becomes a volume of the cluster, over the wire.
#[test]
fn a_template_is_uploaded() {
    let Some(peer) = Peer::start("upload", "plain") else { return };
    fs::write(peer.dir.join("ours.tar.zst"), vec![7; 3 << 20]).unwrap();
    let digest = run(Path::new("sha256sum"), &[peer.dir.join("ours.tar.zst").to_str().unwrap()]).unwrap().stdout;
    let digest = String::from_utf8(digest).unwrap()[..64].to_owned();
    let ours = format!("template \"local:vztmpl/ours.tar.zst\" file=\"ours.tar.zst\" sha256=\"{digest}\"");
    let theirs = "template \"local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst\"";
    peer.fleet(&peer.fingerprint, &five("256MiB").replace("count=5", "").replace(theirs, &ours));
    let (code, text) = peer.regatta(&["apply", "--yes"], TOKEN);
    assert!(code == 0 && text.contains("uploads ours.tar.zst: "), "{code}\n{text}");
    peer.settles("No changes: 2 resources are as declared.");
}

/// PROXMOX C13: a guest that nobody managed is written down as it is, and the plan is empty then. Whatever is refused leaves the
/// fleet file alone.
#[test]
fn a_guest_that_was_there_is_adopted() {
    let Some(peer) = Peer::start("adopt", "plain") else { return };
    peer.fleet(&peer.fingerprint, "");
    let file = || fs::read_to_string(peer.dir.join("fleet.kdl")).unwrap();
    let before = file();
    for (vmid, code, said) in [
        ("777", 1, "found no guest 777 on the cluster `pve`"),
        ("nine", 64, "found `nine`, expected the number of a guest"),
    ] {
        let (is, text) = peer.regatta(&["adopt", "--cluster", "pve", vmid, "--yes"], TOKEN);
        assert!(is == code && text.contains(said), "{is}\n{text}");
    }
    assert_eq!(file(), before);
    let (code, text) = peer.regatta(&["adopt", "--cluster", "pve", "900", "--yes"], TOKEN);
    assert_eq!(code, 0, "{text}");
    let written = "\ncontainer \"other\" {\n    cluster \"pve\"\n    vmid 900\n    existing\n    unprivileged #true\n    memory \"64MiB\"\n    \
                   root-disk size=\"8GiB\" storage=\"local-lvm\"\n    swap \"512MiB\"\n}\n";
    assert_eq!(file().strip_prefix(&before), Some(written));
    let (code, text) = peer.regatta(&["plan", "--detailed-exitcode"], TOKEN);
    assert!(code == 0 && text.contains("No changes: 2 resources are as declared."), "{code}\n{text}");
    let (code, text) = peer.regatta(&["adopt", "--cluster", "pve", "900", "--yes"], TOKEN);
    assert!(code == 1 && text.contains("guest 900 is `other` of this fleet already"), "{code}\n{text}");
}

/// PROXMOX C10: the name of a task is on disk while it goes on. The run after one that was killed waits for it, and makes nothing a
/// second time.
#[test]
fn a_run_that_is_killed_in_a_task_is_taken_up_by_its_name() {
    let Some(peer) = Peer::start("killed", "slow") else { return };
    peer.fleet(&peer.fingerprint, &five("256MiB").replace("count=5", "").replace("on-boot #true", "running #false"));
    let mut first =
        peer.command(&["apply", "--yes"], TOKEN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !peer.journals().contains("\"fact\":\"task\"") {
        assert!(Instant::now() < deadline && first.try_wait().unwrap().is_none(), "no task: {}", peer.journals());
        thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();

    let (code, text) = peer.regatta(&["apply", "--yes"], TOKEN);
    let waited = "died while `vzcreate` was going on on the cluster `pve`: waits for it\n  it is done\n";
    assert!(code == 0 && text.contains(waited), "{code}\n{text}");
    assert!(!text.contains("makes guest"), "{text}");
    let (code, text) = peer.regatta(&["plan", "--detailed-exitcode"], TOKEN);
    assert!(code == 0 && text.contains("No changes: 2 resources are as declared."), "{code}\n{text}");
    let (code, text) = peer.regatta(&["journal"], TOKEN);
    assert!(code == 0 && text.contains("interrupted"), "{code}\n{text}");
}

/// A command that prints a token may cost money, or ask somebody: it runs when a cluster is asked something.
#[test]
fn a_token_is_asked_for_when_it_is_needed_and_kept_to_oneself() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pve-lazy");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    let peer = |token: &str| {
        let text = format!(
            "fleet \"shop\"\ncluster \"pve\" {{\n endpoint \"https://127.0.0.1:1\"\n {token}\n}}\n{}",
            five("64MiB")
        );
        fs::write(dir.join("fleet.kdl"), text).unwrap();
    };
    let regatta = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_regatta"))
            .args(arguments)
            .current_dir(&dir)
            .env("REGATTA_STATE_DIR", dir.join("state"))
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    peer("token { command \"touch\" \"asked\" }");
    for arguments in [["check", "-q"].as_slice(), &["stop", "nobody"], &["pause", "nobody"], &["hosts"]] {
        regatta(arguments);
        assert!(!dir.join("asked").exists(), "{arguments:?}");
    }
    regatta(&["plan"]);
    assert!(dir.join("asked").exists());

    peer("token file=\"token\"");
    fs::write(dir.join("token"), TOKEN).unwrap();
    fs::set_permissions(dir.join("token"), fs::Permissions::from_mode(0o640)).unwrap();
    let text = regatta(&["plan"]);
    assert!(
        text.contains("is open to others: its mode is 0640, expected a file that only its owner may read"),
        "{text}"
    );
    fs::set_permissions(dir.join("token"), fs::Permissions::from_mode(0o400)).unwrap();
    let text = regatta(&["plan"]);
    assert!(text.contains("no server of the cluster answers"), "{text}");
}

//! The real program over TLS against `fakepve`, somebody else's fake: installed by pip, unmodified, in a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const VERSION: &str = "0.5.0";

/// Starts the fake with a token, and what the test asks for: the package's own command line knows no tokens.
const LAUNCH: &str = r"
import asyncio, sys
import aiohttp
from fakepve import FakePve
async def main(cert, key, manner):
    pve = FakePve(user='root@pam', password='x', host='127.0.0.1', port=0)
    pve.time_scale = 0
    pve.apitokens['ci@pve!regatta'] = 'secret-1'
    privileges = ['VM.Audit', 'VM.Allocate', 'VM.Config.Disk', 'VM.Config.CPU', 'VM.Config.Memory', 'VM.Config.Network',
                  'VM.Config.Options', 'VM.Config.HWType', 'VM.Config.Cloudinit', 'VM.Clone', 'VM.PowerMgmt', 'Datastore.AllocateSpace', 'Datastore.AllocateTemplate', 'Datastore.Audit', 'SDN.Use', 'Sys.Audit', 'Sys.Modify']
    privileges += ['Pool.Allocate', 'Pool.Audit', 'VM.Snapshot', 'VM.Snapshot.Rollback']
    if manner == 'no-allocate':
        privileges.remove('VM.Allocate')
    pve.grant('ci@pve!regatta', '/', *([] if manner == 'no-audit' else privileges))
    pve.add_ct(900, 'other', status='running', config={'hostname': 'other', 'memory': 64})
    if manner == 'no-quorum':
        pve.lose_quorum()
    if manner == 'slow':
        pve.time_scale = 1
        pve.ct_secs['create'] = 5
    if manner == 'node-down':
        pve.add_node('pve2', online=False)
    await pve.start(cert, key)
    if manner == 'vms':
        headers = {'Authorization': 'PVEAPIToken=ci@pve!regatta=secret-1'}
        base = f'https://127.0.0.1:{pve.port}/api2/json/nodes/pve1/qemu'
        original = dict(vmid=901, name='original-vm', memory=2048, scsihw='virtio-scsi-single', scsi0='local-lvm:3',
                        net0='virtio,bridge=vmbr0', ide2='local-lvm:cloudinit', agent='enabled=1', boot='order=scsi0')
        async with aiohttp.ClientSession(headers=headers) as session:
            for path, form in (('', original), ('/901/template', {})):
                async with session.post(base + path, data=form, ssl=False) as answer:
                    assert answer.status == 200, (answer.reason, await answer.text())
    if manner == 'pools':
        headers = {'Authorization': 'PVEAPIToken=ci@pve!regatta=secret-1'}
        async with aiohttp.ClientSession(headers=headers) as session:
            for pool in ('lab', 'prod'):
                async with session.post(f'https://127.0.0.1:{pve.port}/api2/json/pools', data={'poolid': pool}, ssl=False) as answer:
                    assert answer.status == 200, (answer.reason, await answer.text())
    print(pve.port, flush=True)
    await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:4]))
";

/// A running fake, ended with the value.
struct Peer {
    process: Child,
    port: u16,
    fingerprint: String,
    dir: PathBuf,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(program: &Path, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())
}

/// A Python that has the package; nothing, with a loud line, where it cannot be installed.
fn python() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fakepve-{VERSION}"));
    let python = home.join("bin/python");
    let has = || run(&python, &["-c", "import fakepve"]).is_some();
    if has() {
        return Some(python);
    }
    let made = run(Path::new("python3"), &["-m", "venv", home.to_str().unwrap()]);
    let package = format!("fakepve=={VERSION}");
    let installed = made.and_then(|_| run(&python, &["-m", "pip", "install", "--quiet", &package]));
    if installed.is_none() || !has() {
        eprintln!("SKIPPED: `{package}` could not be installed (needs python3-venv and a package index)");
        return None;
    }
    Some(python)
}

impl Peer {
    fn start(test: &str, manner: &str) -> Option<Self> {
        let python = python()?;
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pve-{test}"));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let make =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let files = ["-subj", "/CN=pve1", "-keyout", key.to_str().unwrap(), "-out", cert.to_str().unwrap()];
        run(Path::new("openssl"), &[&make[..], &files[..]].concat()).unwrap();
        let shown = ["x509", "-in", cert.to_str().unwrap(), "-noout", "-fingerprint", "-sha256"];
        let shown = run(Path::new("openssl"), &shown).unwrap();
        let fingerprint = String::from_utf8(shown.stdout).unwrap().trim().split_once('=').unwrap().1.to_owned();
        let mut process = Command::new(python)
            .args(["-c", LAUNCH])
            .args([&cert, &key])
            .arg(manner)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("fakepve said `{line}`"));
        Some(Self { process, port, fingerprint, dir })
    }

    fn fleet(&self, fingerprint: &str, block: &str) {
        let text = format!(
            "fleet \"shop\"\ncluster \"pve\" {{\n endpoint \"https://127.0.0.1:{}\"\n fingerprint \"{fingerprint}\"\n \
             token env=\"PVE_TOKEN\"\n}}\n{block}\n",
            self.port
        );
        fs::write(self.dir.join("fleet.kdl"), text).unwrap();
    }

    fn command(&self, arguments: &[&str], token: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regatta"));
        command.args(arguments).current_dir(&self.dir).env("NO_COLOR", "1");
        command.env("PVE_TOKEN", token).env("REGATTA_STATE_DIR", self.dir.join("state"));
        command
    }

    /// The journals of all runs, as they are on disk.
    fn journals(&self) -> String {
        let runs = fs::read_dir(self.dir.join("state/fleets/shop/runs"));
        let files = runs.into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter_map(|path| fs::read_to_string(path).ok()).collect()
    }

    fn regatta(&self, arguments: &[&str], token: &str) -> (i32, String) {
        let output = self.command(arguments, token).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Applies what is declared, and finds that a plan has nothing to say then but `empty`; what the plan said.
    fn settles(&self, empty: &str) -> String {
        let (code, text) = self.regatta(&["apply", "--yes"], TOKEN);
        assert_eq!(code, 0, "{text}");
        let (code, text) = self.regatta(&["plan", "--detailed-exitcode"], TOKEN);
        assert!(code == 0 && text.contains(empty), "{code}\n{text}");
        text
    }
}

const TOKEN: &str = "ci@pve!regatta=secret-1";

fn five(memory: &str) -> String {
    format!(
        r#"container "web" count=5 {{
    cluster "pve"
    vmid from=1000 to=1999
    template "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
    cores 2
    memory "{memory}"
    swap "0MiB"
    root-disk storage="local-lvm" size="8GiB"
    mount "/data" storage="local-lvm" size="2GiB" backup=#true
    interface "eth0" bridge="vmbr0" ip="dhcp"
    dns "10.0.0.1" domain="lab.test"
    feature "nesting"
    tags "web"
    notes "The *shop*"
    startup order=1 up=5
    on-boot #true
}}"#
    )
}

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
    let written = "\ncontainer \"other\" {\n    cluster \"pve\"\n    vmid 900\n    existing\n    memory \"64MiB\"\n    \
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

/// Each is its own diagnostic; nothing is changed, and the exit code is 1.
#[test]
fn what_is_in_the_way_is_said_plainly() {
    let Some(peer) = Peer::start("trust", "plain") else { return };
    let other = peer.fingerprint.replace(|c: char| c.is_ascii_digit(), "A");
    peer.fleet(&other, &five("256MiB"));
    let (code, text) = peer.regatta(&["apply", "--yes"], TOKEN);
    assert!(code == 1 && text.contains("its certificate is not the pinned one"), "{code}\n{text}");
    peer.fleet(&peer.fingerprint, &five("256MiB"));
    let (code, text) = peer.regatta(&["apply", "--yes"], "ci@pve!regatta=wrong");
    assert!(code == 1 && text.contains("the API token is not accepted"), "{code}\n{text}");
    for (manner, said) in [
        ("no-audit", "lacks the privilege `VM.Audit` on `/vms`"),
        ("no-allocate", "the API token lacks the privilege `VM.Allocate` on `/vms/100"),
        ("no-quorum", "no quorum"),
    ] {
        let peer = Peer::start(manner, manner).unwrap();
        peer.fleet(&peer.fingerprint, &five("256MiB"));
        let (code, text) = peer.regatta(&["apply", "--yes"], TOKEN);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 1 && words.contains(said), "{manner}: {code}\n{text}");
    }
    let peer = Peer::start("down", "node-down").unwrap();
    peer.fleet(&peer.fingerprint, &five("256MiB").replace("vmid", "node \"pve2\"\n    vmid"));
    let (code, text) = peer.regatta(&["apply", "--yes"], TOKEN);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == 1 && words.contains("no node that it may be made on is online"), "{code}\n{text}");
}

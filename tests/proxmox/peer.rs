//! `fakepve`, somebody else's fake of Proxmox VE: installed by pip, unmodified, in a process of its own; and the real program
//! beside it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

pub(crate) const TOKEN: &str = "ci@pve!regatta=secret-1";

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
pub(crate) struct Peer {
    process: Child,
    port: u16,
    pub(crate) fingerprint: String,
    pub(crate) dir: PathBuf,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn run(program: &Path, arguments: &[&str]) -> Option<Output> {
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
    pub(crate) fn start(test: &str, manner: &str) -> Option<Self> {
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

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn fleet(&self, fingerprint: &str, block: &str) {
        let text = format!(
            "fleet \"shop\"\ncluster \"pve\" {{\n endpoint \"https://127.0.0.1:{}\"\n fingerprint \"{fingerprint}\"\n \
             token env=\"PVE_TOKEN\"\n}}\n{block}\n",
            self.port
        );
        fs::write(self.dir.join("fleet.kdl"), text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str], token: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regatta"));
        command.args(arguments).current_dir(&self.dir).env("NO_COLOR", "1");
        command.env("PVE_TOKEN", token).env("REGATTA_STATE_DIR", self.dir.join("state"));
        command
    }

    /// The journals of all runs, as they are on disk.
    pub(crate) fn journals(&self) -> String {
        let runs = fs::read_dir(self.dir.join("state/fleets/shop/runs"));
        let files = runs.into_iter().flatten().flatten().map(|entry| entry.path());
        files.filter_map(|path| fs::read_to_string(path).ok()).collect()
    }

    pub(crate) fn regatta(&self, arguments: &[&str], token: &str) -> (i32, String) {
        let output = self.command(arguments, token).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Applies what is declared, and finds that a plan has nothing to say then but `empty`; what the plan said.
    pub(crate) fn settles(&self, empty: &str) -> String {
        let (code, text) = self.regatta(&["apply", "--yes"], TOKEN);
        assert_eq!(code, 0, "{text}");
        let (code, text) = self.regatta(&["plan", "--detailed-exitcode"], TOKEN);
        assert!(code == 0 && text.contains(empty), "{code}\n{text}");
        text
    }
}

/// Five containers with so much memory.
pub(crate) fn five(memory: &str) -> String {
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

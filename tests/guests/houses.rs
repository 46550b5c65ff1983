//! A fleet whose guests are OpenSSH servers on the loopback interface, each with its own host key: everything that goes
//! through SSH can be tried on them with the real binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;

const SSHD: &str = "/usr/sbin/sshd";

/// What a command left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it wrote.
    pub(crate) stdout: String,
    /// What it said.
    pub(crate) stderr: String,
}

/// A user's home with a fleet file, a state directory, and the servers.
pub(crate) struct Street {
    dir: tempfile::TempDir,
    houses: Vec<(String, Child)>,
}

impl Street {
    /// With these guests, all running; `None`, loudly, where something needed is missing.
    pub(crate) fn new(fleet: &str, guests: &[&str]) -> Option<Self> {
        for program in [SSHD, "ssh", "scp", "ssh-keygen"] {
            let found = Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program]).output().unwrap();
            if !found.status.success() {
                return skip(&format!("`{program}` is not installed"));
            }
        }
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            return skip("guests are logged in to as root, and this is another user");
        }
        std::fs::create_dir_all("/run/sshd").unwrap();
        let mut street = Self { dir: tempfile::tempdir().unwrap(), houses: Vec::new() };
        std::fs::create_dir(street.home("")).unwrap();
        std::fs::DirBuilder::new().mode(0o700).create(street.state("")).unwrap();
        std::fs::write(street.home("fleet.kdl"), fleet).unwrap();
        keygen(&street.state("identity"));
        for guest in guests {
            street.build(guest);
        }
        Some(street)
    }

    /// A path in the user's home.
    pub(crate) fn home(&self, path: &str) -> PathBuf {
        self.dir.path().join("home").join(path)
    }

    /// A path in the state directory.
    pub(crate) fn state(&self, path: &str) -> PathBuf {
        self.dir.path().join("state").join(path)
    }

    /// The directory of a guest.
    pub(crate) fn guest(&self, name: &str) -> PathBuf {
        self.state(&format!("fleets/home/vms/{name}"))
    }

    /// The binary with nothing of the tester's environment but the search path.
    pub(crate) fn regatta(&self, args: &[&str]) -> Command {
        self.hermetic(env!("CARGO_BIN_EXE_regatta"), args)
    }

    /// Some other program in the same surroundings.
    pub(crate) fn hermetic(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home("")).env("REGATTA_STATE_DIR", self.state(""));
        command.current_dir(self.home("")).stdin(Stdio::null());
        command
    }

    /// Runs it, given this input.
    pub(crate) fn run(&self, args: &[&str], stdin: &str) -> Done {
        let mut command = self.regatta(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that does not read its input closes it.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        done(child.wait_with_output().unwrap())
    }

    /// Ends a guest's server: the guest is stopped.
    pub(crate) fn stop(&mut self, guest: &str) {
        let index = self.houses.iter().position(|(name, _)| name == guest).unwrap();
        let (_, mut child) = self.houses.remove(index);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills the server's end of each connection to a guest, as a network that breaks would.
    pub(crate) fn cut_connections(&self, guest: &str) {
        let (_, server) = self.houses.iter().find(|(name, _)| name == guest).unwrap();
        let listener = server.id().to_string();
        for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
            let Some((pid, rest)) = stat.split_once(" (") else { continue };
            let Some((program, fields)) = rest.rsplit_once(") ") else { continue };
            if program.starts_with("sshd") && fields.split(' ').nth(1) == Some(&listener) {
                let _ = Command::new("kill").args(["-9", pid]).stderr(Stdio::null()).status();
            }
        }
    }

    fn build(&mut self, name: &str) {
        let dir = self.guest(name);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).unwrap();
        let host_key = keygen(&dir.join("host"));
        let (child, port) = (0..10).find_map(|_| self.open(&dir)).unwrap();
        let known = format!("[127.0.0.1]:{port} {host_key}\n");
        std::fs::write(dir.join("known_hosts"), known).unwrap();
        let record = json!({
            "format_version": 1,
            "fleet": "home",
            "origin": self.home("fleet.kdl").canonicalize().unwrap(),
            "name": name,
            "uuid": uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, format!("{dir:?}").as_bytes()),
            "ssh_port": port,
            "host_key": host_key,
            "applied": {"disks": null, "started": null},
            "process": {"pid": child.id(), "start_time": start_time(child.id()), "boot_id": boot_id()},
        });
        std::fs::write(dir.join("record.json"), record.to_string()).unwrap();
        self.houses.push((name.to_owned(), child));
    }

    /// Starts a server on a port that was free a moment ago; `None` when the port is taken.
    fn open(&self, dir: &Path) -> Option<(Child, u16)> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(SSHD)
            .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-o", "ListenAddress=127.0.0.1"])
            .args(["-o", "PidFile=none", "-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "MaxStartups=100"])
            .args(["-o", "Subsystem=sftp internal-sftp", "-o", "PasswordAuthentication=no"])
            // A home of its own: sessions live there.
            .arg(format!("-oSetEnv=HOME={}", dir.display()))
            .arg(format!("-oHostKey={}", dir.join("host").display()))
            .arg(format!("-oAuthorizedKeysFile={}", self.state("identity.pub").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        if log.by_ref().any(|line| line.starts_with("Server listening")) {
            // A full pipe would stop the server.
            std::thread::spawn(move || log.for_each(drop));
            return Some((child, port));
        }
        child.wait().unwrap();
        None
    }
}

impl Drop for Street {
    fn drop(&mut self) {
        for (_, child) in &mut self.houses {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a command's end.
pub(crate) fn done(output: Output) -> Done {
    let Output { status, stdout, stderr } = output;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Done { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

fn skip<T>(why: &str) -> Option<T> {
    // Past the test harness, which would swallow it.
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {}, because {why}", thread.name().unwrap_or("a test"));
    None
}

/// Makes a key pair and returns its public line.
fn keygen(path: &Path) -> String {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned()
}

/// Field 22 of `/proc/PID/stat`.
fn start_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

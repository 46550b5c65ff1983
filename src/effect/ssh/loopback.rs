//! A real OpenSSH server on the loopback interface, for tests.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use super::SshTarget;
use crate::effect::{KeyPair, testing};

const SSHD: &str = "/usr/sbin/sshd";

/// An `sshd` with a host key and an authorized key of its own, ended with the test.
pub(crate) struct Sshd {
    child: Child,
    port: u16,
    host_key: String,
    dir: tempfile::TempDir,
}

/// What a server is started with.
pub(crate) struct Setup {
    /// The public line of the host key that a client should pin.
    pub(crate) host_key: String,
    /// Further lines of its configuration, `HostKey=…` among them.
    pub(crate) options: Vec<String>,
}

impl Sshd {
    /// Starts one with a new ed25519 host key; `None`, loudly, where none is installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|dir| {
            let host = KeyPair::generate("host").unwrap();
            write_secret(&dir.join("host_key"), &host.private_pem().unwrap());
            let options = vec![format!("HostKey={dir}/host_key")];
            Setup { host_key: host.public_line().unwrap(), options }
        })
    }

    /// Starts one with what `prepare` sets up in the server's own directory.
    pub(crate) fn start_with(prepare: impl FnOnce(&Utf8Path) -> Setup) -> Option<Self> {
        if testing::lacks(SSHD) {
            return None;
        }
        if nix::unistd::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let setup = prepare(Utf8Path::from_path(dir.path()).unwrap());
        let client = KeyPair::generate("client").unwrap();
        write_secret(&file(&dir, "identity"), &client.private_pem().unwrap());
        std::fs::write(file(&dir, "authorized_keys"), client.public_line().unwrap() + "\n").unwrap();
        let (child, port) = (0..10).find_map(|_| spawn(&dir, &setup.options)).unwrap();
        Some(Self { child, port, host_key: setup.host_key, dir })
    }

    /// The right way to log in.
    pub(crate) fn target(&self) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name,
            host_key: self.host_key.clone(),
            identity: self.file("identity"),
            via: None,
        }
    }

    /// A path in the server's own directory.
    pub(crate) fn file(&self, name: &str) -> Utf8PathBuf {
        file(&self.dir, name)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn file(dir: &tempfile::TempDir, name: &str) -> Utf8PathBuf {
    Utf8PathBuf::from_path_buf(dir.path().join(name)).unwrap()
}

/// Runs `ssh-keygen`, which must succeed.
pub(crate) fn ssh_keygen(args: &[&str]) {
    let output = Command::new("ssh-keygen").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a private key as OpenSSH wants it.
pub(crate) fn write_secret(path: &Utf8Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Starts the server on a port that was free a moment ago and waits until it listens; `None` when the port is taken.
fn spawn(dir: &tempfile::TempDir, further: &[String]) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = [
        "ListenAddress=127.0.0.1".to_owned(),
        "PidFile=none".to_owned(),
        format!("AuthorizedKeysFile={}", file(dir, "authorized_keys")),
        "StrictModes=no".to_owned(),
        "UsePAM=no".to_owned(),
        "PasswordAuthentication=no".to_owned(),
        "MaxStartups=100".to_owned(),
        "Subsystem=sftp internal-sftp".to_owned(),
    ];
    let mut child = Command::new(SSHD)
        .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string()])
        .args(options.iter().chain(further).flat_map(|option| ["-o", option]))
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

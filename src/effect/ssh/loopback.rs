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

impl Sshd {
    /// Starts one with a new ed25519 host key; `None`, loudly, where none is installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(|path| {
            let host = KeyPair::generate("host").unwrap();
            write_secret(path, &host.private_pem().unwrap());
            host.public_line().unwrap()
        })
    }

    /// Starts one whose host key, and the public line of it, come from `make_host_key(path)`.
    pub(crate) fn start_with(make_host_key: impl FnOnce(&Utf8Path) -> String) -> Option<Self> {
        if testing::lacks(SSHD) {
            return None;
        }
        if nix::unistd::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let host_key = make_host_key(&file(&dir, "host_key"));
        let client = KeyPair::generate("client").unwrap();
        write_secret(&file(&dir, "identity"), &client.private_pem().unwrap());
        std::fs::write(file(&dir, "authorized_keys"), client.public_line().unwrap() + "\n").unwrap();
        let (child, port) = (0..10).find_map(|_| spawn(&dir)).unwrap();
        Some(Self { child, port, host_key, dir })
    }

    /// The right way to log in.
    pub(crate) fn target(&self) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name,
            host_key: self.host_key.clone(),
            identity: self.file("identity"),
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

/// Writes a private key as OpenSSH wants it.
pub(crate) fn write_secret(path: &Utf8Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Starts the server on a port that was free a moment ago and waits until it listens; `None` when the port is taken.
fn spawn(dir: &tempfile::TempDir) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = [
        "ListenAddress=127.0.0.1".to_owned(),
        "PidFile=none".to_owned(),
        format!("AuthorizedKeysFile={}", file(dir, "authorized_keys")),
        "StrictModes=no".to_owned(),
        "UsePAM=no".to_owned(),
        "PasswordAuthentication=no".to_owned(),
        "MaxStartups=100".to_owned(),
    ];
    let mut child = Command::new(SSHD)
        .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h", file(dir, "host_key").as_str()])
        .args(options.iter().flat_map(|option| ["-o", option]))
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

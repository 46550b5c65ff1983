//! An OpenSSH server on the loopback interface that stands for a guest of a cluster.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

const SSHD: &str = "/usr/sbin/sshd";

/// The server, with a home of its own; ended with the value.
pub(crate) struct House {
    dir: tempfile::TempDir,
    child: Child,
    pub(crate) port: u16,
}

impl House {
    /// Starts one; `None`, loudly, where it cannot.
    pub(crate) fn new() -> Option<Self> {
        Self::behind(|_| Vec::new())
    }

    /// The same, started by the program and arguments that are made for its home.
    pub(crate) fn behind(words: impl FnOnce(&Utf8Path) -> Vec<String>) -> Option<Self> {
        let is_root = fs::read_to_string("/proc/self/loginuid").is_ok() && user() == "root";
        if !Utf8Path::new(SSHD).exists() || !is_root {
            eprintln!("SKIPPED: needs `{SSHD}`, and files of guests are written as root");
            return None;
        }
        fs::create_dir_all("/run/sshd").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let at = Utf8Path::from_path(dir.path()).unwrap();
        for folder in ["guest", "home", "state"] {
            fs::create_dir(at.join(folder)).unwrap();
        }
        keygen(&at.join("host_key"));
        keygen(&at.join("state/identity"));
        fs::copy(at.join("state/identity.pub"), at.join("authorized_keys")).unwrap();
        let words = words(at);
        let (child, port) = (0..10).find_map(|_| serve(at, &words)).unwrap();
        Some(Self { child, port, dir })
    }

    pub(crate) fn path(&self, below: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(below)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A public key: type and key.
    pub(crate) fn public(&self, of: &str) -> String {
        let line = fs::read_to_string(self.path(&format!("{of}.pub"))).unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn user() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn keygen(path: &Utf8Path) {
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path.as_str()];
    assert!(Command::new("ssh-keygen").args(arguments).stdin(Stdio::null()).status().unwrap().success());
}

/// Starts the server on a port that was free a moment ago, and waits until it listens.
fn serve(at: &Utf8Path, words: &[String]) -> Option<(Child, u16)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = [
        "ListenAddress=127.0.0.1".to_owned(),
        "PidFile=none".to_owned(),
        "StrictModes=no".to_owned(),
        "UsePAM=no".to_owned(),
        format!("HostKey={at}/host_key"),
        format!("AuthorizedKeysFile={at}/authorized_keys"),
    ];
    let mut words = words.iter().map(String::as_str).chain([SSHD]);
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string()])
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

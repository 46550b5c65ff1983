//! The ways to log in.

use super::super::loopback::{Sshd, ssh_keygen, write_secret};
use super::super::*;
use super::outcome;
use crate::effect::{KeyPair, testing};

/// A running `ssh-agent`, ended with the test.
struct SshAgent {
    child: std::process::Child,
    socket: Utf8PathBuf,
}

impl SshAgent {
    fn start(server: &Sshd) -> Self {
        let socket = server.file("agent");
        let program = std::process::Command::new("ssh-agent")
            .args(["-D", "-a", socket.as_str()])
            .stdout(std::process::Stdio::null())
            .spawn();
        let agent = Self { child: program.unwrap(), socket };
        // `ssh-add -l` exits with 2 until the agent answers, and with 1 when it holds nothing.
        while agent.ssh_add(&["-l"]) == Some(2) {
            std::thread::yield_now();
        }
        agent
    }

    fn ssh_add(&self, args: &[&str]) -> Option<i32> {
        let mut program = std::process::Command::new("ssh-add");
        let output = program.args(args).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        output.status.code()
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The destination of a server, with other ways to log in.
fn with_logins(server: &Sshd, logins: impl Into<Vec<Login>>) -> Destination {
    Destination { logins: logins.into(), ..Destination::from(&server.target()) }
}

#[tokio::test]
async fn an_agent_logs_in_with_the_key_that_is_authorized() {
    if testing::lacks("ssh-agent") || testing::lacks("ssh-add") {
        return;
    }
    let Some(server) = Sshd::start() else { return };
    let agent = SshAgent::start(&server);
    let to = with_logins(&server, [Login::Agent(agent.socket.clone())]);
    let empty = ConnectError::Identity { path: agent.socket.clone(), cause: "the agent holds no keys".to_owned() };
    assert_eq!(outcome(&to).await, Err(empty.clone()));

    let other = server.file("other");
    write_secret(&other, &KeyPair::generate("other").unwrap().private_pem().unwrap());
    assert_eq!(agent.ssh_add(&["-q", other.as_str()]), Some(0));
    let user = server.target().user;
    assert_eq!(outcome(&to).await, Err(ConnectError::KeyRefused { user }));

    assert_eq!(agent.ssh_add(&["-q", server.target().identity.as_str()]), Some(0));
    assert_eq!(outcome(&to).await, Ok(()));

    // One way that cannot be used does not keep the others from it; when none can, the first says why.
    let missing = Login::Agent(server.file("no-agent"));
    let right = Login::KeyFile(server.target().identity);
    assert_eq!(outcome(&with_logins(&server, [missing.clone(), right])).await, Ok(()));
    assert!(matches!(outcome(&with_logins(&server, [missing])).await, Err(ConnectError::Identity { .. })));
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase_and_an_rsa_key_a_good_digest() {
    if testing::lacks("ssh-keygen") {
        return;
    }
    let Some(server) = Sshd::start() else { return };
    let (encrypted, rsa) = (server.file("encrypted"), server.file("rsa"));
    // Few rounds: deriving the key in an unoptimized build takes seconds with the usual number.
    ssh_keygen(&["-q", "-t", "ed25519", "-a", "1", "-N", "open sesame", "-f", encrypted.as_str()]);
    ssh_keygen(&["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", rsa.as_str()]);
    let public = |path: &Utf8PathBuf| std::fs::read_to_string(format!("{path}.pub")).unwrap();
    std::fs::write(server.file("authorized_keys"), public(&encrypted) + &public(&rsa)).unwrap();

    let with = |passphrase| Login::EncryptedKeyFile(encrypted.clone(), Passphrase::new(passphrase));
    assert_eq!(outcome(&with_logins(&server, [with("open sesame")])).await, Ok(()));
    let unusable = |cause: &str| ConnectError::Identity { path: encrypted.clone(), cause: cause.to_owned() };
    let wrong = unusable("its passphrase is another one");
    assert_eq!(outcome(&with_logins(&server, [with("wrong")])).await, Err(wrong));
    let locked = unusable("it is encrypted: load it into an SSH agent, or give its passphrase");
    assert_eq!(outcome(&with_logins(&server, [Login::KeyFile(encrypted.clone())])).await, Err(locked));
    assert_eq!(format!("{:?}", Passphrase::new("open sesame")), "Passphrase(…)");
    // OpenSSH has refused RSA with SHA-1 since 8.8.
    assert_eq!(outcome(&with_logins(&server, [Login::KeyFile(rsa)])).await, Ok(()));
}

//! The client against a real server, and against things that are none.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{Auth, PublicKeyOffer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::loopback::{Setup, Sshd, ssh_keygen, write_secret};
use super::*;
use crate::effect::keys::{self, KeyPair};
use crate::effect::testing;

const DEADLINE: Duration = Duration::from_secs(20);

async fn connect(target: &SshTarget) -> Result<Box<dyn Shell>, ConnectError> {
    SshClient::default().connect(target, DEADLINE).await
}

/// The error of an attempt that must fail.
async fn refusal(target: &SshTarget) -> ConnectError {
    connect(target).await.err().unwrap()
}

#[tokio::test]
async fn exit_code_arguments_and_both_outputs_come_through() {
    let Some(server) = Sshd::start() else { return };
    let shell = connect(&server.target()).await.unwrap();
    let argv = ["sh", "-c", r#"printf %s "$1"; cat; echo err >&2; exit 42"#, "sh", "a  b'$HOME\\\n*"];
    let output = shell.exec(&argv, b"input", DEADLINE).await.unwrap();
    let stdout = b"a  b'$HOME\\\n*input".to_vec();
    assert_eq!(output, Output { status: Status::Code(42), stdout, stderr: b"err\n".to_vec() });
    assert_eq!(shell.exec(&["true"], b"", DEADLINE).await.unwrap().status, Status::Code(0));
    assert!(matches!(shell.exec(&[], b"", DEADLINE).await, Err(ConnectError::Command(_))));
}

/// LESSON 19: how a command ended is never guessed.
#[tokio::test]
async fn a_signal_is_reported_as_one() {
    let Some(server) = Sshd::start() else { return };
    let shell = connect(&server.target()).await.unwrap();
    let ended = async |script| shell.exec(&["exec", "sh", "-c", script], b"", DEADLINE).await.map(|out| out.status);
    assert_eq!(ended("kill -KILL $$").await, Ok(Status::Signal(9)));
    assert_eq!(ended("kill -TERM $$").await, Ok(Status::Signal(15)));
    // OpenSSH has no name for this one.
    let unknown = "a signal we do not know ended the command: `SIG@openssh.com`".to_owned();
    assert_eq!(ended("kill -XCPU $$").await, Err(ConnectError::Protocol(unknown)));
}

#[tokio::test]
async fn large_input_and_output_move_at_the_same_time_and_the_capture_is_capped() {
    let Some(server) = Sshd::start() else { return };
    let shell = connect(&server.target()).await.unwrap();
    let input: Vec<u8> = (0..5_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let counted = shell.exec(&["wc", "-c"], &input, DEADLINE).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&counted.stdout).trim(), "5000000");
    // Not capped when streamed, and intact.
    let (mut stdin, mut stdout, mut stderr) = (&input[..], Vec::new(), Vec::new());
    let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
    assert_eq!(shell.stream(&["cat"], streams, DEADLINE).await, Ok(Status::Code(0)));
    assert!(stdout == input);
    // LESSON 36: capped when captured, on both streams, and read to its end.
    let both = shell.exec(&["sh", "-c", "tee /dev/stderr"], &input, DEADLINE).await.unwrap();
    assert!(both.stdout == input[..1 << 20] && both.stderr == input[..1 << 20] && both.success());
    // A command that does not read its input is no error.
    assert!(shell.exec(&["true"], &input, DEADLINE).await.unwrap().success());
}

#[tokio::test]
async fn more_commands_than_the_server_has_sessions_run_on_one_connection() {
    let Some(server) = Sshd::start() else { return };
    let shell: Arc<dyn Shell> = connect(&server.target()).await.unwrap().into();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..24 {
        let shell = shell.clone();
        running.spawn(async move { shell.exec(&["echo", &format!("{n}")], b"", DEADLINE).await.unwrap().stdout });
    }
    let mut lines = running.join_all().await;
    lines.sort_unstable();
    let mut expected: Vec<_> = (0..24).map(|n| format!("{n}\n").into_bytes()).collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

/// LESSON 17: a pinned key means that every other one is refused, whatever its type.
#[tokio::test]
async fn another_host_key_or_type_is_refused_with_both_fingerprints() {
    let Some(server) = Sshd::start() else { return };
    let right = keys::fingerprint(&server.target().host_key).unwrap();
    let other = KeyPair::generate("other").unwrap();
    let target = SshTarget { host_key: other.public_line().unwrap(), ..server.target() };
    let (found, pinned) = (format!("ssh-ed25519 {right}"), format!("ssh-ed25519 {}", other.fingerprint()));
    assert_eq!(refusal(&target).await, ConnectError::HostKey { found, pinned: pinned.clone() });

    let Some(server) = Sshd::start_with(|dir| {
        let path = dir.join("host_key");
        ssh_keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", path.as_str()]);
        let host_key = std::fs::read_to_string(format!("{path}.pub")).unwrap();
        Setup { host_key, options: vec![format!("HostKey={path}")] }
    }) else {
        return;
    };
    let right = keys::fingerprint(&server.target().host_key).unwrap();
    connect(&server.target()).await.unwrap();
    let target = SshTarget { host_key: other.public_line().unwrap(), ..server.target() };
    let found = format!("ecdsa-sha2-nistp256 {right}");
    assert_eq!(refusal(&target).await, ConnectError::HostKey { found, pinned });
    let target = SshTarget { host_key: String::new(), ..server.target() };
    assert!(matches!(refusal(&target).await, ConnectError::Protocol(_)));
}

/// LESSON 27: "key refused" is not "not up yet".
#[tokio::test]
async fn a_refused_key_and_an_unusable_one_have_their_own_causes() {
    let Some(server) = Sshd::start() else { return };
    let (other, garbage) = (server.file("other"), server.file("garbage"));
    write_secret(&other, &KeyPair::generate("other").unwrap().private_pem().unwrap());
    write_secret(&garbage, "no key");
    let target = |identity: &Utf8PathBuf| SshTarget { identity: identity.clone(), ..server.target() };
    let user = server.target().user;
    assert_eq!(refusal(&target(&other)).await, ConnectError::KeyRefused { user });
    assert!(matches!(refusal(&target(&garbage)).await, ConnectError::Identity { .. }));
    let missing = ConnectError::Identity { path: server.file("missing"), cause: "there is no such file".to_owned() };
    assert_eq!(refusal(&target(&server.file("missing"))).await, missing);
}

/// TESTBED: QEMU's user network accepts a connection before anything answers.
#[tokio::test]
async fn a_port_that_is_closed_silent_or_hangs_up_is_not_up() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Utf8PathBuf::from_path_buf(dir.path().join("identity")).unwrap();
    let key = KeyPair::generate("client").unwrap();
    write_secret(&identity, &key.private_pem().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host_key = key.public_line().unwrap();
    let target = SshTarget { host: "127.0.0.1".to_owned(), port, user: "root".to_owned(), host_key, identity };

    let quick = Duration::from_millis(200);
    let silent = SshClient::default().connect(&target, quick).await.err().unwrap();
    let words = format!("no SSH server answers: 127.0.0.1:{port} accepted the connection and said nothing within 0s");
    assert_eq!(silent.to_string(), words);

    let (refused, _) = tokio::join!(refusal(&target), async {
        // The first connection is the silent one's, closed on its side.
        for _ in 0..2 {
            drop(listener.accept().await.unwrap());
        }
    });
    let words = format!("127.0.0.1:{port} closed the connection without a greeting");
    assert_eq!(refused, ConnectError::NotUp(words));

    let (refused, ()) = tokio::join!(refusal(&target), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-half\r\n").await.unwrap();
    });
    assert!(matches!(refused, ConnectError::NotUp(_)), "{refused}");

    drop(listener);
    assert!(matches!(refusal(&target).await, ConnectError::NotUp(_)));
}

/// A server that hangs up instead of judging the key.
struct Rude;

impl russh::server::Handler for Rude {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Err(russh::Error::Disconnect)
    }
}

/// LESSON 27: a server that goes down while we log in has not refused our key.
#[tokio::test]
async fn a_server_that_hangs_up_during_login_has_not_refused_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Utf8PathBuf::from_path_buf(dir.path().join("identity")).unwrap();
    let key = KeyPair::generate("both").unwrap();
    write_secret(&identity, &key.private_pem().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host_key = key.public_line().unwrap();
    let target = SshTarget { host: "127.0.0.1".to_owned(), port, user: "root".to_owned(), host_key, identity };
    let keys = vec![PrivateKey::from_openssh(key.private_pem().unwrap()).unwrap()];
    let config = Arc::new(russh::server::Config { keys, ..Default::default() });
    let (refused, ()) = tokio::join!(refusal(&target), async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(russh::server::run_stream(config, stream, Rude).await.unwrap().await.is_err());
    });
    assert!(matches!(refused, ConnectError::NotUp(_)), "{refused}");
}

/// Runs a command that says its line and then waits, and does `then(line)` as soon as it was said.
async fn interrupted(shell: &dyn Shell, argv: &[&str], then: impl AsyncFnOnce(String)) -> Result<Status, ConnectError> {
    let (mut stdout, reading) = tokio::io::duplex(1024);
    let (mut stdin, _open) = tokio::io::duplex(1);
    let mut stderr = tokio::io::sink();
    let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
    let act = async {
        let line = BufReader::new(reading).lines().next_line().await.unwrap().unwrap();
        then(line).await;
    };
    tokio::join!(shell.stream(argv, streams, DEADLINE), act).0
}

/// LESSON 19: a missing exit status is a failure.
#[tokio::test]
async fn a_server_killed_in_the_middle_of_a_command_is_a_lost_connection() {
    let Some(server) = Sshd::start() else { return };
    let shell = connect(&server.target()).await.unwrap();
    // The parent of the command is the server's process for this connection.
    let outcome = interrupted(&*shell, &["exec", "sh", "-c", "echo $PPID; read -r line"], async |line| {
        let pid = nix::unistd::Pid::from_raw(line.parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    })
    .await;
    assert_eq!(outcome, Err(ConnectError::Lost("a command ran: it left no exit status".to_owned())));
    assert!(matches!(shell.exec(&["true"], b"", DEADLINE).await, Err(ConnectError::Lost(_))));
}

/// A link that passes everything until it is cut, and then nothing, without closing.
async fn pass_until_cut(listener: TcpListener, to: u16, cut: tokio::sync::oneshot::Receiver<()>) {
    let (mut near, _) = listener.accept().await.unwrap();
    let mut far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = cut => std::future::pending().await,
    }
}

#[tokio::test]
async fn a_link_that_dies_silently_is_noticed_by_keepalive() {
    let Some(server) = Sshd::start() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = SshTarget { port: listener.local_addr().unwrap().port(), ..server.target() };
    let (cut, when) = tokio::sync::oneshot::channel();
    let link = tokio::spawn(pass_until_cut(listener, server.target().port, when));
    let shell = SshClient::with_keepalive(Duration::from_millis(100)).connect(&target, DEADLINE).await.unwrap();
    let outcome = interrupted(&*shell, &["sh", "-c", "echo up; read -r line"], async |_| cut.send(()).unwrap()).await;
    assert_eq!(outcome, Err(ConnectError::Lost("a command ran: it left no exit status".to_owned())));
    link.abort();
}

/// More of them than the server has sessions: each gives its own back.
#[tokio::test]
async fn a_deadline_ends_the_wait_and_not_the_connection() {
    let Some(server) = Sshd::start() else { return };
    let shell = connect(&server.target()).await.unwrap();
    let after = Duration::from_millis(100);
    for _ in 0..12 {
        let (mut stdin, _open) = tokio::io::duplex(1);
        let (mut stdout, mut stderr) = (tokio::io::sink(), tokio::io::sink());
        let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
        let outcome = shell.stream(&["cat"], streams, after).await;
        assert_eq!(outcome, Err(ConnectError::Deadline { after, doing: "running `cat`".to_owned() }));
    }
    assert!(shell.exec(&["true"], b"", DEADLINE).await.unwrap().success());
}

/// The connection ends with its last user, even while the server keeps a command that was given up.
#[tokio::test]
async fn a_command_that_was_given_up_does_not_keep_the_connection() {
    let Some(server) = Sshd::start() else { return };
    let shell = connect(&server.target()).await.unwrap();
    let script = "echo $PPID; trap '' TERM; cat \"$1\"";
    let fifo = server.file("fifo");
    nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (mut stdout, reading) = tokio::io::duplex(1024);
    let (mut stdin, mut stderr) = (tokio::io::empty(), tokio::io::sink());
    let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
    let argv = ["exec", "sh", "-c", script, "sh", fifo.as_str()];
    let mut lines = BufReader::new(reading).lines();
    let line = tokio::select! {
        line = lines.next_line() => line.unwrap().unwrap(),
        ended = shell.stream(&argv, streams, DEADLINE) => panic!("{ended:?}"),
    };
    drop(shell);
    let table = crate::effect::ProcFs::default();
    let connection = table.identify(line.parse().unwrap()).unwrap();
    if let Some(connection) = connection {
        let seen = crate::effect::wait_for_exit(&table, &connection, DEADLINE).await;
        assert_eq!(seen, crate::effect::Liveness::Dead);
    }
    // Ends the command: it waits for somebody who writes.
    std::fs::write(&fifo, "").unwrap();
}

/// An input that breaks off must not look like its end to the command.
#[tokio::test]
async fn an_input_that_cannot_be_read_is_an_error() {
    let Some(server) = Sshd::start() else { return };
    let shell = connect(&server.target()).await.unwrap();
    let (kept, dir) = (server.file("kept"), tempfile::tempdir().unwrap());
    // Reading a directory fails.
    let mut stdin = tokio::fs::File::open(dir.path()).await.unwrap();
    let (mut stdout, mut stderr) = (tokio::io::sink(), tokio::io::sink());
    let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
    let argv = ["sh", "-c", "read -r line; touch \"$1\"", "sh", kept.as_str()];
    assert!(matches!(shell.stream(&argv, streams, DEADLINE).await, Err(ConnectError::Command(_))));
}

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

async fn outcome(to: &Destination) -> Result<(), ConnectError> {
    SshClient::default().connect_to(to, DEADLINE).await.map(drop)
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

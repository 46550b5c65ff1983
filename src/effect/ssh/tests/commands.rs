//! Commands on a connection: what comes through, and what is left when something ends early.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::super::loopback::Sshd;
use super::super::*;
use super::{DEADLINE, connect};

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
        assert_eq!(outcome, Err(ConnectError::Overdue { after, command: "cat".to_owned() }));
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

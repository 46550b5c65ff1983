//! Programs whose input and output are passed on while they run.

use std::process::Stdio;

use async_trait::async_trait;
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{Command, CommandError, CommandRunner, Group, Run, Status, prepare, status_of};
use crate::effect::Streams;

/// Bytes of input that are passed on at a time: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// Runs programs whose input and output need not fit into memory.
#[async_trait]
pub trait Pipe: Run {
    /// Runs a command to its end between these streams, with input, output and the wait for its end at the same time. Its own
    /// standard input plays no part. After an error, or when the future is dropped, it may still be running: on another machine,
    /// and here when it is sudo that runs it as root, which we may not end.
    ///
    /// # Errors
    /// As [`Run::run`]; a stream that cannot be read or written.
    async fn pipe(&self, command: &Command, streams: Streams<'_>) -> Result<Status, CommandError>;
}

#[async_trait]
impl Pipe for CommandRunner {
    async fn pipe(&self, command: &Command, streams: Streams<'_>) -> Result<Status, CommandError> {
        let io_error = |cause| CommandError::Io { command: command.to_string(), cause };
        let mut prepared = prepare(command).map_err(io_error)?;
        let mut child = prepared.stdin(Stdio::piped()).spawn().map_err(|cause| match cause.kind() {
            std::io::ErrorKind::NotFound => CommandError::Missing { program: command.program.clone() },
            _ => io_error(cause),
        })?;
        // Whoever drops this future ends the command and what it started.
        let mut group = Group(child.id().and_then(|pid| pid.try_into().ok()).map(Pid::from_raw));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = async {
            let out = async { pass_on(stdout, streams.stdout).await };
            let err = async { pass_on(stderr, streams.stderr).await };
            let ((), (), status) = tokio::try_join!(out, err, child.wait())?;
            Ok(status)
        };
        let feed = async {
            feed(stdin, streams.stdin).await?;
            // How it ends, its output tells: it need not read its input.
            std::future::pending::<std::io::Result<std::process::ExitStatus>>().await
        };
        let all = async {
            tokio::select! {
                status = ended => status,
                failure = feed => failure,
            }
        };
        let Ok(ended) = tokio::time::timeout(command.deadline, all).await else {
            return Err(CommandError::Deadline { command: command.to_string(), deadline: command.deadline });
        };
        let status = ended.map_err(io_error)?;
        group.0 = None;
        Ok(status_of(status))
    }
}

/// Gives a program its input, and its end. A program that reads no more is no error; an input that cannot be read is one.
async fn feed(
    pipe: Option<impl AsyncWrite + Unpin>,
    stdin: &mut (dyn AsyncRead + Send + Unpin),
) -> std::io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = stdin.read(&mut buffer).await?;
        if read == 0 || pipe.write_all(&buffer[..read]).await.is_err() {
            return Ok(());
        }
    }
}

async fn pass_on(
    pipe: Option<impl AsyncRead + Unpin>,
    to: &mut (dyn AsyncWrite + Send + Unpin),
) -> std::io::Result<()> {
    if let Some(mut pipe) = pipe {
        tokio::io::copy(&mut pipe, to).await?;
    }
    to.flush().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn piped(command: Command, mut stdin: &[u8]) -> (Result<Status, CommandError>, Vec<u8>, Vec<u8>) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
        let ended = CommandRunner.pipe(&command, streams).await;
        (ended, stdout, stderr)
    }

    #[tokio::test]
    async fn streams_of_any_length_go_through_both_ways() {
        let script = Command::new("sh").args(["-c", "cat; echo err >&2; exit 42"]);
        let input: Vec<u8> = (0..3_000_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let (ended, stdout, stderr) = piped(script, &input).await;
        assert_eq!((ended.unwrap(), stdout == input, stderr), (Status::Code(42), true, b"err\n".to_vec()));
    }

    #[tokio::test]
    async fn a_program_need_not_read_its_input_and_must_end_in_time() {
        let (ended, stdout, _) = piped(Command::new("echo").arg("x"), &[0; 300_000]).await;
        assert_eq!((ended.unwrap(), stdout), (Status::Code(0), b"x\n".to_vec()));
        let (ended, ..) = piped(Command::new("regatta-no-such-program"), b"").await;
        assert!(matches!(ended, Err(CommandError::Missing { .. })));
        let (ended, ..) = piped(Command::new("sleep").arg("60").deadline(Duration::from_millis(50)), b"").await;
        assert!(matches!(ended, Err(CommandError::Deadline { .. })));
    }
}

//! Running commands on a connection: input and output move at the same time, and only an exit status is an end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use russh::client::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelStream, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::quote::remote_command;
use super::trust::HostKeyChecker;
use super::{ConnectError, Shell, Streams, plain};
use crate::effect::Status;

/// Commands at the same time on one connection: OpenSSH allows ten sessions (`MaxSessions`).
const PARALLEL: usize = 8;

/// A command that was given up has this long to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes of input passed on at a time: the packet size that servers take.
const CHUNK: usize = 32 << 10;

/// A logged-in connection. Dropping it closes the connection, and then the one through which it goes.
pub(super) struct Session {
    handle: Arc<Handle<HostKeyChecker>>,
    slots: Arc<Semaphore>,
    _via: Option<Box<Session>>,
}

impl Session {
    pub(super) fn new(handle: Handle<HostKeyChecker>, via: Option<Session>) -> Self {
        Self { handle: Arc::new(handle), slots: Arc::new(Semaphore::new(PARALLEL)), _via: via.map(Box::new) }
    }

    /// A connection from this server to another.
    ///
    /// # Errors
    /// [`ConnectError::NotUp`] when the server cannot connect there, as when we cannot.
    pub(super) async fn reach(&self, host: &str, port: u16) -> Result<ChannelStream<Msg>, ConnectError> {
        // Where it comes from: servers write it into their logs.
        let opened = self.handle.channel_open_direct_tcpip(host, port.into(), "127.0.0.1", 0).await;
        opened.map(Channel::into_stream).map_err(|cause| match cause {
            russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
                ConnectError::Protocol(format!("the jump host does not forward connections to {host}:{port}"))
            }
            cause => ConnectError::NotUp(format!("the jump host cannot connect to {host}:{port}: {cause}")),
        })
    }

    async fn open(&self) -> Result<Running, ConnectError> {
        let lost = |cause: &dyn std::fmt::Display| ConnectError::Lost(format!("starting a session: {cause}"));
        let slot = self.slots.clone().acquire_owned().await.map_err(|cause| lost(&cause))?;
        let handle = self.handle.clone();
        // A task of its own: whoever gives up in the middle of this would leave a session that nobody closes.
        let opening = tokio::spawn(async move {
            let (output, input) = handle.channel_open_session().await?.split();
            Ok(Running { input: Arc::new(input), output: Some(output), slot: Some(slot) })
        });
        match opening.await.map_err(|cause| lost(&cause))? {
            Ok(running) => Ok(running),
            Err(cause @ russh::Error::ChannelOpenFailure(_)) => {
                Err(ConnectError::Protocol(format!("the server refused to start a session: {cause}")))
            }
            Err(cause) => Err(lost(&cause)),
        }
    }
}

#[async_trait]
impl Shell for Session {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        let command = remote_command(argv)?;
        let run = async { self.open().await?.run(command, streams).await };
        let program = argv.first().copied().unwrap_or_default();
        match tokio::time::timeout(deadline, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectError::Overdue { after: deadline, command: plain(program) }),
        }
    }
}

/// An open session and the command in it. One that is dropped before its command has ended asks the server to end it, and
/// keeps its slot for a while: the sessions of commands that linger count there as well.
struct Running {
    input: Arc<ChannelWriteHalf<Msg>>,
    output: Option<ChannelReadHalf>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Running {
    async fn run(mut self, command: String, streams: Streams<'_>) -> Result<Status, ConnectError> {
        let lost = |cause: &dyn std::fmt::Display| ConnectError::Lost(format!("starting a command: {cause}"));
        self.input.exec(true, command).await.map_err(|cause| lost(&cause))?;
        let input = self.input.clone();
        let output = self.output.as_mut().ok_or_else(|| lost(&"it has ended"))?;
        let feed = async {
            feed(&input, streams.stdin).await?;
            // The output says how the command ends.
            std::future::pending::<Result<Status, ConnectError>>().await
        };
        let outcome = tokio::select! {
            status = drain(output, streams.stdout, streams.stderr) => status,
            failure = feed => failure,
        };
        if outcome.is_ok() {
            self.slot = None;
        }
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let input = self.input.clone();
        let (Some(mut output), Some(slot)) = (self.output.take(), self.slot.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // Best effort: a server that is gone has ended it already, and OpenSSH passes no signals on to root's.
            let _ = input.signal(Sig::TERM).await;
            let _ = input.eof().await;
            let ended = async { while !matches!(output.wait().await, None | Some(ChannelMsg::Close)) {} };
            if tokio::time::timeout(GRACE, ended).await.is_err() {
                // Takes its output away, too. Whether it ends of that is not told any more.
                let _ = input.close().await;
            }
            drop(slot);
        });
    }
}

/// Passes the input on. A command that ends without reading it is no error; an input that cannot be read is one, and the
/// command must not take what it got for the whole.
async fn feed(channel: &ChannelWriteHalf<Msg>, stdin: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), ConnectError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let unreadable = |cause| ConnectError::Command(format!("its input cannot be read: {cause}"));
        let read = stdin.read(&mut buffer).await.map_err(unreadable)?;
        // A failure to send means that nobody reads any more: the output tells why.
        let sent = match read {
            0 => channel.eof().await,
            _ => channel.data_bytes(buffer[..read].to_vec()).await,
        };
        if read == 0 || sent.is_err() {
            return Ok(());
        }
    }
}

/// Passes the output on until the channel is closed. LESSON 19: without an exit status, nothing is known.
async fn drain(
    channel: &mut ChannelReadHalf,
    stdout: &mut (dyn AsyncWrite + Send + Unpin),
    stderr: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<Status, ConnectError> {
    /// Extended data of this type is error output (RFC 4254, 5.2).
    const STDERR: u32 = 1;
    let mut status = None;
    while let Some(message) = channel.wait().await {
        let written = match message {
            ChannelMsg::Data { data } => stdout.write_all(&data).await,
            ChannelMsg::ExtendedData { data, ext: STDERR } => stderr.write_all(&data).await,
            ChannelMsg::ExitStatus { exit_status } => {
                status = Some(Status::Code(i32::try_from(exit_status).unwrap_or(i32::MAX)));
                Ok(())
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                status = Some(Status::Signal(signal_number(&signal_name)?));
                Ok(())
            }
            ChannelMsg::Failure => {
                return Err(ConnectError::Protocol("the server refused to run a command".to_owned()));
            }
            ChannelMsg::Close => break,
            _ => Ok(()),
        };
        written.map_err(|cause| ConnectError::Command(format!("its output cannot be passed on: {cause}")))?;
    }
    let flushed = tokio::try_join!(stdout.flush(), stderr.flush());
    flushed.map_err(|cause| ConnectError::Command(format!("its output cannot be passed on: {cause}")))?;
    status.ok_or_else(|| ConnectError::Lost("a command ran: it left no exit status".to_owned()))
}

/// Signals travel by name without `SIG` (RFC 4254, 6.10).
fn signal_number(signal: &Sig) -> Result<i32, ConnectError> {
    let name = match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    };
    let number = format!("SIG{name}").parse::<Signal>();
    number
        .map(|signal| signal as i32)
        .map_err(|_| ConnectError::Protocol(format!("a signal we do not know ended the command: `{}`", plain(&name))))
}

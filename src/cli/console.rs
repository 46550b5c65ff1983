//! `regatta console NAME`: the terminal becomes a guest's serial console.

use std::io::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{ConsoleArgs, Global, KeepConsoleArgs};
use super::error::{CliError, Exit};
use super::{on_cluster, output, session};
use crate::driver::microvm::console::{self, Keeping, Line, Paths};
use crate::effect::{Environment, Keys, RawTerminal, leave_session};

/// Ctrl-], as in telnet.
const DETACH: u8 = 0x1d;

/// Joins the console until Ctrl-], the end of standard input, or the end of the guest. What the guest says goes to the
/// terminal as it is: that is what a console is for.
pub(super) async fn run(global: &Global, args: &ConsoleArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    on_cluster::refuse_console(&loaded.fleet, &args.guest)?;
    let guests = session::guests(&loaded, session::state_dir(global, &environment)?);
    let stream = guests.console(&args.guest).await?;
    output::talk(&format!("this is the console of `{}`; Ctrl-] leaves it\n", args.guest));
    let terminal = RawTerminal::enter().map_err(|cause| CliError::failure("cannot use the terminal").cause(cause))?;
    let ended = exchange(stream).await;
    drop(terminal);
    match ended? {
        Ended::Left => output::talk("\nleft the console; the guest runs on\n"),
        Ended::Guest => output::talk("\nthe guest has ended\n"),
    }
    Ok(Exit::Success)
}

/// Why an exchange ended.
enum Ended {
    /// The person left.
    Left,
    /// There is nobody on the other side any more.
    Guest,
}

async fn exchange(stream: UnixStream) -> Result<Ended, CliError> {
    let fail = |cause| CliError::failure("cannot listen for signals").cause(cause);
    let mut hung_up = signal(SignalKind::hangup()).map_err(fail)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(fail)?;
    let (mut heard, mut line) = stream.into_split();
    let mut keys = Keys::read();
    let mut piece = vec![0; 4096];
    loop {
        tokio::select! {
            read = heard.read(&mut piece) => match read {
                Ok(0) | Err(_) => return Ok(Ended::Guest),
                Ok(length) => show(&piece[..length])?,
            },
            typed = keys.next() => {
                let Some(typed) = typed else { return Ok(Ended::Left) };
                let until = typed.iter().position(|byte| *byte == DETACH);
                let meant = &typed[..until.unwrap_or(typed.len())];
                if line.write_all(meant).await.is_err() {
                    return Ok(Ended::Guest);
                }
                if until.is_some() {
                    return Ok(Ended::Left);
                }
            },
            _ = hung_up.recv() => return Ok(Ended::Left),
            _ = terminated.recv() => return Ok(Ended::Left),
            _ = interrupted.recv() => return Ok(Ended::Left),
        }
    }
}

fn show(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|cause| CliError::failure("cannot write to standard output").cause(cause))
}

/// `regatta keep-console`: the process beside each virtual machine.
pub(super) async fn keep(args: &KeepConsoleArgs) -> Result<Exit, CliError> {
    // Whoever started us may be gone already, and nobody reads what we would say.
    let _ = leave_session();
    let line = match args.line.as_slice() {
        [output, input] => Line::Pipes { output: output.clone(), input: input.clone() },
        [socket, ..] => Line::Socket(socket.clone()),
        [] => return Err(CliError::failure("found no line to keep")),
    };
    let log = Paths { current: args.log.clone(), previous: args.previous.clone() };
    let keeping = Keeping { line, log, listen: args.listen.clone() };
    console::keep(keeping).await.map_err(|cause| CliError::failure("cannot keep the console").cause(cause))?;
    Ok(Exit::Success)
}

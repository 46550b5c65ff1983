//! A guest's serial console from the outside: starting its keeper, joining in, reading what was said.

use std::time::Duration;

use tokio::net::UnixStream;

use super::console::{Follow, Keeping, Line, Paths};
use super::guests::Guests;
use crate::effect::{Detached, await_unix, connect_unix};
use crate::exec::Failure;

/// The command of this program that keeps a console; its arguments are those of `arguments` below.
pub const KEEP_CONSOLE: &str = "keep-console";

/// A keeper listens milliseconds after it was started; a busy host may take its time.
const KEEPER_DEADLINE: Duration = Duration::from_secs(10);

/// How long the keeper of a guest that ended may take to write down its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Guests {
    /// Joins the console of a running guest. When its keeper died, another one is started.
    ///
    /// # Errors
    /// When the guest is not there, does not run, or its console cannot be reached.
    pub async fn console(&self, guest: &str) -> Result<UnixStream, Failure> {
        let record = self.running(guest)?;
        let socket = self.dir(guest).console_socket().map_err(Failure::permanent)?;
        match connect_unix(&socket, KEEPER_DEADLINE).await {
            Ok(stream) => Ok(stream),
            Err(_) => {
                let line = self.vmm(&record).line(&self.dir(guest)).map_err(Failure::permanent)?;
                self.keep_console(guest, line).await
            }
        }
    }

    /// What a guest said and says, from the beginning of what is kept.
    ///
    /// # Errors
    /// When there is no such guest.
    pub fn console_log(&self, guest: &str) -> Result<Follow, Failure> {
        self.record(guest)?;
        Ok(Follow::new(self.console_paths(guest)))
    }

    pub(super) fn console_paths(&self, guest: &str) -> Paths {
        let dir = self.dir(guest);
        Paths { current: dir.console(), previous: dir.previous_console() }
    }

    /// Starts the keeper of a guest's console, and joins it: from then on nothing is lost.
    pub(super) async fn keep_console(&self, guest: &str, line: Line) -> Result<UnixStream, Failure> {
        let dir = self.dir(guest);
        let listen = dir.console_socket().map_err(Failure::permanent)?;
        let keeping = Keeping { line, log: self.console_paths(guest), listen: listen.clone() };
        let keeper = Detached { arguments: arguments(&keeping), ..Detached::default() };
        let fail = |cause: std::io::Error| {
            Failure::permanent(cause.to_string()).context(format!("cannot keep the console of guest `{guest}`"))
        };
        self.detach.detach(keeper).map_err(fail)?;
        await_unix(&listen, KEEPER_DEADLINE).await.map_err(fail)
    }

    /// Waits until the keeper of a guest that ended has written everything down.
    pub(super) async fn console_is_written(&self, guest: &str) {
        let Ok(socket) = self.dir(guest).console_socket() else { return };
        let end = tokio::time::Instant::now() + LAST_WORDS;
        while connect_unix(&socket, LAST_WORDS).await.is_ok() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What a keeper is started with: `keep-console LISTEN LOG PREVIOUS LINE…`, the line being one socket or two pipes.
fn arguments(keeping: &Keeping) -> Vec<String> {
    let Keeping { line, log, listen } = keeping;
    let line = match line {
        Line::Socket(socket) => vec![socket],
        Line::Pipes { output, input } => vec![output, input],
    };
    let paths = [listen, &log.current, &log.previous].into_iter().chain(line);
    std::iter::once(KEEP_CONSOLE.to_owned()).chain(paths.map(ToString::to_string)).collect()
}

//! The terminal as a line to a guest: every key goes through, and whatever happens the terminal is as before afterwards.

use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

/// The terminal on standard input, raw until this is dropped.
#[derive(Debug)]
pub struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Makes it raw; `None` when standard input is no terminal.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSANOW, &raw)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // There is nobody left to tell when it cannot be put back.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// What is typed, as it is typed; ends with standard input.
#[derive(Debug)]
pub struct Keys {
    typed: mpsc::Receiver<Vec<u8>>,
    over: Arc<AtomicBool>,
}

/// How soon the reader notices that nobody wants keys any more, in milliseconds.
const LOOK_MS: u16 = 100;

impl Keys {
    /// Begins to read standard input, on a thread that ends soon after this is dropped: a read that waits for a key would
    /// keep the process from ending.
    pub fn read() -> Self {
        let (sender, typed) = mpsc::channel(16);
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        std::thread::spawn(move || while !told.load(Ordering::Relaxed) && pass_on(&sender) {});
        Self { typed, over }
    }

    /// The next bytes; `None` at the end of standard input.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.typed.recv().await
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Passes on what is there, if anything comes soon; `false` when there will be no more.
fn pass_on(sender: &mpsc::Sender<Vec<u8>>) -> bool {
    let stdin = io::stdin();
    let mut waits = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut waits, PollTimeout::from(LOOK_MS)) {
        Ok(0) | Err(nix::errno::Errno::EINTR) => return true,
        Ok(_) => {}
        Err(_) => return false,
    }
    let mut bytes = vec![0; 4096];
    // Unbuffered: what would stay in a buffer, `poll` knows nothing of.
    match (&std::fs::File::from(match stdin.as_fd().try_clone_to_owned() {
        Ok(owned) => owned,
        Err(_) => return false,
    }))
        .read(&mut bytes)
    {
        Ok(0) | Err(_) => false,
        Ok(length) => {
            bytes.truncate(length);
            sender.blocking_send(bytes).is_ok()
        }
    }
}

//! Named pipes: how a program without sockets is connected to one that may come and go.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tokio::net::unix::pipe::{OpenOptions as PipeOptions, Receiver, Sender};

/// Makes named pipes, of mode 0600, unless they are there.
///
/// # Errors
/// When the system refuses.
pub fn make_pipes(paths: [&Utf8Path; 2]) -> io::Result<()> {
    for path in paths {
        match nix::unistd::mkfifo(path.as_std_path(), Mode::S_IRUSR | Mode::S_IWUSR) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(())
}

/// Our end of a line made of two pipes: reads from `output`, writes to `input`. Waits for nobody.
///
/// # Errors
/// When one of them is no pipe, or cannot be opened.
pub fn open_line(output: &Utf8Path, input: &Utf8Path) -> io::Result<(Receiver, Sender)> {
    // Open for both directions, so that opening succeeds whether or not the other side is there already.
    let sender = PipeOptions::new().read_write(true).open_sender(input)?;
    let receiver = PipeOptions::new().open_receiver(output)?;
    Ok((receiver, sender))
}

/// The other end, for the program on it: what it reads (`input`) and what it writes to (`output`). Writing never waits: what
/// nobody takes is lost, and a program that writes is not held up.
///
/// # Errors
/// When nobody reads `output` ([`io::ErrorKind::NotConnected`] or the like), or one of them is no pipe.
pub fn open_far_end(output: &Utf8Path, input: &Utf8Path) -> io::Result<(File, File)> {
    let input = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(input)?;
    let output = OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(output)?;
    Ok((input, output))
}

//! Holding a process while it is looked at and signalled: a pid may be another's a moment later, a file descriptor of a
//! process never is (pidfd_open(2), Linux 5.3).

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// A process, or that there is none.
pub(super) enum Held {
    /// This one, even after it has ended.
    Process(OwnedFd),
    /// No process has this pid.
    Gone,
    /// The kernel does not hand out such descriptors, or the number is no pid.
    Unheld,
}

/// Takes hold of the process that has a pid now.
pub(super) fn hold(pid: i32) -> Held {
    let Some(pid) = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else { return Held::Unheld };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Held::Process(process),
        Err(rustix::io::Errno::SRCH) => Held::Gone,
        Err(_) => Held::Unheld,
    }
}

/// Signals a process that is held; says whether it still ran.
///
/// # Errors
/// When the system refuses.
pub(super) fn signal(process: &OwnedFd, signal: Signal) -> io::Result<bool> {
    let number = rustix::process::Signal::from_named_raw(signal as i32).ok_or(io::ErrorKind::InvalidInput)?;
    match pidfd_send_signal(process, number) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(cause) => Err(cause.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// LESSON 21: what is held stays what it was, also when its pid is free for others.
    #[test]
    fn a_process_that_ended_is_not_signalled_through_its_descriptor() {
        let mut child = Command::new("sh").args(["-c", "read -r line"]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let Held::Process(held) = hold(pid) else { panic!("expected a descriptor of a process that runs") };
        assert!(signal(&held, Signal::SIGTERM).unwrap());
        child.wait().unwrap();
        assert!(!signal(&held, Signal::SIGTERM).unwrap());
        assert!(matches!(hold(pid), Held::Gone));
        assert!(matches!(hold(0), Held::Unheld) && matches!(hold(-pid), Held::Unheld));
    }
}

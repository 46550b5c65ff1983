//! Waiting until a guest can be used: an SSH login works. A failure says why, as far as anything is known.
//!
//! ```text
//!            not up, hung up, no answer in time
//!              ┌──────────────┐
//!              ▼              │  logged in
//!           waiting ──────── try ───────────▶ ready
//!              │              │
//!  VMM gone ───┼──────────────┤ key refused, another host key, our key unusable
//!              ▼              ▼
//!          deadline        given up at once
//! ```

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::console::last_lines;
use crate::effect::{Connect, ConnectError, Liveness, Shell, SshTarget};
use crate::exec::{Failure, FailureKind};

/// Console lines shown with a failure.
const CONSOLE_LINES: usize = 8;

/// What is known of a starting guest besides its SSH server.
pub trait Guest: Send + Sync {
    /// Whether its VMM runs.
    fn vmm(&self) -> Liveness;

    /// The end of what its console printed, as printed; empty when it cannot be read.
    fn console(&self) -> Vec<u8>;
}

/// How often is tried and looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From the start of one try to the next. Below a second, an emulated guest's `sshd` gets no time to start.
    pub between: Duration,
    /// One try has this long: a handshake with an emulated guest takes seconds.
    pub per_try: Duration,
    /// From one look at the VMM to the next.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            between: Duration::from_millis(1500),
            per_try: Duration::from_secs(10),
            look: Duration::from_millis(250),
        }
    }
}

/// Why a guest is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// What ended the wait.
    pub cause: Cause,
    /// The last lines of its console, fit for a terminal.
    pub console: Vec<String>,
}

/// What ended the wait for a guest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Its VMM is not running any more.
    #[error("its virtual machine has stopped")]
    Stopped,
    /// Trying again would give the same answer.
    #[error("logging in cannot work: {0}")]
    Refused(ConnectError),
    /// The time is over. The guest may still come up.
    #[error("it was not ready within {}s: {last}", after.as_secs())]
    Deadline {
        /// The deadline.
        after: Duration,
        /// How the last try ended.
        last: ConnectError,
    },
}

impl From<NotReady> for Failure {
    fn from(not_ready: NotReady) -> Self {
        let kind = match not_ready.cause {
            Cause::Stopped | Cause::Refused(_) => FailureKind::Permanent,
            Cause::Deadline { .. } => FailureKind::Unknown,
        };
        let hint = match &not_ready.cause {
            Cause::Refused(ConnectError::HostKey { .. }) => {
                Some("another machine may answer on this port; `regatta repin` trusts another key")
            }
            Cause::Refused(ConnectError::KeyRefused { .. }) => {
                Some("the guest's authorized keys lack regatta's own key")
            }
            _ => None,
        };
        let mut causes = vec![not_ready.cause.to_string()];
        if !not_ready.console.is_empty() {
            causes.push(format!("its console ends with:\n{}", not_ready.console.join("\n")));
        }
        Self { kind, causes, hint: hint.map(str::to_owned) }
    }
}

/// Tries to log in until it works, and returns the connection.
///
/// # Errors
/// [`NotReady`], at once when waiting longer would not help, else when the deadline has passed.
pub async fn wait_until_ready(
    connect: &dyn Connect,
    target: &SshTarget,
    guest: &dyn Guest,
    deadline: Duration,
    pace: Pace,
) -> Result<Box<dyn Shell>, NotReady> {
    let outcome = tokio::select! {
        outcome = log_in(connect, target, deadline, pace) => outcome,
        () = stopped(guest, pace.look) => Err(Cause::Stopped),
    };
    outcome.map_err(|cause| {
        // A VMM that ended a moment ago is the cause of what its port says.
        let cause = if guest.vmm() == Liveness::Dead { Cause::Stopped } else { cause };
        NotReady { cause, console: last_lines(&guest.console(), CONSOLE_LINES) }
    })
}

async fn log_in(
    connect: &dyn Connect,
    target: &SshTarget,
    deadline: Duration,
    pace: Pace,
) -> Result<Box<dyn Shell>, Cause> {
    let end = Instant::now() + deadline;
    loop {
        let start = Instant::now();
        let time = pace.per_try.min(end.saturating_duration_since(start));
        // The connection keeps its deadline itself and knows what it was doing; this is only the last resort.
        let tried = timeout_at(start + time + pace.between, connect.connect(target, time)).await;
        let doing = || "connecting".to_owned();
        let failure = match tried.unwrap_or_else(|_| Err(ConnectError::Deadline { after: time, doing: doing() })) {
            Ok(shell) => return Ok(shell),
            Err(failure) if is_final(&failure) => return Err(Cause::Refused(failure)),
            Err(failure) => failure,
        };
        if start + pace.between >= end {
            return Err(Cause::Deadline { after: deadline, last: failure });
        }
        sleep_until(start + pace.between).await;
    }
}

/// Whether trying again gives the same answer. LESSON 27: "key refused" is not "not up yet".
fn is_final(failure: &ConnectError) -> bool {
    match failure {
        ConnectError::HostKey { .. }
        | ConnectError::HostUnknown { .. }
        | ConnectError::HostRevoked { .. }
        | ConnectError::KeyRefused { .. }
        | ConnectError::Identity { .. }
        | ConnectError::Node(_)
        | ConnectError::Command(_) => true,
        ConnectError::Jump { cause, .. } => is_final(cause),
        ConnectError::NotUp(_)
        | ConnectError::Deadline { .. }
        | ConnectError::Overdue { .. }
        | ConnectError::Lost(_)
        | ConnectError::Protocol(_) => false,
    }
}

/// Returns when the VMM is certainly gone. LESSON 21: unknown is not gone.
async fn stopped(guest: &dyn Guest, look: Duration) {
    while guest.vmm() != Liveness::Dead {
        sleep(look).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::effect::{Status, Streams};

    const PACE: Pace =
        Pace { between: Duration::from_millis(2), per_try: Duration::from_millis(20), look: Duration::from_millis(1) };
    const LONG: Duration = Duration::from_secs(60);

    struct Idle;

    #[async_trait]
    impl Shell for Idle {
        async fn stream(&self, _: &[&str], _: Streams<'_>, _: Duration) -> Result<Status, ConnectError> {
            Ok(Status::Code(0))
        }
    }

    /// Answers each try with the next of its errors, and then lets in.
    struct Server(Mutex<Vec<ConnectError>>);

    impl Server {
        fn new(answers: impl IntoIterator<Item = ConnectError>) -> Self {
            let mut answers: Vec<_> = answers.into_iter().collect();
            answers.reverse();
            Self(Mutex::new(answers))
        }
    }

    #[async_trait]
    impl Connect for Server {
        async fn connect(&self, _: &SshTarget, _: Duration) -> Result<Box<dyn Shell>, ConnectError> {
            self.0.lock().unwrap().pop().map_or_else(|| Ok(Box::new(Idle) as Box<dyn Shell>), Err)
        }
    }

    /// Never answers, not even in its deadline.
    struct Silent;

    #[async_trait]
    impl Connect for Silent {
        async fn connect(&self, _: &SshTarget, _: Duration) -> Result<Box<dyn Shell>, ConnectError> {
            std::future::pending().await
        }
    }

    /// Runs for so many looks.
    struct Machine {
        looks: AtomicUsize,
        then: Liveness,
    }

    impl Machine {
        fn new(looks: usize, then: Liveness) -> Self {
            Self { looks: AtomicUsize::new(looks), then }
        }
    }

    impl Guest for Machine {
        fn vmm(&self) -> Liveness {
            let left = self.looks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |looks| looks.checked_sub(1));
            left.map_or_else(|_| self.then.clone(), |_| Liveness::Alive)
        }

        fn console(&self) -> Vec<u8> {
            b"booting\n\x1b[31mKernel panic\x1b[0m\n".to_vec()
        }
    }

    fn target() -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port: 2201,
            user: "root".to_owned(),
            host_key: String::new(),
            identity: "/state/identity".into(),
            via: None,
        }
    }

    fn not_up() -> ConnectError {
        ConnectError::NotUp("127.0.0.1:2201 closed the connection without a greeting".to_owned())
    }

    async fn failure(server: &dyn Connect, machine: &Machine, deadline: Duration) -> Failure {
        wait_until_ready(server, &target(), machine, deadline, PACE).await.err().unwrap().into()
    }

    fn failed(kind: FailureKind, cause: &str, hint: Option<&str>) -> Failure {
        let console = "its console ends with:\nbooting\nKernel panic".to_owned();
        Failure { kind, causes: vec![cause.to_owned(), console], hint: hint.map(str::to_owned) }
    }

    #[tokio::test]
    async fn a_guest_that_comes_up_is_ready() {
        let deadline = ConnectError::Deadline { after: LONG, doing: "logging in".to_owned() };
        let server = Server::new([not_up(), deadline, ConnectError::Protocol("odd".to_owned())]);
        let machine = Machine::new(usize::MAX, Liveness::Alive);
        assert!(wait_until_ready(&server, &target(), &machine, LONG, PACE).await.is_ok());
    }

    /// LESSON 27: a refusal is not waited out, and it says what was refused.
    #[tokio::test]
    async fn a_refused_key_and_another_host_key_end_the_wait_at_once() {
        let machine = Machine::new(usize::MAX, Liveness::Alive);
        let refused = Server::new([not_up(), ConnectError::KeyRefused { user: "root".to_owned() }]);
        let expected = failed(
            FailureKind::Permanent,
            "logging in cannot work: our key was refused for user `root`",
            Some("the guest's authorized keys lack regatta's own key"),
        );
        assert_eq!(failure(&refused, &machine, LONG).await, expected);
        let other =
            ConnectError::HostKey { found: "ssh-ed25519 SHA256:a".into(), pinned: "ssh-ed25519 SHA256:b".into() };
        let expected = failed(
            FailureKind::Permanent,
            "logging in cannot work: the host key is ssh-ed25519 SHA256:a, pinned is ssh-ed25519 SHA256:b",
            Some("another machine may answer on this port; `regatta repin` trusts another key"),
        );
        assert_eq!(failure(&Server::new([other]), &machine, LONG).await, expected);
    }

    /// Also in the middle of a try that hears nothing.
    #[tokio::test]
    async fn a_vmm_that_ends_ends_the_wait_at_once() {
        let expected = failed(FailureKind::Permanent, "its virtual machine has stopped", None);
        assert_eq!(failure(&Silent, &Machine::new(3, Liveness::Dead), LONG).await, expected);
    }

    /// LESSONS 21 and 39: not knowing is neither death nor failure.
    #[tokio::test]
    async fn the_deadline_leaves_the_outcome_unknown_and_shows_the_last_try() {
        let server = Server::new(std::iter::repeat_n(not_up(), 10_000));
        let machine = Machine::new(3, Liveness::Unknown("no table".to_owned()));
        let cause = "it was not ready within 0s: no SSH server answers: 127.0.0.1:2201 closed the connection without a \
                     greeting";
        let expected = failed(FailureKind::Unknown, cause, None);
        assert_eq!(failure(&server, &machine, Duration::from_millis(50)).await, expected);
        let cause = "it was not ready within 0s: no answer within 0s while connecting";
        let expected = failed(FailureKind::Unknown, cause, None);
        assert_eq!(failure(&Silent, &machine, Duration::from_millis(50)).await, expected);
    }
}

//! The one place that runs commands as root: what the catalogue admitted, directly when we are root, else through
//! `sudo -n`. Every call is in the audit log before it begins, and its end afterwards.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::catalogue::{By, RootCommand};
use crate::effect::{Clock, Command, CommandError, Detach, Detached, Output, Pipe, Run, Status, Streams, process};
use crate::exec::{Audit, AuditFact, Failure};

/// Found by the search path: what it does as root it decides by its own rules, not by ours.
pub(super) const SUDO: &str = "sudo";

/// Runs admitted commands as root.
pub struct Privileged {
    run: Arc<dyn Run>,
    clock: Arc<dyn Clock>,
    audit: Arc<dyn Audit>,
    is_root: bool,
}

impl Privileged {
    /// A runner that writes down here what it runs.
    pub fn new(run: Arc<dyn Run>, clock: Arc<dyn Clock>, audit: Arc<dyn Audit>) -> Self {
        Self { run, clock, audit, is_root: process::user_id() == 0 }
    }

    /// The same where commands are run by this user, and not by ours: on another machine.
    #[must_use]
    pub fn logged_in_as(self, user: &str) -> Self {
        Self { is_root: user == "root", ..self }
    }

    /// Runs a command that must exit with 0.
    ///
    /// # Errors
    /// When sudo does not allow it, it fails, or the audit log cannot be written; nothing is run before that is.
    pub async fn run_ok(&self, command: &RootCommand) -> Result<Output, Failure> {
        let output = self.run(command).await?;
        if output.success() {
            return Ok(output);
        }
        let shown = Command::new(command.program()).args(command.arguments().iter().cloned()).to_string();
        Err(CommandError::Failed { command: shown, output }.into())
    }

    /// Runs a command to its end. Any exit code of its own is an [`Output`].
    ///
    /// # Errors
    /// As [`Privileged::run_ok`], but for its own exit codes.
    pub async fn run(&self, command: &RootCommand) -> Result<Output, Failure> {
        self.run_with(command, b"", command.deadline()).await
    }

    /// The same with this input, and as long as is said here.
    ///
    /// # Errors
    /// As [`Privileged::run`].
    pub async fn run_with(&self, command: &RootCommand, stdin: &[u8], deadline: Duration) -> Result<Output, Failure> {
        let is_root = self.is_root;
        may_run(command, is_root)?;
        let prepared = prepare(command, is_root).stdin(stdin).deadline(deadline);
        let call = Uuid::now_v7();
        let (name, shown) = (command.entry.name.to_owned(), command.to_string());
        self.record(AuditFact::Privileged { call, name, command: shown, sudo: !is_root })?;
        let done = self.run.run(&prepared).await;
        let status = told(done.as_ref().map(|output| output.status));
        self.record(AuditFact::PrivilegedEnded { call, status })?;
        let output = done?;
        if !is_root && refused_by_sudo(&output) {
            let text = String::from_utf8_lossy(&output.stderr).replace(char::is_control, " ");
            return Err(Failure::permanent(format!("sudo does not allow `{command}`: {}", text.trim()))
                .hint("`regatta sudoers`, with `--node NODE` for a node of a cluster, prints the rules that are needed, and says how to install them"));
        }
        Ok(output)
    }

    /// Runs a command between these streams. What sudo refuses here is an exit code of its own and words on the error output.
    ///
    /// # Errors
    /// When it cannot be run or its end is not known, or the audit log cannot be written.
    pub async fn pipe(
        &self,
        door: &dyn Pipe,
        command: &RootCommand,
        streams: Streams<'_>,
        deadline: Duration,
    ) -> Result<Status, CommandError> {
        if command.entry.by == By::Root && !self.is_root {
            let cause = std::io::Error::other("it is run by root only, not through sudo");
            return Err(CommandError::Io { command: command.to_string(), cause });
        }
        let call = Uuid::now_v7();
        let (name, shown) = (command.entry.name.to_owned(), command.to_string());
        let unwritten = |cause| CommandError::Io { command: command.to_string(), cause };
        let begun = AuditFact::Privileged { call, name, command: shown, sudo: !self.is_root };
        self.audit.append(self.clock.now(), &[begun]).map_err(unwritten)?;
        let done = door.pipe(&prepare(command, self.is_root).deadline(deadline), streams).await;
        let ended = AuditFact::PrivilegedEnded { call, status: told(done.as_ref().copied()) };
        self.audit.append(self.clock.now(), &[ended]).map_err(unwritten)?;
        done
    }

    /// Starts a command that outlives us, in a session of its own, with these streams. Only root can: what sudo starts waits for
    /// it, and is not ours.
    ///
    /// # Errors
    /// When we are not root, it cannot be started, or the audit log cannot be written.
    pub fn detach(&self, command: &RootCommand, door: &dyn Detach, streams: Detached) -> Result<(), Failure> {
        if process::user_id() != 0 {
            return Err(needs_root(command));
        }
        let call = Uuid::now_v7();
        let name = command.entry.name.to_owned();
        self.record(AuditFact::Privileged { call, name, command: command.to_string(), sudo: false })?;
        let words = ["--fork".to_owned(), command.program()].into_iter().chain(command.arguments().iter().cloned());
        let detached = Detached { program: Some("setsid".into()), arguments: words.collect(), ..streams };
        let started = door.detach(detached);
        let status = started.as_ref().map_or_else(ToString::to_string, |()| "started".to_owned());
        self.record(AuditFact::PrivilegedEnded { call, status })?;
        started.map_err(|cause| Failure::permanent(format!("cannot run `{command}`: {cause}")))
    }

    fn record(&self, fact: AuditFact) -> Result<(), Failure> {
        self.audit.append(self.clock.now(), &[fact]).map_err(|cause| Failure::permanent(cause.to_string()))
    }
}

/// How a command ended, for the audit log.
fn told(ended: Result<Status, &CommandError>) -> String {
    match ended {
        Ok(Status::Code(code)) => format!("exit {code}"),
        Ok(Status::Signal(signal)) => format!("signal {signal}"),
        Err(error) => error.to_string(),
    }
}

/// Some commands are safe for root only.
fn may_run(command: &RootCommand, is_root: bool) -> Result<(), Failure> {
    if is_root || command.entry.by == By::Sudo { Ok(()) } else { Err(needs_root(command)) }
}

fn needs_root(command: &RootCommand) -> Failure {
    Failure::permanent(format!("`{}` is run by root only, not through sudo", command.entry.program.name()))
}

/// What is really run. Nothing of our environment is passed on.
fn prepare(command: &RootCommand, is_root: bool) -> Command {
    let (program, arguments) = (command.program(), command.arguments().iter().cloned());
    let prepared = match is_root {
        true => Command::new(program).args(arguments),
        false => Command::new(SUDO).args(["-n", "--"]).arg(program).args(arguments),
    };
    prepared.deadline(command.deadline()).without_environment()
}

/// sudo exits with 1 when it refuses, as the command itself may: only its words tell.
fn refused_by_sudo(output: &Output) -> bool {
    // A login on another machine may have said something before.
    let said = output.stderr.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"sudo:"));
    output.status == Status::Code(1) && said
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::driver::privilege::admit;
    use crate::effect::SystemClock;

    /// Remembers what it was asked to run, and answers as told.
    struct Fake(Mutex<Vec<Command>>, Output);

    #[async_trait]
    impl Run for Fake {
        async fn run(&self, command: &Command) -> Result<Output, CommandError> {
            self.0.lock().unwrap().push(command.clone());
            Ok(self.1.clone())
        }
    }

    #[test]
    fn sudo_gets_exactly_the_arguments_and_no_environment() {
        let command = admit("ip", &["link", "set", "dev", "rgt0123456789ab", "up"]).unwrap();
        let ip = command.program();
        let expected = Command::new("sudo")
            .args(["-n", "--", &ip, "link", "set", "dev", "rgt0123456789ab", "up"])
            .deadline(command.deadline())
            .without_environment();
        assert_eq!(prepare(&command, false), expected);
        let direct = Command::new(&ip)
            .args(["link", "set", "dev", "rgt0123456789ab", "up"])
            .deadline(command.deadline())
            .without_environment();
        assert_eq!(prepare(&command, true), direct);
    }

    /// An audit log in memory, which may be full.
    struct Log(Mutex<Vec<AuditFact>>, usize);

    impl Audit for Log {
        fn append(&self, _at: jiff::Timestamp, facts: &[AuditFact]) -> std::io::Result<()> {
            let mut log = self.0.lock().unwrap();
            if log.len() == self.1 {
                return Err(std::io::Error::other("it is full"));
            }
            log.extend_from_slice(facts);
            Ok(())
        }
    }

    #[tokio::test]
    async fn every_call_is_written_down_before_it_begins_and_when_it_ended() {
        for (room, called) in [(2, 1), (1, 1), (0, 0)] {
            let output = Output { status: Status::Code(0), stdout: Vec::new(), stderr: Vec::new() };
            let fake = Arc::new(Fake(Mutex::default(), output));
            let log = Arc::new(Log(Mutex::default(), room));
            let (run, audit) = (Arc::clone(&fake) as Arc<dyn Run>, Arc::clone(&log) as Arc<dyn Audit>);
            let privileged = Privileged::new(run, Arc::new(SystemClock), audit);
            let command = admit("ip", &["link", "set", "dev", "rgt0123456789ab", "up"]).unwrap();
            assert_eq!(privileged.run_ok(&command).await.is_ok(), room == 2);
            assert_eq!(fake.0.lock().unwrap().len(), called, "with room for {room}");
            let facts = log.0.lock().unwrap();
            if let [
                AuditFact::Privileged { call, name, command: shown, .. },
                AuditFact::PrivilegedEnded { call: of, status },
            ] = &facts[..]
            {
                assert_eq!((name.as_str(), shown, status.as_str()), ("set-up", &command.to_string(), "exit 0"));
                assert_eq!(call, of);
            } else {
                assert_ne!(room, 2, "{facts:?}");
            }
        }
    }

    /// No rule of sudo's is safe for it, so it is not even asked.
    #[test]
    fn the_jailer_is_run_by_root_only() {
        let id = "0190c2a4-7c3e-7000-8000-0000000000ab";
        let who = ["--id", id, "--exec-file", "/usr/local/bin/firecracker", "--uid", "998", "--gid", "998"];
        let jail = ["--chroot-base-dir", "/srv/jailer", "--new-pid-ns", "--", "--api-sock", "/run/api.sock"];
        let command = admit("jailer", &[&who[..], &jail[..]].concat()).unwrap();
        assert!(may_run(&command, true).is_ok());
        let expected = Failure::permanent("`jailer` is run by root only, not through sudo");
        assert_eq!(may_run(&command, false), Err(expected));
        for (at, wrong) in
            [(1, "web"), (3, "/tmp/firecracker"), (5, "0"), (7, "0"), (9, "/tmp"), (10, "--daemonize"), (13, "/x")]
        {
            let mut words = [&who[..], &jail[..]].concat();
            words[at] = wrong;
            assert!(admit("jailer", &words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_refusal_of_sudos_is_told_from_a_failure() {
        let output =
            |code, stderr: &str| Output { status: Status::Code(code), stdout: Vec::new(), stderr: stderr.into() };
        assert!(refused_by_sudo(&output(1, "sudo: a password is required\n")));
        assert!(refused_by_sudo(&output(1, "Could not chdir to home\nsudo: a password is required\n")));
        assert!(!refused_by_sudo(&output(1, "Cannot find device \"rgt0123456789ab\"\n")));
        assert!(!refused_by_sudo(&output(2, "sudo: x")));
    }
}

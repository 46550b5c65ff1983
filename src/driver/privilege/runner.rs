//! The one place that runs commands as root: what the catalogue admitted, directly when we are root, else through
//! `sudo -n`. Every call leaves a line in the audit log.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::catalogue::RootCommand;
use crate::effect::{Clock, Command, Output, Run, Status, process};
use crate::exec::Failure;

/// Found by the search path: what it does as root it decides by its own rules, not by ours.
pub(super) const SUDO: &str = "sudo";

/// Every one of these commands is done in milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);

/// The audit log is put aside when it is longer.
const AUDIT_LIMIT: u64 = 1 << 20;

/// Runs admitted commands as root.
pub struct Privileged {
    run: Arc<dyn Run>,
    clock: Arc<dyn Clock>,
    audit: Utf8PathBuf,
}

/// One line of the audit log.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    name: &'a str,
    command: String,
    sudo: bool,
    status: String,
}

impl Privileged {
    /// A runner that writes its audit log at this path.
    pub fn new(run: Arc<dyn Run>, clock: Arc<dyn Clock>, audit: Utf8PathBuf) -> Self {
        Self { run, clock, audit }
    }

    /// Runs a command that must exit with 0.
    ///
    /// # Errors
    /// When sudo does not allow it, it fails, or its line cannot be written to the audit log.
    pub async fn run_ok(&self, command: &RootCommand) -> Result<Output, Failure> {
        let output = self.run(command).await?;
        if output.success() {
            return Ok(output);
        }
        let shown = Command::new(command.program()).args(command.arguments().iter().cloned()).to_string();
        Err(crate::effect::CommandError::Failed { command: shown, output }.into())
    }

    /// Runs a command to its end. Any exit code of its own is an [`Output`].
    ///
    /// # Errors
    /// As [`Privileged::run_ok`], but for its own exit codes.
    pub async fn run(&self, command: &RootCommand) -> Result<Output, Failure> {
        let is_root = process::user_id() == 0;
        let prepared = prepare(command, is_root);
        let done = self.run.run(&prepared).await;
        let status = match &done {
            Ok(output) => match output.status {
                Status::Code(code) => format!("exit {code}"),
                Status::Signal(signal) => format!("signal {signal}"),
            },
            Err(error) => error.to_string(),
        };
        self.record(command, is_root, status)?;
        let output = done?;
        if !is_root && refused_by_sudo(&output) {
            let text = String::from_utf8_lossy(&output.stderr).replace(char::is_control, " ");
            return Err(Failure::permanent(format!("sudo does not allow `{command}`: {}", text.trim()))
                .hint("`regatta sudoers` prints the rules that are needed, and says how to install them"));
        }
        Ok(output)
    }

    fn record(&self, command: &RootCommand, is_root: bool, status: String) -> Result<(), Failure> {
        let at = self.clock.now().to_string();
        let line = Line { at, name: command.entry.name, command: command.to_string(), sudo: !is_root, status };
        let unwritten =
            |cause: String| Failure::permanent(format!("cannot write the audit log `{}`: {cause}", self.audit));
        let mut text = serde_json::to_vec(&line).map_err(|error| unwritten(error.to_string()))?;
        text.push(b'\n');
        append(&self.audit, &text).map_err(|error| unwritten(error.to_string()))
    }
}

/// Adds a line with one write; a log that is too long becomes the previous one.
fn append(path: &Utf8Path, line: &[u8]) -> std::io::Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.len() > AUDIT_LIMIT) {
        fs::rename(path, format!("{path}.1"))?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(line)
}

/// What is really run. Nothing of our environment is passed on.
fn prepare(command: &RootCommand, is_root: bool) -> Command {
    let (program, arguments) = (command.program(), command.arguments().iter().cloned());
    let prepared = match is_root {
        true => Command::new(program).args(arguments),
        false => Command::new(SUDO).args(["-n", "--"]).arg(program).args(arguments),
    };
    prepared.deadline(DEADLINE).without_environment()
}

/// sudo exits with 1 when it refuses, as the command itself may: only its words tell.
fn refused_by_sudo(output: &Output) -> bool {
    output.status == Status::Code(1) && output.stderr.starts_with(b"sudo:")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::driver::privilege::admit;
    use crate::effect::{CommandError, SystemClock};

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
            .deadline(DEADLINE)
            .without_environment();
        assert_eq!(prepare(&command, false), expected);
        let direct = Command::new(&ip)
            .args(["link", "set", "dev", "rgt0123456789ab", "up"])
            .deadline(DEADLINE)
            .without_environment();
        assert_eq!(prepare(&command, true), direct);
    }

    #[tokio::test]
    async fn every_call_leaves_a_line_and_a_long_log_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Utf8PathBuf::try_from(dir.path().join("audit.jsonl")).unwrap();
        let output = Output { status: Status::Code(0), stdout: Vec::new(), stderr: Vec::new() };
        let fake = Arc::new(Fake(Mutex::default(), output));
        let privileged = Privileged::new(Arc::clone(&fake) as Arc<dyn Run>, Arc::new(SystemClock), audit.clone());
        let command = admit("ip", &["link", "set", "dev", "rgt0123456789ab", "up"]).unwrap();
        privileged.run_ok(&command).await.unwrap();
        let text = fs::read_to_string(&audit).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((&line["name"], &line["status"]), (&"set-up".into(), &"exit 0".into()));
        fs::write(&audit, vec![b'\n'; (AUDIT_LIMIT + 1) as usize]).unwrap();
        privileged.run_ok(&command).await.unwrap();
        assert_eq!(fs::read_to_string(&audit).unwrap().lines().count(), 1);
        assert_eq!(fake.0.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_refusal_of_sudos_is_told_from_a_failure() {
        let output =
            |code, stderr: &str| Output { status: Status::Code(code), stdout: Vec::new(), stderr: stderr.into() };
        assert!(refused_by_sudo(&output(1, "sudo: a password is required\n")));
        assert!(!refused_by_sudo(&output(1, "Cannot find device \"rgt0123456789ab\"\n")));
        assert!(!refused_by_sudo(&output(2, "sudo: x")));
    }
}

//! Processes that outlive us: whether a recorded one still runs, which one carries a mark, and ending it.
//!
//! A pid is no identity: it is reused. A pid, the start time of its process and the boot in which that was counted
//! are. Liveness has three values, and whoever tears something down must have seen [`Liveness::Dead`].

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::pidfd::{self, Held};

pub use nix::sys::signal::Signal;

/// Bytes read of one file below `/proc`: the kernel's own limit of a command line is 2 MiB and more, ours is lower.
const LIMIT: u64 = 1 << 20;

/// Time between two looks while waiting for an exit.
const POLL: Duration = Duration::from_millis(50);

/// Number of the user this process acts as; 0 is root.
pub fn user_id() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The group we act as.
pub fn group_id() -> u32 {
    nix::unistd::getegid().as_raw()
}

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The user's number.
    pub id: u32,
    /// The number of its own group.
    pub group: u32,
}

/// The account of a user, or of the one this process acts as.
///
/// # Errors
/// There is no such user, or the database of users cannot be read.
pub fn account(name: Option<&str>) -> Result<Account, String> {
    let found = match name {
        Some(name) => nix::unistd::User::from_name(name),
        None => nix::unistd::User::from_uid(nix::unistd::geteuid()),
    };
    match found {
        Ok(Some(user)) => Ok(Account { name: user.name, id: user.uid.as_raw(), group: user.gid.as_raw() }),
        Ok(None) => Err(format!("found no user `{}`", name.unwrap_or("of this process").escape_debug())),
        Err(errno) => Err(format!("the database of users cannot be read: {errno}")),
    }
}

/// Names one process for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessId {
    /// The pid.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat` (`man 5 proc_pid_stat`): clock ticks since boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// What is known about a recorded process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It does not run: gone, a zombie, or from before the last boot.
    Dead,
    /// It cannot be told, and why. Nothing may be torn down on this.
    Unknown(String),
}

/// A running process that carries a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedProcess {
    /// Which one.
    pub id: ProcessId,
    /// Its first argument: the program as it was started.
    pub program: String,
}

/// Why a process could not be looked at or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The process table cannot be read.
    #[error("cannot read `{path}`: {cause}")]
    Table {
        /// The file.
        path: Utf8PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// Whether it is the recorded process is not known, so it is left alone.
    #[error("process {pid} is left alone: {why}")]
    Unsure {
        /// The pid.
        pid: i32,
        /// What is not known.
        why: String,
    },
    /// The system refused the signal.
    #[error("cannot send {signal} to process {pid}: {cause}")]
    Signal {
        /// The signal's name.
        signal: &'static str,
        /// The pid.
        pid: i32,
        /// The system's words.
        cause: io::Error,
    },
}

/// Looks at and ends processes of this machine.
pub trait Processes: Send + Sync {
    /// Whether the recorded process runs.
    fn liveness(&self, id: &ProcessId) -> Liveness;

    /// The running processes that have one of these marks as a whole argument, by mark, in one pass.
    /// A mark may have several: a program that daemonizes has its argument twice for a moment.
    ///
    /// # Errors
    /// When the table cannot be read. A process that ends meanwhile, or whose arguments are hidden from us, has none.
    fn find(&self, marks: &[&str]) -> Result<BTreeMap<String, Vec<MarkedProcess>>, ProcessError>;

    /// Sends a signal to the recorded process if it still runs; says whether it did.
    ///
    /// # Errors
    /// When it is not certain that the process is the recorded one, or the signal is not permitted.
    fn signal(&self, id: &ProcessId, signal: Signal) -> Result<bool, ProcessError>;
}

/// Waits until a process is certainly dead, or for this long; says what was seen last.
pub async fn wait_for_exit(processes: &dyn Processes, id: &ProcessId, deadline: Duration) -> Liveness {
    let end = tokio::time::Instant::now() + deadline;
    loop {
        match processes.liveness(id) {
            Liveness::Dead => return Liveness::Dead,
            seen if tokio::time::Instant::now() >= end => return seen,
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

/// The kernel's process table.
#[derive(Debug, Clone)]
pub struct ProcFs {
    root: Utf8PathBuf,
}

impl Default for ProcFs {
    fn default() -> Self {
        Self { root: "/proc".into() }
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: char,
    start_time: u64,
}

impl Stat {
    /// The second field, the program's name in parentheses, may contain spaces and parentheses itself: fields are
    /// counted from its last one.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        // Field 3 comes first, so field 22 is 18 fields after it.
        let state = fields.next()?.chars().next()?;
        let start_time = fields.nth(18)?.parse().ok()?;
        Some(Self { state, start_time })
    }

    /// A zombie has ended; only its exit code waits to be read.
    const fn ended(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

impl ProcFs {
    /// The identity of the process with this pid; `None` when it has ended.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn identify(&self, pid: i32) -> Result<Option<ProcessId>, ProcessError> {
        let Some(stat) = self.stat(pid)?.filter(|stat| !stat.ended()) else { return Ok(None) };
        Ok(Some(ProcessId { pid, start_time: stat.start_time, boot_id: self.boot_id()? }))
    }

    /// Which boot of this machine it is.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn boot_id(&self) -> Result<String, ProcessError> {
        let path = self.root.join("sys/kernel/random/boot_id");
        let id = read(&path).map_err(|cause| ProcessError::Table { path, cause })?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// `None` when there is no such process.
    fn stat(&self, pid: i32) -> Result<Option<Stat>, ProcessError> {
        let path = self.root.join(format!("{pid}/stat"));
        let text = match read(&path) {
            Ok(text) => text,
            Err(cause) if is_gone(&cause) => return Ok(None),
            Err(cause) => return Err(ProcessError::Table { path, cause }),
        };
        match Stat::parse(&String::from_utf8_lossy(&text)) {
            Some(stat) => Ok(Some(stat)),
            None => Err(ProcessError::Table { path, cause: io::ErrorKind::InvalidData.into() }),
        }
    }

    fn look(&self, id: &ProcessId) -> Result<Liveness, ProcessError> {
        if self.boot_id()? != id.boot_id {
            return Ok(Liveness::Dead);
        }
        match self.stat(id.pid)? {
            Some(stat) if stat.ended() || stat.start_time != id.start_time => Ok(Liveness::Dead),
            Some(_) => Ok(Liveness::Alive),
            // A table mounted with `hidepid` does not list other users' processes; the kernel still knows them.
            None => Ok(match kill(Pid::from_raw(id.pid), None) {
                Err(Errno::ESRCH) => Liveness::Dead,
                _ => Liveness::Unknown(format!("process {} exists and is hidden from us", id.pid)),
            }),
        }
    }

    /// Its arguments; `None` when it has ended or hides them.
    fn arguments(&self, pid: i32) -> Option<Vec<String>> {
        let bytes = read(&self.root.join(format!("{pid}/cmdline"))).ok()?;
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
        Some(bytes.split(|byte| *byte == 0).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect())
    }
}

impl Processes for ProcFs {
    fn liveness(&self, id: &ProcessId) -> Liveness {
        // A record is input: pids that name no process or a whole group are never passed on.
        if id.pid <= 0 {
            return Liveness::Unknown(format!("{} is no pid", id.pid));
        }
        self.look(id).unwrap_or_else(|error| Liveness::Unknown(error.to_string()))
    }

    fn find(&self, marks: &[&str]) -> Result<BTreeMap<String, Vec<MarkedProcess>>, ProcessError> {
        let fail = |cause| ProcessError::Table { path: self.root.clone(), cause };
        let mut found: BTreeMap<String, Vec<MarkedProcess>> = BTreeMap::new();
        for entry in self.root.read_dir_utf8().map_err(fail)? {
            let Ok(pid) = entry.map_err(fail)?.file_name().parse::<i32>() else { continue };
            let Some(arguments) = self.arguments(pid) else { continue };
            let carried: Vec<&&str> = marks.iter().filter(|mark| arguments.iter().any(|arg| arg == *mark)).collect();
            if carried.is_empty() {
                continue;
            }
            let Some(id) = self.identify(pid)? else { continue };
            let program = arguments.first().cloned().unwrap_or_default();
            for mark in carried {
                let process = MarkedProcess { id: id.clone(), program: program.clone() };
                found.entry((*mark).to_owned()).or_default().push(process);
            }
        }
        Ok(found)
    }

    fn signal(&self, id: &ProcessId, signal: Signal) -> Result<bool, ProcessError> {
        // Held first and looked at then: a process that started when the record says cannot be younger than what is held.
        let held = pidfd::hold(id.pid);
        if matches!(held, Held::Gone) {
            return Ok(false);
        }
        match self.liveness(id) {
            Liveness::Dead => return Ok(false),
            Liveness::Unknown(why) => return Err(ProcessError::Unsure { pid: id.pid, why }),
            Liveness::Alive => {}
        }
        let sent = match held {
            Held::Process(process) => pidfd::signal(&process, signal),
            // Directly after the look: the pid would have to be reused within microseconds, and the kernel goes once round
            // all pids before.
            Held::Gone | Held::Unheld => match kill(Pid::from_raw(id.pid), signal) {
                Err(Errno::ESRCH) => Ok(false),
                sent => sent.map(|()| true).map_err(io::Error::from),
            },
        };
        sent.map_err(|cause| ProcessError::Signal { signal: signal.as_str(), pid: id.pid, cause })
    }
}

/// A process that ends while its files are read gives `ESRCH` instead of `ENOENT`.
fn is_gone(cause: &io::Error) -> bool {
    cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(Errno::ESRCH as i32)
}

fn read(path: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A sleeping process with an argument of our choice, ended with the test.
    struct Sleeper(Child);

    impl Sleeper {
        fn start(mark: &str) -> Self {
            let script = "echo ready; read -r line";
            let mut child = Command::new("sh")
                .args(["-c", script, mark])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            Self(child)
        }

        fn id(&self) -> ProcessId {
            ProcFs::default().identify(i32::try_from(self.0.id()).unwrap()).unwrap().unwrap()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn the_start_time_is_counted_from_the_last_parenthesis() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 424242 20 21";
        let expected = Some(Stat { state: 'S', start_time: 424_242 });
        assert_eq!(Stat::parse(&format!("17 (sh) {fields}")), expected);
        assert_eq!(Stat::parse(&format!("17 (a) Z 0 (b)) {fields}\n")), expected);
        assert_eq!(Stat::parse("17 (sh) S 1 2"), None);
        assert_eq!(Stat::parse(""), None);
    }

    /// LESSON 21: a pid alone is not identity.
    #[test]
    fn a_running_process_is_alive_and_its_pid_with_another_start_or_boot_is_dead() {
        let sleeper = Sleeper::start("liveness");
        let (id, table) = (sleeper.id(), ProcFs::default());
        assert_eq!(table.liveness(&id), Liveness::Alive);
        assert_eq!(table.liveness(&ProcessId { start_time: id.start_time + 1, ..id.clone() }), Liveness::Dead);
        assert_eq!(table.liveness(&ProcessId { boot_id: "another".to_owned(), ..id }), Liveness::Dead);
    }

    #[tokio::test]
    async fn a_zombie_and_a_reaped_process_are_dead() {
        let mut sleeper = Sleeper::start("zombie");
        let (id, table) = (sleeper.id(), ProcFs::default());
        assert_eq!(wait_for_exit(&table, &id, Duration::from_millis(60)).await, Liveness::Alive);
        assert!(table.signal(&id, Signal::SIGKILL).unwrap());
        assert_eq!(wait_for_exit(&table, &id, Duration::from_secs(10)).await, Liveness::Dead);
        sleeper.0.wait().unwrap();
        assert_eq!(table.liveness(&id), Liveness::Dead);
        assert_eq!(table.identify(id.pid).unwrap(), None);
        assert!(!table.signal(&id, Signal::SIGKILL).unwrap());
    }

    /// LESSON 21: what cannot be read is unknown, never dead; and unknown is never signalled.
    #[test]
    fn an_unreadable_table_is_unknown_and_nothing_is_signalled() {
        let sleeper = Sleeper::start("unknown");
        let id = sleeper.id();
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let table = ProcFs { root: root.clone() };
        assert!(matches!(table.liveness(&id), Liveness::Unknown(_)));
        assert!(matches!(table.signal(&id, Signal::SIGKILL), Err(ProcessError::Unsure { .. })));

        // As under `hidepid`: the table is there, the process is not listed, and the kernel knows it.
        std::fs::create_dir_all(root.join("sys/kernel/random")).unwrap();
        std::fs::write(root.join("sys/kernel/random/boot_id"), &id.boot_id).unwrap();
        let hidden = Liveness::Unknown(format!("process {} exists and is hidden from us", id.pid));
        assert_eq!(table.liveness(&id), hidden);

        // And one whose state is there and cannot be understood.
        std::fs::create_dir(root.join(id.pid.to_string())).unwrap();
        std::fs::write(root.join(format!("{}/stat", id.pid)), "garbage").unwrap();
        assert!(matches!(table.liveness(&id), Liveness::Unknown(_)));
        assert_eq!(ProcFs::default().liveness(&id), Liveness::Alive);
    }

    #[test]
    fn pids_that_mean_a_group_or_everybody_are_refused() {
        let sleeper = Sleeper::start("group");
        for pid in [0, -1, i32::MIN] {
            let id = ProcessId { pid, ..sleeper.id() };
            assert!(matches!(ProcFs::default().signal(&id, Signal::SIGKILL), Err(ProcessError::Unsure { .. })));
        }
    }

    #[test]
    fn a_mark_is_found_as_a_whole_argument_only() {
        let mark = uuid::Uuid::now_v7().to_string();
        let longer = format!("{mark}-longer");
        let (sleeper, other) = (Sleeper::start(&mark), Sleeper::start(&longer));
        let found = ProcFs::default().find(&[&mark, "no-such-mark", &longer]).unwrap();
        let process = |sleeper: &Sleeper| vec![MarkedProcess { id: sleeper.id(), program: "sh".to_owned() }];
        assert_eq!(found, BTreeMap::from([(mark, process(&sleeper)), (longer, process(&other))]));
    }
}

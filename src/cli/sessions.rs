//! `regatta session …`: commands in guests that outlive the connection. No lock is held while a guest is talked to.

use std::io::{self, IsTerminal as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::task::JoinSet;

use super::args::{
    Format, Global, SessionArgs, SessionCommand, SessionEndArgs, SessionOf, SessionStartArgs, SessionStdin,
};
use super::error::{CliError, Exit};
use super::output;
use super::ways::Ways;
use crate::driver::Door;
use crate::driver::sessions::{
    Ending, Input, Job, Session, SessionError, SessionName, SessionStatus, Sessions, TakeOver, Until, Why,
    attach_command,
};
use crate::effect::{ConnectError, Shell, exec, ssh_arguments};
use crate::plan::Pattern;
use crate::render::{self, SessionRow, SessionState};

/// How long a guest may take to let us in.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);

/// Characters of a session's name that come from its command.
const STEM_MAX: usize = 40;

/// Does what is asked.
pub(super) async fn run(global: &Global, args: &SessionArgs) -> Result<Exit, CliError> {
    let fleet = Fleet { ways: Ways::open(global)? };
    match &args.command {
        SessionCommand::Start(args) => fleet.start(args).await,
        SessionCommand::List { guests } => fleet.list(global.format, guests).await,
        SessionCommand::Show(of) => fleet.show(global.format, of).await,
        SessionCommand::Logs { of, follow } => fleet.logs(of, if *follow { Until::Ended } else { Until::Now }).await,
        SessionCommand::Attach { of, take_over } => fleet.attach(of, take_over.then_some(TakeOver)).await,
        SessionCommand::Stop(args) => fleet.end(args, Ending::Asked).await,
        SessionCommand::Kill(args) => fleet.end(args, Ending::Forced).await,
        SessionCommand::Rm(of) => {
            let shell = fleet.shell(&of.guest).await?;
            Sessions::behind(&*shell).remove(&of.session).await?;
            Ok(Exit::Success)
        }
    }
}

struct Fleet {
    ways: Ways,
}

impl Fleet {
    async fn shell(&self, guest: &str) -> Result<Box<dyn Shell>, CliError> {
        Ok(self.ways.door(guest).await?.open(LOGIN_DEADLINE).await?)
    }

    async fn start(&self, args: &SessionStartArgs) -> Result<Exit, CliError> {
        let name = match &args.name {
            Some(name) => name.clone(),
            None => invented(args.command.first().map_or("", String::as_str))?,
        };
        let job = Job {
            name,
            argv: args.command.clone(),
            directory: args.cwd.clone(),
            variables: args.env.iter().cloned().collect(),
            input: if args.stdin == SessionStdin::Pipe { Input::Pipe } else { Input::None },
            require: args.require.clone(),
            declared: None,
        };
        let shell = self.shell(&args.guest).await?;
        Sessions::behind(&*shell).start(&job).await?;
        output::data(&format!("{}\n", job.name));
        Ok(Exit::Success)
    }

    /// All guests that run are asked at the same time; one that does not answer keeps none from being listed.
    async fn list(&self, format: Format, patterns: &[Pattern]) -> Result<Exit, CliError> {
        let mut asked = JoinSet::new();
        for (guest, door) in self.doors(patterns).await? {
            asked.spawn(async move { (guest, of_guest(&door).await) });
        }
        let (mut rows, mut silent) = (Vec::new(), Vec::new());
        while let Some(answer) = asked.join_next().await {
            match answer.map_err(|cause| CliError::failure("a guest was given up").cause(cause))? {
                (guest, Ok(sessions)) => rows.extend(sessions.into_iter().map(|session| row(&guest, session))),
                (guest, Err(error)) => silent.push((guest, error.to_string())),
            }
        }
        rows.sort_by(|one, other| (&one.guest, &one.name).cmp(&(&other.guest, &other.name)));
        silent.sort();
        match format {
            Format::Human => output::data(&render::sessions(&rows, output::data_screen())),
            Format::Json => output::data(&render::sessions_json(&rows, &silent)?),
        }
        for (guest, why) in &silent {
            output::talk(&format!("{guest}: {why}\n"));
        }
        Ok(if silent.is_empty() { Exit::Success } else { Exit::Partial })
    }

    /// The guests meant, and how to log in to them. Without patterns: all that run.
    async fn doors(&self, patterns: &[Pattern]) -> Result<Vec<(String, Door)>, CliError> {
        if patterns.is_empty() {
            let doors = self.ways.doors(&self.ways.all()?).await;
            return Ok(doors.into_iter().filter_map(|(name, door)| Some((name, door.ok()?))).collect());
        }
        let mut doors = Vec::new();
        for name in self.ways.selected(patterns)? {
            let door = self.ways.door(&name).await?;
            doors.push((name, door));
        }
        Ok(doors)
    }

    async fn show(&self, format: Format, of: &SessionOf) -> Result<Exit, CliError> {
        let found = self.find(of).await?;
        let rows = [row(&of.guest, found)];
        match format {
            Format::Human => output::data(&render::session_story(&rows[0], output::data_screen())),
            Format::Json => output::data(&render::sessions_json(&rows, &[])?),
        }
        Ok(Exit::Success)
    }

    async fn find(&self, of: &SessionOf) -> Result<Session, CliError> {
        let shell = self.shell(&of.guest).await?;
        let all = Sessions::behind(&*shell).list().await?;
        let found = all.into_iter().find(|session| session.name == of.session);
        found.ok_or_else(|| SessionError::Missing(of.session.clone()).into())
    }

    async fn logs(&self, of: &SessionOf, until: Until) -> Result<Exit, CliError> {
        let shell = self.shell(&of.guest).await?;
        let (mut stdout, mut stderr) = (Tap::output(), Tap::error_output());
        Sessions::behind(&*shell).logs(&of.session, until, &mut stdout, &mut stderr).await?;
        Ok(Exit::Success)
    }

    /// Becomes `ssh`, which is good at terminals. What it would be refused for is looked at before.
    async fn attach(&self, of: &SessionOf, take_over: Option<TakeOver>) -> Result<Exit, CliError> {
        let found = self.find(of).await?;
        if found.input == Input::None {
            let error = CliError::failure(format!("session `{}` was started without input", of.session));
            return Err(error.hint("`regatta session logs --follow` shows what it writes; start it with --stdin pipe"));
        }
        if !matches!(found.status, SessionStatus::Starting | SessionStatus::Running | SessionStatus::Stopping) {
            return Err(CliError::failure(format!("session `{}` has ended", of.session)));
        }
        let login = self.ways.login(&of.guest).await?;
        let command = attach_command(&of.session, take_over);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let arguments = ssh_arguments(&login.target, &login.known_hosts, &command)?;
        Err(CliError::failure(exec("ssh", &arguments))
            .hint("the Debian package `openssh-client` has the program `ssh`"))
    }

    async fn end(&self, args: &SessionEndArgs, ending: Ending) -> Result<Exit, CliError> {
        let shell = self.shell(&args.of.guest).await?;
        let patience = Duration::from_secs(args.wait);
        Sessions::behind(&*shell).stop(&args.of.session, ending, patience).await?;
        Ok(Exit::Success)
    }
}

async fn of_guest(door: &Door) -> Result<Vec<Session>, SessionError> {
    let shell = door.open(LOGIN_DEADLINE).await?;
    Sessions::behind(&*shell).list().await
}

/// A name after the program, and four digits so that it can be started again.
fn invented(program: &str) -> Result<SessionName, CliError> {
    let stem = program.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let stem: String = stem.chars().filter(char::is_ascii_alphanumeric).take(STEM_MAX).collect();
    let id = uuid::Uuid::now_v7().simple().to_string();
    let digits = id.get(28..).unwrap_or_default();
    let name = if stem.is_empty() { format!("session-{digits}") } else { format!("{stem}-{digits}") };
    name.parse().map_err(CliError::failure)
}

fn row(guest: &str, session: Session) -> SessionRow {
    let state = match session.status {
        SessionStatus::Starting => SessionState::Starting,
        SessionStatus::Running => SessionState::Running,
        SessionStatus::Stopping => SessionState::Stopping,
        SessionStatus::Exited(code) => SessionState::Exited(code),
        SessionStatus::Failed(why) => SessionState::Failed(match why {
            Why::Restarted => "the guest was restarted while it ran",
            Why::NotReady => "it was not ready in time",
            Why::Lost => "nobody saw its end",
        }),
    };
    SessionRow {
        guest: guest.to_owned(),
        name: session.name.to_string(),
        state,
        created: session.created,
        stdout: session.stdout,
        stderr: session.stderr,
        command: session.command,
        input: session.input == Input::Pipe,
    }
}

impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        let hint = match &error {
            SessionError::Exists(_) => "`regatta session rm` forgets one that has ended; or pass another --name",
            SessionError::Missing(_) => "`regatta session list` lists them",
            SessionError::Running(_) => "`regatta session stop` ends it",
            SessionError::StillRunning(_) => "`regatta session kill` leaves it no choice",
            SessionError::MissingCommand(_) => "add its package to the guest's image",
            SessionError::Connection(ConnectError::Lost(_) | ConnectError::Overdue { .. }) => {
                "`regatta session list` tells whether it happened"
            }
            _ => return Self::failure(error.to_string()),
        };
        Self::failure(error.to_string()).hint(hint)
    }
}

/// Bytes of a guest on their way to one of our streams: as they are into files and pipes, harmless on a terminal.
struct Tap {
    write: fn(&[u8]),
    terminal: bool,
}

impl Tap {
    fn output() -> Self {
        Self { write: output::raw, terminal: io::stdout().is_terminal() }
    }

    fn error_output() -> Self {
        Self { write: output::raw_talk, terminal: io::stderr().is_terminal() }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.terminal {
            (self.write)(render::harmless(bytes).as_bytes());
        } else {
            (self.write)(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! Arguments of `session`.

use clap::{Args, Subcommand};

use crate::driver::sessions::SessionName;
use crate::plan::Pattern;

/// Arguments of `session`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SessionArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SessionCommand,
}

/// What to do with sessions.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum SessionCommand {
    /// Start a command that outlives the connection, and print the session's name
    Start(SessionStartArgs),
    /// List the sessions of guests
    List {
        /// Guests: names, patterns with `*` and `?`, or `tag:NAME`; without, all that run
        guests: Vec<Pattern>,
    },
    /// Tell about one session
    Show(SessionOf),
    /// Print what a session wrote
    Logs {
        /// Which one.
        #[command(flatten)]
        of: SessionOf,
        /// Go on until it has ended
        #[arg(long)]
        follow: bool,
    },
    /// Connect standard input with a session that was started with `--stdin pipe`, and print what it writes
    Attach {
        /// Which one.
        #[command(flatten)]
        of: SessionOf,
        /// Send away whoever is attached
        #[arg(long)]
        take_over: bool,
    },
    /// Ask a session to end (TERM), and wait
    Stop(SessionEndArgs),
    /// End a session (KILL), and wait
    Kill(SessionEndArgs),
    /// Forget a session that has ended, and its logs
    Rm(SessionOf),
}

/// One session.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SessionOf {
    /// The guest
    pub guest: String,
    /// The session
    pub session: SessionName,
}

/// Arguments of `session stop` and `session kill`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SessionEndArgs {
    /// Which one.
    #[command(flatten)]
    pub of: SessionOf,
    /// Seconds to wait for its end
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub wait: u64,
}

/// Arguments of `session start`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SessionStartArgs {
    /// The guest
    pub guest: String,
    /// What to call it; without, after the command
    #[arg(long)]
    pub name: Option<SessionName>,
    /// Its working directory in the guest; without, the home directory
    #[arg(long, value_name = "DIRECTORY", value_parser = absolute)]
    pub cwd: Option<String>,
    /// A variable of its environment; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// Where its input comes from
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub stdin: SessionStdin,
    /// Refuse unless the guest has this command; may be repeated
    #[arg(long, value_name = "COMMAND")]
    pub require: Vec<String>,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Where a session's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum SessionStdin {
    /// Nowhere
    None,
    /// From whoever attaches
    Pipe,
}

fn absolute(text: &str) -> Result<String, String> {
    match text.starts_with('/') && !text.contains(['\0', '\n']) {
        true => Ok(text.to_owned()),
        false => Err("expected an absolute path".to_owned()),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !name.starts_with(first) || !name.chars().all(|c| first(c) || c.is_ascii_digit()) {
        return Err("a variable's name has letters, digits and `_`, and begins with no digit".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

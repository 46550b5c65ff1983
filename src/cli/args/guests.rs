//! Arguments of the commands that work in guests.

use camino::Utf8PathBuf;
use clap::Args;

use crate::plan::Pattern;

/// Arguments of `exec`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ExecArgs {
    /// Guests: names, patterns with `*` and `?`, or `tag:NAME`
    #[arg(required = true, value_name = "GUEST")]
    pub guests: Vec<Pattern>,
    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Give all of standard input to the command in each guest; without, it has none
    #[arg(long)]
    pub stdin: bool,
    /// Guests at the same time
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    /// Seconds the command may take in each guest
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
    /// Seconds each login may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..))]
    pub connect_timeout: u64,
}

/// Arguments of `repin`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct RepinArgs {
    /// The guest
    pub guest: String,
    /// The fingerprint of the host key to trust from now on, as `ssh-keygen -l` prints it in the guest
    #[arg(value_name = "FINGERPRINT")]
    pub fingerprint: String,
    /// Wait this many seconds for an apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `cp`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct CpArgs {
    /// Copy directories with all they hold
    #[arg(short, long)]
    pub recursive: bool,
    /// What to copy, and where to: paths, or `GUEST:PATH`
    #[arg(required = true, num_args = 2.., value_name = "PATH")]
    pub paths: Vec<String>,
}

/// Arguments of `ssh-config`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SshConfigArgs {
    /// Include it from the configuration of `ssh`, in a block of our own
    #[arg(long, conflicts_with = "uninstall")]
    pub install: bool,
    /// Take that block away
    #[arg(long)]
    pub uninstall: bool,
    /// The configuration of `ssh` [default: ~/.ssh/config]
    #[arg(long, value_name = "FILE")]
    pub config: Option<Utf8PathBuf>,
}

//! Arguments of the commands about running: starting, stopping, standing still, and what a guest says meanwhile.

use camino::Utf8PathBuf;
use clap::Args;

use crate::cli::forms::Out;
use crate::plan::Pattern;

/// Arguments of `autostart`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct AutostartArgs {
    /// The guests: names with `*` and `?`, or `tag:NAME`
    #[arg(required = true, value_name = "GUEST")]
    pub guests: Vec<Pattern>,
}

/// Arguments of `start`, `stop` and `restart`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PowerArgs {
    /// The guests: names with `*` and `?`, or `tag:NAME`
    #[arg(required_unless_present = "autostart", value_name = "GUEST")]
    pub guests: Vec<Pattern>,
    /// The guests that start with their host
    #[arg(long, conflicts_with = "guests")]
    pub autostart: bool,
    /// Guests that are started or stopped at the same time; without, `parallelism` of the fleet, else 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: Option<u16>,
    /// Wait this many seconds for an apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
    /// Also write the report here, as json, prometheus or human; may be repeated
    #[arg(long, value_name = "FORM=FILE")]
    pub out: Vec<Out>,
}

/// Arguments of `wake`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct WakeArgs {
    /// The guests: names with `*` and `?`, or `tag:NAME`
    #[arg(required = true, value_name = "GUEST")]
    pub guests: Vec<Pattern>,
    /// Give up their memory instead: they are stopped then, as after a power cut
    #[arg(long)]
    pub discard: bool,
    /// Wait this many seconds for an apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `pause`, `resume` and `suspend`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct PauseArgs {
    /// The guests: names with `*` and `?`, or `tag:NAME`
    #[arg(required = true, value_name = "GUEST")]
    pub guests: Vec<Pattern>,
    /// Wait this many seconds for an apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `logs`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct LogsArgs {
    /// The guest
    pub guest: String,
    /// How many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value = "100")]
    pub lines: usize,
    /// Go on with what the guest says from now on
    #[arg(long)]
    pub follow: bool,
}

/// Arguments of `console`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ConsoleArgs {
    /// The guest
    pub guest: String,
}

/// Arguments of `keep-way`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct KeepWayArgs {
    /// What was changed, and what it was before
    pub armed: Utf8PathBuf,
}

/// Arguments of `keep-console`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct KeepConsoleArgs {
    /// Socket for those who join in
    pub listen: Utf8PathBuf,
    /// The log
    pub log: Utf8PathBuf,
    /// The log before that
    pub previous: Utf8PathBuf,
    /// The virtual machine's socket, or its two pipes: output, then input
    #[arg(required = true, num_args = 1..=2)]
    pub line: Vec<Utf8PathBuf>,
}

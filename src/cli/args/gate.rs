//! Arguments of the commands around the gate.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

/// Arguments of `approve`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ApproveArgs {
    /// The saved plan
    #[arg(value_name = "PLAN")]
    pub plan: Utf8PathBuf,
    /// Only what is lost of this: an address, or a guest's name; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub only: Vec<String>,
    /// The private key; or a public one, when the agent or a security key has the other half
    #[arg(long, value_name = "FILE")]
    pub key: Option<Utf8PathBuf>,
    /// Write the text without a signature, to sign it elsewhere
    #[arg(long, conflicts_with = "key")]
    pub document: bool,
    /// Hours for which it is in force
    #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u16).range(1..=8760))]
    pub hours: u16,
    /// Where to write it; without, standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    pub out: Option<Utf8PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Arguments of `watch`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct WatchArgs {
    /// The repository: a directory, `https://…`, `ssh://…` or `user@host:path`. `--file` is the fleet file's path in it
    #[arg(long, value_name = "DIR|URL")]
    pub repo: String,
    /// The branch or tag
    #[arg(long = "ref", value_name = "REF", default_value = "main")]
    pub reference: String,
    /// Seconds between two looks; longer after failures
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
    /// Where approvals are put
    #[arg(long, value_name = "DIR")]
    pub approvals: Option<Utf8PathBuf>,
    /// Where its status goes: status.json, metrics.prom, status.md, and plan.json while something waits
    #[arg(long, value_name = "DIR")]
    pub status: Option<Utf8PathBuf>,
    /// Also bring back what moved since a commit was applied
    #[arg(long)]
    pub repair_drift: bool,
    /// Look once, and exit with 3 when something is held
    #[arg(long)]
    pub once: bool,
}

/// Arguments of `audit`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct AuditArgs {
    /// What to do
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What to do with the audit log.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum AuditCommand {
    /// Show its entries, oldest first; they are verified before
    Show {
        /// Only so many, the last ones
        #[arg(short = 'n', long, value_name = "N")]
        last: Option<usize>,
    },
    /// Say whether a line was changed, removed, exchanged, or its end cut off
    Verify,
}

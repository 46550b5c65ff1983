//! Arguments of the commands around the gate.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

/// Arguments of `approve`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ApproveArgs {
    /// The saved plan; or what `signers propose` wrote
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

/// Arguments of `signers`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SignersArgs {
    /// What to do
    #[command(subcommand)]
    pub command: SignersCommand,
}

/// What to do with the files that say whose signatures count.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum SignersCommand {
    /// Show whose signatures count, and who may replace them
    Show,
    /// Write the text that has to be signed before other signers may take their place
    Propose {
        /// What comes
        #[command(flatten)]
        files: NewSigners,
        /// Hours for which an approval of it is in force
        #[arg(long, value_name = "N", default_value = "24", value_parser = clap::value_parser!(u16).range(1..=8760))]
        hours: u16,
        /// Where to write it; without, standard output
        #[arg(short = 'o', long, value_name = "FILE")]
        out: Option<Utf8PathBuf>,
    },
    /// Replace the signers, approved by those whom policy keeps for it
    Rotate {
        /// What comes
        #[command(flatten)]
        files: NewSigners,
        /// An approval of it; may be repeated
        #[arg(long, value_name = "FILE", required = true)]
        approval: Vec<Utf8PathBuf>,
        /// Seconds to wait for another regatta that is at work
        #[arg(long, value_name = "SECONDS", default_value = "0")]
        wait: u64,
    },
}

/// The files that come.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct NewSigners {
    /// The signers from then on, as OpenSSH's `allowed_signers`
    #[arg(value_name = "SIGNERS")]
    pub signers: Utf8PathBuf,
    /// The revoked keys from then on; without, they stay
    #[arg(long, value_name = "FILE")]
    pub revoked: Option<Utf8PathBuf>,
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

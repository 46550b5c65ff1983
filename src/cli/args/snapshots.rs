//! Arguments of `snapshot`.

use clap::{Args, Subcommand};

use crate::plan::Pattern;

/// Arguments of `snapshot`.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct SnapshotArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SnapshotCommand,
    /// Wait this many seconds for an apply on this host to finish
    #[arg(long, global = true, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// What to do with snapshots.
#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum SnapshotCommand {
    /// Copy the disks of guests; one that runs stands still meanwhile, and of one that is suspended the memory is copied too
    Create {
        /// Guests: names, patterns with `*` and `?`, or `tag:NAME`
        #[arg(required = true, value_name = "GUEST")]
        guests: Vec<Pattern>,
        /// What to call it: letters a to z, digits and `-` [default: the time, as in 20261122-191500]
        #[arg(long, value_name = "NAME", value_parser = name)]
        name: Option<String>,
    },
    /// List the snapshots of guests
    List {
        /// Guests: names, patterns with `*` and `?`, or `tag:NAME`; without, all
        #[arg(value_name = "GUEST")]
        guests: Vec<Pattern>,
    },
    /// Give a stopped guest the disks of a snapshot; those that it has become a snapshot themselves. With memory it is suspended then
    Restore {
        /// The guest
        guest: String,
        /// The snapshot
        #[arg(value_parser = name)]
        snapshot: String,
        /// Do not ask
        #[arg(short = 'y', long)]
        yes: bool,
    },
    /// Remove snapshots
    Delete {
        /// The guest
        guest: String,
        /// The snapshots
        #[arg(required = true, value_parser = name)]
        snapshots: Vec<String>,
        /// Do not ask
        #[arg(short = 'y', long)]
        yes: bool,
    },
}

/// A name becomes a folder's.
fn name(text: &str) -> Result<String, String> {
    match crate::config::is_label(text) {
        true => Ok(text.to_owned()),
        false => Err("expected letters a to z, digits and `-`, at most 63, not starting or ending with `-`".to_owned()),
    }
}

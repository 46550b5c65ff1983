//! The command line.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::error::CliError;
use super::forms::{Form, Out};
use super::watch::Fence;
use crate::plan::{Mute, Pattern};

mod gate;
mod guests;
mod power;
mod sessions;
mod snapshots;

pub(super) use gate::{ApproveArgs, AuditArgs, AuditCommand, NewSigners, SignersArgs, SignersCommand, WatchArgs};
pub(super) use guests::{CpArgs, ExecArgs, RepinArgs, SshConfigArgs};
pub(super) use power::{
    AutostartArgs, ConsoleArgs, KeepConsoleArgs, KeepWayArgs, LogsArgs, PauseArgs, PowerArgs, WakeArgs,
};
pub(super) use sessions::{SessionArgs, SessionCommand, SessionEndArgs, SessionOf, SessionStartArgs, SessionStdin};
pub(super) use snapshots::{SnapshotArgs, SnapshotCommand};

/// Make a fleet of virtual machines match a KDL file.
#[derive(Debug, Parser)]
#[command(name = "regatta", version, propagate_version = true, max_term_width = 100)]
pub(super) struct Cli {
    /// Options every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command takes.
#[derive(Debug, Clone, Args)]
pub(super) struct GlobalArgs {
    /// The fleet file
    #[arg(short, long, global = true, value_name = "FILE", default_value = "fleet.kdl")]
    pub file: Utf8PathBuf,
    /// Where images, disks and journals are kept [default: $XDG_STATE_HOME/regatta]
    #[arg(long, global = true, value_name = "DIR", env = "REGATTA_STATE_DIR")]
    pub state_dir: Option<Utf8PathBuf>,
    /// A policy beside the host's and the fleet's; each can only make it stricter
    #[arg(long, global = true, value_name = "FILE", env = "REGATTA_POLICY")]
    pub policy: Option<Utf8PathBuf>,
    /// When to colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Form of what goes to standard output
    #[arg(long, global = true, value_name = "FORM", default_value = "human")]
    pub format: Form,
}

impl GlobalArgs {
    /// The options for a command that knows no forms but those for people and JSON.
    pub(super) fn basic(&self) -> Result<Global, CliError> {
        match self.format {
            Form::Human | Form::Json => Ok(self.with_form().0),
            form => Err(form.unknown_here("human or json")),
        }
    }

    /// The options for a command that knows more forms, and the one that was asked for.
    pub(super) fn with_form(&self) -> (Global, Form) {
        let machines = matches!(self.format, Form::Json | Form::Jsonl);
        let format = if machines { Format::Json } else { Format::Human };
        let (file, state_dir, policy) = (self.file.clone(), self.state_dir.clone(), self.policy.clone());
        (Global { file, state_dir, policy, fence: None, format }, self.format)
    }
}

/// Options every command takes, as commands see them.
#[derive(Debug, Clone)]
pub(super) struct Global {
    /// The fleet file.
    pub file: Utf8PathBuf,
    /// Where images, disks and journals are kept.
    pub state_dir: Option<Utf8PathBuf>,
    /// A policy beside the host's and the fleet's.
    pub policy: Option<Utf8PathBuf>,
    /// What the fleet file may name of this machine; everything without.
    pub fence: Option<Fence>,
    /// Form of what is no special form of a command: warnings, mistakes, reports.
    pub format: Format,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented fleet file to start from
    Init,
    /// Check the fleet file and everything it imports; touch nothing
    Check(CheckArgs),
    /// Tell where each value of a resource comes from
    Explain(ExplainArgs),
    /// Write fleet files the one way
    Fmt(FmtArgs),
    /// Print the schema of the fleet language, for editors
    Schema,
    /// Print a script that completes regatta's arguments in your shell
    Completions(CompletionsArgs),
    /// Show what apply would change on the live machines, and why
    Plan(PlanArgs),
    /// Make the live machines match the fleet file
    Apply(ApplyArgs),
    /// Sign what a saved plan may lose, so that it may be applied
    Approve(ApproveArgs),
    /// Show whose signatures count, or replace them
    Signers(SignersArgs),
    /// Show what was decided and on whose word, or verify that log
    Audit(AuditArgs),
    /// Keep this host as a repository says: do what loses nothing, hold what needs approval
    Watch(WatchArgs),
    /// Write down which bytes the fleet's images stand for, in the lock file beside the fleet file
    Lock(LockArgs),
    /// Show the images and kernels of this machine: what each was made from, and who uses it
    Store(StoreArgs),
    /// Show what no guest of this machine needs in the store, and remove it when asked to
    Gc(GcArgs),
    /// Show each guest of the fleet as it is
    Status,
    /// Say what reality moved since it was last applied; nothing when nothing did. Cannot change anything
    Drift(DriftArgs),
    /// Show the steps of a plan and what each waits for
    Graph(GraphArgs),
    /// Start guests as they were last applied
    Start(PowerArgs),
    /// Stop guests, as gently as they allow; their disks stay
    Stop(PowerArgs),
    /// Stop guests and start them again as they were last applied
    Restart(PowerArgs),
    /// Make guests stand still: they stay in memory and do nothing
    Pause(PauseArgs),
    /// Let paused guests go on
    Resume(PauseArgs),
    /// Keep the memory of running guests in files and end their virtual machines
    Suspend(PauseArgs),
    /// Let suspended guests go on where they were
    Wake(WakeArgs),
    /// Print what a guest's console said
    Logs(LogsArgs),
    /// Join a guest's serial console; Ctrl-] leaves it
    Console(ConsoleArgs),
    /// Keeps the console of a running guest; started by regatta itself
    #[command(hide = true)]
    KeepConsole(KeepConsoleArgs),
    /// Takes back a change of a network that nobody confirms; started by regatta itself
    #[command(hide = true)]
    KeepWay(KeepWayArgs),
    /// Log in to a guest, or run a command there and return its exit code
    Ssh(SshArgs),
    /// Run a command in several guests at the same time
    Exec(ExecArgs),
    /// Copy files into a guest or out of it
    Cp(CpArgs),
    /// Print configuration with which plain ssh, scp and rsync know the guests by name
    SshConfig(SshConfigArgs),
    /// Trust another host key of a guest
    Repin(RepinArgs),
    /// Work with commands in guests that outlive the connection
    Session(SessionArgs),
    /// Copy the disks of guests, put a copy back, list and remove them
    Snapshot(SnapshotArgs),
    /// List the runs of the fleet, or tell what one of them did
    Journal(JournalArgs),
    /// Refuse plans that remove these guests or their root disks
    Protect(ProtectArgs),
    /// Allow such plans again
    Unprotect(ProtectArgs),
    /// Take over guests that another fleet file made, such as this one before it was moved
    Adopt(AdoptArgs),
    /// Let go of guests: their disks stay, and one that runs keeps running
    Forget(ForgetArgs),
    /// Say whether this machine can do what the fleet asks, and what to do where it cannot. Changes nothing
    Doctor,
    /// Print the sudo rules that bridged networks need, or prove that they are in force
    Sudoers(SudoersArgs),
    /// Print a unit of systemd that starts guests with their host
    Autostart(AutostartArgs),
    /// Print the names and addresses of guests on bridged networks, as lines for /etc/hosts
    Hosts,
    /// Remove every guest of the fleet, with its disks
    Destroy(DestroyArgs),
}

/// Arguments of `sudoers`.
#[derive(Debug, Clone, Args)]
pub(super) struct SudoersArgs {
    /// The user who applies the fleet; without, the one who runs this
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Print what sudo does not allow yet, and exit with 1 when there is anything
    #[arg(long)]
    pub check: bool,
    /// The rules of a cluster's node, for the user that its `fence` names
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub(super) struct ExplainArgs {
    /// The resource, such as `vm.web-1` or `image.bookworm`
    pub address: String,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `fmt`.
#[derive(Debug, Clone, Args)]
pub(super) struct FmtArgs {
    /// The files; without, the fleet file and every file it imports
    pub files: Vec<Utf8PathBuf>,
    /// Write nothing; exit with 1 when a file would change
    #[arg(long)]
    pub check: bool,
    /// Rewrite KDL 1 as KDL 2 first
    #[arg(long)]
    pub upgrade: bool,
}

/// Arguments of `check`.
#[derive(Debug, Clone, Args)]
pub(super) struct CheckArgs {
    /// Also write the mistakes here, as sarif, json or human; may be repeated
    #[arg(long, value_name = "FORM=FILE")]
    pub out: Vec<Out>,
}

/// Which part of the fleet.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Part {
    /// Only these, with what they need: an address or a guest's name, with `*`, `**` and `?`; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub only: Vec<Pattern>,
    /// Not these, nor what needs them; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<Pattern>,
}

/// Which part of the fleet, and what to make anew.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Scope {
    /// Which part of the fleet.
    #[command(flatten)]
    pub part: Part,
    /// Make this guest's root disk anew although nothing differs; may be repeated
    #[arg(long, value_name = "GUEST")]
    pub replace: Vec<String>,
}

/// Arguments of `plan`.
#[derive(Debug, Clone, Args)]
pub(super) struct PlanArgs {
    /// Show this saved plan instead of making one
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "exclude", "replace", "save"])]
    pub plan: Option<Utf8PathBuf>,
    /// Save the plan here, for `regatta apply FILE`
    #[arg(short = 'o', long, value_name = "FILE")]
    pub save: Option<Utf8PathBuf>,
    /// Also write the plan here, as json, markdown, junit, gitlab or human; may be repeated
    #[arg(long, value_name = "FORM=FILE")]
    pub out: Vec<Out>,
    /// Which part of the fleet.
    #[command(flatten)]
    pub scope: Scope,
    /// Print every command that applying would run, in an order that could run, instead of the plan
    #[arg(long, conflicts_with_all = ["save", "detailed_exitcode", "full"])]
    pub print_commands: bool,
    /// Exit with 2 when something would change
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Show long texts whole
    #[arg(long)]
    pub full: bool,
}

/// Arguments of `apply`.
#[derive(Debug, Clone, Args)]
pub(super) struct ApplyArgs {
    /// Also write the report here, as json, prometheus or human; may be repeated
    #[arg(long, value_name = "FORM=FILE")]
    pub out: Vec<Out>,
    /// Go on without what cannot be read; it is left alone
    #[arg(long)]
    pub skip_unreachable: bool,
    /// Carry out this saved plan, if nothing moved since it was made
    #[arg(value_name = "PLAN", conflicts_with_all = ["only", "exclude", "replace"])]
    pub plan: Option<Utf8PathBuf>,
    /// Which part of the fleet.
    #[command(flatten)]
    pub scope: Scope,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Agree to lose this, where policy asks for more than --yes: an address, or a guest's name; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub yes_destroy: Vec<String>,
    /// Steps that may run at the same time; without, `parallelism` of the fleet, else 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: Option<u16>,
    /// Show long texts whole
    #[arg(long)]
    pub full: bool,
    /// An approval of what the plan may lose, from `regatta approve`; may be repeated
    #[arg(long, value_name = "FILE")]
    pub approval: Vec<Utf8PathBuf>,
    /// Allow a plan that removes every guest the fleet has
    #[arg(long)]
    pub allow_empty: bool,
    /// Wait this many seconds for another apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `drift`.
#[derive(Debug, Clone, Args)]
pub(super) struct DriftArgs {
    /// Expect this drift: ADDRESS or ADDRESS#ATTRIBUTE, both with `*` and `**`; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub ignore: Vec<Mute>,
    /// Also write the drift here, as json, markdown, junit, prometheus or human; may be repeated
    #[arg(long, value_name = "FORM=FILE")]
    pub out: Vec<Out>,
    /// Which part of the fleet.
    #[command(flatten)]
    pub part: Part,
}

/// Arguments of `graph`.
#[derive(Debug, Clone, Args)]
pub(super) struct GraphArgs {
    /// Which part of the fleet.
    #[command(flatten)]
    pub scope: Scope,
}

/// Arguments of `store`.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArgs {
    /// Tell all of these, by name or by the beginning of their key; without, one line for each
    pub names: Vec<String>,
}

/// Arguments of `gc`.
#[derive(Debug, Clone, Args)]
pub(super) struct GcArgs {
    /// Remove it; without, it is only shown
    #[arg(long)]
    pub delete: bool,
    /// Only what is so many days old; without, everything, and destroyed guests after 7 days
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u32>,
    /// Wait this many seconds for an apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `lock`.
#[derive(Debug, Clone, Args)]
pub(super) struct LockArgs {
    /// Ask again what this image stands for; may be repeated
    #[arg(long, value_name = "IMAGE")]
    pub update: Vec<String>,
    /// Write nothing and ask nobody; exit with 1 when the lock file does not fit the fleet file
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
}

/// Arguments of `protect` and `unprotect`.
#[derive(Debug, Clone, Args)]
pub(super) struct ProtectArgs {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    pub guests: Vec<String>,
    /// Wait this many seconds for an apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `destroy`.
#[derive(Debug, Clone, Args)]
pub(super) struct DestroyArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Agree to lose this, where policy asks for more than --yes: an address, or a guest's name; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub yes_destroy: Vec<String>,
    /// Wait this many seconds for another apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
    /// Also write the report here, as json, prometheus or human; may be repeated
    #[arg(long, value_name = "FORM=FILE")]
    pub out: Vec<Out>,
}

/// Arguments of `adopt`.
#[derive(Debug, Clone, Args)]
pub(super) struct AdoptArgs {
    /// The guests; without, all that are found. Of a cluster: their numbers
    #[arg(value_name = "GUEST")]
    pub guests: Vec<String>,
    /// Take over guests of this cluster that nobody manages yet: writes them into the fleet file, and puts its mark on them
    #[arg(long, value_name = "CLUSTER", conflicts_with_all = ["forgotten", "from_fleet", "take_over"], requires = "guests")]
    pub cluster: Option<String>,
    /// Take them from the fleet of this name: one that names itself by its directory had another name before it was moved
    #[arg(long, value_name = "FLEET", conflicts_with_all = ["forgotten", "destroyed"])]
    pub from_fleet: Option<String>,
    /// Take back guests that were let go of
    #[arg(long, conflicts_with = "destroyed")]
    pub forgotten: bool,
    /// Take back guests that were destroyed and not yet removed by `gc`
    #[arg(long)]
    pub destroyed: bool,
    /// Also when the fleet file that they belong to still exists
    #[arg(long)]
    pub take_over: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Wait this many seconds for another apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `forget`.
#[derive(Debug, Clone, Args)]
pub(super) struct ForgetArgs {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    pub guests: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Wait this many seconds for another apply on this host to finish
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    pub wait: u64,
}

/// Arguments of `ssh`.
#[derive(Debug, Clone, Args)]
pub(super) struct SshArgs {
    /// The guest
    pub guest: String,
    /// The command and its arguments, after `--`; without, an interactive login
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Arguments of `journal`.
#[derive(Debug, Clone, Args)]
pub(super) struct JournalArgs {
    /// What to tell; without, every run is listed
    #[command(subcommand)]
    pub command: Option<JournalCommand>,
}

/// What to tell.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum JournalCommand {
    /// Tell what one run did, step by step
    Show {
        /// Its id, or the beginning of it; without, the last run
        run: Option<String>,
    },
}

//! The only doors to the world: capability traits with few methods each, and their real forms.

#![allow(clippy::disallowed_methods, reason = "clippy.toml sends everybody else here")]

pub mod base64;
mod clock;
mod command;
mod detach;
mod digests;
mod environment;
pub mod files;
pub mod http;
pub mod keys;
mod lock;
pub mod paths;
mod pidfd;
mod pipe;
pub mod process;
mod replace;
mod seal;
mod socket;
mod sparse;
mod ssh;
mod sshsig;
mod syslog;
mod terminal;
#[cfg(test)]
pub(crate) mod testing;
mod usage;
pub mod walk;

pub use clock::{Clock, SystemClock};
pub use command::{Command, CommandError, CommandRunner, Output, Pipe, Run, Status};
pub use detach::{Detach, Detached, Detacher, leave_session};
pub use digests::DigestCache;
pub use environment::Environment;
pub use keys::{KeyError, KeyPair, fingerprint};
pub use lock::{Holder, Lock, LockError};
pub use pipe::{make_pipes, open_far_end, open_line};
pub use process::{Liveness, MarkedProcess, ProcFs, ProcessError, ProcessId, Processes, Signal, wait_for_exit};
pub use replace::exec;
pub use seal::SealKey;
pub use socket::{await_unix, connect_unix, listen_unix, port_is_free};
pub use sparse::{copy_sparse, punch, sparse_digest};
#[cfg(test)]
pub(crate) use ssh::loopback;
pub use ssh::{
    Connect, ConnectError, Depth, Destination, Jump, KnownHosts, Login, OverShell, Passphrase, Shell, SshAlias,
    SshClient, SshTarget, Streams, Surroundings, Transfer, Trust, known_hosts_line, remote_command, scp_arguments,
    ssh_arguments, ssh_config, with_include, without_include,
};
pub use sshsig::{Signature, SignatureError, sign};
pub use syslog::syslog;
pub use terminal::{Keys, RawTerminal};
pub use usage::{ProcessUsage, process_usage};

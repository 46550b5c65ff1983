//! The only doors to the world: capability traits with few methods each, and their real forms.

mod clock;
mod command;
pub mod files;
mod lock;
pub mod process;
mod ssh;
pub mod walk;

pub use clock::{Clock, SystemClock};
pub use command::{Command, CommandError, CommandRunner, Output, Run, Status};
pub use lock::{Holder, Lock, LockError};
pub use process::{Liveness, ProcFs, ProcessId, Processes};
pub use ssh::{Connect, ConnectError, Shell, SshTarget};

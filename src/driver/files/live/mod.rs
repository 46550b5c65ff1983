//! Reading and writing the work directory of a running guest, over a shell in it.
//!
//! The guest needs a POSIX shell, GNU findutils, coreutils and tar: Debian's essential packages. Every script is
//! constant; names travel on standard input with NUL between them, so that none is ever part of a command.

mod archive;
mod collect;
mod read;
mod remote;
mod write;

use std::time::Duration;

use self::remote::Remote;
use super::Wanted;
use super::edits::{Request, edits};
use crate::effect::{Clock, Shell};
use crate::exec::Failure;
use crate::resource::{GuestFiles, Reading};

/// Where the work disk is mounted in a guest.
pub(in crate::driver) const WORK_DIRECTORY: &str = "/root";

/// One command in a guest takes at most this long; the longest unpacks all files of a request.
const DEADLINE: Duration = Duration::from_secs(600);

/// The work directory of a running guest.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    pub(super) shell: &'a dyn Shell,
    pub(super) root: &'a str,
    pub(super) deadline: Duration,
}

impl<'a> Guest<'a> {
    /// The guest behind a root shell.
    pub fn behind(shell: &'a dyn Shell) -> Self {
        Self { shell, root: WORK_DIRECTORY, deadline: DEADLINE }
    }

    /// The same with another directory than `/root`.
    #[must_use]
    pub const fn with_work_directory(self, root: &'a str) -> Self {
        Self { root, ..self }
    }

    /// Reads what is wanted, and the manifest.
    pub async fn read(&self, wanted: &Wanted) -> Reading<GuestFiles> {
        match read::files(&self.remote(), wanted.clone()).await {
            Ok(files) => Reading::Present(files),
            Err(failure) => Reading::Unreadable(failure.causes.join(": ")),
        }
    }

    /// Brings the files to what is requested. Everything is brought into the guest first; then each file is put in
    /// place by a rename, so that whatever happens each is old or new, and the manifest comes last.
    ///
    /// # Errors
    /// When a host file is not what was planned, something else is in the way, the guest's disk is full, or the
    /// connection breaks.
    pub async fn write(&self, request: &Request<'_>, clock: &dyn Clock) -> Result<(), Failure> {
        let remote = self.remote();
        let current = read::files(&remote, Wanted::for_request(request)).await?;
        let edits = edits(request, &current)?;
        if edits.is_empty() {
            return Ok(());
        }
        write::carry_out(&remote, edits, clock.now().as_second()).await
    }

    fn remote(&self) -> Remote<'_> {
        Remote { shell: self.shell, root: self.root, deadline: self.deadline }
    }
}

//! Reading and writing the work disk of a stopped guest: an ext4 image, without root and without mounting.

mod change;
mod copy;
mod extent;
mod fill;
mod pour;
mod reader;
mod replay;
mod script;
mod staging;
mod superblock;
mod tool;
mod undo;
mod verify;

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use self::change::Prepared;
use self::staging::Staging;
use self::superblock::Superblock;
use self::tool::{Tool, io_failure};
use super::edits::{Edit, Request, edits};
use super::{Effects, Wanted};
use crate::config::ByteSize;
use crate::driver::ext4::Checksums;
use crate::effect::{Command, Holder, Lock, Run, paths};
use crate::exec::Failure;
use crate::resource::{GuestFiles, GuestPath, Reading};

/// How long to wait for another process that works on the same disk.
const LOCK_DEADLINE: Duration = Duration::from_secs(60);

/// Makes a fresh work disk: sparse, ext4, its root directory closed to others; beside its place, then moved there.
///
/// # Errors
/// When something is there already, or the disk cannot be made.
pub async fn create_disk(image: &Utf8Path, size: ByteSize, run: &dyn Run) -> Result<(), Failure> {
    let aside = Utf8PathBuf::from(format!("{image}.new"));
    let fail = |cause| io_failure("make", &aside, &cause);
    if image.exists() {
        return Err(Failure::permanent(format!("found a disk at `{image}`, expected none")));
    }
    let file = File::create(&aside).map_err(fail)?;
    file.set_len(size.as_bytes()).map_err(fail)?;
    // LESSON 5: no positional size, its unit is a trap.
    let options = "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1";
    let mkfs = Command::new("mkfs.ext4").args(["-q", "-F", "-E", options, aside.as_str()]);
    run.run_ok(&mkfs).await.map_err(|error| Failure::permanent(error.to_string()))?;
    file.sync_all().map_err(fail)?;
    std::fs::rename(&aside, image).map_err(fail)
}

/// The work disk of a guest that is stopped.
#[derive(Clone, Copy)]
pub struct Disk<'a> {
    /// The image.
    pub image: &'a Utf8Path,
    /// What working on it needs.
    pub effects: Effects<'a>,
    /// Asked right before anything is written: fails unless the guest is certainly not running.
    pub still_stopped: &'a (dyn Fn() -> Result<(), Failure> + Sync),
}

impl Disk<'_> {
    /// Reads what is wanted, and the manifest. A write that was cut short is taken back first; nothing else is written.
    pub async fn read(&self, wanted: &Wanted) -> Reading<GuestFiles> {
        match self.image.try_exists() {
            Ok(true) => self
                .read_files(wanted)
                .await
                .map_or_else(|failure| Reading::Unreadable(failure.causes.join(": ")), Reading::Present),
            Ok(false) => Reading::Absent,
            Err(cause) => Reading::Unreadable(format!("cannot read `{}`: {cause}", self.image)),
        }
    }

    async fn read_files(&self, wanted: &Wanted) -> Result<GuestFiles, Failure> {
        self.settle().await?;
        if !Superblock::of(self.image)?.needs_recovery {
            return look(self.image, Checksums::Reader, wanted.clone()).await;
        }
        let session = self.lock().await?;
        let copy = replay::replayed(&session.tool(self)).await?;
        look(copy.image(), Checksums::E2fsck, wanted.clone()).await
    }

    /// Takes back a write that was cut short, if there was one, and clears up after it. To be called before a guest is started.
    ///
    /// # Errors
    /// When it cannot be taken back, or another process works on the disk.
    pub async fn settle(&self) -> Result<(), Failure> {
        if !undo::path(self.image).exists() && !change::has_left(self.image) {
            return Ok(());
        }
        self.lock().await?.settle(self).await
    }

    /// Brings the files to what is requested: all of them, or none when it fails.
    ///
    /// # Errors
    /// When the guest is not certainly stopped, a host file is not what was planned, the disk is too full, a name
    /// cannot be written, something else is in the way, or a tool fails: the disk is then as it was.
    pub async fn write(&self, request: &Request<'_>) -> Result<(), Failure> {
        let session = self.lock().await?;
        session.settle(self).await?;
        if Superblock::of(self.image)?.needs_recovery {
            (self.still_stopped)()?;
            session.tool(self).repair().await?;
        }
        let Some(mut prepared) = self.prepare(request).await? else { return Ok(()) };
        (self.still_stopped)()?;
        if session.tool(self).repair().await? {
            // What was read before may have been mended since.
            drop(prepared);
            match self.prepare(request).await? {
                Some(again) => prepared = again,
                None => return Ok(()),
            }
        }
        Superblock::of(self.image)?.room().expect(&prepared.edits)?;
        (self.still_stopped)()?;
        change::make(&session.tool(self), prepared, self.still_stopped).await
    }

    /// Grows the disk: the file first, then the file system in it. Repeating it is harmless.
    ///
    /// # Errors
    /// When the guest is not certainly stopped, the disk is larger than that already, or a tool fails.
    pub async fn grow(&self, to: ByteSize) -> Result<(), Failure> {
        let session = self.lock().await?;
        session.settle(self).await?;
        (self.still_stopped)()?;
        let size = paths::size(self.image)?.unwrap_or_default();
        if size > to.as_bytes() {
            let size = ByteSize::bytes(size);
            let message = format!("the disk `{}` has {size}, expected at most {to}: disks never shrink", self.image);
            return Err(Failure::permanent(message));
        }
        let tool = session.tool(self);
        // resize2fs wants a file system that was just checked.
        tool.repair().await?;
        paths::grow(self.image, to.as_bytes())?;
        let output = tool.run("resize2fs", &[self.image.as_str()]).await?;
        if output.success() { Ok(()) } else { Err(tool.failed("resize2fs", &output)) }
    }

    /// Computes the edits and stages their files; `None` when everything is right already.
    async fn prepare(&self, request: &Request<'_>) -> Result<Option<Prepared>, Failure> {
        // `write` has e2fsck look at it before anything comes of this.
        let current = look(self.image, Checksums::E2fsck, Wanted::for_request(request)).await?;
        let edits = edits(request, &current)?;
        let edits = self.without_used_directories(edits)?;
        if edits.is_empty() {
            return Ok(None);
        }
        let (image, now) = (self.image.to_owned(), self.effects.clock.now().as_second());
        blocking(move || {
            let way = change::way(&image, &edits)?;
            let mut staging = Staging::beside(&image)?;
            staging.lay_out(&edits, now, way.handing(Superblock::of(&image)?))?;
            Ok(Some(Prepared { edits, staging, way, now }))
        })
        .await
    }

    async fn lock(&self) -> Result<Session, Failure> {
        let path = Utf8PathBuf::from(format!("{}.lock", self.image));
        let holder = Holder::this_process("regatta", self.effects.clock.now());
        let lock = Lock::acquire(&path, &holder, LOCK_DEADLINE)
            .await
            .map_err(|error| Failure::transient(error.to_string()).context("waiting for the guest's work disk"))?;
        let shared = lock.share().map_err(|cause| io_failure("share", &path, &cause))?;
        Ok(Session { shared: Arc::new(shared), _lock: lock })
    }

    /// Leaves out the removal of directories in which something stays.
    fn without_used_directories(&self, edits: Vec<Edit>) -> Result<Vec<Edit>, Failure> {
        let mut gone: Vec<GuestPath> = Vec::new();
        let mut kept = Vec::with_capacity(edits.len());
        for edit in edits {
            match &edit {
                Edit::RemoveFile(path) => gone.push(path.clone()),
                Edit::RemoveDirectory(path) => {
                    let names = reader::with_disk(self.image, Checksums::E2fsck, |disk| disk.names(path))?;
                    let leaves = |name: &Vec<u8>| path.join(name).is_ok_and(|below| gone.contains(&below));
                    if !names.iter().all(leaves) {
                        continue;
                    }
                    gone.push(path.clone());
                }
                Edit::MakeDirectory { .. } | Edit::Permit { .. } | Edit::Link { .. } | Edit::Write(_) => {}
            }
            kept.push(edit);
        }
        Ok(kept)
    }
}

/// The time during which a disk is ours.
struct Session {
    shared: Arc<File>,
    _lock: Lock,
}

impl Session {
    fn tool<'a>(&self, disk: &Disk<'a>) -> Tool<'a> {
        Tool { disk: disk.image, run: disk.effects.run, lock: self.shared.clone() }
    }

    async fn settle(&self, disk: &Disk<'_>) -> Result<(), Failure> {
        change::clear(disk.image)?;
        if !undo::path(disk.image).exists() {
            return Ok(());
        }
        (disk.still_stopped)()?;
        undo::roll_back(&self.tool(disk)).await
    }
}

/// Reads an image that needs no recovery.
async fn look(image: &Utf8Path, checksums: Checksums, wanted: Wanted) -> Result<GuestFiles, Failure> {
    let image = image.to_owned();
    blocking(move || reader::files(&image, checksums, wanted)).await
}

/// Runs disk work off the event loop's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|stopped| Err(Failure::permanent(format!("work on a disk was stopped: {stopped}"))))
}

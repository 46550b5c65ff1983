//! Puts the bytes of new files where debugfs can copy them from: their names there are numbers.

use std::fs::{File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use super::script::{Script, Staged};
use super::tool::io_failure;
use crate::driver::files::edits::{Edit, NewFile};
use crate::driver::files::source::{copy_failure, storable};
use crate::exec::Failure;

/// Name of the script among the staged files.
pub(super) const SCRIPT: &str = "script";

/// How debugfs gets the bytes of host files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handing {
    /// From copies, which were checked while they were made. What it writes to is the disk itself: a wrong byte would
    /// stay on it, in a block that is free again.
    Copies,
    /// From the files, by links to them. What it writes to is a copy of the disk, which is read back whole before it
    /// counts: should a file have changed meanwhile, or a link have taken its place, the copy goes.
    Links,
}

/// A directory of staged files; removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) directory: Utf8PathBuf,
    files: Vec<Staged>,
    /// Requests to debugfs before and after its script.
    pub(super) requests: [Vec<String>; 2],
}

impl Staging {
    /// Makes the directory beside a disk; one that a killed process left is removed first.
    pub(super) fn beside(disk: &Utf8Path) -> Result<Self, Failure> {
        let directory = Utf8PathBuf::from(format!("{disk}.staging"));
        let fail = |cause| io_failure("make", &directory, &cause);
        if directory.symlink_metadata().is_ok() {
            std::fs::remove_dir_all(&directory).map_err(fail)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&directory).map_err(fail)?;
        Ok(Self { directory, files: Vec::new(), requests: Default::default() })
    }

    /// Stages every file of the edits and writes the script that carries them out. Files without a date of their own
    /// get `now`, in seconds since 1970.
    ///
    /// # Errors
    /// When a host file is not what was planned, a name cannot be written, or the host's disk is full.
    pub(super) fn fill(&mut self, edits: &[Edit], now: i64, handing: Handing) -> Result<(), Failure> {
        let mut script = Script::default();
        for edit in edits {
            match edit {
                Edit::Write(file) => {
                    let staged = match handing {
                        Handing::Links => self.point_at(file)?,
                        Handing::Copies => None,
                    };
                    let staged = match staged {
                        Some(staged) => staged,
                        None => self.copy(file, now)?,
                    };
                    script.write(file, staged)?;
                }
                other => script.edit(other)?,
            }
        }
        let instructions = script.finish(now)?;
        self.requests = [instructions.before, instructions.after];
        let path = self.directory.join(SCRIPT);
        std::fs::write(&path, instructions.script).map_err(|cause| io_failure("write", &path, &cause))
    }

    /// When the n-th written file was dated, in seconds since 1970.
    pub(super) fn modified(&self) -> impl Iterator<Item = i64> {
        self.files.iter().map(|file| file.modified)
    }

    /// Leaves a host file where it is; `None` for what is no host file.
    fn point_at(&mut self, file: &NewFile) -> Result<Option<Staged>, Failure> {
        let Some(located) = file.source.locate()? else { return Ok(None) };
        let number = self.files.len();
        let link = self.directory.join(number.to_string());
        symlink(&located.path, &link).map_err(|cause| io_failure("make", &link, &cause))?;
        // debugfs copies the permission bits that it finds.
        let staged = Staged { number, mode: located.mode, modified: storable(located.modified) };
        self.files.push(staged);
        Ok(Some(staged))
    }

    fn copy(&mut self, file: &NewFile, now: i64) -> Result<Staged, Failure> {
        let number = self.files.len();
        let path = self.directory.join(number.to_string());
        let fail = |cause| io_failure("write", &path, &cause);
        let mut out = File::create_new(&path).map_err(fail)?;
        let mut source = file.source.open()?;
        let modified = source.modified.unwrap_or(now);
        std::io::copy(&mut source, &mut out).map_err(|cause| copy_failure(&format!("write `{path}`"), cause))?;
        // debugfs copies the permission bits, but must be able to read the file, and setuid is not ours to set here.
        let mode = file.mode & 0o777 | 0o400;
        out.set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
        let staged = Staged { number, mode, modified: storable(modified) };
        self.files.push(staged);
        Ok(staged)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays behind is removed by the next write.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

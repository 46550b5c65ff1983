//! Puts the bytes of new files where debugfs can copy them from: their names there are numbers.

use std::fs::{File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::script::{Script, Staged};
use super::tool::io_failure;
use crate::driver::files::edits::{Edit, NewFile};
use crate::driver::files::source::{copy_failure, storable};
use crate::exec::Failure;

/// Name of the script among the staged files.
pub(super) const SCRIPT: &str = "script";

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
    pub(super) fn fill(&mut self, edits: &[Edit], now: i64) -> Result<(), Failure> {
        let mut script = Script::default();
        for edit in edits {
            match edit {
                Edit::Write(file) => {
                    let staged = self.stage(file, now)?;
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

    fn stage(&mut self, file: &NewFile, now: i64) -> Result<Staged, Failure> {
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

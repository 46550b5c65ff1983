//! Lays out what debugfs carries out: its script, and new files where it can copy them from, under names that are numbers.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::extent::{self, Extent};
use super::script::{Script, Staged, breaks_line};
use super::superblock::Superblock;
use super::tool::io_failure;
use crate::driver::files::edits::{Edit, NewFile};
use crate::driver::files::source::{Source, copy_failure, storable};
use crate::exec::Failure;

/// Name of the script among the staged files.
pub(super) const SCRIPT: &str = "script";

/// Name of the script that marks poured files as written.
pub(super) const AFTERWARDS: &str = "afterwards";

/// Name of what debugfs says to its script.
pub(super) const SAID: &str = "said";

/// How the bytes of host files reach a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handing {
    /// debugfs copies them from copies, which were checked while they were made. What it writes to is the disk itself: a
    /// wrong byte would stay on it, in a block that is free again.
    Copies,
    /// debugfs only finds room for them, and they are [poured](super::pour) there. What is written to is a copy of the
    /// disk: should a file turn out to be another than was planned, the copy goes.
    Poured,
}

/// A directory of staged files; removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) directory: Utf8PathBuf,
    files: Vec<Staged>,
    /// Which of the edits write files that are poured.
    reserved: Vec<usize>,
    /// Modes of the empty files that are there.
    empty: BTreeSet<u32>,
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
        Ok(Self {
            directory,
            files: Vec::new(),
            reserved: Vec::new(),
            empty: BTreeSet::new(),
            requests: Default::default(),
        })
    }

    /// Stages every file of the edits and writes the script that carries them out. Files without a date of their own
    /// get `now`, in seconds since 1970.
    ///
    /// # Errors
    /// When a host file is not what was planned, a name cannot be written, or the host's disk is full.
    pub(super) fn fill(&mut self, edits: &[Edit], now: i64, handing: Handing, block_size: u64) -> Result<(), Failure> {
        let mut script = Script::default();
        for (index, edit) in edits.iter().enumerate() {
            match edit {
                Edit::Write(file) if handing == Handing::Poured && is_poured(file) => {
                    let empty = self.empty(file, now)?;
                    script.reserve(file, &empty, file.source.size().div_ceil(block_size))?;
                    self.reserved.push(index);
                    self.files.push(empty);
                }
                Edit::Write(file) => {
                    let staged = self.copy(file, self.files.len(), now)?;
                    script.write(file, &staged)?;
                    self.files.push(staged);
                }
                other => script.edit(other)?,
            }
        }
        let instructions = script.finish(now)?;
        self.requests = [instructions.before, instructions.after];
        self.put(SCRIPT, &instructions.script)
    }

    /// Whether there are files to be poured once the script was carried out.
    pub(super) fn pours(&self) -> bool {
        !self.reserved.is_empty()
    }

    /// The files to be poured, with the places that debugfs told for them, and writes the script that makes them count
    /// afterwards. The few that have no simple places are copied by that script.
    ///
    /// # Errors
    /// As [`Staging::fill`]; and when debugfs did not tell of each.
    pub(super) fn places<'a>(
        &self,
        edits: &'a [Edit],
        now: i64,
        disk: Superblock,
    ) -> Result<Vec<(&'a NewFile, Vec<Extent>)>, Failure> {
        let path = self.directory.join(SAID);
        let said = std::fs::read(&path).map_err(|cause| io_failure("read", &path, &cause))?;
        let files = self.reserved.iter().filter_map(|index| match edits.get(*index) {
            Some(Edit::Write(file)) => Some(file),
            _ => None,
        });
        let mut told = extent::listed(&said);
        let (mut script, mut places) = (Script::default(), Vec::new());
        for (number, file) in files.enumerate() {
            let Some(extents) = told.next() else {
                return Err(Failure::permanent("debugfs does not say where it found room"));
            };
            let blocks = file.source.size().div_ceil(disk.block_size);
            match extents.filter(|extents| extent::are_sound(extents, blocks, disk)) {
                Some(extents) => {
                    script.filled(&file.path, &extents)?;
                    places.push((file, extents));
                }
                None => script.write_again(file, &self.copy(file, self.files.len() + number, now)?)?,
            }
        }
        self.put(AFTERWARDS, &script.finish(now)?.script)?;
        Ok(places)
    }

    /// When the n-th written file was dated, in seconds since 1970.
    pub(super) fn modified(&self) -> impl Iterator<Item = i64> {
        self.files.iter().map(|file| file.modified)
    }

    /// A file without bytes, with the mode and date of this one.
    fn empty(&mut self, file: &NewFile, now: i64) -> Result<Staged, Failure> {
        let mode = staged_mode(file);
        let name = format!("empty-{mode:o}");
        if self.empty.insert(mode) {
            self.make(&name, mode)?;
        }
        Ok(Staged { name, mode, modified: storable(file.source.modified()?.unwrap_or(now)) })
    }

    fn copy(&self, file: &NewFile, number: usize, now: i64) -> Result<Staged, Failure> {
        let (name, mode) = (number.to_string(), staged_mode(file));
        let mut out = self.make(&name, mode)?;
        let mut source = file.source.open()?;
        let modified = source.modified.unwrap_or(now);
        let doing = format!("write `{}`", self.directory.join(&name));
        std::io::copy(&mut source, &mut out).map_err(|cause| copy_failure(&doing, cause))?;
        Ok(Staged { name, mode, modified: storable(modified) })
    }

    fn make(&self, name: &str, mode: u32) -> Result<File, Failure> {
        let path = self.directory.join(name);
        let fail = |cause| io_failure("write", &path, &cause);
        let out = File::create_new(&path).map_err(fail)?;
        out.set_permissions(Permissions::from_mode(mode)).map_err(fail)?;
        Ok(out)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.directory.join(name);
        std::fs::write(&path, bytes).map_err(|cause| io_failure("write", &path, &cause))
    }
}

/// debugfs copies the permission bits, but must be able to read the file, and setuid is not ours to set here.
fn staged_mode(file: &NewFile) -> u32 {
    file.mode & 0o777 | 0o400
}

/// Whether a file's bytes go straight to their places. Names that need a request of their own are rare and not worth it.
fn is_poured(file: &NewFile) -> bool {
    matches!(file.source, Source::Host(_)) && file.source.size() > 0 && !breaks_line(&file.path)
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays behind is removed by the next write.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

//! Lays out what debugfs carries out: its script, and new files where it can copy them from, under names that are numbers.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

use super::fill::{Name, ToFill};
use super::pour::Arrived;
use super::script::{Script, Staged, breaks_line};
use super::tool::io_failure;
use crate::driver::files::edits::{Edit, NewFile};
use crate::driver::files::source::{Source, copy_failure, storable};
use crate::exec::Failure;
use crate::resource::GuestPath;

/// Name of the script among the staged files.
pub(super) const SCRIPT: &str = "script";

/// Name of a file without bytes.
const EMPTY: &str = "empty";

/// How the bytes of host files reach a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handing {
    /// debugfs copies them from copies, which were checked while they were made. What it writes to is the disk itself: a
    /// wrong byte would stay on it, in a block that is free again.
    Copies,
    /// They are [filled in](super::fill). What is written to is a copy of the disk: should a file turn out to be another
    /// than was planned, the copy goes.
    Filled,
}

/// A directory of staged files; removed when dropped.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) directory: Utf8PathBuf,
    /// Of each file to write, in their order, when it was modified; `None` for those that are filled in.
    dates: Vec<Option<i64>>,
    /// Which of the edits write files that are filled in.
    filled: Vec<(usize, Name)>,
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
        Ok(Self { directory, dates: Vec::new(), filled: Vec::new(), requests: Default::default() })
    }

    /// Stages every file of the edits and writes the script that carries them out. Files without a date of their own
    /// get `now`, in seconds since 1970.
    ///
    /// # Errors
    /// When a host file is not what was planned, a name cannot be written, or the host's disk is full.
    pub(super) fn lay_out(&mut self, edits: &[Edit], now: i64, handing: Handing) -> Result<(), Failure> {
        let mut script = Script::default();
        let mut made: BTreeSet<GuestPath> = BTreeSet::new();
        for (index, edit) in edits.iter().enumerate() {
            match edit {
                Edit::Write(file) if handing == Handing::Filled && is_filled(file) => {
                    let new = file.path.parent().is_some_and(|parent| made.contains(&parent));
                    if !new {
                        self.empty()?;
                        script.name(file, EMPTY)?;
                    }
                    self.filled.push((index, if new { Name::Missing } else { Name::Made }));
                    self.dates.push(None);
                }
                Edit::Write(file) => {
                    let staged = self.copy(file, self.dates.len(), now)?;
                    script.write(file, &staged)?;
                    self.dates.push(Some(staged.modified));
                }
                other => script.edit(other, now)?,
            }
            if let Edit::MakeDirectory { path, .. } = edit {
                made.insert(path.clone());
            }
        }
        let instructions = script.finish(now)?;
        self.requests = [instructions.before, instructions.after];
        self.put(SCRIPT, &instructions.script)
    }

    /// The files that are filled in once the script was carried out.
    pub(super) fn to_fill<'a>(&self, edits: &'a [Edit]) -> Vec<ToFill<'a>> {
        let file = |(index, name): &(usize, Name)| match edits.get(*index) {
            Some(Edit::Write(file)) => Some(ToFill { file, name: *name }),
            _ => None,
        };
        self.filled.iter().filter_map(file).collect()
    }

    /// What is known of each written file, those that were filled in among them.
    pub(super) fn arrived(&self, filled: &[Arrived]) -> Vec<Arrived> {
        let mut filled = filled.iter();
        let copied = |modified| Arrived { modified, tail: None };
        self.dates.iter().filter_map(|date| date.map(copied).or_else(|| filled.next().copied())).collect()
    }

    fn empty(&self) -> Result<(), Failure> {
        if self.directory.join(EMPTY).exists() { Ok(()) } else { self.make(EMPTY, 0o600).map(drop) }
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

/// Whether a file is filled in. Names that need a request of their own are rare and not worth it.
fn is_filled(file: &NewFile) -> bool {
    matches!(file.source, Source::Host(_)) && !breaks_line(&file.path)
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays behind is removed by the next write.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

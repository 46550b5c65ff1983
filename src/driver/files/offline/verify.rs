//! Reads back what was written: e2fsck does not see a file with missing blocks, and debugfs does not tell.

use camino::Utf8Path;

use super::reader::{self, Reader};
use crate::driver::ext4::Checksums;
use crate::driver::files::current::Interest;
use crate::driver::files::edits::Edit;
use crate::exec::Failure;
use crate::resource::{Digest, FileKind, ObservedFile};

/// Checks that every edit has had its effect; `modified` dates the written files, in their order.
///
/// # Errors
/// Names the first path that is not as it should be.
pub(super) fn written(
    image: &Utf8Path,
    edits: &[Edit],
    modified: impl IntoIterator<Item = i64>,
) -> Result<(), Failure> {
    let mut dates = modified.into_iter();
    let mut date = |edit: &Edit| if matches!(edit, Edit::Write(_)) { dates.next() } else { None };
    let dated: Vec<(&Edit, Option<i64>)> = edits.iter().map(|edit| (edit, date(edit))).collect();
    // e2fsck looks at it at the same time.
    reader::in_parallel(image, Checksums::E2fsck, &dated, |disk, (edit, date)| one(disk, edit, *date)).map(drop)
}

fn one(disk: &mut Reader, edit: &Edit, date: Option<i64>) -> Result<(), String> {
    let path = edit.path();
    let has_content = matches!(edit, Edit::Write(_) | Edit::Link { .. });
    let interest = if has_content { Interest::Digest } else { Interest::Metadata };
    let found = disk.file(path, &interest)?;
    let right = match (edit, found) {
        (Edit::RemoveFile(_) | Edit::RemoveDirectory(_), found) => found.is_none(),
        (Edit::MakeDirectory { mode, owner, .. }, Some((file, _))) => is(&file, FileKind::Directory, *mode, *owner),
        (Edit::Permit { kind, mode, owner, .. }, Some((file, _))) => is(&file, *kind, *mode, *owner),
        (Edit::Link { target, owner, .. }, Some((link, _))) => {
            link.digest == Some(Digest::of_link(target)) && (link.kind, link.owner) == (FileKind::Symlink, *owner)
        }
        (Edit::Write(new), Some((file, found))) => {
            let same = file.digest.as_ref() == Some(&new.source.digest()) && file.size == new.source.size();
            same && is(&file, FileKind::File, new.mode, new.owner) && date == Some(found)
        }
        (_, None) => false,
    };
    if right { Ok(()) } else { Err(format!("`{path}` did not arrive as it was written")) }
}

fn is(file: &ObservedFile, kind: FileKind, mode: u32, owner: (u32, u32)) -> bool {
    (file.kind, file.mode, file.owner) == (kind, mode, owner)
}

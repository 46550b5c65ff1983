//! Reads back what was written: e2fsck does not see a file with missing blocks, and debugfs does not tell.

use camino::Utf8Path;

use super::pour::Arrived;
use super::reader::{self, Reader};
use crate::driver::ext4::Checksums;
use crate::driver::files::current::Interest;
use crate::driver::files::edits::Edit;
use crate::exec::Failure;
use crate::resource::{Digest, FileKind, ObservedFile};

/// Checks that every edit has had its effect; `arrived` is what is known of the written files, in their order. Of those
/// whose bytes were checked on their way it is enough that their last ones are in their place: e2fsck makes sure that no two
/// files have a block in common and that none is missing.
///
/// # Errors
/// Names the first path that is not as it should be.
pub(super) fn written(
    image: &Utf8Path,
    edits: &[Edit],
    arrived: impl IntoIterator<Item = Arrived>,
) -> Result<(), Failure> {
    let mut arrived = arrived.into_iter();
    let mut known = |edit: &Edit| if matches!(edit, Edit::Write(_)) { arrived.next() } else { None };
    let known: Vec<(&Edit, Option<Arrived>)> = edits.iter().map(|edit| (edit, known(edit))).collect();
    // e2fsck looks at it at the same time.
    reader::in_parallel(image, Checksums::E2fsck, &known, |disk, (edit, known)| one(disk, edit, *known)).map(drop)
}

fn one(disk: &mut Reader, edit: &Edit, known: Option<Arrived>) -> Result<(), String> {
    let path = edit.path();
    let tail = known.and_then(|known| known.tail);
    let has_content = matches!(edit, Edit::Write(_) | Edit::Link { .. }) && tail.is_none();
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
            let same = match tail {
                Some(tail) if file.kind == FileKind::File => disk.tail(path, file.size)? == tail,
                _ => file.digest.as_ref() == Some(&new.source.digest()),
            };
            let dated = known.is_some_and(|known| known.modified == found);
            same && file.size == new.source.size() && is(&file, FileKind::File, new.mode, new.owner) && dated
        }
        (_, None) => false,
    };
    if right { Ok(()) } else { Err(format!("`{path}` did not arrive as it was written")) }
}

fn is(file: &ObservedFile, kind: FileKind, mode: u32, owner: (u32, u32)) -> bool {
    (file.kind, file.mode, file.owner) == (kind, mode, owner)
}

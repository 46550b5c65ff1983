//! Carries edits out in a running guest.
//!
//! ```text
//! stage: tar into .regatta/staging ─> intent ─> remove ─> make directories, rename new ones whole ─> owners, modes
//!        ─> rename each file ─> manifest
//! ```
//!
//! Until staging is complete nothing of the guest's own has been touched. The intent is a copy of the manifest that comes
//! last: should that never come, it tells whose the files are that did. Directories are checked again right before
//! they are written to: one that has become a link is refused. (Whoever can win that race is root in the guest, and
//! gains nothing by it.)

use std::collections::{BTreeMap, BTreeSet};

use super::archive::{Packed, archive};
use super::remote::Remote;
use crate::driver::files::edits::Edit;
use crate::driver::files::manifest;
use crate::driver::files::room::Room;
use crate::exec::Failure;
use crate::resource::GuestPath;

/// The manifest's name in the archive: it is put in place last, and alone.
pub(super) const MANIFEST_NAME: &str = "manifest";

/// Prints free blocks, their size, inodes and free ones. What an earlier, interrupted write left is not free yet.
const ROOM: &str = r#"[ -L .regatta ] || rm -rf .regatta/staging; exec stat -f -c "%a %S %c %d" ."#;

/// Makes an empty place for the archive and unpacks it there. What an earlier, interrupted write left goes, but for its
/// intent, which is replaced by ours.
const STAGE: &str = r#"umask 077
if [ -L .regatta ]; then echo ".regatta is a symbolic link" >&2; exit 1; fi
mkdir -p .regatta && chown 0:0 .regatta && chmod 0700 .regatta && rm -rf .regatta/staging &&
    mkdir .regatta/staging .regatta/staging/tree || exit 1
# What was unpacked is written to the disk meanwhile, so that little is left to do at the end.
(while sleep 0.3 && kill -0 $$; do sync -f .regatta/staging; done) </dev/null >/dev/null 2>&1 &
tar -x -b 256 -p --same-owner --numeric-owner -f - -C .regatta/staging &&
    { [ ! -e .regatta/staging/manifest ] || cp -p .regatta/staging/manifest .regatta/staging/intent; } &&
    sync -f .regatta/staging &&
    { [ ! -e .regatta/staging/intent ] || mv -f -T .regatta/staging/intent .regatta/intent.json; }"#;

/// Moves staged directories to places where nothing is yet, each with all that is in it by one rename.
const MOVE_WHOLE: &str = r#"exec xargs -0 -r sh -c '
for path do
    above=${path%/*}
    if [ -L "$above" ]; then printf "%s is a symbolic link\n" "$above" >&2; exit 255; fi
    if [ -L "$path" ]; then printf "%s is a symbolic link\n" "$path" >&2; exit 255; fi
    [ -d "$above" ] || mkdir -p -- "$above" || exit 255
    mv -n -T ".regatta/staging/tree/$path" "$path" || exit 255
    if [ -e ".regatta/staging/tree/$path" ]; then printf "%s is in the way\n" "$path" >&2; exit 255; fi
done' sh"#;

/// Removes files and links.
const REMOVE_FILES: &str = "exec xargs -0 -r rm -f --";

/// Removes directories in which nothing is left.
const REMOVE_DIRECTORIES: &str = "exec xargs -0 -r rmdir --ignore-fail-on-non-empty --";

/// Makes directories that are missing; refuses everything else that is there.
const MAKE_DIRECTORIES: &str = r#"exec xargs -0 -r sh -c '
umask 022
for path do
    if [ -L "$path" ]; then printf "%s is a symbolic link\n" "$path" >&2; exit 255; fi
    [ -d "$path" ] || mkdir -- "$path" || exit 255
done' sh"#;

/// Gives files and directories the mode `$1` and the owner `$2`.
const PERMIT: &str = r#"exec xargs -0 -r sh -c '
mode=$1 owner=$2
shift 2
chown -h -- "$owner" "$@" && chmod -- "$mode" "$@"' sh "$1" "$2""#;

/// Moves the staged files and links of each directory to their places. `mv` renames: a file is old or new, and one that is a
/// directory by now stays.
const MOVE: &str = r#"exec xargs -0 -r sh -c '
for path do
    if [ -L "$path" ]; then printf "%s is a symbolic link\n" "$path" >&2; exit 255; fi
    find ".regatta/staging/tree/$path" -mindepth 1 -maxdepth 1 ! -type d -exec mv -f -t "$path" -- {} + || exit 255
done' sh"#;

/// Puts the manifest in place and clears up.
const FINISH: &str = r#"if [ -e .regatta/staging/manifest ]; then
    mv -f -T .regatta/staging/manifest .regatta/manifest.json && rm -f .regatta/intent.json || exit 1
fi
rm -rf .regatta/staging && sync -f ."#;

/// Carries the edits out, in their order. Files without a date of their own get `now`, in seconds since 1970.
///
/// # Errors
/// As [`super::Guest::write`].
pub(super) async fn carry_out(remote: &Remote<'_>, edits: Vec<Edit>, now: i64) -> Result<(), Failure> {
    if edits.iter().any(|edit| matches!(edit, Edit::Write(_) | Edit::Link { .. })) {
        room(remote).await?.expect(&edits)?;
    }
    let mut steps = Steps::default();
    edits.into_iter().for_each(|edit| steps.add(edit));
    let writes = !steps.files.is_empty();
    if writes {
        stage(remote, std::mem::take(&mut steps.files), now).await?;
    }
    remote.each("remove files", REMOVE_FILES, &[], &steps.remove_files).await?;
    remote.each("remove directories", REMOVE_DIRECTORIES, &[], &steps.remove_directories).await?;
    let whole = steps.take_whole();
    remote.each("make directories", MAKE_DIRECTORIES, &[], &steps.directories).await?;
    remote.each("put directories in place", MOVE_WHOLE, &[], &whole).await?;
    remote.each("make directories", MAKE_DIRECTORIES, &[], &steps.below).await?;
    for ((mode, (user, group)), paths) in &steps.permits {
        let (mode, owner) = (format!("{mode:04o}"), format!("{user}:{group}"));
        remote.each("set permissions", PERMIT, &[&mode, &owner], paths).await?;
    }
    if writes {
        remote.each("put files in place", MOVE, &[], &steps.parents).await?;
        remote.run("finish", FINISH, &[], b"").await?;
    }
    Ok(())
}

/// What the guest's disk has left for those who are not root's reserve: what is staged needs it beside what is there.
async fn room(remote: &Remote<'_>) -> Result<Room, Failure> {
    let answer = remote.run("ask for free space", ROOM, &[], b"").await?;
    let text = String::from_utf8_lossy(&answer);
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[free_blocks, block_size, inodes, free_inodes]) if block_size > 0 => {
            // File systems without a table of inodes say that they have none.
            Ok(Room { block_size, free_blocks, free_inodes: (inodes > 0).then_some(free_inodes) })
        }
        _ => Err(Failure::transient("the guest does not say how much space is free")),
    }
}

/// Brings the files into the guest, beside their places.
async fn stage(remote: &Remote<'_>, files: Vec<Packed>, now: i64) -> Result<(), Failure> {
    let (mut pieces, archived) = archive(files, now);
    let staged = remote.feed("stage files", STAGE, &[], &mut pieces).await;
    drop(pieces);
    match archived.await {
        Ok(Ok(())) => staged.map(drop),
        // The host's own failure is the cause of what the guest then says about its input.
        Ok(Err(failure)) if staged.is_ok() || failure.hint.is_some() => Err(failure),
        Ok(Err(failure)) => staged.map(drop).and(Err(failure)),
        Err(stopped) => Err(Failure::unknown(format!("sending files was stopped: {stopped}"))),
    }
}

/// Edits by what is done at once.
#[derive(Default)]
struct Steps {
    remove_files: Vec<GuestPath>,
    /// From the bottom up.
    remove_directories: Vec<GuestPath>,
    /// To make, or to find as directories: parents before children.
    directories: BTreeSet<GuestPath>,
    /// By mode and owner.
    permits: BTreeMap<(u32, (u32, u32)), Vec<GuestPath>>,
    files: Vec<Packed>,
    /// Directories that get files.
    parents: BTreeSet<GuestPath>,
    /// Directories that are not there yet.
    new: BTreeSet<GuestPath>,
    /// Directories in those that come as a whole.
    below: BTreeSet<GuestPath>,
}

impl Steps {
    /// Takes out the topmost new directories that get files, with all that is below them: they were staged, and are
    /// moved as they are.
    fn take_whole(&mut self) -> BTreeSet<GuestPath> {
        let new = std::mem::take(&mut self.new);
        let topmost = |path: &&GuestPath| path.parent().is_none_or(|above| !new.contains(&above));
        let mut whole: BTreeSet<GuestPath> = new.iter().filter(topmost).cloned().collect();
        let top = |path: &GuestPath, whole: &BTreeSet<GuestPath>| {
            path.ancestors().into_iter().chain([path.clone()]).find(|above| whole.contains(above))
        };
        let filled: BTreeSet<GuestPath> = self.parents.iter().filter_map(|path| top(path, &whole)).collect();
        whole = filled;
        self.parents.retain(|path| top(path, &whole).is_none());
        let (below, others) =
            std::mem::take(&mut self.directories).into_iter().partition(|path| top(path, &whole).is_some());
        (self.below, self.directories) = (below, others);
        whole
    }

    fn add(&mut self, edit: Edit) {
        match edit {
            // The manifest that takes its place comes last.
            Edit::RemoveFile(path) if path.as_bytes() == manifest::INTENT.as_bytes() => {}
            Edit::RemoveFile(path) => self.remove_files.push(path),
            Edit::RemoveDirectory(path) => self.remove_directories.push(path),
            Edit::MakeDirectory { path, mode, owner } => {
                self.permits.entry((mode, owner)).or_default().push(path.clone());
                // Ours is there by then: it holds what is staged.
                if path.as_bytes() != manifest::DIRECTORY.0.as_bytes() {
                    self.new.insert(path.clone());
                }
                self.directories.insert(path);
            }
            Edit::Permit { path, mode, owner, .. } => self.permits.entry((mode, owner)).or_default().push(path),
            Edit::Write(file) => {
                self.directories.extend(file.path.ancestors());
                if file.path.as_bytes() != manifest::PATH.as_bytes() {
                    self.parents.extend(file.path.parent());
                }
                self.files.push(Packed::File(file));
            }
            Edit::Link { path, target, owner, .. } => {
                self.directories.extend(path.ancestors());
                self.parents.extend(path.parent());
                self.files.push(Packed::Link { path, target, owner });
            }
        }
    }
}

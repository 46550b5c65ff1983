//! Where on a disk a file's bytes are, in debugfs's words.

use super::superblock::Superblock;

/// Blocks of a file that follow one another on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first of them, counted from the start of the disk.
    pub(super) place: u64,
    /// How many there are.
    pub(super) length: u64,
}

/// How many extents an inode holds; with more it leads to a tree of them.
const IN_INODE: usize = 4;

/// The longest extent of blocks that were never written; it cannot be told from a written one otherwise.
const LENGTH_MAX: u64 = 32_767;

/// What debugfs says in front of each command of a script that it carries out.
const PROMPT: &[u8] = b"debugfs: ";

/// The extents of each file that a script asked for with `ex`, in its order; `None` for those that have a tree of them,
/// and for whatever else is not understood.
pub(super) fn listed(said: &[u8]) -> impl Iterator<Item = Option<Vec<Extent>>> {
    let commands = said.split(|byte| *byte == b'\n');
    let mut answers: Vec<Option<Vec<Extent>>> = Vec::new();
    let mut asked = false;
    for line in commands {
        if let Some(command) = line.strip_prefix(PROMPT) {
            asked = command.starts_with(b"ex ");
            if asked {
                answers.push(Some(Vec::new()));
            }
        } else if asked && !line.is_empty() && !line.starts_with(b"Level ") {
            let answer = answers.last_mut();
            if let Some(known @ Some(_)) = answer {
                match (parse(line), known.as_mut()) {
                    (Some((first, extent)), Some(extents)) if follows(extents, first) => extents.push(extent),
                    _ => *known = None,
                }
            }
        }
    }
    answers.into_iter()
}

/// Whether a block of a file comes right after these extents.
fn follows(extents: &[Extent], first: u64) -> bool {
    extents.len() < IN_INODE && extents.iter().map(|extent| extent.length).sum::<u64>() == first
}

/// ` 0/ 0   1/  1     0 -    12  8489 -  8501     13 Uninit`: level and depth, number and how many, first and last
/// block in the file, first and last on the disk, length. Gives the first in the file with the extent.
fn parse(line: &[u8]) -> Option<(u64, Extent)> {
    let text = std::str::from_utf8(line).ok()?.trim().strip_suffix("Uninit")?;
    let numbers: Option<Vec<u64>> =
        text.split([' ', '/', '-']).filter(|word| !word.is_empty()).map(|word| word.parse().ok()).collect();
    let [0, 0, _, _, first, last, place, end, length] = *numbers?.as_slice() else { return None };
    let whole = last.checked_sub(first) == length.checked_sub(1) && end.checked_sub(place) == length.checked_sub(1);
    (whole && (1..=LENGTH_MAX).contains(&length)).then_some((first, Extent { place, length }))
}

/// Whether extents are so many blocks, and on the disk.
pub(super) fn are_sound(extents: &[Extent], blocks: u64, disk: Superblock) -> bool {
    let inside = |extent: &Extent| extent.place > 0 && extent.place + extent.length <= disk.blocks;
    extents.iter().all(inside) && extents.iter().map(|extent| extent.length).sum::<u64>() == blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_understood_is_taken() {
        let said = b"debugfs: write 0 \"ex \"\nAllocated inode: 12\ndebugfs: ex \"/a\"\n\
            Level Entries       Logical      Physical Length Flags\n\
            \x200/ 0   1/  2     0 -    12  4385 -  4397     13 Uninit\n\
            \x200/ 0   2/  2    13 -    13  9000 -  9000      1 Uninit\n\
            debugfs: ex \"/tree\"\nLevel Entries       Logical      Physical Length Flags\n\
            \x200/ 1   1/  1     0 -    12  4385             13\n\
            debugfs: ex \"/gap\"\n 0/ 0   1/  1     1 -    12  4385 -  4396     12 Uninit\n\
            debugfs: ex \"/written\"\n 0/ 0   1/  1     0 -    12  4385 -  4397     13\n\
            debugfs: ex \"/none\"\n";
        let known = vec![Extent { place: 4385, length: 13 }, Extent { place: 9000, length: 1 }];
        assert_eq!(listed(said).collect::<Vec<_>>(), [Some(known), None, None, None, Some(vec![])]);
    }
}

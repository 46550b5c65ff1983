//! What an image has on top of its source: files with their text here, and commands that are run while it is built.

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{ImageCommand, ImageFile};
use crate::syntax::{Diagnostic, Node, Spanned};

/// Permission bits of a file that states none: what programs read.
const DEFAULT_MODE: u32 = 0o644;

/// `file "/etc/motd" { content "hello\n" }`
pub(super) static FILE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", Kind::ImagePath, "Where it is in the image.")],
    properties: &[PropertyRule::defaulted("mode", Kind::Mode, "\"0644\"", "Its permission bits.")],
    children: &[ChildRule::once(&CONTENT)],
    impact: "recreate",
    ..NodeRule::new(
        "file",
        "A file that is put over what the source brings, before any `run`. It belongs to root. Not for images that are \
         disks already (`cloud-image`, `ext4`).",
    )
};

static CONTENT: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("text", Kind::Content, "Every byte of it; `\"{name}\"` is replaced.")],
    impact: "recreate",
    ..NodeRule::new(
        "content",
        "The text of the file. Plans show it, and every guest of the image has it: an image is no place for secrets.",
    )
};

/// `run "systemctl" "enable" "nftables"`
pub(super) static RUN: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("argument", Kind::Text, "The program in the image, and its arguments.")],
    impact: "recreate",
    ..NodeRule::new(
        "run",
        "Runs a program in the new tree, as its root and without a shell, after packages and files, in the order written. \
         No service runs there. One that fails ends the build.",
    )
};

/// The file, as far as it can be understood.
pub(super) fn decode_file(node: &Node, problems: &mut Problems) -> Option<Spanned<ImageFile>> {
    let block = Block::read(node, &FILE, problems);
    let content = block.children("content").next().map(|node| Block::read(node, &CONTENT, problems).text("text"));
    let path = block.text("path")?;
    let mode = block.integer("mode").map_or(DEFAULT_MODE, |mode| mode.value);
    Some(Spanned::new(ImageFile { path: path.value, mode, content: content??.value }, path.span))
}

/// The command, as far as it can be understood.
pub(super) fn decode_run(node: &Node, problems: &mut Problems) -> Option<Spanned<ImageCommand>> {
    let before = problems.count();
    let words = Block::read(node, &RUN, problems).texts("argument").map(|word| word.value).collect();
    (problems.count() == before).then(|| Spanned::new(ImageCommand(words), node.span))
}

/// Reports a path that two files have.
pub(super) fn check_paths(files: &[Spanned<ImageFile>], problems: &mut Problems) {
    for (index, file) in files.iter().enumerate() {
        let path = &file.value.path;
        if let Some(first) = files[..index].iter().find(|earlier| earlier.value.path == *path) {
            problems.declared_twice("file", &Spanned::new(path.clone(), file.span), first.span);
        }
    }
}

/// A disk has no tree that files could be put over.
pub(super) fn on_a_disk(file: &Node, form: &str) -> Diagnostic {
    let message = format!("found `file` on an image from `{form}`");
    Diagnostic::error("config::contradiction", message, file.name.span, "nothing is put over a disk").help(
        "take the source as `oci`, `tar`, `directory` or `debootstrap`, or declare the file on the guest's work disk",
    )
}

//! `image NAME { … }`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{ByteSize, Image, ImageSource, Setting};
use crate::syntax::{Node, Spanned};

/// Size of an image that states none.
const DEFAULT_SIZE: ByteSize = ByteSize::gib(2);

/// `image "bookworm" { debootstrap suite="bookworm" { package "git" } }`
pub(in crate::config) static IMAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What guests call it.")],
    children: &[ChildRule::once(&DEBOOTSTRAP), ChildRule::at_most_once(&SIZE)],
    impact: "recreate",
    ..NodeRule::new(
        "image",
        "What root disks are copied from. Images are built when a guest uses them, and kept by what they are built from.",
    )
};

static DEBOOTSTRAP: NodeRule = NodeRule {
    properties: &[
        PropertyRule::required("suite", Kind::Package, "Release name, such as `bookworm`."),
        PropertyRule::optional("mirror", Kind::Url, "Archive to take packages from."),
    ],
    children: &[ChildRule::any(&PACKAGE)],
    impact: "recreate",
    ..NodeRule::new("debootstrap", "Builds the image from packages of Debian or a distribution made like it.")
};

static PACKAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("package", Kind::Package, "Package names.")],
    impact: "recreate",
    ..NodeRule::new("package", "Packages on top of those that every guest needs.")
};

static SIZE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required(
        "size",
        Kind::Size { min: ByteSize::mib(64) },
        "Size of the root file system.",
    )],
    default: Some("2GiB"),
    impact: "recreate",
    ..NodeRule::new("size", "How large the root file system is; it takes only the space that is used.")
};

/// The image, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<(Spanned<String>, Image)> {
    let block = Block::read(node, &IMAGE, problems);
    let size = block.children("size").filter_map(|size| Block::read(size, &SIZE, problems).size("size")).next();
    let sources: Vec<_> = block.children("debootstrap").map(|source| decode_debootstrap(source, problems)).collect();
    let name = block.text("name")?;
    let source = sources.into_iter().next().flatten()?;
    let size = size.map_or(Setting::default_value(DEFAULT_SIZE), |size| Setting::written(size.value, size.span));
    Some((name.clone(), Image { name: name.value, span: node.span, source, size }))
}

fn decode_debootstrap(node: &Node, problems: &mut Problems) -> Option<ImageSource> {
    let block = Block::read(node, &DEBOOTSTRAP, problems);
    let packages = block
        .children("package")
        .flat_map(|package| Block::read(package, &PACKAGE, problems).texts("package").collect::<Vec<_>>());
    let packages = packages.collect();
    Some(ImageSource::Debootstrap { suite: block.text("suite")?, mirror: block.text("mirror"), packages })
}

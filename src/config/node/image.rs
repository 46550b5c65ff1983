//! `image NAME { … }`

use super::image_content::{self, FILE, RUN};
use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{ByteSize, FileForm, Image, ImageFile, ImageSource, Setting};
use crate::syntax::{Diagnostic, Node, Spanned};

/// Size of an image that states none.
const DEFAULT_SIZE: ByteSize = ByteSize::gib(2);

/// `image "bookworm" { debootstrap suite="bookworm" { package "git" } }`
pub(in crate::config) static IMAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What guests call it.")],
    children: &[
        ChildRule::at_most_once(&DEBOOTSTRAP),
        ChildRule::at_most_once(&OCI),
        ChildRule::at_most_once(&TAR),
        ChildRule::at_most_once(&DIRECTORY),
        ChildRule::at_most_once(&CLOUD_IMAGE),
        ChildRule::at_most_once(&EXT4),
        ChildRule::any(&FILE),
        ChildRule::at_most_once(&SIZE),
    ],
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
    children: &[ChildRule::any(&PACKAGE), ChildRule::any(&RUN)],
    impact: "recreate",
    ..NodeRule::new("debootstrap", "Builds the image from packages of Debian or a distribution made like it.")
};

static PACKAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("package", Kind::Package, "Package names.")],
    impact: "recreate",
    ..NodeRule::new("package", "Packages on top of those that every guest needs.")
};

static OCI: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("reference", Kind::Reference, "The image, such as `debian:12`.")],
    impact: "recreate",
    ..NodeRule::new(
        "oci",
        "Pulls the image from a container registry. What a tag stands for is kept in `fleet.lock.kdl`. It must have an init and an SSH server.",
    )
};

const LOCATION: ArgumentRule = ArgumentRule::required(
    "location",
    Kind::Location,
    "A URL, or a path; a relative one starts at the declaring file.",
);

const SHA256: PropertyRule = PropertyRule::optional(
    "sha256",
    Kind::Sha256,
    "Digest that the file must have. A URL without one is looked up in `fleet.lock.kdl`.",
);

static TAR: NodeRule = NodeRule {
    arguments: &[LOCATION],
    properties: &[SHA256],
    impact: "recreate",
    ..NodeRule::new("tar", "Unpacks a root file system from a tar file: plain, gzip, xz or zstd.")
};

static DIRECTORY: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("path", Kind::HostPath, "The directory.")],
    impact: "recreate",
    ..NodeRule::new(
        "directory",
        "Copies a root file system from a directory. What belongs to you belongs to root in the image.",
    )
};

static CLOUD_IMAGE: NodeRule = NodeRule {
    arguments: &[LOCATION],
    properties: &[SHA256],
    impact: "recreate",
    ..NodeRule::new("cloud-image", "Takes the root partition of a disk image, qcow2 or raw. It must be ext4.")
};

static EXT4: NodeRule = NodeRule {
    arguments: &[LOCATION],
    properties: &[SHA256],
    impact: "recreate",
    ..NodeRule::new("ext4", "Takes an ext4 file system as it is.")
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
    let mut sources = Vec::new();
    let nodes: Vec<&Node> = block.all_children().filter(|child| SOURCES.contains(&child.name.value.as_str())).collect();
    for source in &nodes {
        sources.push(decode_source(source, problems));
    }
    match *nodes {
        [] if !block.is_uncertain() => problems.push(no_source(&block)),
        [first, second, ..] if first.name.value != second.name.value => problems.push(two_sources(first, second)),
        _ => {}
    }
    let form = nodes.first().map(|node| node.name.value.as_str());
    let files = decode_files(&block, form, problems);
    let name = block.text("name")?;
    let source = sources.into_iter().next().flatten()?;
    let size = size.map_or(Setting::default_value(DEFAULT_SIZE), |size| Setting::written(size.value, size.span));
    Some((name.clone(), Image { name: name.value, span: node.span, source, files, size }))
}

/// The files of an image whose source is of this form.
fn decode_files(block: &Block<'_>, form: Option<&str>, problems: &mut Problems) -> Vec<Spanned<ImageFile>> {
    let mut files = Vec::new();
    for file in block.children("file") {
        files.extend(image_content::decode_file(file, problems));
        if let Some(form @ ("cloud-image" | "ext4")) = form {
            problems.push(image_content::on_a_disk(file, form));
        }
    }
    image_content::check_paths(&files, problems);
    files
}

/// The nodes that say what an image is made from.
const SOURCES: [&str; 6] = ["debootstrap", "oci", "tar", "directory", "cloud-image", "ext4"];

fn no_source(block: &Block<'_>) -> Diagnostic {
    let expected = SOURCES.map(|name| format!("`{name}`")).join(", ");
    let problem =
        Diagnostic::error("config::missing-node", "found no source of the image", block.head(), "made from what?");
    problem.help(format!("write one of {expected}"))
}

fn two_sources(first: &Node, second: &Node) -> Diagnostic {
    let message = format!("found `{}` and `{}`, expected one source", first.name.value, second.name.value);
    Diagnostic::error("config::two-sources", message, second.span, "the second one").also(first.span, "the first one")
}

fn decode_source(node: &Node, problems: &mut Problems) -> Option<ImageSource> {
    match node.name.value.as_str() {
        "oci" => Some(ImageSource::Oci { reference: Block::read(node, &OCI, problems).text("reference")? }),
        "tar" => decode_file(FileForm::Tar, &Block::read(node, &TAR, problems)),
        "cloud-image" => decode_file(FileForm::CloudImage, &Block::read(node, &CLOUD_IMAGE, problems)),
        "ext4" => decode_file(FileForm::Ext4, &Block::read(node, &EXT4, problems)),
        "directory" => Some(ImageSource::Directory { path: Block::read(node, &DIRECTORY, problems).text("path")? }),
        _ => decode_debootstrap(node, problems),
    }
}

fn decode_file(form: FileForm, block: &Block<'_>) -> Option<ImageSource> {
    Some(ImageSource::File { form, location: block.text("location")?, sha256: block.text("sha256") })
}

fn decode_debootstrap(node: &Node, problems: &mut Problems) -> Option<ImageSource> {
    let block = Block::read(node, &DEBOOTSTRAP, problems);
    let packages = block
        .children("package")
        .flat_map(|package| Block::read(package, &PACKAGE, problems).texts("package").collect::<Vec<_>>());
    let packages = packages.collect();
    let commands = block.children("run").filter_map(|run| image_content::decode_run(run, problems)).collect();
    Some(ImageSource::Debootstrap { suite: block.text("suite")?, mirror: block.text("mirror"), packages, commands })
}

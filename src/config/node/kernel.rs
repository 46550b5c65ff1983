//! `kernel NAME { … }`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{DEFAULT_KERNEL_PACKAGE, Kernel, KernelSource, Setting};
use crate::syntax::{Diagnostic, Node, Spanned};

/// `kernel "cloud" { debian suite="bookworm"; arguments "mitigations=off" }`
pub(in crate::config) static KERNEL: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What guests call it.")],
    children: &[
        ChildRule::at_most_once(&DEBIAN),
        ChildRule::at_most_once(&FILE),
        ChildRule::at_most_once(&IMAGE),
        ChildRule::at_most_once(&ARGUMENTS),
    ],
    default: Some("the cloud kernel of the image's suite"),
    impact: "restart",
    ..NodeRule::new("kernel", "What guests boot. Kernels are fetched when a guest uses them.")
};

/// The nodes that say where a kernel comes from.
const SOURCES: [&str; 3] = ["debian", "file", "image"];

static DEBIAN: NodeRule = NodeRule {
    properties: &[
        PropertyRule::required("suite", Kind::Package, "Release name, such as `bookworm`."),
        PropertyRule::defaulted(
            "package",
            Kind::Package,
            DEFAULT_KERNEL_PACKAGE,
            "A kernel package, or one that depends on a kernel package.",
        ),
        PropertyRule::optional("mirror", Kind::Url, "Archive to take the package from."),
    ],
    impact: "restart",
    ..NodeRule::new("debian", "Takes the kernel from a package of Debian.")
};

static FILE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("location", Kind::FixedLocation, "A URL, or an absolute path.")],
    properties: &[PropertyRule::required("sha256", Kind::Sha256, "Digest that the file must have.")],
    impact: "restart",
    ..NodeRule::new(
        "file",
        "Takes the kernel from a file: an ELF file (`vmlinux`), or a bzImage compressed with gzip, LZ4, xz or zstd. It must \
         have virtio and ext4 built in.",
    )
};

static IMAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("image", Kind::Name, "Name of an `image` node.")],
    impact: "restart",
    ..NodeRule::new(
        "image",
        "Takes the newest kernel of an image's own `/boot`, `vmlinuz-VERSION`, with drivers of its `/lib/modules`.",
    )
};

static ARGUMENTS: NodeRule = NodeRule {
    arguments: &[ArgumentRule::repeated("argument", Kind::KernelArgument, "Words, such as `mitigations=off`.")],
    impact: "restart",
    ..NodeRule::new(
        "arguments",
        "Further arguments of the kernel, after those that regatta gives it: of two that contradict each other the kernel \
         takes the last.",
    )
};

/// The kernel, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<(Spanned<String>, Kernel)> {
    let block = Block::read(node, &KERNEL, problems);
    let debian: Vec<_> = block.children("debian").map(|source| decode_debian(source, problems)).collect();
    let file: Vec<_> = block.children("file").map(|source| decode_file(source, problems)).collect();
    let arguments = block
        .children("arguments")
        .flat_map(|node| Block::read(node, &ARGUMENTS, problems).texts("argument").collect::<Vec<_>>())
        .collect();
    let image: Vec<_> = block.children("image").map(|source| decode_image(source, problems)).collect();
    let mut written = SOURCES.iter().flat_map(|name| block.children(name));
    match (written.next(), written.next()) {
        (None, _) if !block.is_uncertain() => problems.push(no_source(&block)),
        (Some(first), Some(second)) => problems.push(two_sources(first, second)),
        _ => {}
    }
    let name = block.text("name")?;
    let source = debian.into_iter().chain(file).chain(image).next().flatten()?;
    Some((name.clone(), Kernel { name: name.value, span: node.span, source, arguments }))
}

fn no_source(block: &Block<'_>) -> Diagnostic {
    Diagnostic::error("config::missing-node", "found no source of the kernel", block.head(), "taken from where?")
        .help("write one of `debian`, `file`, `image`")
}

fn two_sources(first: &Node, second: &Node) -> Diagnostic {
    let message = format!("found `{}` and `{}`, expected one source", first.name.value, second.name.value);
    Diagnostic::error("config::two-sources", message, second.span, "another one").also(first.span, "one")
}

fn decode_image(node: &Node, problems: &mut Problems) -> Option<KernelSource> {
    Some(KernelSource::Image { image: Block::read(node, &IMAGE, problems).text("image")? })
}

fn decode_debian(node: &Node, problems: &mut Problems) -> Option<KernelSource> {
    let block = Block::read(node, &DEBIAN, problems);
    let package = block
        .text("package")
        .map_or(Setting::default_value(DEFAULT_KERNEL_PACKAGE.into()), |text| Setting::written(text.value, text.span));
    Some(KernelSource::Debian { suite: block.text("suite")?, mirror: block.text("mirror"), package })
}

fn decode_file(node: &Node, problems: &mut Problems) -> Option<KernelSource> {
    let block = Block::read(node, &FILE, problems);
    Some(KernelSource::File { location: block.text("location")?, sha256: block.text("sha256")? })
}

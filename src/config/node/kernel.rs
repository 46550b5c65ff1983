//! `kernel NAME { … }`

use crate::config::block::Block;
use crate::config::language::{ArgumentRule, ChildRule, Kind, NodeRule, PropertyRule};
use crate::config::problems::Problems;
use crate::config::{DEFAULT_KERNEL_PACKAGE, Kernel, KernelSource, Setting};
use crate::syntax::{Node, Spanned};

/// `kernel "cloud" { debian suite="bookworm" }`
pub(in crate::config) static KERNEL: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "What guests call it.")],
    children: &[ChildRule::once(&DEBIAN)],
    default: Some("the cloud kernel of the image's suite"),
    impact: "restart",
    ..NodeRule::new("kernel", "What guests boot. Kernels are fetched when a guest uses them.")
};

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

/// The kernel, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<(Spanned<String>, Kernel)> {
    let block = Block::read(node, &KERNEL, problems);
    let sources: Vec<_> = block.children("debian").map(|source| decode_debian(source, problems)).collect();
    let name = block.text("name")?;
    let source = sources.into_iter().next().flatten()?;
    Some((name.clone(), Kernel { name: name.value, span: node.span, source }))
}

fn decode_debian(node: &Node, problems: &mut Problems) -> Option<KernelSource> {
    let block = Block::read(node, &DEBIAN, problems);
    let package = block
        .text("package")
        .map_or(Setting::default_value(DEFAULT_KERNEL_PACKAGE.into()), |text| Setting::written(text.value, text.span));
    Some(KernelSource::Debian { suite: block.text("suite")?, mirror: block.text("mirror"), package })
}

//! Images and kernels: they are in the store, or they are built.

use std::collections::BTreeMap;

use super::order::{Draft, Drafted};
use super::select::Taken;
use super::verdict::{Facts, Found, Verdict, Wish, decide};
use super::{Aspect, Attribute, Cause, Change, Impact, Op, Refusal, Shown};
use crate::config::ImageFile;
use crate::resource::{
    Address, ContentKey, Declared, Desired, ImageSpec, KernelFile, KernelSpec, Observed, Recipe, Resource, SourceSpec,
};

/// The steps that build what is missing, by what they build.
pub(super) type Builds = BTreeMap<ContentKey, Drafted>;

/// Plans every declared image and kernel. Two names for one recipe are one build.
pub(super) fn plan(
    desired: &Desired,
    observed: &Observed,
    taken: &Taken<'_>,
    draft: &mut Draft,
) -> (Vec<Change>, Vec<Refusal>, Builds) {
    let mut missing: BTreeMap<ContentKey, (Vec<Address>, Op)> = BTreeMap::new();
    let (mut changes, mut refusals) = (Vec::new(), Vec::new());
    for (address, declared) in desired.resources.iter().filter(|(address, _)| taken.declared(address)) {
        let Some((key, attributes, op)) = build(&declared.resource) else { continue };
        let is_built = observed.built.contains_key(key);
        changes.push(change(address, declared, is_built, attributes));
        if !is_built {
            let obstacles = observed.obstacles.get(address).into_iter().flatten();
            refusals.extend(obstacles.map(|it| Refusal::in_the_way(address, declared, it)));
            missing.entry(key.clone()).or_insert_with(|| (Vec::new(), op)).0.push(address.clone());
        }
    }
    let from_images: Vec<(ContentKey, ContentKey)> = missing
        .values()
        .filter_map(|(_, op)| match op {
            Op::BuildKernel { kernel } => Some((kernel.key.clone(), kernel.image.clone()?)),
            _ => None,
        })
        .collect();
    let builds: Builds = missing.into_iter().map(|(key, (addresses, op))| (key, draft.step(addresses, op))).collect();
    for (kernel, image) in &from_images {
        if let (Some(kernel), Some(image)) = (builds.get(kernel), builds.get(image)) {
            draft.after(*kernel, *image, "the kernel lies in the image");
        }
    }
    (changes, refusals, builds)
}

/// What something in a store was made from, as the plan showed it when it was to be built.
pub fn recipe(recipe: &Recipe) -> Vec<Attribute> {
    match recipe {
        Recipe::Image(image) => image_recipe(image),
        Recipe::Kernel(kernel) => kernel_recipe(kernel),
    }
}

fn build(resource: &Resource) -> Option<(&ContentKey, Vec<Attribute>, Op)> {
    match resource {
        Resource::Image(image) => Some((&image.key, image_recipe(image), Op::BuildImage { image: image.clone() })),
        Resource::Kernel(kernel) => {
            Some((&kernel.key, kernel_recipe(kernel), Op::BuildKernel { kernel: kernel.clone() }))
        }
        Resource::Network(_)
        | Resource::Vm(_)
        | Resource::Files(_)
        | Resource::Cluster(_)
        | Resource::ClusterGuest(_)
        | Resource::NodeMount(_) => None,
    }
}

fn change(address: &Address, declared: &Declared, is_built: bool, recipe: Vec<Attribute>) -> Change {
    let found = if is_built { Found::Up } else { Found::Absent };
    let Verdict { action, reason, impact } =
        decide(Facts { wish: Wish::Declared, found, difference: None, loss: Impact::None });
    Change {
        address: address.clone(),
        action,
        reason,
        impact,
        attributes: if is_built { Vec::new() } else { recipe },
        ignored: Vec::new(),
        source: declared.source.clone(),
        note: None,
    }
}

fn image_recipe(image: &ImageSpec) -> Vec<Attribute> {
    let source = match &image.source {
        SourceSpec::Debootstrap { suite, mirror, packages, commands } => {
            let mirror = mirror.as_ref().map(|mirror| part("mirror", mirror));
            let suite = [part("suite", suite)].into_iter().chain(mirror);
            let commands = commands.iter().map(|command| part("run", &command.0.join(" ")));
            suite.chain([part("packages", &packages.join(", "))]).chain(commands).collect()
        }
        SourceSpec::Oci { reference, digest } => vec![part("oci", reference), part("digest", digest)],
        SourceSpec::File { form, location, digest } => vec![part(form.word(), location), part("digest", digest)],
        SourceSpec::Directory { path, digest } => vec![part("directory", path), part("digest", digest)],
    };
    let files = image.files.iter().map(file).collect();
    [source, files, vec![part("size", &image.size), part("key", &image.key)]].concat()
}

fn kernel_recipe(kernel: &KernelSpec) -> Vec<Attribute> {
    if let Some(KernelFile { location, digest }) = &kernel.file {
        return vec![part("file", location), part("digest", digest), part("key", &kernel.key)];
    }
    if let Some(image) = &kernel.image {
        return vec![part("image", image), part("key", &kernel.key)];
    }
    let mirror = kernel.mirror.as_ref().map(|mirror| part("mirror", mirror));
    [part("suite", &kernel.suite)]
        .into_iter()
        .chain(mirror)
        .chain([part("package", &kernel.package), part("key", &kernel.key)])
        .collect()
}

fn file(file: &ImageFile) -> Attribute {
    let path = format!("file:{} ({:04o})", file.path, file.mode);
    Attribute { after: Shown::Text(file.content.clone()), ..part(&path, "") }
}

fn part(path: &str, value: &(impl ToString + ?Sized)) -> Attribute {
    Attribute {
        path: path.into(),
        aspect: Aspect::Value,
        before: Shown::Absent,
        after: Shown::plain(value),
        impact: Impact::None,
        cause: Cause::Pending,
    }
}

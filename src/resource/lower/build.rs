//! Images and kernels: what is built once and kept by what it is built from.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Lowering;
use crate::config::{ByteSize, DEFAULT_KERNEL_PACKAGE, Image, ImageSource, Kernel, KernelSource};
use crate::resource::{Address, ContentKey, ImageSpec, KernelSpec, Resource};
use crate::syntax::Span;

/// What every guest needs, whatever its image declares: an init that is really started (`systemd-sysv` brings
/// `/sbin/init`), device nodes with the names that units wait for, the bus that systemd's own tools speak on, the tool
/// that configures the interface, and the server that we log in through.
const GUEST_PACKAGES: [&str; 5] = ["dbus", "iproute2", "openssh-server", "systemd-sysv", "udev"];

/// Part of every image's recipe: to be raised when the same recipe is built differently, so that old builds are not
/// taken for new ones.
const IMAGE_RECIPE_VERSION: u32 = 1;

/// As [`IMAGE_RECIPE_VERSION`], for kernels and the initramfs that goes with them.
const KERNEL_RECIPE_VERSION: u32 = 2;

/// What the key of an image is the digest of.
#[derive(Serialize)]
struct ImageRecipe<'a> {
    kind: &'static str,
    version: u32,
    suite: &'a str,
    mirror: Option<&'a str>,
    packages: &'a [String],
    size: ByteSize,
}

/// What the key of a kernel is the digest of.
#[derive(Serialize)]
struct KernelRecipe<'a> {
    kind: &'static str,
    version: u32,
    suite: &'a str,
    mirror: Option<&'a str>,
    package: &'a str,
}

impl Lowering<'_> {
    /// Declares an image that a guest uses.
    pub(super) fn image(&mut self, image: &Image) -> (Address, ContentKey) {
        let spec = image_spec(image);
        let key = spec.key.clone();
        let address = Address::image(&image.name);
        (self.declare(address, Resource::Image(spec), image.span, BTreeSet::new()), key)
    }

    /// Declares a kernel that a guest names.
    pub(super) fn kernel(&mut self, kernel: &Kernel) -> (Address, ContentKey) {
        let KernelSource::Debian { suite, mirror, package } = &kernel.source;
        let mirror = mirror.as_ref().map(|mirror| mirror.value.as_str());
        let spec = kernel_spec(&kernel.name, &suite.value, mirror, &package.value);
        self.declare_kernel(spec, kernel.span)
    }

    /// Declares the kernel of a guest that names none: the cloud kernel of its image's suite. Images of one suite share
    /// it; the mirror is that of the image that comes first.
    pub(super) fn default_kernel(&mut self, image: &Image) -> (Address, ContentKey) {
        let ImageSource::Debootstrap { suite, mirror, .. } = &image.source;
        let name = format!("default-{}", suite.value);
        if let Some(Resource::Kernel(known)) =
            self.desired.resources.get(&Address::kernel(&name)).map(|declared| &declared.resource)
        {
            return (Address::kernel(&name), known.key.clone());
        }
        let mirror = mirror.as_ref().map(|mirror| mirror.value.as_str());
        let spec = kernel_spec(&name, &suite.value, mirror, DEFAULT_KERNEL_PACKAGE);
        self.declare_kernel(spec, image.span)
    }

    fn declare_kernel(&mut self, spec: KernelSpec, span: Span) -> (Address, ContentKey) {
        let key = spec.key.clone();
        let address = Address::kernel(&spec.name);
        (self.declare(address, Resource::Kernel(spec), span, BTreeSet::new()), key)
    }
}

fn image_spec(image: &Image) -> ImageSpec {
    let ImageSource::Debootstrap { suite, mirror, packages } = &image.source;
    let needed = GUEST_PACKAGES.iter().map(|package| (*package).to_owned());
    let packages: BTreeSet<String> = needed.chain(packages.iter().map(|package| package.value.clone())).collect();
    let packages: Vec<String> = packages.into_iter().collect();
    let recipe = ImageRecipe {
        kind: "image",
        version: IMAGE_RECIPE_VERSION,
        suite: &suite.value,
        mirror: mirror.as_ref().map(|mirror| mirror.value.as_str()),
        packages: &packages,
        size: image.size.value,
    };
    let key = ContentKey::of(&recipe);
    let (suite, mirror) = (suite.value.clone(), mirror.as_ref().map(|mirror| mirror.value.clone()));
    ImageSpec { name: image.name.clone(), suite, mirror, packages, size: image.size.value, key }
}

fn kernel_spec(name: &str, suite: &str, mirror: Option<&str>, package: &str) -> KernelSpec {
    let key = ContentKey::of(&KernelRecipe { kind: "kernel", version: KERNEL_RECIPE_VERSION, suite, mirror, package });
    KernelSpec {
        name: name.into(),
        suite: suite.into(),
        mirror: mirror.map(str::to_owned),
        package: package.into(),
        key,
    }
}

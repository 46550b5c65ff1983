//! Images and kernels: what is built once and kept by what it is built from.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Lowering;
use crate::config::{
    ByteSize, DEFAULT_KERNEL_PACKAGE, Image, ImageCommand, ImageFile, ImageSource, Kernel, KernelSource,
};
use crate::resource::{Address, ContentKey, ImageSpec, KernelFile, KernelSpec, Pin, Pinned, Resource, SourceSpec};
use crate::syntax::{Diagnostic, Span, Spanned};

/// What every guest needs, whatever its image declares: an init that is really started (`systemd-sysv` brings
/// `/sbin/init`), device nodes with the names that units wait for, the bus that systemd's own tools speak on, the tool
/// that configures the interface, and the server that we log in through.
const GUEST_PACKAGES: [&str; 5] = ["dbus", "iproute2", "openssh-server", "systemd-sysv", "udev"];

/// Part of every image's recipe: to be raised when the same recipe is built differently, so that old builds are not
/// taken for new ones.
const IMAGE_RECIPE_VERSION: u32 = 2;

/// As [`IMAGE_RECIPE_VERSION`], for kernels and the initramfs that goes with them.
const KERNEL_RECIPE_VERSION: u32 = 3;

/// What has the programs of the initramfs.
const INITRAMFS_PACKAGE: &str = "busybox-static";

/// The Debian release whose kernel guests boot whose image says nothing of a release.
const DEFAULT_KERNEL_SUITE: &str = "bookworm";

/// What the key of an image is the digest of.
#[derive(Serialize)]
struct ImageRecipe<'a> {
    kind: &'static str,
    version: u32,
    suite: &'a str,
    mirror: Option<&'a str>,
    packages: &'a [String],
    size: ByteSize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    commands: &'a [ImageCommand],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    files: &'a [ImageFile],
}

/// What the key of an image is the digest of whose source is pinned.
#[derive(Serialize)]
struct PinnedRecipe<'a> {
    kind: &'static str,
    version: u32,
    from: &'static str,
    digest: &'a str,
    size: ByteSize,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    files: &'a [ImageFile],
}

/// What the key of a kernel is the digest of.
#[derive(Serialize)]
struct KernelRecipe<'a> {
    kind: &'static str,
    version: u32,
    suite: &'a str,
    mirror: Option<&'a str>,
    package: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a ContentKey>,
}

impl Lowering<'_> {
    /// Declares an image that a guest uses; `None`, and a mistake, when it is not known what its source stands for.
    pub(super) fn image(&mut self, image: &Image) -> Option<(Address, ContentKey)> {
        let source = self.source(image)?;
        let mut files: Vec<ImageFile> = image.files.iter().map(|file| file.value.clone()).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let key = image_key(&source, &files, image.size.value);
        let spec = ImageSpec { name: image.name.clone(), source, files, size: image.size.value, key: key.clone() };
        let address = Address::image(&image.name);
        Some((self.declare(address, Resource::Image(spec), image.span, BTreeSet::new()), key))
    }

    fn source(&mut self, image: &Image) -> Option<SourceSpec> {
        let span = match &image.source {
            ImageSource::Debootstrap { suite, mirror, packages, commands } => {
                let mirror = mirror.as_ref().map(|mirror| mirror.value.as_str());
                return Some(debootstrap(&suite.value, mirror, packages, commands));
            }
            ImageSource::Oci { reference } => reference.span,
            ImageSource::File { location, .. } => location.span,
            ImageSource::Directory { path } => path.span,
        };
        let Pin { location, digest } = match self.inputs.pins.get(&image.name) {
            Some(Pinned::At(pin)) => pin.clone(),
            Some(Pinned::Refused { message, help }) => {
                let problem = Diagnostic::error("resource::image", message.clone(), span, "this source");
                self.report(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                });
                return None;
            }
            None => {
                let message = "it is not known what this source stands for";
                self.report(Diagnostic::error("resource::image", message, span, "this source"));
                return None;
            }
        };
        Some(match &image.source {
            ImageSource::Oci { .. } => SourceSpec::Oci { reference: location, digest },
            ImageSource::File { form, .. } => SourceSpec::File { form: *form, location, digest },
            ImageSource::Directory { .. } | ImageSource::Debootstrap { .. } => {
                SourceSpec::Directory { path: location, digest }
            }
        })
    }

    /// Declares a kernel that a guest names.
    /// Nothing, where the image that it is taken from is not known.
    pub(super) fn kernel(&mut self, kernel: &Kernel) -> Option<(Address, ContentKey)> {
        let mut needs = BTreeSet::new();
        let spec = match &kernel.source {
            KernelSource::Debian { suite, mirror, package } => {
                let mirror = mirror.as_ref().map(|mirror| mirror.value.as_str());
                kernel_spec(&kernel.name, &suite.value, mirror, (&package.value, Bytes::Package))
            }
            KernelSource::Image { image } => {
                // References were checked when the fleet was built.
                let (address, key) = self.image(self.fleet.images.get(&image.value)?)?;
                needs.insert(address);
                kernel_spec(&kernel.name, DEFAULT_KERNEL_SUITE, None, (INITRAMFS_PACKAGE, Bytes::Image(key)))
            }
            KernelSource::File { location, sha256 } => {
                let digest = format!("sha256:{}", sha256.value);
                let file = KernelFile { location: location.value.clone(), digest };
                kernel_spec(&kernel.name, DEFAULT_KERNEL_SUITE, None, (INITRAMFS_PACKAGE, Bytes::File(file)))
            }
        };
        Some(self.declare_kernel(spec, kernel.span, needs))
    }

    /// Declares the kernel of a guest that names none: the cloud kernel of its image's suite, where that is known. Images
    /// of one suite share it; the mirror is that of the image that comes first.
    pub(super) fn default_kernel(&mut self, image: &Image) -> (Address, ContentKey) {
        let (suite, mirror) = match &image.source {
            ImageSource::Debootstrap { suite, mirror, .. } => (suite.value.as_str(), mirror.as_ref()),
            ImageSource::Oci { .. } | ImageSource::File { .. } | ImageSource::Directory { .. } => {
                (DEFAULT_KERNEL_SUITE, None)
            }
        };
        let name = format!("default-{suite}");
        if let Some(Resource::Kernel(known)) =
            self.desired.resources.get(&Address::kernel(&name)).map(|declared| &declared.resource)
        {
            return (Address::kernel(&name), known.key.clone());
        }
        let mirror = mirror.map(|mirror| mirror.value.as_str());
        let spec = kernel_spec(&name, suite, mirror, (DEFAULT_KERNEL_PACKAGE, Bytes::Package));
        self.declare_kernel(spec, image.span, BTreeSet::new())
    }

    fn declare_kernel(&mut self, spec: KernelSpec, span: Span, needs: BTreeSet<Address>) -> (Address, ContentKey) {
        let key = spec.key.clone();
        let address = Address::kernel(&spec.name);
        (self.declare(address, Resource::Kernel(spec), span, needs), key)
    }
}

fn debootstrap(
    suite: &str,
    mirror: Option<&str>,
    packages: &[Spanned<String>],
    commands: &[Spanned<ImageCommand>],
) -> SourceSpec {
    let needed = GUEST_PACKAGES.iter().map(|package| (*package).to_owned());
    let packages: BTreeSet<String> = needed.chain(packages.iter().map(|package| package.value.clone())).collect();
    let (suite, mirror) = (suite.to_owned(), mirror.map(str::to_owned));
    let commands = commands.iter().map(|command| command.value.clone()).collect();
    SourceSpec::Debootstrap { suite, mirror, packages: packages.into_iter().collect(), commands }
}

fn image_key(source: &SourceSpec, files: &[ImageFile], size: ByteSize) -> ContentKey {
    let (kind, version) = ("image", IMAGE_RECIPE_VERSION);
    // Where the bytes come from is not part of what they are.
    let (from, digest) = match source {
        SourceSpec::Debootstrap { suite, mirror, packages, commands } => {
            let mirror = mirror.as_deref();
            return ContentKey::of(&ImageRecipe { kind, version, suite, mirror, packages, size, commands, files });
        }
        SourceSpec::Oci { digest, .. } => ("oci", digest),
        SourceSpec::File { form, digest, .. } => (form.word(), digest),
        SourceSpec::Directory { digest, .. } => ("directory", digest),
    };
    ContentKey::of(&PinnedRecipe { kind, version, from, digest, size, files })
}

/// Where the bytes of a kernel come from.
enum Bytes {
    Package,
    File(KernelFile),
    Image(ContentKey),
}

fn kernel_spec(name: &str, suite: &str, mirror: Option<&str>, (package, bytes): (&str, Bytes)) -> KernelSpec {
    let (file, image) = match bytes {
        Bytes::Package => (None, None),
        Bytes::File(file) => (Some(file), None),
        Bytes::Image(image) => (None, Some(image)),
    };
    let (kind, version) = ("kernel", KERNEL_RECIPE_VERSION);
    let digest = file.as_ref().map(|file| file.digest.as_str());
    let key =
        ContentKey::of(&KernelRecipe { kind, version, suite, mirror, package, file: digest, image: image.as_ref() });
    let (name, suite, package) = (name.into(), suite.into(), package.into());
    KernelSpec { name, suite, mirror: mirror.map(str::to_owned), package, file, image, key }
}

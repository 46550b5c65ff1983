//! Built images and kernels, kept by the digest of their recipe.
//!
//! ```text
//! store/images/<key>/{root.img, manifest.json}
//! store/kernels/<key>/{vmlinux, initrd.img, modules.img, manifest.json}
//! store/tmp/<kind>-<key>.<random>/     a build that is going on, or was killed
//! store/locks/<kind>-<key>.lock        held by that build
//! ```
//!
//! A folder with a key's name is complete: it is filled beside, synced and renamed, and never changed afterwards.
//! Builds of one key are one build: whoever waited for the lock looks again and finds it done.

mod blobs;
mod catalog;
mod garbage;
mod scratch;
mod seal;
mod staging;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::config::ByteSize;
use crate::effect::files::read_bounded;
use crate::plan::{Held, StoreUsage};
use crate::resource::{Built, ContentKey};

use seal::Seals;

pub(super) use blobs::{Source, Wanted};
pub use garbage::Garbage;
pub(super) use staging::{Manifest, Staging, storage_failure};

/// Name of the file that describes a folder of the store.
const MANIFEST: &str = "manifest.json";

/// Largest manifest that is read.
const MANIFEST_LIMIT: u64 = 1 << 20;

/// What a folder of the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A root file system.
    Image,
    /// A kernel with its initramfs.
    Kernel,
}

impl Kind {
    const fn singular(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Kernel => "kernel",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Image => "images",
            Self::Kernel => "kernels",
        }
    }
}

/// The files of one kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelPaths {
    /// Uncompressed kernel, an ELF file.
    pub vmlinux: Utf8PathBuf,
    /// Initramfs.
    pub initrd: Utf8PathBuf,
    /// A file system with the kernel's modules, for kernels that bring some.
    pub modules: Utf8PathBuf,
}

impl KernelPaths {
    fn below(folder: &Utf8Path) -> Self {
        let file = |name: &str| folder.join(name);
        Self { vmlinux: file("vmlinux"), initrd: file("initrd.img"), modules: file("modules.img") }
    }
}

/// The folder of built things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: Utf8PathBuf,
}

impl Store {
    /// The store at an absolute path, which need not exist yet.
    pub fn new(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root file system of an image: raw ext4.
    pub fn image_path(&self, key: &ContentKey) -> Utf8PathBuf {
        self.folder(Kind::Image, key).join("root.img")
    }

    /// The files of a kernel.
    pub fn kernel_paths(&self, key: &ContentKey) -> KernelPaths {
        KernelPaths::below(&self.folder(Kind::Kernel, key))
    }

    /// Everything that is built. A folder without a readable manifest of its own key is not ours and is left out, and so
    /// is one whose files were changed since: it is no longer what its key says.
    ///
    /// # Errors
    /// When the store is there and cannot be read: that is not an empty store.
    pub fn built(&self) -> io::Result<BTreeMap<ContentKey, Built>> {
        let mut built = BTreeMap::new();
        for kind in [Kind::Image, Kind::Kernel] {
            for path in entries(&self.root.join(kind.folder()))? {
                if let Some(Head { key, pinned, seals }) = manifest_head(&path)
                    && seal::unbroken(&path, &seals)?
                {
                    built.insert(key, Built { allocated: allocated(&path)?, pinned });
                }
            }
        }
        Ok(built)
    }

    /// A kernel that was built, whichever.
    pub fn any_kernel(&self) -> Option<KernelPaths> {
        let kernels = entries(&self.root.join(Kind::Kernel.folder())).ok()?;
        kernels.iter().find(|folder| manifest_head(folder).is_some()).map(|folder| KernelPaths::below(folder))
    }

    /// What it takes on disk.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn usage(&self) -> io::Result<StoreUsage> {
        let held = |folders: &[&str]| {
            let mut held = Held::default();
            for folder in folders {
                for path in entries(&self.root.join(folder))? {
                    let found = path.symlink_metadata()?;
                    let bytes = if found.is_dir() { allocated(&path)? } else { found.blocks() * 512 };
                    held = Held { count: held.count + 1, disk: ByteSize::bytes(held.disk.as_bytes() + bytes) };
                }
            }
            Ok::<_, io::Error>(held)
        };
        Ok(StoreUsage {
            images: held(&[Kind::Image.folder()])?,
            kernels: held(&[Kind::Kernel.folder()])?,
            downloads: held(&["blobs", "partial"])?,
        })
    }

    fn folder(&self, kind: Kind, key: &ContentKey) -> Utf8PathBuf {
        self.root.join(kind.folder()).join(key.as_str())
    }
}

/// The entries of a folder, none when it does not exist. Names that are not UTF-8 are none of ours.
fn entries(folder: &Utf8Path) -> io::Result<Vec<Utf8PathBuf>> {
    let listing = match folder.read_dir_utf8() {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    listing.map(|entry| entry.map(camino::Utf8DirEntry::into_path)).filter(|path| !is_foreign_name(path)).collect()
}

fn is_foreign_name(path: &io::Result<Utf8PathBuf>) -> bool {
    matches!(path, Err(error) if error.kind() == io::ErrorKind::InvalidData)
}

/// What a manifest says of its folder, whatever was built.
struct Head {
    /// The folder's name.
    key: ContentKey,
    /// Name and pin of what it was made from.
    pinned: Option<(String, String)>,
    /// Its files.
    seals: Seals,
}

/// The manifest of a folder, when the key in it is the folder's name.
fn manifest_head(folder: &Utf8Path) -> Option<Head> {
    #[derive(Deserialize)]
    struct Found {
        key: ContentKey,
        recipe: serde_json::Value,
        #[serde(default)]
        files: Seals,
    }
    let text = read_bounded(&folder.join(MANIFEST), MANIFEST_LIMIT).ok()??;
    let found: Found = serde_json::from_slice(&text).ok()?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let pinned = text(&found.recipe["name"]).zip(text(&found.recipe["source"]["digest"]));
    let is_its_name = folder.file_name() == Some(found.key.as_str());
    is_its_name.then_some(Head { key: found.key, pinned, seals: found.files })
}

/// Whether a build is there under this key, and still what it was.
fn is_built(folder: &Utf8Path, key: &ContentKey) -> io::Result<bool> {
    manifest_head(folder).filter(|head| head.key == *key).map_or(Ok(false), |head| seal::unbroken(folder, &head.seals))
}

/// Bytes that the files of a folder take on disk: less than their lengths, because images are sparse.
fn allocated(folder: &Utf8Path) -> io::Result<u64> {
    entries(folder)?.iter().map(|file| Ok(file.symlink_metadata()?.blocks() * 512)).sum()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_under_another_name_is_not_that_build() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8PathBuf::try_from(dir.path().to_owned()).unwrap());
        let key = ContentKey::of(&"recipe");
        for name in ["0123456789abcdef", key.as_str()] {
            let folder = store.root.join("images").join(name);
            fs::create_dir_all(&folder).unwrap();
            let manifest = Manifest::new(key.clone(), "recipe", BTreeMap::new());
            fs::write(folder.join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
        }
        assert_eq!(store.built().unwrap().into_keys().collect::<Vec<_>>(), [key]);
    }

    #[test]
    fn everything_that_takes_room_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(Utf8PathBuf::try_from(dir.path().to_owned()).unwrap());
        assert_eq!(store.usage().unwrap(), StoreUsage::default());
        for file in ["images/a/root.img", "images/b/root.img", "blobs/c", "partial/d"] {
            let path = store.root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![1; 1 << 20]).unwrap();
        }
        let StoreUsage { images, kernels, downloads } = store.usage().unwrap();
        assert_eq!((images.count, kernels, downloads.count), (2, Held::default(), 2));
        assert!(images.disk >= ByteSize::mib(2) && downloads.disk >= ByteSize::mib(2), "{images:?} {downloads:?}");
    }
}

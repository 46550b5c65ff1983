//! What is taken from the fetched packages: the tar file that mmdebstrap writes after `fetch.sh`.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::modules::{self, Modules};

/// Where `fetch.sh` leaves its results.
const RESULTS: &str = "./regatta/";

/// Folders of `kernel/` whose modules guests may need to boot, directly in them.
pub(super) const MODULE_FOLDERS: [&str; 11] = [
    "arch/x86/crypto",
    "crypto",
    "drivers/block",
    "drivers/char/hw_random",
    "drivers/net",
    "drivers/virtio",
    "fs",
    "fs/ext4",
    "fs/jbd2",
    "lib",
    "net/core",
];

/// Largest single file that is taken, and largest sum.
pub(super) const FILE_LIMIT: u64 = 64 << 20;
const TOTAL_LIMIT: u64 = 256 << 20;

/// The parts of the packages that make a bootable kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Packages {
    /// The kernel as a bzImage.
    pub(super) bzimage: Option<Vec<u8>>,
    /// The statically linked busybox.
    pub(super) busybox: Option<Vec<u8>>,
    /// Modules of [`MODULE_FOLDERS`].
    pub(super) modules: Modules,
    /// Names of modules that are part of the kernel.
    pub(super) builtin: Vec<String>,
    /// All modules, where they are in the tar file.
    pub(super) tree: Option<ModuleTree>,
    /// Package versions by name.
    pub(super) versions: BTreeMap<String, String>,
}

/// The modules of a kernel as a tree in the tar file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ModuleTree {
    /// The folder of this kernel's version, without a slash at its end.
    pub(super) folder: String,
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// How many files and folders there are.
    pub(super) files: u64,
}

impl ModuleTree {
    /// The version.
    pub(super) fn version(&self) -> &str {
        self.folder.rsplit('/').next().unwrap_or_default()
    }
}

/// Reads the tar file.
///
/// # Errors
/// When it cannot be read, or a file in it is larger than any kernel.
pub(super) fn read(tar: impl Read) -> io::Result<Packages> {
    let mut packages = Packages::default();
    let mut total = 0;
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        packages.count(&path, entry.size());
        let Some(part) = path.strip_prefix(RESULTS).and_then(Part::of) else { continue };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        total += entry.size();
        if entry.size() > FILE_LIMIT || total > TOTAL_LIMIT {
            return Err(io::Error::other(format!("`{path}` is larger than any kernel's files")));
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        packages.take(part, content);
    }
    Ok(packages)
}

/// What a path is to us.
enum Part {
    Kernel,
    Busybox,
    Module(String),
    Builtin,
    Versions,
}

impl Part {
    fn of(path: &str) -> Option<Self> {
        if path == "versions" {
            return Some(Self::Versions);
        }
        let path = path.strip_prefix("tree/")?;
        let path = path.strip_prefix("usr/").unwrap_or(path);
        if path.starts_with("boot/vmlinuz-") {
            return Some(Self::Kernel);
        }
        if path == "bin/busybox" {
            return Some(Self::Busybox);
        }
        let (_version, path) = path.strip_prefix("lib/modules/")?.split_once('/')?;
        if path == "modules.builtin" {
            return Some(Self::Builtin);
        }
        let (folder, _file) = path.strip_prefix("kernel/")?.rsplit_once('/')?;
        MODULE_FOLDERS.contains(&folder).then(|| modules::name(path).map(Self::Module))?
    }
}

impl Packages {
    /// Counts a file or folder of the modules' tree. Folders come before what is in them.
    fn count(&mut self, path: &str, bytes: u64) {
        let below = |usr: &str| path.strip_prefix(RESULTS)?.strip_prefix(usr)?.strip_prefix("lib/modules/");
        let Some(rest) = below("tree/").or_else(|| below("tree/usr/")).filter(|rest| !rest.is_empty()) else { return };
        let (version, _) = rest.split_once('/').unwrap_or((rest, ""));
        let folder = &path[..path.len() - rest.len() + version.len()];
        let tree = self.tree.get_or_insert_with(|| ModuleTree { folder: folder.to_owned(), ..ModuleTree::default() });
        if tree.folder == folder {
            (tree.bytes, tree.files) = (tree.bytes + bytes, tree.files + 1);
        }
    }

    fn take(&mut self, part: Part, content: Vec<u8>) {
        let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
        match part {
            Part::Kernel => self.bzimage = Some(content),
            Part::Busybox => self.busybox = Some(content),
            Part::Module(name) => drop(self.modules.insert(name, content)),
            Part::Builtin => self.builtin = text(&content).lines().filter_map(modules::name).collect(),
            Part::Versions => {
                let pairs = text(&content);
                let pairs = pairs.lines().filter_map(|line| line.split_once(' '));
                self.versions = pairs.map(|(name, version)| (name.to_owned(), version.to_owned())).collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn kernel_busybox_and_boot_modules_are_taken_and_nothing_else() {
        let modules = "./regatta/tree/lib/modules/6.1-cloud";
        let path = |rest: &str| format!("{modules}/{rest}");
        let files: [(&str, &[u8]); 9] = [
            ("./etc/hostname", b"no"),
            ("./regatta/versions", b"busybox-static 1:1.35\nlinux-image-6.1-cloud-amd64 6.1.2\n"),
            ("./regatta/tree/boot/vmlinuz-6.1-cloud", b"kernel"),
            ("./regatta/tree/boot/config-6.1-cloud", b"no"),
            ("./regatta/tree/usr/bin/busybox", b"busybox"),
            (&path("kernel/drivers/char/hw_random/virtio-rng.ko"), b"rng"),
            (&path("kernel/drivers/net/ethernet/foo.ko"), b"no"),
            (&path("modules.builtin"), b"kernel/fs/ext4/ext4.ko\nkernel/lib/crc-t10dif.ko\n"),
            (&path("modules.order"), b"no"),
        ];
        let expected = Packages {
            bzimage: Some(b"kernel".to_vec()),
            busybox: Some(b"busybox".to_vec()),
            modules: [("virtio_rng".to_owned(), b"rng".to_vec())].into(),
            builtin: vec!["ext4".into(), "crc_t10dif".into()],
            tree: Some(ModuleTree { folder: modules.into(), bytes: 3 + 2 + 48 + 2, files: 4 }),
            versions: [("busybox-static", "1:1.35"), ("linux-image-6.1-cloud-amd64", "6.1.2")]
                .map(|(name, version)| (name.into(), version.into()))
                .into(),
        };
        assert_eq!(read(&tar(&files)[..]).unwrap(), expected);
    }
}

//! Images of packages: a Debian tree from mmdebstrap.

use std::collections::BTreeMap;
use std::io;

use camino::Utf8Path;

use super::{files, packages};
use crate::config::{ImageCommand, ImageFile};
use crate::driver::debootstrap::Debootstrap;
use crate::driver::ext4;
use crate::driver::store::{Staging, storage_failure};
use crate::effect::Run;
use crate::exec::Failure;

/// Removes what every guest must have for itself (LESSONS 31). `$1` is the root of the tree.
const CLEAN_SCRIPT: &str =
    r#"rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/var/lib/systemd/random-seed"#;

/// Where dpkg keeps what it knows.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";

/// Puts declared files into the tree and runs declared commands there.
const PREPARE_SCRIPT: &str = include_str!("prepare.sh");

/// What a tree is made of.
pub(super) struct Recipe<'a> {
    /// Release name.
    pub(super) suite: &'a str,
    /// Archive address, or mmdebstrap's default.
    pub(super) mirror: Option<&'a str>,
    /// Names of packages.
    pub(super) packages: &'a [String],
    /// What is put over them.
    pub(super) files: &'a [ImageFile],
    /// What is run then.
    pub(super) commands: &'a [ImageCommand],
}

impl Recipe<'_> {
    /// Makes the tree, as a tar file.
    ///
    /// # Errors
    /// When packages cannot be found, fetched or installed, a command fails, or the disk is full.
    pub(super) async fn install(&self, run: &dyn Run, staging: &Staging, tar: &Utf8Path) -> Result<(), Failure> {
        let mut options = vec!["--variant=minbase".to_owned()];
        let inputs = self.inputs().map_err(|cause| storage_failure("cannot pack the files of an image", &cause))?;
        if !inputs.is_empty() {
            options.push(format!("--customize-hook={PREPARE_SCRIPT}"));
        }
        options.push(format!("--customize-hook={CLEAN_SCRIPT}"));
        if !self.packages.is_empty() {
            options.push(format!("--include={}", self.packages.join(",")));
        }
        let Self { suite, mirror, .. } = *self;
        Debootstrap { staging, suite, mirror, options, inputs, env: None, target: tar }.make(run).await
    }

    /// What `prepare.sh` reads.
    fn inputs(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut inputs = Vec::new();
        if !self.files.is_empty() {
            inputs.push(("files.tar".to_owned(), files::archive(self.files)?));
        }
        for (index, ImageCommand(words)) in self.commands.iter().enumerate() {
            let arguments = words.iter().flat_map(|word| word.bytes().chain([0])).collect();
            inputs.push((format!("command-{}", index + 1), arguments));
        }
        Ok(inputs)
    }
}

/// Versions of the packages that dpkg knows in an image.
pub(super) fn installed(image: &Utf8Path) -> Result<BTreeMap<String, String>, Failure> {
    let status = ext4::look(image, |files| files.read(DPKG_STATUS).map_err(|cause| cause.to_string()))?;
    Ok(packages::installed(&String::from_utf8_lossy(&status)))
}

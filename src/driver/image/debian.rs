//! Images of packages: a Debian tree from mmdebstrap.

use std::collections::BTreeMap;
use std::fs;

use camino::Utf8Path;

use super::packages;
use crate::driver::debootstrap::Debootstrap;
use crate::driver::store::{Staging, storage_failure};
use crate::effect::Run;
use crate::exec::Failure;

/// Removes what every guest must have for itself (LESSONS 31). `$1` is the root of the tree.
const CLEAN_SCRIPT: &str =
    r#"rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/var/lib/systemd/random-seed"#;

/// Installs packages into a tar file.
pub(super) async fn install(
    run: &dyn Run,
    staging: &Staging,
    (suite, mirror): (&str, Option<&str>),
    packages: &[String],
    tar: &Utf8Path,
) -> Result<(), Failure> {
    let mut options = vec!["--variant=minbase".to_owned(), format!("--customize-hook={CLEAN_SCRIPT}")];
    if !packages.is_empty() {
        options.push(format!("--include={}", packages.join(",")));
    }
    Debootstrap { staging, suite, mirror, options, env: None, target: tar }.make(run).await
}

/// Versions of the packages that dpkg knows in a tree.
pub(super) fn installed(tree: &Utf8Path) -> Result<BTreeMap<String, String>, Failure> {
    let status = tree.join("var/lib/dpkg/status");
    let text = fs::read(&status).map_err(|cause| storage_failure(&format!("cannot read `{status}`"), &cause))?;
    Ok(packages::installed(&String::from_utf8_lossy(&text)))
}

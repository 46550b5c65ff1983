//! What guests need of an image, looked up in its finished file system: an init, and the server that we log in through.
//! Everything else (address, name, keys, the work disk) our initramfs brings at each boot.

use camino::Utf8Path;

use crate::driver::ext4;
use crate::exec::Failure;

/// Programs, and what brings them.
const REQUIRED: [(&str, &str); 2] =
    [("/sbin/init", "an init such as `systemd-sysv`"), ("/usr/sbin/sshd", "an SSH server such as `openssh-server`")];

/// Looks for them.
///
/// # Errors
/// Names everything that is missing. Also when the file system cannot be read.
pub(super) async fn check(image: &Utf8Path, name: &str) -> Result<(), Failure> {
    let (path, name) = (image.to_owned(), name.to_owned());
    let looked = tokio::task::spawn_blocking(move || missing(&path).map(|missing| verdict(&name, &missing))).await;
    looked.map_err(|error| Failure::permanent(format!("regatta's own error: {error}")))??
}

fn missing(image: &Utf8Path) -> Result<Vec<(&'static str, &'static str)>, Failure> {
    ext4::look(image, |files| {
        let mut missing = Vec::new();
        for (path, what) in REQUIRED {
            // Links are followed inside of the image.
            if !files.exists(path).map_err(|error| error.to_string())? {
                missing.push((path, what));
            }
        }
        Ok(missing)
    })
}

fn verdict(name: &str, missing: &[(&str, &str)]) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    let paths: Vec<String> = missing.iter().map(|(path, _)| format!("`{path}`")).collect();
    let hints: Vec<&str> = missing.iter().map(|(_, what)| *what).collect();
    Err(Failure::permanent(format!("guests cannot use image `{name}`: it has no {}", paths.join(" and no ")))
        .hint(format!("put {} into the image", hints.join(" and "))))
}

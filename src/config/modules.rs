//! Modules that come with regatta: the files of `modules/`, in the binary, imported as `std/NAME`.

use camino::Utf8Path;

use super::language::suggestion;

/// Name and text of each.
const EMBEDDED: [(&str, &str); 5] = [
    ("std/debian", include_str!("../../modules/debian.kdl")),
    ("std/devbox", include_str!("../../modules/devbox.kdl")),
    ("std/hardened-sshd", include_str!("../../modules/hardened-sshd.kdl")),
    ("std/oci", include_str!("../../modules/oci.kdl")),
    ("std/proxmox-container", include_str!("../../modules/proxmox-container.kdl")),
];

/// Whether a path names a module that comes with regatta rather than a file.
pub fn is_embedded(path: &Utf8Path) -> bool {
    path.as_str().starts_with("std/")
}

/// The text of a module.
pub(super) fn embedded(path: &Utf8Path) -> Option<&'static str> {
    EMBEDDED.iter().find(|(name, _)| *name == path.as_str()).map(|(_, text)| *text)
}

/// Which there are, as a hint to who asked for another.
pub(super) fn available(asked: &str) -> String {
    if let Some(near) = suggestion(asked, EMBEDDED.iter().map(|(name, _)| *name)) {
        return near;
    }
    let names: Vec<String> = EMBEDDED.iter().map(|(name, _)| format!("`{name}`")).collect();
    format!("modules that come with regatta: {}", names.join(", "))
}

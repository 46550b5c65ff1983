//! Which packages a tree has: dpkg's status file.

use std::collections::BTreeMap;

/// Name and version of every installed package in the text of `/var/lib/dpkg/status` (deb822 paragraphs). Names that
/// exist for several architectures are listed once.
pub(super) fn installed(status: &str) -> BTreeMap<String, String> {
    status.split("\n\n").filter_map(package).collect()
}

fn package(paragraph: &str) -> Option<(String, String)> {
    let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    (field("Status")? == "install ok installed").then_some(())?;
    Some((field("Package")?.to_owned(), field("Version")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages_have_their_versions() {
        let status = "Package: adduser\nStatus: install ok installed\nVersion: 3.134\nDescription: x\n Version: no\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: git\nEssential: no\nStatus: install ok installed\nVersion: 1:2.39.5-0\n";
        let expected = [("adduser", "3.134"), ("git", "1:2.39.5-0")];
        assert_eq!(installed(status), expected.map(|(name, version)| (name.into(), version.into())).into());
        assert_eq!(installed(""), BTreeMap::new());
    }
}

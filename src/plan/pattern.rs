//! Patterns that name resources on the command line and in rules.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::resource::Address;

/// Which resources are meant: an address with `*` (anything but a slash), `**` (anything) and `?` (one character); a
/// guest's name alone, which means the guest with everything in it; or `tag:NAME`, which means every guest in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

/// What a pattern of groups starts with.
const TAG: &str = "tag:";

impl Pattern {
    /// Whether it names this resource, which is in these groups.
    pub fn matches(&self, address: &Address, tags: &BTreeSet<String>) -> bool {
        if let Some(group) = self.0.strip_prefix(TAG) {
            return tags.iter().any(|tag| glob(group, tag));
        }
        if self.is_guest() {
            return address.guest().is_some_and(|guest| glob(&self.0, guest));
        }
        glob(&self.0, address.as_str())
    }

    /// The pattern of one guest.
    pub(super) fn guest(name: &str) -> Self {
        Self(Address::vm(name).as_str().to_owned())
    }

    /// A name without a kind is that of a guest.
    fn is_guest(&self) -> bool {
        !self.0.contains(['.', '/'])
    }
}

impl FromStr for Pattern {
    type Err = String;

    /// Reads a pattern.
    ///
    /// # Errors
    /// It is empty, or names a kind that does not exist.
    fn from_str(text: &str) -> Result<Self, String> {
        const KINDS: [&str; 14] = [
            "vm",
            "container",
            "cluster",
            "mount",
            "file-sync",
            "file",
            "secret",
            "session",
            "git-identity",
            "authorized-key",
            "image",
            "kernel",
            "network",
            "policy",
        ];
        if text.is_empty() {
            return Err("found nothing, expected an address such as `vm.web-1` or `file-sync.web-*/**`".into());
        }
        let pattern = Self(text.into());
        if text.starts_with(TAG) {
            return Ok(pattern);
        }
        let kind = text.split_once('.').map(|(kind, _)| kind);
        match kind {
            Some(kind) if !pattern.is_guest() && !KINDS.iter().any(|known| glob(kind, known)) => {
                Err(format!("found the kind `{kind}`, expected one of {}", KINDS.join(", ")))
            }
            _ => Ok(pattern),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Matches a whole text in time proportional to the product of both lengths.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // `reached[i]` says whether the pattern so far can match the first `i` characters.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let deep = rest.starts_with("**");
        rest = &rest[if deep { 2 } else { c.len_utf8() }..];
        reached = match c {
            '*' => spread(&reached, &text, deep),
            _ => step(&reached, &text, c),
        };
    }
    reached[text.len()]
}

/// After a star: everything that was reached, and everything that follows it without a slash (with any, when deep).
fn spread(reached: &[bool], text: &[char], deep: bool) -> Vec<bool> {
    let mut open = false;
    (0..=text.len())
        .map(|index| {
            let passes = index == 0 || deep || text[index - 1] != '/';
            open = reached[index] || (open && passes);
            open
        })
        .collect()
}

/// After one character.
fn step(reached: &[bool], text: &[char], c: char) -> Vec<bool> {
    let moved = (0..text.len()).map(|index| reached[index] && (text[index] == c || (c == '?' && text[index] != '/')));
    std::iter::once(false).chain(moved).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, address: &Address) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(address, &BTreeSet::from(["edge".into(), "eu".into()]))
    }

    #[test]
    fn a_group_means_every_guest_in_it() {
        assert!(matches("tag:e*", &Address::vm("web")));
        assert!(!matches("tag:us", &Address::vm("web")));
    }

    #[test]
    fn stars_stop_at_slashes_and_two_do_not() {
        for (pattern, text, expected) in [
            ("vm.*", "vm.web-1", true),
            ("vm.web-?", "vm.web-12", false),
            ("file-sync.web/*", "file-sync.web/~/a", false),
            ("file-sync.web/**", "file-sync.web/~/a", true),
            ("*.web", "vm.web", true),
            ("**a", "bab", false),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_guests_name_means_everything_in_it() {
        assert!(matches("web-*", &Address::vm("web-1")));
        assert!(matches("web-1", &Address::file_sync("web-1", "~/x")));
        assert!(!matches("web-1", &Address::image("web-1")));
        assert_eq!(
            "vn.web".parse::<Pattern>(),
            Err("found the kind `vn`, expected one of vm, container, cluster, mount, file-sync, file, secret, session, git-identity, authorized-key, image, kernel, network, policy"
                .into())
        );
    }

    #[test]
    fn hostile_patterns_take_no_time() {
        assert!(!glob(&"*a".repeat(500), &"a".repeat(400)));
    }
}

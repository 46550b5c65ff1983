//! Whether a line of a `known_hosts` file is about a host: patterns with `*`, `?` and `!`, or a salted hash of its name.

use hmac::{Hmac, KeyInit as _, Mac as _};
use russh::keys::ssh_key::known_hosts::HostPatterns;
use sha1::Sha1;

/// Whether the line is about the host of this name, which is in lower case.
pub(super) fn is_about(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::Patterns(patterns) => any_matches(patterns, name),
        HostPatterns::HashedName { salt, hash } => {
            Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok())
        }
    }
}

/// One pattern that matches is enough, and one negated pattern that matches is a no to all of them.
fn any_matches(patterns: &[String], name: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('!') {
            Some(negated) if matches(negated, name) => return false,
            Some(_) => {}
            None => found |= matches(&pattern, name),
        }
    }
    found
}

/// Whether `*` (any text) and `?` (any one character) in the pattern can be filled to give the name.
///
/// Only the last `*` is ever tried again, so the time is the product of the lengths at most: a file that somebody else
/// wrote cannot make it exponential.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                p = star + 1;
                n = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_filled_or_not() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*.b.*", "a.b.b.c", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("[10.0.0.*]:22?2", "[10.0.0.7]:2222", true),
            ("[10.0.0.*]:22?2", "10.0.0.7", false),
            ("**a**", "bab", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let hostile = "*a".repeat(500);
        assert!(!matches(&hostile, &"a".repeat(499)));
        assert!(!matches(&format!("{hostile}b"), &"a".repeat(5000)));
    }

    #[test]
    fn a_negated_pattern_wins_wherever_it_stands() {
        let about = |list: &str| is_about(&list.parse().unwrap(), "db.example");
        assert!(about("*.example,!web.example"));
        assert!(about("WEB.example,DB.Example"));
        assert!(!about("*.example,!db.*"));
        assert!(!about("!db.*,*.example"));
        assert!(!about("!web.example"));
    }

    #[test]
    fn a_hashed_name_is_only_about_that_name() {
        // Made with `ssh-keygen -H` for `[127.0.0.1]:2222`.
        let hashed: HostPatterns = "|1|/yTB7iMmvEPEYaw6Tzu5BxCnY0o=|Ju3smJOIjXzGrBJ3znkwnMkrqwc=".parse().unwrap();
        assert!(is_about(&hashed, "[127.0.0.1]:2222"));
        assert!(!is_about(&hashed, "[127.0.0.1]:2223") && !is_about(&hashed, "127.0.0.1"));
    }
}

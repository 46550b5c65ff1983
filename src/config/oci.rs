//! References to images in registries: `[REGISTRY/]REPOSITORY[:TAG][@sha256:DIGEST]`, as container tools read them.

use std::fmt;

/// The registry of references that name none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// The tag of references that name neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// A reference, with everything that was left out filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciReference {
    /// Host and port, such as `docker.io` or `localhost:5000`.
    pub registry: String,
    /// Path of the repository, such as `library/debian`.
    pub repository: String,
    /// The tag; `None` beside a digest.
    pub tag: Option<String>,
    /// `sha256:` and 64 digits, when it is pinned.
    pub digest: Option<String>,
}

impl OciReference {
    /// Reads a reference. The first part is a registry when it has a dot or a colon, or is `localhost`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) if is_digest(digest) => (name, Some(digest.to_owned())),
            Some(_) => return Err("expected `@sha256:` and 64 digits at its end"),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash belongs to a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (name, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => (DEFAULT_REGISTRY, name.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{name}")),
        };
        if !is_registry(registry) {
            return Err("expected a host name before the first `/`");
        }
        if !(path.len() <= 255 && path.split('/').all(is_component)) {
            return Err("expected lower-case letters, digits and `._-` in the repository's name");
        }
        if tag.as_ref().is_some_and(|tag| !is_tag(tag)) {
            return Err("expected letters, digits and `._-` in the tag, at most 128");
        }
        let tag = if tag.is_none() && digest.is_none() { Some(DEFAULT_TAG.to_owned()) } else { tag };
        Ok(Self { registry: registry.to_owned(), repository: path, tag, digest })
    }
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_sha256)
}

/// 64 lower-case hexadecimal digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match inner {
        Some(address) => address.parse::<core::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
    };
    is_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Of a repository's path: letters and digits, with separators between them.
fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| plain(*byte) || b"._-".contains(byte))
        && bytes.first().is_some_and(|byte| plain(*byte))
        && bytes.last().is_some_and(|byte| plain(*byte))
        && !text.contains("..")
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn what_is_left_out_is_filled_in() {
        for (written, whole) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("me/web", "docker.io/me/web:latest"),
            ("localhost/web", "localhost/web:latest"),
            ("localhost:5000/a/b_c:V1.0", "localhost:5000/a/b_c:V1.0"),
            ("[::1]:5000/web:1", "[::1]:5000/web:1"),
            ("ghcr.io/me/web:1", "ghcr.io/me/web:1"),
        ] {
            assert_eq!(OciReference::parse(written).map(|read| read.to_string()).as_deref(), Ok(whole), "{written}");
        }
        let pinned = OciReference::parse(&format!("debian@{DIGEST}")).unwrap();
        assert_eq!((pinned.tag, pinned.digest.as_deref()), (None, Some(DIGEST)));
        let both = OciReference::parse(&format!("debian:12@{DIGEST}")).unwrap();
        assert_eq!(both.to_string(), format!("docker.io/library/debian:12@{DIGEST}"));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let upper = DIGEST.to_uppercase();
        for wrong in [
            "",
            "/",
            "Debian",
            "debian:",
            "debian: 12",
            "a//b",
            "a/../b",
            "-a",
            "a.b:0/c",
            "a.b:99999/c",
            "debian@sha256:12",
            &format!("debian@{upper}"),
            "https://ghcr.io/web",
            "a b",
            "[x]/b",
            "a.b/c?x",
            "debian:12\n",
            &"a".repeat(300),
        ] {
            assert!(OciReference::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}

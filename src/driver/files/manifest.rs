//! The manifest on a guest's disk: what we wrote last, by resource and path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::resource::{Address, Digest, GuestPath};

/// Its place below the work directory.
pub(super) const PATH: &str = ".regatta/manifest.json";

/// The directory that holds everything of ours, and its mode.
pub(super) const DIRECTORY: (&str, u32) = (".regatta", 0o700);

/// Bytes of a manifest we are ready to read: some 100,000 paths.
pub(super) const LIMIT: u64 = 64 << 20;

/// Digests of what was written, by path.
pub(super) type Manifest = BTreeMap<Address, BTreeMap<GuestPath, Digest>>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    format_version: u32,
    resources: T,
}

/// The bytes of the file.
pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    // Maps with text keys: serialising them cannot fail.
    let mut bytes = serde_json::to_vec(&Stored { format_version: 1, resources: manifest }).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Reads the file.
///
/// # Errors
/// When it is not what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
    let stored: Stored<Manifest> =
        serde_json::from_slice(bytes).map_err(|error| format!("the manifest `~/{PATH}` is damaged: {error}"))?;
    match stored.format_version {
        1 => Ok(stored.resources),
        version => Err(format!("the manifest `~/{PATH}` has format {version}, expected 1: a newer regatta wrote it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_hostile_names_included() {
        let path = GuestPath::new(&b"a\n\xff"[..]).unwrap();
        let files = BTreeMap::from([(path, Digest::of(b"x"))]);
        let manifest = Manifest::from([(Address::file_sync("web", "~/a"), files)]);
        assert_eq!(decode(&encode(&manifest)), Ok(manifest));
        assert!(decode(br#"{"format_version":2,"resources":{}}"#).unwrap_err().contains("has format 2"));
        assert!(decode(b"{}").is_err());
    }
}

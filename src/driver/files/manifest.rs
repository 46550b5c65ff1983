//! The manifest on a guest's disk: what we wrote last, by resource and path; and the intent, which is the manifest as it
//! will be when a write that is under way in a running guest is done.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::resource::{Address, Digest, GuestFiles, GuestPath, Manifest, WrittenFile};

/// Its place below the work directory.
pub(super) const PATH: &str = ".regatta/manifest.json";

/// The intent's place. It is there only while files are put in place, and after that was cut short.
pub(super) const INTENT: &str = ".regatta/intent.json";

/// The directory that holds everything of ours, and its mode.
pub(super) const DIRECTORY: (&str, u32) = (".regatta", 0o700);

/// Bytes of a manifest we are ready to read: some 100,000 paths.
pub(super) const LIMIT: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    format_version: u32,
    resources: T,
}

/// What tells which format a file has.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

/// The bytes of the file.
pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    // Maps with text keys: serialising them cannot fail.
    let mut bytes = serde_json::to_vec(&Stored { format_version: 2, resources: manifest }).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Reads the file. The first format, which held digests alone, is read as well.
///
/// # Errors
/// When it is not what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
    match read::<Version>(bytes)?.format_version {
        1 => {
            let first = read::<Stored<BTreeMap<Address, BTreeMap<GuestPath, Digest>>>>(bytes)?.resources;
            let files =
                |digests: BTreeMap<_, _>| digests.into_iter().map(|(path, digest)| (path, WrittenFile::of(digest)));
            Ok(first.into_iter().map(|(address, digests)| (address, files(digests).collect())).collect())
        }
        2 => Ok(read::<Stored<Manifest>>(bytes)?.resources),
        version => Err(format!("the manifest `~/{PATH}` has format {version}, expected 2: a newer regatta wrote it")),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("the manifest `~/{PATH}` is damaged: {error}"))
}

/// Takes over what an interrupted write got done: files that are as it intended them are ours, whatever the manifest,
/// which it did not come to write, says of them.
pub(super) fn settle(found: &mut GuestFiles, intent: Manifest) {
    for (address, files) in intent {
        for (path, written) in files {
            let there = found.files.get(&path).and_then(|file| file.digest.as_ref());
            if written.digest.is_some() && written.digest.as_ref() == there {
                for (other, theirs) in &mut found.manifest {
                    if *other != address {
                        theirs.remove(&path);
                    }
                }
                found.manifest.entry(address.clone()).or_default().insert(path, written);
            }
        }
    }
    found.manifest.retain(|_, files| !files.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{FileKind, ObservedFile};

    fn written(text: &str, mode: u32) -> WrittenFile {
        WrittenFile { mode: Some(mode), owner: Some((0, 5)), ..WrittenFile::of(Digest::of(text.as_bytes())) }
    }

    #[test]
    fn a_manifest_reads_back_hostile_names_included() {
        let path = GuestPath::new(&b"a\n\xff"[..]).unwrap();
        let directory = WrittenFile { digest: None, mode: Some(0o755), owner: Some((0, 0)) };
        let files = BTreeMap::from([(path.clone(), written("x", 0o600)), (GuestPath::new("d").unwrap(), directory)]);
        let manifest = Manifest::from([(Address::file_sync("web", "~/a"), files)]);
        assert_eq!(decode(&encode(&manifest)), Ok(manifest));
        assert!(decode(br#"{"format_version":3,"resources":{}}"#).unwrap_err().contains("has format 3"));
        assert!(decode(b"{}").is_err());
        // As it was written before permissions were recorded.
        let first = format!(r#"{{"format_version":1,"resources":{{"file.web/~/f":{{"f":"{}"}}}}}}"#, "0".repeat(64));
        let digest = Digest::parse(&"0".repeat(64)).unwrap();
        let files = BTreeMap::from([(GuestPath::new("f").unwrap(), WrittenFile::of(digest))]);
        assert_eq!(decode(first.as_bytes()), Ok(Manifest::from([(Address::file("web", "~/f"), files)])));
    }

    #[test]
    fn of_an_interrupted_write_counts_what_it_got_done() {
        let (address, path) = (Address::file_sync("web", "~/a"), |text: &str| GuestPath::new(text).unwrap());
        let file = |text: &str| ObservedFile {
            kind: FileKind::File,
            mode: 0o600,
            owner: (0, 0),
            size: 1,
            digest: Some(Digest::of(text.as_bytes())),
            text: None,
        };
        let of = |files: &[(&str, &str)]| {
            let files = files.iter().map(|(name, text)| (path(name), written(text, 0o600)));
            Manifest::from([(address.clone(), files.collect())])
        };
        let mut found = GuestFiles {
            files: BTreeMap::from([
                (path("done"), file("new")),
                (path("left"), file("old")),
                (path("made"), file("m")),
            ]),
            manifest: of(&[("done", "old"), ("left", "old"), ("gone", "x")]),
            ..GuestFiles::default()
        };
        settle(&mut found, of(&[("done", "new"), ("left", "new"), ("made", "m"), ("not made", "n")]));
        assert_eq!(found.manifest, of(&[("done", "new"), ("left", "old"), ("made", "m"), ("gone", "x")]));
    }
}

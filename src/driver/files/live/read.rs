//! Reads files of a running guest: what they are in one listing, digests in another, and the few texts a plan shows.

use std::collections::BTreeMap;

use super::remote::Remote;
use crate::driver::files::current::{Interest, TEXT_LIMIT, Wanted};
use crate::driver::files::manifest;
use crate::driver::sessions::{self, Sessions};
use crate::effect::walk::as_text;
use crate::exec::Failure;
use crate::resource::{Digest, FileKind, GuestFiles, GuestPath, Manifest, ObservedFile, Reading};

/// Prints the manifest, NUL, and the intent, as far as they are there and files.
const MANIFESTS: &str = r#"[ ! -L .regatta ] || exit 0
[ ! -f "$1" ] || [ -L "$1" ] || cat -- "$1" || exit 1
printf "\0"
[ ! -f "$2" ] || [ -L "$2" ] || cat -- "$2""#;

/// Describes the paths that exist. Few at a time: `set --` copies the list each time.
const LIST: &str = r#"exec xargs -0 -r -n 256 sh -c '
for path do
    shift
    if [ -e "$path" ] || [ -L "$path" ]; then set -- "$@" "$path"; fi
done
[ $# -eq 0 ] || exec find "$@" -maxdepth 0 -printf "%y\0%m\0%U\0%G\0%s\0%l\0%p\0"
' sh"#;

/// Fields of one file in that listing.
const FIELDS: usize = 7;

/// Prints `DIGEST  PATH` and NUL for each.
const DIGESTS: &str = "exec xargs -0 -r sha256sum -z --";

/// Prints all contents one after the other.
const CONTENTS: &str = "exec xargs -0 -r cat --";

/// Everything wanted, and the manifest.
///
/// # Errors
/// When the guest does not answer, or not in the form that was asked for.
pub(super) async fn files(remote: &Remote<'_>, mut wanted: Wanted) -> Result<GuestFiles, Failure> {
    let (manifest, intent) = read_manifests(remote).await?;
    wanted.complete(&manifest, &intent);
    let listing = remote.each("list files", LIST, &[], wanted.iter().map(|(path, _)| path)).await?;
    let mut files = parse_listing(&listing).ok_or_else(garbled)?;
    keep_reachable(&mut files);
    for (path, interest) in wanted.iter() {
        if let Some(link) = files.get_mut(path).filter(|file| file.kind == FileKind::Symlink) {
            hide_target(link, interest);
        }
    }
    read_digests(remote, &wanted, &mut files).await?;
    read_texts(remote, &wanted, &mut files).await?;
    let listed = Sessions::behind(remote.shell).in_home(remote.root);
    let sessions = if wanted.sessions() { sessions::seen(&listed).await } else { Reading::Absent };
    let mut found = GuestFiles { files, manifest, sessions };
    manifest::settle(&mut found, intent);
    Ok(found)
}

/// The manifest and the intent.
async fn read_manifests(remote: &Remote<'_>) -> Result<(Manifest, Manifest), Failure> {
    let written = remote.run("read the manifest", MANIFESTS, &[manifest::PATH, manifest::INTENT], b"").await?;
    let decoded = |bytes: Option<&[u8]>| match bytes {
        None | Some([]) => Ok(Manifest::new()),
        Some(bytes) => manifest::decode(bytes).map_err(Failure::permanent),
    };
    let mut both = written.split(|byte| *byte == 0);
    Ok((decoded(both.next())?, decoded(both.next())?))
}

fn garbled() -> Failure {
    Failure::transient("the guest's files changed while they were read, or its answer is garbled")
}

fn parse_listing(listing: &[u8]) -> Option<BTreeMap<GuestPath, ObservedFile>> {
    let Some(listing) = listing.strip_suffix(b"\0") else { return listing.is_empty().then(BTreeMap::new) };
    let fields: Vec<&[u8]> = listing.split(|b| *b == 0).collect();
    let (files, []) = fields.as_chunks::<FIELDS>() else { return None };
    let file = |[kind, mode, uid, gid, size, target, path]: &[&[u8]; FIELDS]| {
        parse_file([*kind, *mode, *uid, *gid, *size], target, path)
    };
    files.iter().map(file).collect()
}

fn parse_file(fields: [&[u8]; 5], target: &[u8], path: &[u8]) -> Option<(GuestPath, ObservedFile)> {
    let [kind, mode, uid, gid, size] = fields.map(|field| std::str::from_utf8(field).unwrap_or_default());
    let kind = match kind {
        "f" => FileKind::File,
        "d" => FileKind::Directory,
        "l" => FileKind::Symlink,
        _ => FileKind::Other,
    };
    let mut file = ObservedFile {
        kind,
        mode: u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777)?,
        owner: (uid.parse().ok()?, gid.parse().ok()?),
        // A directory's size says how a file system stores names.
        size: if kind == FileKind::Directory { 0 } else { size.parse().ok()? },
        digest: None,
        text: None,
    };
    if kind == FileKind::Symlink {
        file.describe_link(target);
    }
    Some((GuestPath::new(path.strip_prefix(b"./")?).ok()?, file))
}

/// Forgets what was not asked for about a link.
fn hide_target(link: &mut ObservedFile, interest: &Interest) {
    match interest {
        Interest::Metadata => (link.digest, link.text) = (None, None),
        Interest::Digest => link.text = None,
        Interest::TextUnless(_) | Interest::Text => {}
    }
}

/// Forgets what was only found through a link: it is somewhere else.
fn keep_reachable(files: &mut BTreeMap<GuestPath, ObservedFile>) {
    let links: Vec<GuestPath> =
        files.iter().filter(|(_, file)| file.kind != FileKind::Directory).map(|(path, _)| path.clone()).collect();
    files.retain(|path, _| path.ancestors().iter().all(|above| links.binary_search(above).is_err()));
}

async fn read_digests(
    remote: &Remote<'_>,
    wanted: &Wanted,
    files: &mut BTreeMap<GuestPath, ObservedFile>,
) -> Result<(), Failure> {
    let asked = |(path, interest): &(&GuestPath, &Interest)| {
        **interest != Interest::Metadata && files.get(*path).is_some_and(|file| file.kind == FileKind::File)
    };
    let paths: Vec<GuestPath> = wanted.iter().filter(asked).map(|(path, _)| path.clone()).collect();
    let answer = remote.each("read digests", DIGESTS, &[], &paths).await?;
    let mut lines = answer.split(|b| *b == 0);
    for path in &paths {
        let digest = lines.next().and_then(|line| parse_digest(line, path)).ok_or_else(garbled)?;
        if let Some(file) = files.get_mut(path) {
            file.digest = Some(digest);
        }
    }
    Ok(())
}

/// `DIGEST  ./PATH`, for the path that is expected.
fn parse_digest(line: &[u8], path: &GuestPath) -> Option<Digest> {
    let (digits, rest) = line.split_at_checked(64)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let expected = [b"  ./", path.as_bytes()].concat();
    (rest == expected).then(|| Digest::parse(digits)).flatten()
}

async fn read_texts(
    remote: &Remote<'_>,
    wanted: &Wanted,
    files: &mut BTreeMap<GuestPath, ObservedFile>,
) -> Result<(), Failure> {
    let mut asked = Vec::new();
    for (path, interest) in wanted.iter() {
        let Some(file) = files.get(path) else { continue };
        let differs = match interest {
            Interest::Metadata | Interest::Digest => false,
            Interest::Text => true,
            Interest::TextUnless(known) => file.digest.as_ref() != Some(known),
        };
        if differs && file.kind == FileKind::File && file.size <= TEXT_LIMIT {
            asked.push(path);
        }
    }
    let contents = remote.each("read files", CONTENTS, &[], asked.iter().copied()).await?;
    let mut rest = contents.as_slice();
    for path in asked {
        let Some(file) = files.get_mut(path) else { continue };
        let size = usize::try_from(file.size).unwrap_or(usize::MAX);
        let (bytes, tail) = rest.split_at_checked(size).ok_or_else(garbled)?;
        if file.digest.as_ref() != Some(&Digest::of(bytes)) {
            return Err(garbled());
        }
        file.text = as_text(bytes.to_vec());
        rest = tail;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_garbled_listing_is_no_listing() {
        let whole = b"f\x00600\x000\x000\x005\0\0./a\nb\0d\x00755\x000\x000\x004096\0\0./\0";
        let files = parse_listing(whole).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(parse_listing(b""), Some(BTreeMap::new()));
        let broken: [&[u8]; 4] = [
            &whole[..whole.len() - 1],
            b"f\x00600\x000\x000\x005\0\0/etc/passwd\0",
            b"f\x0099\x000\x000\x005\0\0./a\0",
            b"f\x00600\x000\x000\0\0./a\0",
        ];
        for listing in broken {
            assert_eq!(parse_listing(listing), None, "{:?}", String::from_utf8_lossy(listing));
        }
    }
}

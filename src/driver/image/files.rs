//! Files that a fleet file declares for an image, as a tar file.

use std::io;

use tar::{EntryType, Header};

use crate::config::ImageFile;

/// One entry for each file, owned by root and without a time: the same files give the same bytes. Folders that are
/// missing are made by whoever unpacks it.
pub(super) fn archive(files: &[ImageFile]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(file.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(file.content.len() as u64);
        archive.append_data(&mut header, file.path.trim_start_matches('/'), file.content.as_bytes())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_is_declared_is_in_it() {
        let long = format!("/etc/{}/x", "d".repeat(200));
        let file = |path: &str, mode, content: &str| ImageFile { path: path.into(), mode, content: content.into() };
        let bytes = archive(&[file("/etc/motd", 0o644, "hello\n"), file(&long, 0o755, "")]).unwrap();
        let mut found = Vec::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            found.push((path, entry.header().mode().unwrap(), entry.header().uid().unwrap(), content));
        }
        let expected = [
            ("etc/motd".to_owned(), 0o644, 0, "hello\n".to_owned()),
            (long.trim_start_matches('/').to_owned(), 0o755, 0, String::new()),
        ];
        assert_eq!(found, expected);
    }
}

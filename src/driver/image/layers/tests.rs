//! Layers as few words, merged, and read back.

use std::io::Read as _;

use camino::Utf8Path;
use tar::{Builder, EntryType, Header};

use super::*;

/// One entry: type, path, mode, owner, and content or target.
struct Entry(EntryType, &'static [u8], u32, u64, &'static [u8]);

const FILE: EntryType = EntryType::Regular;
const DIR: EntryType = EntryType::Directory;
const SYMLINK: EntryType = EntryType::Symlink;
const LINK: EntryType = EntryType::Link;

fn file(path: &'static [u8], content: &'static [u8]) -> Entry {
    Entry(FILE, path, 0o644, 0, content)
}

fn dir(path: &'static [u8]) -> Entry {
    Entry(DIR, path, 0o755, 0, b"")
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for Entry(kind, path, mode, owner, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        header.set_uid(*owner);
        header.set_gid(*owner);
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        let is_link = matches!(*kind, SYMLINK | LINK);
        header.set_size(if is_link { 0 } else { content.len() as u64 });
        if is_link {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content);
        }
        if matches!(*kind, EntryType::Char) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
            header.set_size(0);
        }
        header.set_cksum();
        builder.append(&header, if header.size().unwrap() > 0 { *content } else { b"" }).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What comes of the layers: a line for each entry of the tar file, in its order.
fn merged(layers: &[&[Entry]]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let readers: Vec<Reader> = layers
        .iter()
        .enumerate()
        .map(|(index, entries)| {
            let path = dir.join(index.to_string());
            std::fs::write(&path, tar(entries)).unwrap();
            Reader::of_file(&format!("layer {index}"), &path).unwrap().unwrap()
        })
        .collect();
    let tree = merge(&readers, Owners::default(), ByteSize::mib(1)).map_err(|failure| failure.causes.join(": "))?;
    let out = dir.join("out.tar");
    tree.write(&readers, &out).unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(&out).unwrap());
    Ok(archive.entries().unwrap().map(|entry| line(entry.unwrap())).collect())
}

fn line(mut entry: tar::Entry<'_, std::fs::File>) -> String {
    let header = entry.header().clone();
    let path = entry.path_bytes().escape_ascii().to_string();
    let target = entry.link_name_bytes().map(|target| target.escape_ascii().to_string());
    let mut content = String::new();
    entry.read_to_string(&mut content).unwrap();
    let kind = char::from(header.entry_type().as_byte());
    let device = header.device_major().ok().flatten().filter(|major| *major > 0);
    format!(
        "{kind} {path} {:o} {}{}{}{}",
        header.mode().unwrap(),
        header.uid().unwrap(),
        target.map(|target| format!(" -> {target}")).unwrap_or_default(),
        device.map(|major| format!(" {major}:{}", header.device_minor().unwrap().unwrap())).unwrap_or_default(),
        if content.is_empty() { String::new() } else { format!(" {content:?}") },
    )
}

/// LESSONS 6 and 29: owners, setuid, devices and links come through.
#[test]
fn one_layer_comes_out_as_it_is() {
    let layer = [
        dir(b"./"),
        dir(b"bin/"),
        Entry(FILE, b"bin/su", 0o4755, 0, b"su"),
        Entry(LINK, b"bin/su2", 0o4755, 0, b"bin/su"),
        Entry(FILE, b"home/me/notes", 0o600, 1000, b"mine"),
        Entry(SYMLINK, b"etc", 0o777, 0, b"/usr/etc"),
        Entry(EntryType::Char, b"dev/null", 0o666, 0, b""),
        Entry(EntryType::Fifo, b"dev/pipe", 0o600, 0, b""),
        file(b"a b'\"\n\xff\xfe", b"strange"),
    ];
    assert_eq!(
        merged(&[&layer]).unwrap(),
        [
            "5 ./ 755 0",
            "5 ./bin 755 0",
            "5 ./dev 755 0",
            "5 ./home 755 0",
            "5 ./home/me 755 0",
            "0 ./bin/su 4755 0 \"su\"",
            "1 ./bin/su2 4755 0 -> ./bin/su",
            "0 ./home/me/notes 600 1000 \"mine\"",
            r#"0 ./a b\'\"\n\xff\xfe 644 0 "strange""#,
            "3 ./dev/null 666 0 1:3",
            "6 ./dev/pipe 600 0",
            "2 ./etc 777 0 -> /usr/etc",
        ]
    );
}

/// LESSONS 29: whiteouts remove what lower layers brought, and nothing of their own layer, wherever they stand.
#[test]
fn whiteouts_and_opaque_directories() {
    let lower =
        [file(b"a/one", b"1"), file(b"a/two", b"2"), file(b"b/old", b"o"), file(b"b/c/old", b"o"), file(b"d", b"d")];
    let upper = [
        file(b"a/.wh.one", b""),
        file(b"b/new", b"n"),
        file(b"b/c/new", b"n"),
        file(b"b/.wh..wh..opq", b""),
        file(b".wh.d", b""),
        file(b".wh.never", b""),
        file(b"a/.wh..wh.plnk", b""),
    ];
    assert_eq!(
        merged(&[&lower, &upper]).unwrap(),
        [
            "5 ./ 755 0",
            "5 ./a 755 0",
            "5 ./b 755 0",
            "5 ./b/c 755 0",
            "0 ./a/two 644 0 \"2\"",
            "0 ./b/new 644 0 \"n\"",
            "0 ./b/c/new 644 0 \"n\"",
        ]
    );
    // A file that is removed and made again in one layer is the new one, in either order.
    for upper in [[file(b".wh.d", b""), file(b"d", b"new")], [file(b"d", b"new"), file(b".wh.d", b"")]] {
        let made_again = merged(&[&[file(b"d", b"old")], &upper]).unwrap();
        assert_eq!(made_again, ["5 ./ 755 0", "0 ./d 644 0 \"new\""]);
    }
}

#[test]
fn a_hard_link_keeps_the_content_its_first_name_lost() {
    let lower = [file(b"a", b"old"), Entry(LINK, b"b", 0o644, 0, b"a"), Entry(LINK, b"c", 0o644, 0, b"./b")];
    let upper = [file(b"a", b"new"), file(b".wh.b", b"")];
    let lines = merged(&[&lower, &upper]).unwrap();
    assert_eq!(lines, ["5 ./ 755 0", "0 ./c 644 0 \"old\"", "0 ./a 644 0 \"new\""]);
    let lower = [file(b"a", b"x"), file(b"z", b"z")];
    let upper = [Entry(LINK, b"b", 0o644, 0, b"/a")];
    let lines = merged(&[&lower, &upper]).unwrap();
    assert_eq!(lines, ["5 ./ 755 0", "0 ./a 644 0 \"x\"", "1 ./b 644 0 -> ./a", "0 ./z 644 0 \"z\""]);
}

#[test]
fn what_replaces_a_directory_or_is_replaced_by_one() {
    let lower = [file(b"a/x", b"1"), file(b"b", b"2"), Entry(DIR, b"c", 0o700, 7, b""), file(b"c/y", b"3")];
    let upper = [file(b"a", b"4"), file(b"b/z", b"5"), Entry(DIR, b"c", 0o750, 8, b"")];
    assert_eq!(
        merged(&[&lower, &upper]).unwrap(),
        ["5 ./ 755 0", "5 ./b 755 0", "5 ./c 750 8", "0 ./c/y 644 0 \"3\"", "0 ./a 644 0 \"4\"", "0 ./b/z 644 0 \"5\"",]
    );
}

/// LESSONS 29: a link may point anywhere; what lies behind it lands inside of the root.
#[test]
fn a_parent_that_is_a_link_is_followed_inside_of_the_root() {
    let lower = [
        dir(b"usr/lib"),
        Entry(SYMLINK, b"lib", 0o777, 0, b"usr/lib"),
        Entry(SYMLINK, b"out", 0o777, 0, b"../../../../../tmp"),
        Entry(SYMLINK, b"loop", 0o777, 0, b"loop"),
    ];
    let upper = [file(b"lib/a", b"1"), file(b"out/b", b"2")];
    let lines = merged(&[&lower, &upper]).unwrap();
    assert!(lines.contains(&"0 ./usr/lib/a 644 0 \"1\"".to_owned()), "{lines:?}");
    assert!(lines.contains(&"0 ./tmp/b 644 0 \"2\"".to_owned()), "{lines:?}");
    let refusal = merged(&[&lower, &[file(b"loop/c", b"")]]).unwrap_err();
    assert_eq!(refusal, "layer 1 has an entry that cannot be used: `loop/c`: it lies behind too many symbolic links");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused = |entry: Entry, why: &str| {
        let found = merged(&[&[entry]]).unwrap_err();
        assert!(found.ends_with(why), "{found}");
    };
    refused(file(b"../../etc/passwd", b"x"), "`../../etc/passwd`: it leads out of its directory");
    refused(file(b"a/../../b", b"x"), "`a/../../b`: it leads out of its directory");
    refused(Entry(LINK, b"a", 0o644, 0, b"../b"), "`a`: it leads out of its directory");
    refused(Entry(LINK, b"a", 0o644, 0, b"b"), "`a`: it is a hard link to `b`, which is not there");
    refused(file(b".wh.", b""), "`.wh.`: it removes nothing that has a name");
    refused(Entry(EntryType::new(b'V'), b"s", 0o644, 0, b""), "`s`: it is of the tar type 'V', which is not supported");
    let big: &'static [u8] = vec![0; 2 << 20].leak();
    assert_eq!(
        merged(&[&[file(b"big", big)]]).unwrap_err(),
        "the image's files have 2097152 bytes and do not fit into 1MiB"
    );
}

/// LESSONS 31: host keys and machine ids stay behind.
#[test]
fn identities_are_left_out() {
    let layer = [
        file(b"etc/ssh/ssh_host_ed25519_key", b"k"),
        file(b"etc/ssh/sshd_config", b"c"),
        file(b"var/lib/dbus/machine-id", b"m"),
    ];
    let lines = merged(&[&layer]).unwrap();
    let files: Vec<&String> = lines.iter().filter(|line| line.starts_with('0')).collect();
    assert_eq!(files, ["0 ./etc/ssh/sshd_config 644 0 \"c\""]);
}

#[test]
fn long_names_and_large_owners_survive() {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let target = "t".repeat(300);
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(3_000_000_000);
    header.set_gid(0);
    header.set_size(1);
    builder.append_data(&mut header, &long, &b"x"[..]).unwrap();
    header.set_entry_type(SYMLINK);
    header.set_size(0);
    builder.append_link(&mut header, "link", &target).unwrap();
    std::fs::write(dir.join("layer"), builder.into_inner().unwrap()).unwrap();
    let readers = [Reader::of_file("layer", &dir.join("layer")).unwrap().unwrap()];
    let tree = merge(&readers, Owners::default(), ByteSize::mib(1)).unwrap();
    tree.write(&readers, &dir.join("out.tar")).unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(dir.join("out.tar")).unwrap());
    let lines: Vec<String> = archive.entries().unwrap().map(|entry| line(entry.unwrap())).collect();
    assert!(lines.contains(&format!("0 ./{long} 644 3000000000 \"x\"")), "{lines:?}");
    assert!(lines.contains(&format!("2 ./link 644 3000000000 -> {target}")), "{lines:?}");
}

#[test]
fn compressed_layers_read_the_same() {
    use std::io::Write as _;
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let plain = tar(&[file(b"a", b"content")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let zstd = |part: &[u8]| ruzstd::encoding::compress_to_vec(part, ruzstd::encoding::CompressionLevel::Fastest);
    // Two frames, as parallel compressors write them.
    let frames = [zstd(&plain[..600]), zstd(&plain[600..])].concat();
    for (name, bytes) in [("plain", plain.clone()), ("gzip", gzip.finish().unwrap()), ("zstd", frames)] {
        std::fs::write(dir.join(name), bytes).unwrap();
        let mut read = Vec::new();
        let reader = Reader::of_file(name, &dir.join(name)).unwrap().unwrap();
        reader.open().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == plain, "{name}");
    }
    std::fs::write(dir.join("xz"), b"\xfd7zXZ\0").unwrap();
    assert_eq!(Reader::of_file("xz", &dir.join("xz")).unwrap(), None);
}

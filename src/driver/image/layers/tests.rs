//! Layers as few words, merged, and read back.

use std::io::Read as _;

use camino::Utf8Path;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::driver::ext4::{self, FEATURES};

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

/// What comes of the layers: a line for everything in the file system, in the order of the paths.
fn merged(layers: &[&[Entry]]) -> Result<Vec<String>, String> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|entries| tar(entries)).collect();
    laid(&layers)
}

/// The same of finished tar files.
fn laid(layers: &[Vec<u8>]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    let dir = Utf8Path::from_path(dir.path()).unwrap();
    let readers: Vec<Result<Reader, Failure>> = layers
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            let path = dir.join(index.to_string());
            std::fs::write(&path, bytes).unwrap();
            Ok(Reader::of_file(&format!("layer {index}"), &path).unwrap().unwrap())
        })
        .collect();
    let image = dir.join("root.img");
    std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-O", FEATURES, image.as_str()]);
    match lay(readers.into_iter(), Owners::default(), Writer::open(&image).unwrap()) {
        Ok(()) => {}
        Err(LayError::Failure(failure)) => return Err(failure.causes.join(": ")),
        Err(LayError::Fill(error)) => return Err(error.to_string()),
    }
    run("e2fsck", &["-fn", image.as_str()]);
    let mut lines = Vec::new();
    ext4::look(&image, |files| {
        list(&files, &ext4_view::PathBuf::new("/"), &mut lines);
        Ok(())
    })
    .unwrap();
    Ok(lines)
}

fn run(program: &str, args: &[&str]) {
    let output = std::process::Command::new(program).args(args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stdout));
}

/// `type path mode owner`, target or content.
fn list(files: &ext4_view::Ext4, path: &ext4_view::PathBuf, lines: &mut Vec<String>) {
    let found = files.symlink_metadata(path).unwrap();
    let kind = match found.file_type() {
        ext4_view::FileType::Directory => 'd',
        ext4_view::FileType::Regular => '-',
        ext4_view::FileType::Symlink => 'l',
        ext4_view::FileType::CharacterDevice => 'c',
        ext4_view::FileType::Fifo => 'p',
        _ => '?',
    };
    let more = match kind {
        '-' => format!(" {:?}", String::from_utf8_lossy(&files.read(path).unwrap())),
        'l' => format!(" -> {}", files.read_link(path).unwrap().to_str().unwrap()),
        _ => String::new(),
    };
    let name = AsRef::<[u8]>::as_ref(path).escape_ascii();
    lines.push(format!("{kind} {name} {:o} {}{more}", found.mode() & 0o7777, found.uid()));
    if kind != 'd' {
        return;
    }
    let entries = files.read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let dots: [&[u8]; 3] = [b".", b"..", b"lost+found"];
    let is_ours = |path: &ext4_view::PathBuf| {
        let bytes: &[u8] = path.as_ref();
        !dots.contains(&bytes.rsplit(|byte| *byte == b'/').next().unwrap())
    };
    let mut entries: Vec<ext4_view::PathBuf> = entries.filter(is_ours).collect();
    entries.sort_by(|a, b| AsRef::<[u8]>::as_ref(a).cmp(AsRef::<[u8]>::as_ref(b)));
    for entry in entries {
        list(files, &entry, lines);
    }
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
            "d / 755 0",
            r#"- /a b\'\"\n\xff\xfe 644 0 "strange""#,
            "d /bin 755 0",
            "- /bin/su 4755 0 \"su\"",
            "- /bin/su2 4755 0 \"su\"",
            "d /dev 755 0",
            "c /dev/null 666 0",
            "p /dev/pipe 600 0",
            "l /etc 777 0 -> /usr/etc",
            "d /home 755 0",
            "d /home/me 755 0",
            "- /home/me/notes 600 1000 \"mine\"",
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
            "d / 755 0",
            "d /a 755 0",
            "- /a/two 644 0 \"2\"",
            "d /b 755 0",
            "d /b/c 755 0",
            "- /b/c/new 644 0 \"n\"",
            "- /b/new 644 0 \"n\"",
        ]
    );
    // A file that is removed and made again in one layer is the new one, in either order.
    for upper in [[file(b".wh.d", b""), file(b"d", b"new")], [file(b"d", b"new"), file(b".wh.d", b"")]] {
        let made_again = merged(&[&[file(b"d", b"old")], &upper]).unwrap();
        assert_eq!(made_again, ["d / 755 0", "- /d 644 0 \"new\""]);
    }
}

#[test]
fn a_hard_link_keeps_the_content_its_first_name_lost() {
    let lower = [file(b"a", b"old"), Entry(LINK, b"b", 0o644, 0, b"a"), Entry(LINK, b"c", 0o644, 0, b"./b")];
    let upper = [file(b"a", b"new"), file(b".wh.b", b"")];
    let lines = merged(&[&lower, &upper]).unwrap();
    assert_eq!(lines, ["d / 755 0", "- /a 644 0 \"new\"", "- /c 644 0 \"old\""]);
    let lower = [file(b"a", b"x"), file(b"z", b"z")];
    let upper = [Entry(LINK, b"b", 0o644, 0, b"/a")];
    let lines = merged(&[&lower, &upper]).unwrap();
    assert_eq!(lines, ["d / 755 0", "- /a 644 0 \"x\"", "- /b 644 0 \"x\"", "- /z 644 0 \"z\""]);
}

#[test]
fn what_replaces_a_directory_or_is_replaced_by_one() {
    let lower = [file(b"a/x", b"1"), file(b"b", b"2"), Entry(DIR, b"c", 0o700, 7, b""), file(b"c/y", b"3")];
    let upper = [file(b"a", b"4"), file(b"b/z", b"5"), Entry(DIR, b"c", 0o750, 8, b"")];
    assert_eq!(
        merged(&[&lower, &upper]).unwrap(),
        ["d / 755 0", "- /a 644 0 \"4\"", "d /b 755 0", "- /b/z 644 0 \"5\"", "d /c 750 8", "- /c/y 644 0 \"3\""]
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
    assert!(lines.contains(&"- /usr/lib/a 644 0 \"1\"".to_owned()), "{lines:?}");
    assert!(lines.contains(&"- /tmp/b 644 0 \"2\"".to_owned()), "{lines:?}");
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
    let big: &'static [u8] = vec![0; 9 << 20].leak();
    assert_eq!(merged(&[&[file(b"big", big)]]).unwrap_err(), "it is full");
    let half: &'static [u8] = vec![1; 2 << 20].leak();
    let replaced = [&[file(b"half", half)][..], &[file(b".wh.half", b"")], &[file(b"other", half)]];
    assert_eq!(merged(&replaced).unwrap().len(), 2, "what is removed makes room");
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
    let files: Vec<&String> = lines.iter().filter(|line| line.starts_with('-')).collect();
    assert_eq!(files, ["- /etc/ssh/sshd_config 644 0 \"c\""]);
}

#[test]
fn long_names_and_large_owners_survive() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let target = "t/".repeat(149) + "t";
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
    let lines = laid(&[builder.into_inner().unwrap()]).unwrap();
    assert!(lines.contains(&format!("- /{long} 644 3000000000 \"x\"")), "{lines:?}");
    assert!(lines.contains(&format!("l /link 644 3000000000 -> {target}")), "{lines:?}");
}

/// Capabilities of programs lie in extended attributes, which layers have in PAX headers.
#[test]
fn extended_attributes_are_read() {
    let mut builder = Builder::new(Vec::new());
    let value = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    builder.append_pax_extensions([("SCHILY.xattr.security.capability", &value[..]), ("mtime", b"1.5")]).unwrap();
    let mut header = Header::new_ustar();
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    builder.append_data(&mut header, "ping", &b""[..]).unwrap();
    let bytes = builder.into_inner().unwrap();
    let mut tree = Tree::new(Owners::default());
    for (number, entry) in tar::Archive::new(&bytes[..]).entries().unwrap().enumerate() {
        let mut entry = entry.unwrap();
        let path = entry.path_bytes().into_owned();
        tree.add((0, number), &path, &mut entry).unwrap();
    }
    let file = tree.file((0, 0)).unwrap();
    assert_eq!(file.attributes.extended, [ext4::Attribute::new("security.capability", &value).unwrap()]);
    laid(&[bytes]).unwrap();
}

#[test]
fn a_directory_can_be_taken_for_the_root() {
    let reader = Reader::of_file("a", Utf8Path::new("/dev/null")).unwrap().unwrap().below(b"./a/b");
    assert_eq!(reader.inside(b"./a/b/c/d"), Some(&b"c/d"[..]));
    assert_eq!((reader.inside(b"./a/b/"), reader.inside(b"./a/bc")), (Some(&b""[..]), None));
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

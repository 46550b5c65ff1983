//! File systems of all kinds of files, held against `e2fsck`, and read back.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::*;

/// A file system of so many MiB with nothing in it.
fn empty(dir: &Utf8Path, mib: u64) -> Utf8PathBuf {
    let image = dir.join("root.img");
    File::create(&image).unwrap().set_len(mib << 20).unwrap();
    let options = ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-O", FEATURES, "-E", "lazy_itable_init=1"];
    run("mke2fs", &[&options[..], &[image.as_str()]].concat());
    image
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {args:?}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn attributes(mode: u16) -> Attributes {
    Attributes { mode, mtime: 1_700_000_000, ..Attributes::default() }
}

/// Bytes that no two pieces of are equal, and no block of zeros.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u8 | 1).collect()
}

fn file(writer: &mut Writer, content: &[u8], attributes: &Attributes) -> Number {
    let number = writer.number(Kind::File).unwrap();
    let content = writer.content(&mut &*content, content.len() as u64).unwrap();
    writer.add_file(number, (attributes, 1), &content).unwrap();
    number
}

#[test]
fn everything_that_a_tree_can_have() {
    let dir = tempfile::tempdir().unwrap();
    let image = empty(Utf8Path::from_path(dir.path()).unwrap(), 300);
    let mut writer = Writer::open(&image).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let large = vec![b'x'; 900];
    let all = [("security.capability", &capability[..]), ("user.large", &large)];
    let extended = extended(all.into_iter());
    let owned = Attributes { owner: (3_000_000_000, 70_000), extended, ..attributes(0o4711) };
    let big = noise(40 << 20);
    let (empty_file, big_file) = (file(&mut writer, b"", &attributes(0o600)), file(&mut writer, &big, &owned));
    let small = Attributes { extended: extended_capability(&capability), ..attributes(0o755) };
    let capable = file(&mut writer, b"capable", &small);
    let long = "t/".repeat(149) + "t";
    let links = [b"short".to_vec(), long.clone().into_bytes(), vec![b'e'; 59], vec![b'e'; 60]].map(|target| {
        let number = writer.number(Kind::Symlink).unwrap();
        writer.add_link(number, &attributes(0o777), &target).unwrap();
        number
    });
    let specials = [(Kind::CharDevice, (1, 3)), (Kind::BlockDevice, (259, 70_000)), (Kind::Fifo, (0, 0))];
    let specials = specials.map(|(kind, numbers)| {
        let number = writer.number(kind).unwrap();
        writer.add_special(number, kind, &attributes(0o660), numbers).unwrap();
        (kind, number)
    });
    let below = writer.number(Kind::Directory).unwrap();
    let names: Vec<Vec<u8>> = (0..2000).map(|n| format!("a name that is rather long {n}").into_bytes()).collect();
    let numbers: Vec<Number> = names.iter().map(|name| file(&mut writer, name, &attributes(0o644))).collect();
    let child = |name, number, kind| Child { name, number, kind };
    let inside = names.iter().zip(&numbers).map(|(name, number)| child(name, *number, Kind::File));
    writer.add_directory((below, Number::ROOT), &attributes(0o1777), &inside.collect::<Vec<_>>()).unwrap();
    let mut top = vec![
        child(b"below", below, Kind::Directory),
        child(b"big", big_file, Kind::File),
        child(b"capable", capable, Kind::File),
        child(b"empty", empty_file, Kind::File),
        child(b"lost+found", below, Kind::Directory),
        child(b"\xff\n'\"", file(&mut writer, b"strange", &attributes(0o644)), Kind::File),
    ];
    for (name, number) in [&b"l1"[..], b"l2", b"l3", b"l4"].into_iter().zip(links) {
        top.push(child(name, number, Kind::Symlink));
    }
    for (name, (kind, number)) in [&b"char"[..], b"block", b"fifo"].into_iter().zip(specials) {
        top.push(child(name, number, kind));
    }
    writer.add_directory((Number::ROOT, Number::ROOT), &attributes(0o755), &top).unwrap();
    writer.finish().unwrap();

    run("e2fsck", &["-fn", image.as_str()]);
    look(&image, |files| {
        assert!(files.read("/big").unwrap() == big);
        let found = files.metadata("/big").unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o4711, 3_000_000_000, 70_000));
        assert_eq!(files.read("/below/a name that is rather long 1999").unwrap(), b"a name that is rather long 1999");
        assert_eq!(files.read(&b"/\xff\n'\""[..]).unwrap(), b"strange");
        assert_eq!(files.read_link("/l2").unwrap().to_str().unwrap(), long);
        assert_eq!(files.metadata("/empty").unwrap().len(), 0);
        Ok(())
    })
    .unwrap();
    let shown = |request: &str| run("debugfs", &["-R", request, image.as_str()]);
    assert!(shown("ea_list /capable").contains("security.capability (20)"), "{}", shown("ea_list /capable"));
    assert!(shown("ea_list /big").contains("user.large (900)"));
    assert!(
        shown("stat block").contains("259:70000") && shown("stat char").contains("01:03"),
        "{}",
        shown("stat block")
    );
    // And a program that changes file systems goes on with it.
    run("debugfs", &["-w", "-R", "write /etc/hostname below/new", image.as_str()]);
    run("e2fsck", &["-fn", image.as_str()]);
    run("resize2fs", &[image.as_str(), "200M"]);
    run("e2fsck", &["-fn", image.as_str()]);
}

/// The owner may do all, user 1000 and the group may read, others nothing. Who has no number has 0, as e2fsprogs writes it.
#[test]
fn access_control_lists_are_what_e2fsprogs_reads() {
    let dir = tempfile::tempdir().unwrap();
    let image = empty(Utf8Path::from_path(dir.path()).unwrap(), 32);
    let mut writer = Writer::open(&image).unwrap();
    let acl: Vec<u8> = [entry(1, 7, 0), entry(2, 4, 1000), entry(4, 4, 0), entry(16, 4, 0), entry(32, 0, 0)].concat();
    let acl = [&[2, 0, 0, 0], &acl[..]].concat();
    let extended = extended(std::iter::once(("system.posix_acl_access", &acl[..])));
    let number = file(&mut writer, b"shared", &Attributes { extended, ..attributes(0o740) });
    let child = Child { name: b"shared", number, kind: Kind::File };
    writer.add_directory((Number::ROOT, Number::ROOT), &attributes(0o755), &[child]).unwrap();
    writer.finish().unwrap();
    run("e2fsck", &["-fn", image.as_str()]);
    let value = image.with_extension("acl");
    run("debugfs", &["-R", &format!("ea_get -f {value} /shared system.posix_acl_access"), image.as_str()]);
    assert_eq!(std::fs::read(value).unwrap(), acl);
}

/// One entry of an access control list: tag, permissions, number.
fn entry(tag: u16, permissions: u16, id: u32) -> [u8; 8] {
    let ([t0, t1], [p0, p1], [i0, i1, i2, i3]) = (tag.to_le_bytes(), permissions.to_le_bytes(), id.to_le_bytes());
    [t0, t1, p0, p1, i0, i1, i2, i3]
}

fn extended_capability(value: &[u8]) -> Vec<Attribute> {
    extended(std::iter::once(("security.capability", value)))
}

#[test]
fn what_is_released_is_used_again_and_is_zero() {
    let dir = tempfile::tempdir().unwrap();
    let image = empty(Utf8Path::from_path(dir.path()).unwrap(), 32);
    let mut writer = Writer::open(&image).unwrap();
    let noise = noise(4096);
    // Every second block is given back, so that what comes next lies in many places.
    let pieces: Vec<Content> = (0..3000).map(|_| writer.content(&mut &noise[..], 4096).unwrap()).collect();
    for piece in pieces.iter().skip(1).step_by(2) {
        writer.release(piece).unwrap();
    }
    let mut left = 0;
    while writer.content(&mut &noise[..], 4096).is_ok() {
        left += 1;
    }
    assert!(left > 1500, "{left}");
    for piece in pieces.iter().step_by(2) {
        writer.release(piece).unwrap();
    }
    let sparse = [&noise[..100], &[0; 5_000_000], b"end"].concat();
    let number = file(&mut writer, &sparse, &attributes(0o644));
    let child = Child { name: b"scattered", number, kind: Kind::File };
    writer.add_directory((Number::ROOT, Number::ROOT), &attributes(0o755), &[child]).unwrap();
    // What is stored and never named is room lost, which e2fsck would find.
    let error = writer.content(&mut &noise[..], 64 << 20);
    assert!(matches!(error, Err(FillError::Full)), "{error:?}");
    let short = writer.content(&mut &noise[..10], 11);
    assert!(matches!(short, Err(FillError::Content(_) | FillError::Full)), "{short:?}");
    let read = {
        writer.finish().unwrap();
        look(&image, |files| files.read("/scattered").map_err(|error| error.to_string())).unwrap()
    };
    assert!(read == sparse);
    let fragments = run("debugfs", &["-R", "stat scattered", image.as_str()]);
    assert!(fragments.contains("(ETB0)"), "its extents fill a block of their own: {fragments}");
}

#[test]
fn another_form_of_file_system_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = Utf8Path::from_path(dir.path()).unwrap().join("old.img");
    File::create(&image).unwrap().set_len(8 << 20).unwrap();
    run("mke2fs", &["-q", "-F", "-t", "ext2", "-b", "1024", image.as_str()]);
    let refused = Writer::open(&image).unwrap_err().to_string();
    assert_eq!(refused, "mke2fs made a file system of another form than it was asked for");
}

#[test]
fn windows_give_what_is_there_and_nothing_beyond_the_end() {
    let (_guard, dir) = crate::effect::testing::scratch();
    let size = WINDOW * (WINDOWS + 1) + 1000;
    let byte = |at: u64| (at % 251) as u8;
    let path = dir.join("disk");
    std::fs::write(&path, (0..size).map(byte).collect::<Vec<u8>>()).unwrap();
    let mut disk = Disk::open(&path, Checksums::E2fsck).unwrap();
    let last = size - 3000;
    for (at, length) in [(0, 10), (WINDOW - 5, 10), (5, WINDOW * 2), (WINDOW * WINDOWS, 10), (0, 10), (last, 3000)] {
        let mut found = vec![0; length as usize];
        disk.fill(at, &mut found).unwrap();
        assert!(found.iter().zip(at..).all(|(found, at)| *found == byte(at)), "{at} {length}");
    }
    for at in [last + 1, size, size * 2] {
        assert!(disk.fill(at, &mut [0; 3000]).is_err(), "{at}");
    }
}

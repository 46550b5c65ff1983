use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::effect::testing::scratch;

fn text_entry(path: &str, mode: u32, text: &str) -> Entry {
    let kind =
        EntryKind::File { size: text.len() as u64, sha256: Sha256::digest(text).into(), text: Some(text.to_owned()) };
    Entry { path: path.into(), kind, mode }
}

fn write(path: &Utf8Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// LESSON 11: links and special files are left out and said so; nothing they point to is read.
#[test]
fn a_tree_is_read_whole_and_links_are_skipped() {
    let (_guard, root) = scratch();
    let tree = root.join("tree");
    std::fs::create_dir_all(tree.join("d")).unwrap();
    std::fs::set_permissions(tree.join("d"), std::fs::Permissions::from_mode(0o750)).unwrap();
    std::fs::set_permissions(&tree, std::fs::Permissions::from_mode(0o700)).unwrap();
    write(&root.join("secret"), "leak", 0o600);
    write(&tree.join("d/run"), "#!/bin/sh\n", 0o755);
    write(&tree.join("a b"), "x", 0o600);
    symlink("../secret", tree.join("out")).unwrap();
    symlink("a b", tree.join("in")).unwrap();
    nix::unistd::mkfifo(tree.join("pipe").as_std_path(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let directory = |path: &str, mode| Entry { path: path.into(), kind: EntryKind::Directory, mode };
    assert_eq!(
        walk(&tree, &[], &Limits::default()).unwrap(),
        Tree {
            root: tree,
            entries: vec![
                directory("", 0o700),
                text_entry("a b", 0o600, "x"),
                directory("d", 0o750),
                text_entry("d/run", 0o755, "#!/bin/sh\n")
            ],
            skipped: vec![
                (b"in".to_vec(), LINK.to_owned()),
                (b"out".to_vec(), LINK.to_owned()),
                (b"pipe".to_vec(), "it is no regular file".to_owned())
            ],
        }
    );
}

/// LESSON 12: the named path may be a link, but only into an allowed directory.
#[test]
fn a_named_link_must_stay_inside() {
    let (_guard, root) = scratch();
    let (home, outside) = (root.join("home"), root.join("outside"));
    std::fs::create_dir_all(home.join("dotfiles")).unwrap();
    write(&home.join("dotfiles/vimrc"), "v", 0o644);
    write(&outside, "o", 0o644);
    symlink("dotfiles/vimrc", home.join("in")).unwrap();
    symlink(&outside, home.join("out")).unwrap();
    let allowed = [home.clone()];
    let read = walk(&home.join("in"), &allowed, &Limits::default()).unwrap();
    assert_eq!((read.root, read.entries), (home.join("dotfiles/vimrc"), vec![text_entry("", 0o644, "v")]));
    assert_eq!(
        walk(&home.join("out"), &allowed, &Limits::default()).unwrap_err().to_string(),
        format!("`{home}/out` leads through a symbolic link to `{outside}`, outside `{home}`")
    );
    // Named without a link, a path outside is what the user asked for.
    assert_eq!(walk(&outside, &allowed, &Limits::default()).unwrap().entries, [text_entry("", 0o644, "o")]);
}

#[test]
fn missing_special_and_too_much_are_told_apart() {
    let (_guard, root) = scratch();
    let refusal = |limits: Limits| walk(&root, &[], &limits).unwrap_err().to_string();
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    write(&root.join("a/b/c"), "12345", 0o644);
    let all = Limits::default();
    assert_eq!(refusal(Limits { entries: 3, ..all }), format!("`{root}` holds more than 3 files and directories"));
    assert_eq!(refusal(Limits { depth: 2, ..all }), format!("`{root}` is nested more than 2 levels deep"));
    assert_eq!(refusal(Limits { bytes: 4, ..all }), format!("`{root}` holds more than 4 bytes"));
    let gone = root.join("gone");
    assert!(matches!(walk(&gone, &[], &all), Err(WalkError::Missing(path)) if path == gone));
    assert!(matches!(walk(Utf8Path::new("/dev/null"), &[], &all), Err(WalkError::Special(_))));
}

#[test]
fn what_is_excluded_is_not_even_opened() {
    let (_guard, root) = scratch();
    std::fs::create_dir_all(root.join("deep/deeper")).unwrap();
    write(&root.join("big"), "too much", 0o600);
    write(&root.join("f"), "x", 0o600);
    symlink("/nowhere", root.join("link")).unwrap();
    let limits = Limits { bytes: 1, depth: 1, ..Limits::default() };
    let excludes = |path: &[u8], is: Named| match is {
        Named::Directory => path == b"deep",
        Named::Other => path != b"f",
    };
    let tree = walk_as(
        &root,
        &[],
        &limits,
        &Manner { excludes: &excludes, links: Links::Skip, digests: &DigestCache::default() },
    )
    .unwrap();
    let paths: Vec<_> = tree.entries.iter().map(|entry| entry.path.as_slice()).collect();
    assert_eq!((paths, tree.skipped), (vec![&b""[..], b"f"], vec![]));
}

#[test]
fn text_is_kept_when_it_is_short_and_text() {
    let (_guard, root) = scratch();
    std::fs::write(root.join("binary"), b"a\0b").unwrap();
    std::fs::write(root.join("latin1"), b"\xe9").unwrap();
    std::fs::write(root.join("long"), "x".repeat(101)).unwrap();
    std::fs::write(root.join("short"), "x".repeat(100)).unwrap();
    let tree = walk(&root, &[], &Limits { text: 100, ..Limits::default() }).unwrap();
    let texts: Vec<_> = tree
        .entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            EntryKind::File { text, .. } => Some((entry.path.as_slice(), text.is_some())),
            _ => None,
        })
        .collect();
    assert_eq!(texts, [(&b"binary"[..], false), (b"latin1", false), (b"long", false), (b"short", true)]);
}

#[test]
fn a_walked_file_opens_again_only_without_links() {
    let (_guard, root) = scratch();
    std::fs::create_dir(root.join("d")).unwrap();
    write(&root.join("d/f"), "x", 0o644);
    assert!(open_file(&root, b"d/f").is_ok());
    std::fs::rename(root.join("d"), root.join("real")).unwrap();
    symlink("real", root.join("d")).unwrap();
    assert!(open_file(&root, b"d/f").is_err());
    assert!(open_file(&root, b"real").is_err());
    assert!(open_file(&root.join("d"), b"f").is_err());
}

/// Ends whoever watches the flag, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn exchange(one: &Utf8Path, other: &Utf8Path) {
    let flags = nix::fcntl::RenameFlags::RENAME_EXCHANGE;
    nix::fcntl::renameat2(AT_FDCWD, one.as_str(), AT_FDCWD, other.as_str(), flags).unwrap();
}

/// Someone swaps a file, and the directory above another, for links to a secret while the tree is read: in 10,000
/// tries not one byte from outside is seen (LESSON 11).
#[test]
fn a_link_swapped_in_while_reading_never_leaks() {
    let (_guard, root) = scratch();
    let (tree, secret) = (root.join("tree"), root.join("secret"));
    std::fs::create_dir_all(tree.join("d")).unwrap();
    std::fs::create_dir(&secret).unwrap();
    write(&secret.join("f"), "secret", 0o600);
    write(&tree.join("d/f"), "public", 0o600);
    write(&tree.join("f"), "public", 0o600);
    symlink(secret.join("f"), root.join("file-link")).unwrap();
    symlink(&secret, root.join("dir-link")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                exchange(&tree.join("f"), &root.join("file-link"));
                exchange(&tree.join("d"), &root.join("dir-link"));
            }
        });
        let _stop = Stop(&done);
        let (mut whole, mut cut) = (0, 0);
        for _ in 0..10_000 {
            let read = walk(&tree, &[], &Limits::default()).unwrap();
            for entry in &read.entries {
                let EntryKind::File { text, .. } = &entry.kind else { continue };
                assert_eq!(text.as_deref(), Some("public"));
            }
            *(if read.skipped.is_empty() { &mut whole } else { &mut cut }) += 1;
            // The same for a file that is opened again to be copied.
            for below in [&b"f"[..], b"d/f"] {
                let Ok(mut file) = open_file(&tree, below) else { continue };
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                assert_eq!(text, "public");
            }
        }
        assert!(whole > 0 && cut > 0, "the race was not run: {whole} {cut}");
    });
}

/// The same of the directory that the user named: what a link led to a moment ago is not read under its name.
#[test]
fn a_link_swapped_in_for_the_named_directory_never_leaks() {
    let (_guard, root) = scratch();
    let (tree, secret, link) = (root.join("tree"), root.join("secret"), root.join("link"));
    for (dir, text) in [(&tree, "public"), (&secret, "secret")] {
        std::fs::create_dir(dir).unwrap();
        write(&dir.join("f"), text, 0o600);
    }
    symlink(&secret, &link).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                exchange(&tree, &link);
            }
        });
        let _stop = Stop(&done);
        let (mut read, mut refused) = (0, 0);
        for _ in 0..10_000 {
            match read_file(&tree.join("f"), &[], 100) {
                Ok(text) => {
                    assert_eq!(text, b"public");
                    read += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(read > 0 && refused > 0, "the race was not run: {read} {refused}");
    });
}

/// A file that nobody touched since it was read is not read again, unless it is a text: that may have to be shown.
#[test]
fn what_is_known_is_not_read_again() {
    let (_guard, dir) = scratch();
    let (root, cache) = (dir.join("tree"), dir.join("cache"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("binary"), b"\0one").unwrap();
    write(&root.join("text"), "one", 0o600);
    // As if all of it had been there for a while.
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(100);
    let look = |digests: &DigestCache| {
        let manner = Manner { excludes: &|_, _| false, links: Links::Skip, digests };
        walk_as(&root, &[], &Limits::default(), &manner).unwrap()
    };
    let digests = DigestCache::load(&cache, "boot", later);
    let first = look(&digests);
    digests.save(&cache).unwrap();
    let digests = DigestCache::load(&cache, "boot", later);
    assert_eq!(look(&digests), first);
    assert_eq!(digests.known(), 1, "the text was read");
    // Same length, same date: another file all the same.
    let date = root.join("binary").metadata().unwrap().modified().unwrap();
    std::fs::write(root.join("binary"), b"\0two").unwrap();
    File::options().write(true).open(root.join("binary")).unwrap().set_modified(date).unwrap();
    let found = look(&digests);
    let EntryKind::File { sha256, .. } = found.entries[1].kind.clone() else { panic!("{found:?}") };
    assert_eq!(sha256[..], Sha256::digest(b"\0two")[..]);
}

/// A link is kept as the words that it is, when they lead to a place below the root; it is never followed.
#[test]
fn links_that_stay_inside_are_kept_when_asked_for() {
    let (_guard, dir) = scratch();
    let tree = dir.join("tree");
    std::fs::create_dir_all(tree.join("d/e")).unwrap();
    write(&dir.join("secret"), "leak", 0o600);
    let inside =
        [("d/e/up", "../../f"), ("d/here", "e"), ("dangling", "nowhere/at all"), ("dot", "."), ("top", "d/./e")];
    let outside =
        [("a", "/etc/passwd"), ("b", ".."), ("c", "../tree/f"), ("d/g", "../../secret"), ("d/h", "e/../../../x")];
    for (name, target) in inside.into_iter().chain(outside) {
        symlink(target, tree.join(name)).unwrap();
    }
    symlink("new\nline", tree.join("e")).unwrap();
    let manner = Manner { excludes: &|_, _| false, links: Links::Keep, digests: &DigestCache::default() };
    let found = walk_as(&tree, &[], &Limits::default(), &manner).unwrap();
    let links = found.entries.iter().filter_map(|entry| match &entry.kind {
        EntryKind::Link { target } => Some((String::from_utf8(entry.path.clone()).unwrap(), target.as_str())),
        _ => None,
    });
    let links: Vec<_> = links.collect();
    assert_eq!(links.iter().map(|(path, target)| (path.as_str(), *target)).collect::<Vec<_>>(), inside);
    let skipped: Vec<&[u8]> = found.skipped.iter().map(|(path, _)| path.as_slice()).collect();
    assert_eq!(skipped, [&b"a"[..], b"b", b"c", b"d/g", b"d/h", b"e"]);
    let few = Limits { entries: 4, ..Limits::default() };
    assert!(matches!(walk_as(&tree, &[], &few, &manner), Err(WalkError::Excess { .. })));
}

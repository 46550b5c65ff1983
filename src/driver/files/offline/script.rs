//! Writes what debugfs carries out: one script, and a request each for the rare names that a script cannot hold.
//!
//! What debugfs's parser does with a line was read in its source (e2fsprogs 1.47, `lib/ss/parse.c` and `source_file`
//! in `debugfs/debugfs.c`): words may stand in double quotes, a quote inside is doubled, a backslash is nothing
//! special. A script's line ends at CR or LF and is cut at the size of a stdio buffer, so lines must be short; a request
//! on the command line (`-R`) goes to the parser whole, and takes names with line breaks. Names that look like `<12>` or
//! start with `/` mean something else to some commands: a script names entries relative to the directory (`cd`), and
//! inodes by absolute path; a request, which starts in the root directory, names everything by absolute path.

use crate::driver::files::edits::{Edit, NewFile};
use crate::exec::Failure;
use crate::resource::{FileKind, GuestPath, ROOT};

/// Bytes of the longest line; stdio's buffer, which cuts lines, has at least 8192.
const LINE_MAX: usize = 8000;

/// The type bits that `sif mode` must be given, because it sets all of `i_mode`.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;

/// The most requests, each of which is a process.
const REQUESTS_MAX: usize = 1000;

/// What debugfs is to do, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Instructions {
    /// Requests that remove.
    pub(super) before: Vec<String>,
    /// For `debugfs -f`.
    pub(super) script: Vec<u8>,
    /// Requests that write.
    pub(super) after: Vec<String>,
}

/// Instructions in the making.
#[derive(Debug, Default)]
pub(super) struct Script {
    done: Instructions,
    directory: Option<GuestPath>,
    /// What debugfs's clock was set to.
    clock: Option<i64>,
}

/// A file that lies ready for debugfs to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staged {
    /// Its name, in debugfs's working directory; one word.
    pub(super) name: String,
    /// Its permission bits, which debugfs copies.
    pub(super) mode: u32,
    /// What it should be dated, in seconds since 1970.
    pub(super) modified: i64,
}

impl Script {
    /// The instructions; the script ends with the clock set to `now`, which dates the superblock.
    pub(super) fn finish(mut self, now: i64) -> Result<Instructions, Failure> {
        self.set_time(now)?;
        Ok(self.done)
    }

    /// Adds what is not a file to write; `now` dates it, in seconds since 1970.
    pub(super) fn edit(&mut self, edit: &Edit, now: i64) -> Result<(), Failure> {
        match edit {
            Edit::RemoveFile(path) if breaks_line(path) => request(&mut self.done.before, path, &on("rm", path)),
            Edit::RemoveDirectory(path) if breaks_line(path) => {
                request(&mut self.done.before, path, &on("rmdir", path))
            }
            Edit::RemoveFile(path) => self.entry("rm", path),
            Edit::RemoveDirectory(path) => self.entry("rmdir", path),
            Edit::MakeDirectory { path, mode, owner } => {
                self.entry("mkdir", path)?;
                // Made with the caller's umask.
                self.set(path, "mode", &format!("0{:o}", DIRECTORY | mode))?;
                if *owner == ROOT { Ok(()) } else { self.own(path, *owner) }
            }
            Edit::Permit { path, kind, mode, owner } => {
                let bits = if *kind == FileKind::Directory { DIRECTORY } else { REGULAR };
                self.set(path, "mode", &format!("0{:o}", bits | mode))?;
                self.own(path, *owner)
            }
            Edit::Link { path, target, owner, replaces } => {
                if *replaces {
                    self.entry("rm", path)?;
                }
                self.set_time(now)?;
                self.link(path, target)?;
                if *owner == ROOT { Ok(()) } else { self.own(path, *owner) }
            }
            Edit::Write(file) => Err(Failure::permanent(format!("`{}` was not staged", file.path))),
        }
    }

    /// Adds a file to write: the old one removed (debugfs does not overwrite), the staged one copied.
    pub(super) fn write(&mut self, file: &NewFile, staged: &Staged) -> Result<(), Failure> {
        if file.replaces {
            self.entry("rm", &file.path)?;
        }
        self.put(file, staged)
    }

    /// Adds the name of a file that gets all else later; `empty` is a staged file without bytes.
    pub(super) fn name(&mut self, file: &NewFile, empty: &str) -> Result<(), Failure> {
        if file.replaces {
            self.entry("rm", &file.path)?;
        }
        let name = self.enter(&file.path)?;
        self.line(&file.path, &[b"write", empty.as_bytes(), &quoted(&name)])
    }

    fn put(&mut self, file: &NewFile, staged: &Staged) -> Result<(), Failure> {
        if breaks_line(&file.path) {
            let words: [&[u8]; 3] = [b"write", staged.name.as_bytes(), &quoted(&absolute(&file.path))];
            request(&mut self.done.after, &file.path, &words.join(&b' '))?;
            self.set(&file.path, "mtime", &format!("@{}", staged.modified))?;
        } else {
            self.set_time(staged.modified)?;
            let name = self.enter(&file.path)?;
            self.line(&file.path, &[b"write", staged.name.as_bytes(), &quoted(&name)])?;
        }
        if staged.mode != file.mode {
            self.set(&file.path, "mode", &format!("0{:o}", REGULAR | file.mode))?;
        }
        // What debugfs makes belongs to root.
        if file.owner == ROOT { Ok(()) } else { self.own(&file.path, file.owner) }
    }

    fn own(&mut self, path: &GuestPath, (user, group): (u32, u32)) -> Result<(), Failure> {
        self.set(path, "uid", &user.to_string())?;
        self.set(path, "gid", &group.to_string())
    }

    /// The clock that debugfs dates everything by; 0 would mean the real one.
    fn set_time(&mut self, seconds: i64) -> Result<(), Failure> {
        if self.clock.replace(seconds) == Some(seconds) {
            return Ok(());
        }
        self.line(&GuestPath::root(), &[b"set_current_time", format!("@{seconds}").as_bytes()])
    }

    fn link(&mut self, path: &GuestPath, target: &str) -> Result<(), Failure> {
        let target = quoted(target.as_bytes());
        if breaks_line(path) {
            let words: [&[u8]; 3] = [b"symlink", &quoted(&absolute(path)), &target];
            return request(&mut self.done.after, path, &words.join(&b' '));
        }
        let name = self.enter(path)?;
        self.line(path, &[b"symlink", &quoted(&name), &target])
    }

    fn entry(&mut self, command: &str, path: &GuestPath) -> Result<(), Failure> {
        if breaks_line(path) {
            return request(&mut self.done.after, path, &on(command, path));
        }
        let name = self.enter(path)?;
        self.line(path, &[command.as_bytes(), &quoted(&name)])
    }

    fn set(&mut self, path: &GuestPath, field: &str, value: &str) -> Result<(), Failure> {
        let inode = on("sif", path);
        let words = [&inode, field.as_bytes(), value.as_bytes()];
        if breaks_line(path) {
            return request(&mut self.done.after, path, &words.join(&b' '));
        }
        self.line(path, &words)
    }

    /// Goes to the directory of a path and gives the name in it.
    fn enter(&mut self, path: &GuestPath) -> Result<Vec<u8>, Failure> {
        let directory = path.parent().unwrap_or_else(GuestPath::root);
        if self.directory.as_ref() != Some(&directory) {
            self.line(path, &[&on("cd", &directory)])?;
            self.directory = Some(directory);
        }
        Ok(path.name().to_vec())
    }

    fn line(&mut self, path: &GuestPath, words: &[&[u8]]) -> Result<(), Failure> {
        let line = words.join(&b' ');
        // LESSON 2: what cannot be said safely is not said at all.
        if line.contains(&b'\n') || line.contains(&b'\r') {
            return Err(unwritable(path, "a line break in its name"));
        }
        expect_parsable(path, &line)?;
        self.done.script.extend_from_slice(&line);
        self.done.script.push(b'\n');
        Ok(())
    }
}

/// Whether a script cannot hold the path.
pub(super) fn breaks_line(path: &GuestPath) -> bool {
    path.as_bytes().iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

/// Adds a command that is a process of its own.
fn request(requests: &mut Vec<String>, path: &GuestPath, command: &[u8]) -> Result<(), Failure> {
    expect_parsable(path, command)?;
    // Programs are given text as arguments.
    let Ok(command) = std::str::from_utf8(command) else {
        return Err(unwritable(path, "a line break in a name that is not UTF-8"));
    };
    if requests.len() >= REQUESTS_MAX {
        return Err(unwritable(path, "a line break in its name, as too many others have,"));
    }
    requests.push(command.to_owned());
    Ok(())
}

fn expect_parsable(path: &GuestPath, command: &[u8]) -> Result<(), Failure> {
    if command.contains(&0) || command.len() > LINE_MAX { Err(unwritable(path, "a path too long")) } else { Ok(()) }
}

/// A command on an absolute path.
fn on(command: &str, path: &GuestPath) -> Vec<u8> {
    [command.as_bytes(), b" ", &quoted(&absolute(path))].concat()
}

fn unwritable(path: &GuestPath, what: &str) -> Failure {
    Failure::permanent(format!("`{path}` has {what} for writing into the disk of a stopped guest"))
        .hint("start the guest and apply again: a running guest takes any name; or exclude the file")
}

fn absolute(path: &GuestPath) -> Vec<u8> {
    [b"/", path.as_bytes()].concat()
}

/// One word, whatever is in it.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(word.len() + 2);
    text.push(b'"');
    for byte in word {
        text.extend_from_slice(if *byte == b'"' { b"\"\"" } else { std::slice::from_ref(byte) });
    }
    text.push(b'"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::files::source::Source;

    fn path(path: &str) -> GuestPath {
        GuestPath::new(path).unwrap()
    }

    /// LESSONS 1 and 2.
    #[test]
    fn names_are_one_word_and_modes_carry_their_type() {
        let mut script = Script::default();
        script.edit(&Edit::MakeDirectory { path: path("a b/<2>"), mode: 0o750, owner: (5, 0) }, 99).unwrap();
        let file = NewFile {
            path: path("a b/\"; rm -rf\\"),
            source: Source::Bytes(vec![]),
            mode: 0o200,
            owner: ROOT,
            replaces: true,
        };
        script.write(&file, &Staged { name: "7".into(), mode: 0o600, modified: 11 }).unwrap();
        script
            .edit(&Edit::Permit { path: GuestPath::root(), kind: FileKind::Directory, mode: 0o700, owner: ROOT }, 99)
            .unwrap();
        let expected = "cd \"/a b\"\nmkdir \"<2>\"\nsif \"/a b/<2>\" mode 040750\nsif \"/a b/<2>\" uid 5\nsif \"/a b/<2>\" gid 0\nrm \"\"\"; rm -rf\\\"\n\
                        set_current_time @11\nwrite 7 \"\"\"; rm -rf\\\"\nsif \"/a b/\"\"; rm -rf\\\" mode 0100200\n\
                        sif \"/\" mode 040700\nsif \"/\" uid 0\nsif \"/\" gid 0\nset_current_time @99\n";
        assert_eq!(String::from_utf8(script.finish(99).unwrap().script).unwrap(), expected);
    }

    #[test]
    fn a_name_that_would_end_the_line_is_a_request_of_its_own() {
        let mut script = Script::default();
        script.edit(&Edit::RemoveFile(path("a\nrm \"x")), 99).unwrap();
        let file =
            NewFile { path: path("d/\r"), source: Source::Bytes(vec![]), mode: 0o600, owner: ROOT, replaces: true };
        script.write(&file, &Staged { name: "7".into(), mode: 0o600, modified: 11 }).unwrap();
        let expected = Instructions {
            before: vec!["rm \"/a\nrm \"\"x\"".into()],
            script: b"set_current_time @99\n".to_vec(),
            after: vec!["rm \"/d/\r\"".into(), "write 7 \"/d/\r\"".into(), "sif \"/d/\r\" mtime @11".into()],
        };
        assert_eq!(script.finish(99).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let refusal = |path| Script::default().edit(&Edit::RemoveFile(path), 99).unwrap_err().causes[0].clone();
        let not_text = GuestPath::new(&b"\n\xff"[..]).unwrap();
        assert!(refusal(not_text).contains("a line break in a name that is not UTF-8"));
        assert!(refusal(path(&vec!["\"".repeat(255); 20].join("/"))).contains("a path too long"));
    }
}

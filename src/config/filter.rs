//! Which files of a tree are wanted: patterns as in `.gitignore`, see gitignore(5), "PATTERN FORMAT".
//!
//! A pattern is compiled into a small automaton and run over the path: time grows with their lengths and never
//! explodes, whatever the pattern.

/// Patterns in order: of those that match a path the last decides. What is below an excluded directory is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Pattern {
    /// It begins with `!`: what matches is wanted after all.
    includes: bool,
    directories_only: bool,
    /// It holds a slash before its end: it is matched from the root, not with a name at any depth.
    anchored: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// This byte.
    Byte(u8),
    /// `?`: any byte but a slash.
    Any,
    /// `[a-z]`: a byte in one of the ranges, or in none; never a slash.
    Class { ranges: Vec<(u8, u8)>, inverted: bool },
    /// `*`: any bytes but slashes.
    Star,
    /// `**/`: nothing, or anything that ends with a slash.
    Directories,
    /// `**` after the last slash: everything, but something.
    Rest,
}

impl Filter {
    /// Compiles patterns.
    ///
    /// # Errors
    /// Says what is wrong with the first bad one.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let compile = |pattern: S| Pattern::new(pattern.as_ref());
        Ok(Self { patterns: patterns.into_iter().map(compile).collect::<Result<_, _>>()? })
    }

    /// Whether there is no pattern.
    pub const fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the file at this path, or a directory that it is in, is matched.
    pub fn takes(&self, path: &[u8]) -> bool {
        let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
        above.into_iter().any(|directory| self.excludes(directory, Entry::Directory))
            || self.excludes(path, Entry::File)
    }

    /// Whether the file or directory at this path below the root is left out.
    pub fn excludes(&self, path: &[u8], is: Entry) -> bool {
        let last = self.patterns.iter().rev().find(|pattern| pattern.matches(path, is));
        last.is_some_and(|pattern| !pattern.includes)
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A file, link or anything else.
    File,
    /// A directory.
    Directory,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        let (includes, body) = text.strip_prefix('!').map_or((false, text), |body| (true, body));
        let (directories_only, body) = body.strip_suffix('/').map_or((false, body), |body| (true, body));
        let (from_root, body) = body.strip_prefix('/').map_or((false, body), |body| (true, body));
        if body.is_empty() || body.contains(['\0', '\n']) {
            return Err(format!("found the pattern `{}`, expected one as in `.gitignore`", text.escape_debug()));
        }
        let steps = compile(body.as_bytes()).ok_or_else(|| {
            format!("the pattern `{}` does not end: `[` lacks its `]`, or `\\` what it escapes", text.escape_debug())
        })?;
        Ok(Self { includes, directories_only, anchored: from_root || body.contains('/'), steps })
    }

    fn matches(&self, path: &[u8], is: Entry) -> bool {
        if self.directories_only && is != Entry::Directory {
            return false;
        }
        let name = path.iter().rposition(|byte| *byte == b'/').map_or(path, |slash| &path[slash + 1..]);
        accepts(&self.steps, if self.anchored { path } else { name })
    }
}

/// `None` when a class or an escape is not finished.
fn compile(mut rest: &[u8]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    loop {
        let after_slash = matches!(steps.last(), None | Some(Step::Byte(b'/') | Step::Directories));
        let (step, tail) = match rest {
            [] => return Some(steps),
            [b'*', b'*', b'/', tail @ ..] if after_slash => (Step::Directories, tail),
            [b'*', b'*'] if after_slash => (Step::Rest, &[][..]),
            [b'*', tail @ ..] => (Step::Star, tail),
            [b'?', tail @ ..] => (Step::Any, tail),
            [b'[', tail @ ..] => class(tail)?,
            [b'\\', escaped, tail @ ..] => (Step::Byte(*escaped), tail),
            [b'\\'] => return None,
            [byte, tail @ ..] => (Step::Byte(*byte), tail),
        };
        steps.push(step);
        rest = tail;
    }
}

/// The inside of `[…]`: a leading `!` or `^` inverts, a leading `]` is itself, `a-z` is a range.
fn class(text: &[u8]) -> Option<(Step, &[u8])> {
    let (inverted, mut rest) = match text {
        [b'!' | b'^', tail @ ..] => (true, tail),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        if let ([b']', tail @ ..], false) = (rest, ranges.is_empty()) {
            return Some((Step::Class { ranges, inverted }, tail));
        }
        let (first, tail) = member(rest)?;
        // As in git, the start of a range counts even where the range is backwards.
        ranges.push((first, first));
        rest = tail;
        if let [b'-', end, ..] = tail
            && *end != b']'
        {
            let (last, tail) = member(&tail[1..])?;
            ranges.push((first, last));
            rest = tail;
        }
    }
}

fn member(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'\\', byte, tail @ ..] => Some((*byte, tail)),
        [byte, tail @ ..] => Some((*byte, tail)),
        [] => None,
    }
}

/// Runs all possibilities side by side: `active[i]` says that the first `i` steps match what was read so far.
fn accepts(steps: &[Step], path: &[u8]) -> bool {
    let mut active = vec![false; steps.len() + 1];
    active[0] = true;
    skip_empty(steps, &mut active, true);
    for byte in path {
        let mut next = vec![false; steps.len() + 1];
        for (at, step) in steps.iter().enumerate().filter(|(at, _)| active[*at]) {
            let slash = *byte == b'/';
            match step {
                Step::Byte(expected) => next[at + 1] |= byte == expected,
                Step::Any => next[at + 1] |= !slash,
                Step::Class { ranges, inverted } => {
                    let inside = ranges.iter().any(|(first, last)| (first..=last).contains(&byte));
                    next[at + 1] |= inside != *inverted && !slash;
                }
                Step::Star => next[at] |= !slash,
                Step::Directories => next[at] = true,
                Step::Rest => (next[at], next[at + 1]) = (true, true),
            }
        }
        skip_empty(steps, &mut next, *byte == b'/');
        active = next;
    }
    active[steps.len()]
}

/// Steps over those that may match nothing.
fn skip_empty(steps: &[Step], active: &mut [bool], after_slash: bool) {
    for (at, step) in steps.iter().enumerate() {
        let empty = matches!(step, Step::Star) || matches!(step, Step::Directories) && after_slash;
        active[at + 1] |= active[at] && empty;
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn excludes(patterns: &[&str], path: &str) -> bool {
        let (path, is) = path.strip_suffix('/').map_or((path, Entry::File), |path| (path, Entry::Directory));
        Filter::new(patterns).unwrap().excludes(path.as_bytes(), is)
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let patterns = ["*.log", "!keep.log", "/top", "build/", "doc/*.txt", "**/x/**", "a/**/b"];
        for left_out in
            ["a.log", "d/a.log", "top", "build/", "d/build/", "doc/a.txt", "x/y", "d/x/y/z", "a/b", "a/c/d/b"]
        {
            assert!(excludes(&patterns, left_out), "{left_out}");
        }
        for wanted in ["keep.log", "d/keep.log", "d/top", "build", "d/doc/a.txt", "doc/d/a.txt", "x", "ab", "z/a/b"] {
            assert!(!excludes(&patterns, wanted), "{wanted}");
        }
    }

    #[test]
    fn what_is_below_a_matched_directory_is_taken() {
        let filter = Filter::new(["lua/", "*.vim", "!old.vim"]).unwrap();
        for (path, expected) in
            [("lua/a/b", true), ("x/y.vim", true), ("old.vim", false), ("lua", false), ("x/lua/z", true)]
        {
            assert_eq!(filter.takes(path.as_bytes()), expected, "{path}");
        }
        assert!(Filter::default().is_empty() && !filter.is_empty());
    }

    #[test]
    fn two_stars_from_the_root_are_everything() {
        assert!(!excludes(&["*", "!/**"], "a/a"));
        assert!(excludes(&["**"], "a/a"));
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        for bad in ["", "/", "!", "[a", "a\\", "[!]"] {
            assert!(Filter::new([bad]).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_pattern_made_to_explode_does_not() {
        let filter = Filter::new(["*a".repeat(500) + "b"]).unwrap();
        assert!(!filter.excludes("a".repeat(4000).as_bytes(), Entry::File));
    }

    /// What git leaves out of a repository with these patterns, asked about files that exist.
    fn git_leaves_out(dir: &std::path::Path, patterns: &[String], paths: &[String]) -> Vec<String> {
        use std::io::Write as _;
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir).current_dir(dir).args(args);
            git
        };
        assert!(git(&["init", "-q", "."]).status().unwrap().success());
        std::fs::write(dir.join(".gitignore"), patterns.join("\n") + "\n").unwrap();
        let mut asked = git(&["check-ignore", "--no-index", "--stdin", "-z"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        asked.stdin.take().unwrap().write_all((paths.join("\0") + "\0").as_bytes()).unwrap();
        let answer = asked.wait_with_output().unwrap();
        let answer = String::from_utf8(answer.stdout).unwrap();
        answer.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

        #[test]
        fn git_agrees(
            patterns in prop::collection::vec("!?/?([ab*?]|\\*\\*|/|\\[[!^]?[a-c]-?[ab]?\\]|\\\\[ab*]){1,5}/?", 1..4),
            paths in prop::collection::btree_set("[abc]{1,2}(/[abc]{1,2}){0,3}", 1..6),
        ) {
            // Empty names between slashes mean nothing in a path.
            // Stars that are not two between slashes are single ones (gitignore(5)); git takes some for more: `a**/*` and
            // `***/a` leave out `a`.
            let glued = |pattern: &String| {
                let stars = pattern.match_indices("**").map(|(at, _)| pattern[..at].trim_start_matches('!'));
                stars.into_iter().any(|before| !before.is_empty() && !before.ends_with('/')) || pattern.contains("***")
            };
            let sound =
                |pattern: &String| !pattern.contains("//") && !glued(pattern) && Filter::new([pattern]).is_ok();
            let patterns: Vec<String> = patterns.into_iter().filter(sound).collect();
            let filter = Filter::new(&patterns).unwrap();
            let dir = tempfile::tempdir().unwrap();
            for path in &paths {
                // A path that is a directory in another one stays a directory.
                let path = dir.path().join(path);
                if std::fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() {
                    std::fs::write(path, "").unwrap();
                }
            }
            let paths: Vec<String> = paths.into_iter().filter(|path| dir.path().join(path).is_file()).collect();
            let ours = |path: &String| {
                let ends = path.match_indices('/').map(|(at, _)| at);
                ends.map(|at| (&path[..at], Entry::Directory)).chain([(path.as_str(), Entry::File)])
                    .any(|(path, is)| filter.excludes(path.as_bytes(), is))
            };
            let left_out: Vec<String> = paths.iter().filter(|path| ours(path)).cloned().collect();
            prop_assert_eq!(left_out, git_leaves_out(dir.path(), &patterns, &paths));
        }
    }
}

//! The lock file: which bytes the names in a fleet file stand for. `docs/design/images.md` has the rules.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8Path;

use super::block::Block;
use super::language::{ArgumentRule, Kind, NodeRule, PropertyRule};
use super::oci;
use super::problems::Problems;
use crate::syntax::{Diagnostic, SourceMap, parse};

/// The version of the format that is written, and the only one that is read.
const VERSION: u32 = 1;

/// What every lock file begins with.
const HEADER: &str =
    "// Written by `regatta lock`: which bytes the names in the fleet file stand for. Keep it under version control.\n";

static LOCK_VERSION: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("version", Kind::Integer { min: VERSION, max: VERSION }, "Always 1.")],
    ..NodeRule::new("lock-version", "Version of the format.")
};

static IMAGE: NodeRule = NodeRule {
    arguments: &[ArgumentRule::required("name", Kind::Name, "The image in the fleet file.")],
    properties: &[
        PropertyRule::required("source", Kind::Text, "What it is made from, whole."),
        PropertyRule::required("digest", Kind::Text, "What that stands for."),
    ],
    ..NodeRule::new("image", "What the source of an image stands for.")
};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The source that was asked, whole: a reference with its registry, a URL.
    pub source: String,
    /// `sha256:` and 64 digits.
    pub digest: String,
}

/// A lock file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LockFile {
    /// By the image's name in the fleet file.
    pub images: BTreeMap<String, Locked>,
}

impl LockFile {
    /// Reads the text of a lock file.
    ///
    /// # Errors
    /// Every mistake in it, with what is needed to show them.
    pub fn parse(path: &Utf8Path, text: String) -> Result<Self, (SourceMap, Vec<Diagnostic>)> {
        let mut sources = SourceMap::default();
        let source = sources.add(path, text, None);
        let (tree, mistakes) = parse(&sources, source);
        let mut problems = Problems::default();
        problems.extend(mistakes);
        let mut lock = Self::default();
        for node in &tree.nodes {
            match node.name.value.as_str() {
                "lock-version" => drop(Block::read(node, &LOCK_VERSION, &mut problems)),
                "image" => lock.entry(&Block::read(node, &IMAGE, &mut problems), &mut problems),
                _ => {
                    let problem = Diagnostic::error(
                        "lock::unknown-node",
                        "found a node that is none of a lock file's",
                        node.span,
                        "this one",
                    );
                    problems
                        .push(problem.help("make the file anew with `regatta lock`, or take it from version control"));
                }
            }
        }
        match problems.finish() {
            problems if problems.is_empty() => Ok(lock),
            problems => Err((sources, problems)),
        }
    }

    fn entry(&mut self, block: &Block<'_>, problems: &mut Problems) {
        let (Some(name), Some(source), Some(digest)) = (block.text("name"), block.text("source"), block.text("digest"))
        else {
            return;
        };
        if !oci::is_digest(&digest.value) {
            let message = "found no digest, expected `sha256:` and 64 digits";
            problems.push(Diagnostic::error("lock::digest", message, digest.span, "this one"));
        }
        let locked = Locked { source: source.value, digest: digest.value };
        if self.images.insert(name.value, locked).is_some() {
            let message = "found the image twice, expected one entry for each";
            problems.push(Diagnostic::error("lock::twice", message, name.span, "the second one"));
        }
    }
}

impl fmt::Display for LockFile {
    /// The text of the file. References, URLs and digests that are accepted hold nothing that has to be escaped but
    /// quotes and backslashes, which Rust escapes as KDL does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}lock-version {VERSION}")?;
        self.images.iter().try_for_each(|(name, Locked { source, digest })| {
            writeln!(f, "image {name:?} source={source:?} digest={digest:?}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn mistakes(text: &str) -> Vec<&'static str> {
        match LockFile::parse("fleet.lock.kdl".into(), text.to_owned()) {
            Ok(_) => Vec::new(),
            Err((_, mistakes)) => mistakes.iter().map(|mistake| mistake.code).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let locked = |source: &str| Locked { source: source.to_owned(), digest: DIGEST.to_owned() };
        let images = [
            ("web", locked("docker.io/library/debian:12")),
            ("cloud", locked("https://example.org/a%20b.qcow2?x=1\\\"")),
        ];
        let lock = LockFile { images: images.map(|(name, locked)| (name.to_owned(), locked)).into() };
        assert_eq!(LockFile::parse("l".into(), lock.to_string()), Ok(lock));
        assert_eq!(LockFile::parse("l".into(), String::new()), Ok(LockFile::default()));
    }

    #[test]
    fn a_damaged_file_says_where() {
        let entry = format!("image \"web\" source=\"a\" digest=\"{DIGEST}\"\n");
        assert_eq!(mistakes(&format!("{entry}{entry}")), ["lock::twice"]);
        assert_eq!(mistakes("image \"web\" source=\"a\" digest=\"sha256:12\""), ["lock::digest"]);
        assert_eq!(mistakes("vm \"web\""), ["lock::unknown-node"]);
        assert_eq!(mistakes("lock-version 2").len(), 1);
        assert_eq!(mistakes("<<<<<<< HEAD\n").len(), 1);
    }
}

//! Texts through everything that reads a fleet file.

use std::collections::BTreeMap;
use std::time::Instant;

use camino::Utf8Path;
use regatta::config::{self, LoadError, Loader};
use regatta::render::{self, Colour, Screen};
use regatta::syntax::{self, Diagnostic, SourceMap};

use crate::hostile::hostile_texts;
use crate::runner::{DEADLINE, corpus, fuzz, mutated};

/// The largest mutation.
const MAX_BYTES: usize = 16 << 10;

/// The text as the fleet file, and as every file it may import.
struct SameText<'a>(&'a str);

impl Loader for SameText<'_> {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        if path.as_str().len().is_multiple_of(3) { Err(LoadError::Missing) } else { Ok(self.0.to_owned()) }
    }

    fn list(&mut self, _directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        Ok(vec!["a.kdl".into(), "fleet.kdl".into()])
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        (name.len().is_multiple_of(2)).then(|| self.0.chars().take(20).collect())
    }
}

/// Everything that must hold of any text.
fn hold(text: &str) {
    let mut sources = SourceMap::default();
    let source = sources.add("fleet.kdl", text.to_owned(), None);
    let (_, mistakes) = syntax::parse(&sources, source);
    presentable(&sources, &mistakes);
    // What is wrong is found before the parser: its own recovery is what hostile texts abuse.
    assert!(mistakes.iter().all(|d| d.code != "syntax::kdl"), "{mistakes:?}");
    match syntax::format(&sources, source) {
        Ok(formatted) => {
            let mut again = SourceMap::default();
            let source = again.add("fleet.kdl", formatted.clone(), None);
            assert_eq!(syntax::format(&again, source), Ok(formatted), "formatting twice");
            assert_eq!(syntax::upgrade(text), text, "an upgrade of KDL 2");
        }
        Err(found) => assert!(!found.is_empty() && found.iter().all(|d| d.code != "syntax::format"), "{found:?}"),
    }
    syntax::upgrade(text);
    let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "fuzz", &mut SameText(text));
    match fleet {
        Ok(fleet) => {
            let lowered = regatta::resource::lower(&fleet, &sources, &regatta::resource::Inputs::default());
            presentable(&sources, &lowered.map_or_else(|found| found, |lowered| lowered.warnings));
            for name in fleet.vms.keys() {
                config::explain(&fleet, &sources, &BTreeMap::new(), &format!("vm.{name}")).unwrap();
            }
        }
        Err(found) => presentable(&sources, &found),
    }
}

/// Places lie inside their files, and nothing that is printed does anything to a terminal.
fn presentable(sources: &SourceMap, found: &[Diagnostic]) {
    for span in found.iter().flat_map(|diagnostic| &diagnostic.labels).map(|label| label.span) {
        let text = &sources.file(span.source).text;
        assert!(text.get(span.start..span.end).is_some(), "{span:?} is no place of {text:?}");
    }
    let some = &found[..found.len().min(20)];
    let shown = render::diagnostics(some, sources, Screen { width: 100, colour: Colour::Never });
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    render::diagnostics_json(some, sources).unwrap();
}

const PARTS: [&str; 40] = [
    "{",
    "}",
    "/-",
    "/- ",
    "/*",
    "*/",
    "//",
    "\"",
    "\"\"\"",
    "#\"",
    "\"#",
    "\\",
    "\n",
    ";",
    "=",
    "(",
    ")",
    " ",
    "\t",
    "#true",
    "{a}",
    "{{",
    "(env)",
    "(file)",
    "(force)",
    "vm \"a\" ",
    "import \"b.kdl\"",
    "when #true {",
    "for-each \"a\" 1 2 {",
    "let a 1",
    "count=3",
    "{index}",
    "\u{202e}",
    "é",
    "\r\n",
    "512MiB",
    "\"\"\"\n  ",
    "\n  \"\"\"",
    "\\\n  ",
    "secret env=\"A\"",
];

#[test]
fn no_text_does_harm() {
    let corpus = corpus("fleet");
    fuzz("kdl", &corpus, |numbers| mutated(&corpus, &PARTS, MAX_BYTES, numbers), hold);
}

/// Text that is meant to hurt, in sizes that would.
#[test]
fn large_hostile_texts_are_refused_at_once() {
    for (name, text) in hostile_texts() {
        let start = Instant::now();
        let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "fuzz", &mut SameText(&text));
        presentable(&sources, &fleet.unwrap_err());
        assert!(start.elapsed() < DEADLINE, "{name} took {:?}", start.elapsed());
    }
}

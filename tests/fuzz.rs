//! Hostile texts through everything that reads a fleet file: see `fuzz/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken property is a failed test")]
#![allow(clippy::print_stderr, reason = "a long run says what it did")]

#[path = "common/hostile.rs"]
#[allow(unreachable_pub, reason = "shared with a bench")]
mod hostile;

use std::env;
use std::fs;
use std::panic;
use std::path::Path;
use std::process;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use hostile::hostile_texts;
use regatta::config::{self, LoadError, Loader};
use regatta::render::{self, Colour, Screen};
use regatta::syntax::{self, Diagnostic, SourceMap};

/// A text that takes longer than this hangs for whoever waits: generous, for machines that are busy.
const DEADLINE: Duration = Duration::from_secs(30);

/// Mutations of an ordinary run.
const MUTATIONS: usize = 1_000;

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
                config::explain(&fleet, &sources, &format!("vm.{name}")).unwrap();
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

/// Xorshift: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }
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

/// A text made of one or two others.
fn mutated(corpus: &[String], numbers: &mut Numbers) -> String {
    let mut text: Vec<char> = corpus[numbers.below(corpus.len())].chars().collect();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(text.len() + 1);
        let end = (at + 1 + numbers.below(40)).min(text.len());
        match numbers.below(5) {
            0 => drop(text.drain(at..end)),
            1 => {
                let part = PARTS[numbers.below(PARTS.len())];
                text.splice(at..at, part.repeat(1 + numbers.below(3)).chars());
            }
            2 => {
                let piece = text[at..end].to_vec();
                let times = 1 + numbers.below(20);
                text.splice(at..at, piece.repeat(times));
            }
            3 => {
                let other: Vec<char> = corpus[numbers.below(corpus.len())].chars().collect();
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(200)).min(other.len());
                text.splice(at..at, other[from..to].iter().copied());
            }
            _ => text.truncate(at),
        }
    }
    let mut text: String = text.into_iter().collect();
    let end = (0..=MAX_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap();
    text.truncate(end);
    text
}

/// Ends the process when one text takes too long: nothing else can stop it.
fn watch(current: &Arc<Mutex<Option<(Instant, String)>>>) {
    let current = Arc::clone(current);
    thread::spawn(move || {
        loop {
            thread::park_timeout(Duration::from_secs(1));
            if let Some((since, text)) = &*current.lock().unwrap()
                && since.elapsed() > DEADLINE
            {
                eprintln!("a text takes longer than {DEADLINE:?}: {text:?}");
                process::exit(1);
            }
        }
    });
}

#[test]
fn no_text_does_harm() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/fleet");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let current = Arc::new(Mutex::new(None));
    watch(&current);
    let check = |text: &str| {
        *current.lock().unwrap() = Some((Instant::now(), text.to_owned()));
        // A stack that overflows ends the process: the text is found here then.
        fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-current.kdl"), text).unwrap();
        let held = panic::catch_unwind(|| hold(text));
        assert!(held.is_ok(), "this text does harm: {text:?}");
    };
    corpus.iter().for_each(|text| check(text));
    let seconds: Option<u64> = env::var("REGATTA_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    let (start, mut tried) = (Instant::now(), 0);
    let seed = seconds.map_or(0, |_| u64::from(process::id()));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ seed);
    while seconds.map_or(tried < MUTATIONS, |seconds| start.elapsed() < Duration::from_secs(seconds)) {
        check(&mutated(&corpus, &mut numbers));
        tried += 1;
    }
    eprintln!("{} texts and {tried} mutations in {:?}", corpus.len(), start.elapsed());
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

//! Every text of a corpus and its mutations, each under a deadline.

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A text that takes longer than this hangs for whoever waits: generous, for machines that are busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Mutations of an ordinary run.
const MUTATIONS: usize = 1_000;

/// Xorshift: the same numbers in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// One below the limit; 0 when that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }
}

/// The texts of one folder of the corpus, by name.
pub(crate) fn corpus(folder: &str) -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(folder);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// Ends the process when one text takes too long: nothing else can stop it.
fn watch(current: Arc<Mutex<Option<(Instant, String)>>>) {
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

/// Holds a property of every text, and of as many mutations as there is time for: a fixed number of always the same ones, or
/// others for as long as `REGATTA_FUZZ_SECONDS` says.
pub(crate) fn fuzz(name: &str, texts: &[String], mut mutate: impl FnMut(&mut Numbers) -> String, hold: impl Fn(&str)) {
    let current = Arc::new(Mutex::new(None));
    watch(Arc::clone(&current));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-current.{name}"));
    let check = |text: &str| {
        *current.lock().unwrap() = Some((Instant::now(), text.to_owned()));
        // A stack that overflows ends the process: the text is found here then.
        fs::write(&file, text).unwrap();
        let held = panic::catch_unwind(AssertUnwindSafe(|| hold(text)));
        *current.lock().unwrap() = None;
        assert!(held.is_ok(), "this text does harm: {text:?}");
    };
    texts.iter().for_each(|text| check(text));
    let seconds: Option<u64> = env::var("REGATTA_FUZZ_SECONDS").ok().map(|text| text.parse().unwrap());
    let (start, mut tried) = (Instant::now(), 0);
    let seed = seconds.map_or(0, |_| u64::from(process::id()));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ seed);
    while seconds.map_or(tried < MUTATIONS, |seconds| start.elapsed() < Duration::from_secs(seconds)) {
        check(&mutate(&mut numbers));
        tried += 1;
    }
    eprintln!("{name}: {} texts and {tried} mutations in {:?}", texts.len(), start.elapsed());
}

/// A text made of one or two others by removing, repeating, inserting, exchanging and cutting; no longer than `limit` bytes.
pub(crate) fn mutated(corpus: &[String], parts: &[&str], limit: usize, numbers: &mut Numbers) -> String {
    let mut text: Vec<char> = corpus[numbers.below(corpus.len())].chars().collect();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(text.len() + 1);
        let end = (at + 1 + numbers.below(40)).min(text.len());
        match numbers.below(6) {
            0 => drop(text.drain(at..end)),
            1 => {
                let part = parts[numbers.below(parts.len())];
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
            4 if at < text.len() => text[at] = text[numbers.below(text.len())],
            _ => text.truncate(at),
        }
    }
    let mut text: String = text.into_iter().collect();
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap();
    text.truncate(end);
    text
}

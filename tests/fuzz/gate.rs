//! Texts through what reads approvals and the files that say whose signatures count.

use regatta::driver::approvals::{SpentStore, verify};
use regatta::plan::gate::approval::{Approval, split};
use regatta::plan::gate::{Refusal, Signers, Target};

use crate::runner::{Numbers, corpus, fuzz, mutated};

/// The largest mutation: more than an approval may have.
const MAX_BYTES: usize = 70 << 10;

/// When all approvals of the corpus are in force.
const NOW: &str = "2026-11-22T20:00:00Z";

const PARTS: [&str; 28] = [
    "-----BEGIN SSH SIGNATURE-----\n",
    "-----END SSH SIGNATURE-----\n",
    "-----BEGIN SSH SIGNATURE-----",
    "U1NIU0lH",
    "AAAA",
    "====",
    "=",
    "\r\n",
    "\n",
    "\n\n",
    " ",
    "\t",
    "\0",
    "%",
    "%20",
    "%C3%28",
    "\u{202e}",
    "é",
    "regatta-approval-v1\n",
    "step destroy-guest sha256:",
    "sha256:",
    "expires 9999-12-31T23:59:59Z\n",
    "issued -009999-01-01T00:00:00Z\n",
    "namespaces=\"*\"",
    "valid-before=\"99991231Z\"",
    "cert-authority ",
    "\"",
    "ssh-ed25519 AAAA",
];

fn mutate(corpus: &[String], numbers: &mut Numbers) -> String {
    mutated(corpus, &PARTS, MAX_BYTES, numbers)
}

fn harmless(shown: &str) {
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
}

/// What counts of a mutation are the bytes that somebody signed, and of everything else the refusal is fit to be shown.
#[test]
fn no_approval_counts_but_those_that_were_signed() {
    let genuine = corpus("approval");
    let signers = Signers::parse(&corpus("signers")[0], "").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let nothing = camino::Utf8PathBuf::try_from(directory.path().join("spent")).unwrap();
    let spent = SpentStore::open(&nothing).unwrap();
    let now = NOW.parse().unwrap();
    let texts: Vec<&str> = genuine.iter().map(|file| split(file.as_bytes()).unwrap().0).collect();
    // Everything that they say is true, so that nothing but the signature stands between a mutation and its being accepted.
    let targets = texts.iter().map(|text| {
        let Approval { fleet, host, plan, steps, .. } = Approval::parse(text).unwrap();
        Target { fleet, host, plan, steps, lifetime_hours: None }
    });
    let targets: Vec<Target> = targets.collect();
    let hold = |file: &str| {
        for target in &targets {
            match verify(file.as_bytes(), &signers, target, &spent, now) {
                Ok(accepted) => {
                    let text = accepted.approval.to_text();
                    assert!(texts.contains(&text.as_str()) && file.starts_with(&text), "nobody signed {file:?}");
                }
                Err(rejected) => {
                    harmless(&rejected.refusal.to_string());
                    assert!(!matches!(rejected.refusal, Refusal::Replayed { .. }), "nothing was spent");
                }
            }
        }
        if let Ok(approval) = Approval::parse(file) {
            assert_eq!(approval.to_text(), file, "an approval has one form");
        }
    };
    for (file, target) in genuine.iter().zip(&targets) {
        assert!(verify(file.as_bytes(), &signers, target, &spent, now).is_ok(), "{file}");
    }
    let all = [genuine.clone(), corpus("approval-refused")].concat();
    fuzz("approval", &all, |numbers| mutate(&all, numbers), hold);
}

/// A signers' file is understood line by line, or refused with the line.
#[test]
fn every_signers_file_is_read_whole_or_refused() {
    let corpus = corpus("signers");
    let now = NOW.parse().unwrap();
    let keys: Vec<String> =
        corpus[0].lines().map(|line| line.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect();
    let hold = |text: &str| {
        let read = Signers::parse(text, "");
        let commented = format!("# nobody\n\n{text}");
        match (&read, Signers::parse(&commented, "")) {
            (Ok(signers), again) => assert_eq!(again.as_ref(), Ok(signers), "comments and empty lines say nothing"),
            (Err(error), again) => {
                harmless(&error.to_string());
                assert!(error.line <= text.lines().count(), "{error}");
                assert_eq!(again.unwrap_err().line, error.line + 2);
            }
        }
        let _ = Signers::parse("", text).map_err(|error| harmless(&error.to_string()));
        for key in read.iter().flat_map(|signers| keys.iter().map(move |key| (signers, key))) {
            if let (signers, key) = key
                && let Ok(principal) = signers.find(key, "regatta-approval-v1", now)
            {
                let material = key.rsplit(' ').next().unwrap_or_default();
                assert!(text.contains(material) && text.contains(principal), "{principal:?} comes from nowhere");
                assert!(!principal.contains(['*', '?', '!', ',']), "{principal:?} is a pattern");
            }
        }
    };
    fuzz("signers", &corpus, |numbers| mutate(&corpus, numbers), hold);
}

//! What is in the way is said plainly: whole outputs of the real program (`tests/golden/cluster-obstacles/CASE/`), each its own
//! diagnostic with exit code 1, after which nothing is changed.
//!
//! The first line of `case.txt` is the manner of the peer, the others are words about what is wrong on our side.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::golden_files::{Outputs, check};
use crate::peer::{Peer, TOKEN, five};

#[test]
fn what_is_in_the_way_is_said_plainly() {
    if Peer::start("probe", "plain").is_none() {
        return;
    }
    check("cluster-obstacles", said);
}

fn said(case: &Path) -> Outputs {
    let words = fs::read_to_string(case.join("case.txt")).unwrap();
    let mut words = words.lines();
    let manner = words.next().unwrap();
    let wrong: Vec<&str> = words.collect();
    let name = case.file_name().unwrap().to_str().unwrap();
    let peer = Peer::start(name, manner).unwrap();
    let other = peer.fingerprint.replace(|c: char| c.is_ascii_digit(), "A");
    let fingerprint = if wrong.contains(&"fingerprint") { &other } else { &peer.fingerprint };
    let node = if wrong.contains(&"node") { "node \"pve2\"\n    vmid" } else { "vmid" };
    peer.fleet(fingerprint, &five("256MiB").replace("count=5", "").replace("vmid", node));
    let token = if wrong.contains(&"token") { "ci@pve!regatta=wrong" } else { TOKEN };
    let (code, text) = peer.regatta(&["apply", "--yes"], token);
    assert_eq!(code, 1, "{text}");
    // Asked by somebody who may and can look: there is what was there before.
    if !wrong.is_empty() && !wrong.contains(&"node") {
        peer.fleet(&peer.fingerprint, &five("256MiB").replace("count=5", ""));
        let (code, plan) = peer.regatta(&["plan", "--detailed-exitcode"], TOKEN);
        assert!(code == 2 && plan.contains("Plan: 1 to create"), "{code}\n{plan}");
    }
    let text = text.replace(&peer.fingerprint, "FINGERPRINT").replace(&other, "PINNED");
    let text = text.replace(&format!("127.0.0.1:{}", peer.port()), "SERVER");
    BTreeMap::from([("expected.txt".to_owned(), masked(&text))])
}

/// The same whenever it runs: times and names of runs are left out.
fn masked(text: &str) -> String {
    let line = |line: &str| {
        let (time, rest) = line.split_once("] ").filter(|(time, _)| time.starts_with('[')).unwrap_or(("", line));
        let words: Vec<&str> = rest.split(' ').collect();
        let masked = words.iter().enumerate().map(|(at, word)| {
            let bare = word.trim_matches(['(', ')', ':', '.', ',']);
            let is_seconds = words.get(at + 1).is_some_and(|next| next.trim_end_matches([':', '.', ',']) == "s");
            match bare {
                "" => (*word).to_owned(),
                _ if bare.parse::<f64>().is_ok() && is_seconds => word.replace(bare, "N"),
                _ if bare.len() == 36 && bare.matches('-').count() == 4 => word.replace(bare, "RUN"),
                _ => (*word).to_owned(),
            }
        });
        let rest = masked.collect::<Vec<_>>().join(" ");
        if time.is_empty() { rest + "\n" } else { format!("[TIME] {rest}\n") }
    };
    text.lines().map(line).collect()
}

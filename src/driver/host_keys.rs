//! Which host keys an SSH server shows: asked for by those who hold a fingerprint against them.

use std::time::Duration;

use crate::effect::{Command, Run, fingerprint};
use crate::exec::Failure;

/// Asking a server for its keys takes at most this long.
const DEADLINE: Duration = Duration::from_secs(30);

/// The keys, each with its fingerprint. Seeing one is no reason to trust it.
pub(super) async fn shown(run: &dyn Run, host: &str, port: u16) -> Result<Vec<(String, String)>, Failure> {
    let scan = Command::new("ssh-keyscan").args(["-T", "10", "-p", &port.to_string(), host]);
    let answer = run.run_ok(&scan.deadline(DEADLINE)).await.map_err(|error| Failure::transient(error.to_string()))?;
    Ok(keys(&String::from_utf8_lossy(&answer.stdout)))
}

/// Their fingerprints, for people.
pub(super) fn listed(shown: &[(String, String)]) -> String {
    let found: Vec<&str> = shown.iter().map(|(_, found)| found.as_str()).collect();
    if found.is_empty() { "no key".to_owned() } else { found.join(" and ") }
}

/// Keys and their fingerprints, of lines with a host's name in front.
fn keys(lines: &str) -> Vec<(String, String)> {
    let key = |line: &str| {
        let (_, key) = line.split_once(' ').filter(|_| !line.starts_with('#'))?;
        Some((key.trim().to_owned(), fingerprint(key.trim()).ok()?))
    };
    lines.lines().filter_map(key).collect()
}

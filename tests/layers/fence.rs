//! What may never meet in one place (LESSON 35): what runs as root speaks to no network, and what speaks to one runs no
//! commands. And only one folder names sudo.

use crate::rules::Source;
use crate::tokens::{Kind, tokens};

/// Folders, and the words that their code may not use.
const FENCES: [(&[&str], &[&str], &str); 3] = [
    (
        &["driver/privilege/", "driver/network/"],
        &["http", "hyper", "russh", "Connect", "Shell", "SshClient", "TcpStream", "UnixStream"],
        "what runs as root speaks to no network",
    ),
    (
        &["effect/http/", "driver/proxmox/"],
        &["Run", "CommandRunner", "Command", "process", "Privileged", "RootCommand"],
        "what speaks to a network runs no commands",
    ),
    (
        &["driver/nodes/"],
        &["http", "hyper", "TcpStream", "UnixStream", "Exchange", "Api"],
        "what runs as root on nodes speaks no HTTP",
    ),
];

/// Where sudo may be named: where it is run, where its version is looked at, and where commands are shown with the rights
/// they run with.
const SUDO: [&str; 3] = ["driver/privilege/", "driver/doctor/", "exec/rehearsed.rs"];

/// Everything that crosses a fence, one line each.
pub(crate) fn crossings(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in sources {
        // Tests start servers of their own.
        if file.contains("/tests/") {
            continue;
        }
        for (folders, words, why) in
            FENCES.iter().filter(|(folders, _, _)| folders.iter().any(|it| file.starts_with(it)))
        {
            for token in tokens(text) {
                if let Kind::Word(word) = &token.kind
                    && words.contains(&word.as_str())
                {
                    found.push(format!("{file}:{}: {} names `{word}`: {why}", token.line, folders.join(" and ")));
                }
            }
        }
        if text.contains("\"sudo\"") && !SUDO.iter().any(|folder| file.starts_with(folder)) {
            found.push(format!("{file}: names sudo, which only {} may", SUDO.join(" and ")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_is_found() {
        let source = |file: &str, text: &str| (file.to_owned(), text.to_owned());
        let found = crossings(&[
            source("driver/privilege/runner.rs", "use crate::effect::http::Client; // Connect"),
            source("driver/proxmox/client.rs", "fn f(run: &dyn Run) {}"),
            source("driver/nodes/set.rs", "use crate::effect::http::Client; use crate::effect::Shell;"),
            source("driver/local.rs", "Command::new(\"sudo\")"),
            source("driver/files/mod.rs", "use crate::effect::{Connect, Run};"),
        ]);
        assert_eq!(
            found,
            [
                "driver/privilege/runner.rs:1: driver/privilege/ and driver/network/ names `http`: what runs as root speaks to no network",
                "driver/proxmox/client.rs:1: effect/http/ and driver/proxmox/ names `Run`: what speaks to a network runs no commands",
                "driver/nodes/set.rs:1: driver/nodes/ names `http`: what runs as root on nodes speaks no HTTP",
                "driver/local.rs: names sudo, which only driver/privilege/ and driver/doctor/ and exec/rehearsed.rs may",
            ]
        );
    }
}

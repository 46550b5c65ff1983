//! What runs in a container by way of its node: one command for every container, and what is run there comes on its input.
//!
//! ```text
//! argv ─ quoted, encoded ─▶ one line of ASCII ─┐
//!                                              ├ stdin ─▶ `pct exec 105 -- … /bin/sh -c ENTER` ─ exec ─▶ argv, with the rest
//! stdin ───────────────────────────────────────┘
//! ```
//! sudo compares the whole command, so that its rule is an exact text with an exact number in it: what is run is decided in the
//! container, where it runs as the container's root.

use std::fmt::Write as _;

use super::catalogue::{Program, Refused, RootCommand, admit};
use crate::effect::{ConnectError, remote_command};

/// Reads one line and becomes what it says; the rest of the input is that command's. A shell reads lines byte by byte where
/// it cannot go back, so nothing of the rest is lost. Without quotes, which rules of sudo cannot hold: `IFS` and `set -f` keep
/// every text in one piece.
pub(super) const ENTER: &str = "cd; IFS=; set -f; read -r line && eval exec $(printf %b $line)";

/// What stands before [`ENTER`]: whether the environment of the node comes along depends on the release of Proxmox VE.
const AROUND: [&str; 8] = [
    "/usr/bin/env",
    "-i",
    "HOME=/root",
    "LOGNAME=root",
    "USER=root",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "/bin/sh",
    "-c",
];

/// The command that goes into a container of a node.
///
/// # Errors
/// The number is none of a guest.
pub(in crate::driver) fn enter_container(vmid: u32) -> Result<RootCommand, Refused> {
    let vmid = vmid.to_string();
    let words = ["exec", &vmid, "--"].into_iter().chain(AROUND).chain([ENTER]);
    admit(Program::Pct.name(), &words.collect::<Vec<_>>())
}

/// What is to be run, as the first line of the input: ASCII without anything that means something to a shell but `\0ooo`.
///
/// # Errors
/// There are no words, or one has a NUL byte.
pub(in crate::driver) fn first_line(argv: &[&str]) -> Result<String, ConnectError> {
    let mut line = String::new();
    for byte in remote_command(argv)?.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-') {
            line.push(char::from(byte));
        } else {
            let _ = write!(line, "\\0{byte:03o}");
        }
    }
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// What a real shell makes of it.
    fn entered(argv: &[&str], stdin: &[u8]) -> std::process::Output {
        entered_by(&AROUND[6..7], argv, stdin)
    }

    fn entered_by(shell: &[&str], argv: &[&str], stdin: &[u8]) -> std::process::Output {
        let mut child = Command::new(AROUND[0])
            .args(&AROUND[1..6])
            .args(shell)
            .args([AROUND[7], ENTER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(&[first_line(argv).unwrap().as_bytes(), stdin].concat()).unwrap();
        drop(pipe);
        child.wait_with_output().unwrap()
    }

    #[test]
    fn the_command_is_one_for_each_container() {
        let command = enter_container(105).unwrap();
        assert_eq!(command.arguments().len(), 12);
        assert_eq!(command.arguments()[..3], ["exec", "105", "--"].map(str::to_owned));
        assert!(enter_container(99).is_err());
        for wrong in ["id", "cd", &format!("{ENTER} "), &ENTER[1..]] {
            let words = ["exec", "105", "--"].into_iter().chain(AROUND).chain([wrong]);
            assert!(admit("pct", &words.collect::<Vec<_>>()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn input_exit_code_and_environment_are_those_of_the_command() {
        let ran = entered(&["sh", "-c", "cat; env | sort >&2; exit 42"], b"a\0b\nno end");
        assert_eq!((ran.status.code(), ran.stdout), (Some(42), b"a\0b\nno end".to_vec()));
        let seen = String::from_utf8(ran.stderr).unwrap();
        assert!(seen.starts_with("HOME=/root\nLOGNAME=root\n") && !seen.contains("CARGO"), "{seen}");
        assert_eq!(entered(&["no-such-program"], b"").status.code(), Some(127));
        // An input that ends before the first line does is no command.
        assert!(first_line(&[]).is_err() && first_line(&["a\0"]).is_err());
    }

    /// Containers have other shells than this machine.
    #[test]
    #[allow(clippy::print_stderr, reason = "a shell that is not there is said")]
    fn every_common_shell_reads_the_line_alike() {
        let argv = ["printf", "%s|", "it's \\0041 \"$HOME\" `id` *", "", "a\n\tb\r", "é\u{1}", "-n"];
        let expected = argv[2..].iter().flat_map(|word| [word, "|"]).collect::<String>();
        for shell in [&["busybox", "sh"][..], &["bash"], &["dash"]] {
            match Command::new(shell[0]).args(&shell[1..]).args(["-c", "true"]).output() {
                Ok(_) => {
                    let ran = entered_by(shell, &argv, b"");
                    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected, "{shell:?}");
                }
                Err(_) => eprintln!("SKIPPED: `{}` is not installed", shell[0]),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

        /// LESSON 19: every argument arrives byte for byte, and so does what follows.
        #[test]
        fn a_real_shell_gets_every_argument_and_the_rest_of_the_input(
            args in proptest::collection::vec(r#"([ -~]|[\n\t'"\\$`!*?~=#\r%]|\PC|[\x01-\x1f]){0,12}"#, 1..6),
            stdin in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let script = r#"printf '%s\0' "$@"; cat"#;
            let argv: Vec<&str> = ["sh", "-c", script, "sh"].into_iter().chain(args.iter().map(String::as_str)).collect();
            let expected: Vec<u8> = args.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).chain(stdin.clone()).collect();
            prop_assert_eq!(entered(&argv, &stdin).stdout, expected);
        }
    }
}

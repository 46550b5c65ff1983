//! One string for the remote shell from an argument vector: SSH passes no vector, only text (RFC 4254, 6.5).

use super::ConnectError;

/// The arguments as one command for a POSIX shell, each in single quotes, so that no word of it is an operator, a
/// reserved word, an assignment or a pattern.
///
/// # Errors
/// When there is no argument (which would start a login shell), or one contains a NUL byte.
pub fn remote_command(argv: &[&str]) -> Result<String, ConnectError> {
    if argv.is_empty() {
        return Err(ConnectError::Command("it has no words".to_owned()));
    }
    if argv.iter().any(|arg| arg.contains('\0')) {
        return Err(ConnectError::Command("an argument has a NUL byte".to_owned()));
    }
    let quoted: Vec<String> = argv.iter().map(|arg| format!("'{}'", arg.replace('\'', r"'\''"))).collect();
    Ok(quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_word_is_quoted() {
        let quoted = |argv: &[&str]| remote_command(argv).unwrap();
        assert_eq!(quoted(&["sh", "-c", "exit 42"]), "'sh' '-c' 'exit 42'");
        assert_eq!(quoted(&["printf", "it's", ""]), r"'printf' 'it'\''s' ''");
    }

    #[test]
    fn a_command_without_words_and_a_nul_byte_are_refused() {
        assert!(matches!(remote_command(&[]), Err(ConnectError::Command(_))));
        assert!(matches!(remote_command(&["printf", "a\0b"]), Err(ConnectError::Command(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// LESSON 19: a real shell gives every argument back byte for byte.
        #[test]
        fn a_real_shell_reads_back_every_argument(
            args in proptest::collection::vec(r#"([ -~]|[\n\t'"\\$`!*?~=#\r]|\PC|[\x01-\x1f]){0,12}"#, 0..6),
        ) {
            let mut argv = vec!["printf", "%s\\0"];
            argv.extend(args.iter().map(String::as_str));
            let command = remote_command(&argv).unwrap();
            let output = std::process::Command::new("sh").args(["-c", &command]).output().unwrap();
            let mut expected: Vec<u8> = args.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).collect();
            if args.is_empty() {
                expected = b"\0".to_vec();
            }
            prop_assert_eq!(output.stdout, expected);
        }
    }
}

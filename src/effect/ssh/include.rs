//! Our block in the user's configuration of `ssh`: it includes one file, and everything around it stays as it is.
//!
//! The block comes first, because an `Include` further down would belong to the `Host` above it (`man ssh_config`).

use camino::Utf8Path;

use super::ConnectError;

/// The configuration with a block that includes `file`, in place of the one it may have.
///
/// # Errors
/// [`ConnectError::Command`] when the block it has was damaged, or `ssh` would read the path as something else.
pub fn with_include(configuration: &[u8], file: &Utf8Path) -> Result<Vec<u8>, ConnectError> {
    let text = file.as_str();
    if text.contains(['"', '\\', '$', '%', '*', '?', '[', ']', '{', '}']) || text.contains(char::is_control) {
        let why = format!("ssh would not read the path {text:?} as it is: use another state directory");
        return Err(ConnectError::Command(why));
    }
    let rest = without_include(configuration, file)?;
    let [begin, end] = marks(file);
    let block = format!("{begin}\nInclude \"{file}\"\n{end}\n");
    Ok([block.as_bytes(), &rest].concat())
}

/// The configuration without the block that includes `file`; the same bytes when it has none.
///
/// # Errors
/// [`ConnectError::Command`] when the block has no end.
pub fn without_include(configuration: &[u8], file: &Utf8Path) -> Result<Vec<u8>, ConnectError> {
    let [begin, end] = marks(file);
    let is = |line: &[u8], mark: &str| line.trim_ascii_end() == mark.as_bytes();
    let mut rest = Vec::with_capacity(configuration.len());
    let mut inside = false;
    for line in configuration.split_inclusive(|byte| *byte == b'\n') {
        match inside {
            false if is(line, &begin) => inside = true,
            false => rest.extend_from_slice(line),
            true => inside = !is(line, &end),
        }
    }
    if inside {
        let why = format!("the configuration has the line `{begin}` and no line `{end}`: remove the block by hand");
        return Err(ConnectError::Command(why));
    }
    Ok(rest)
}

fn marks(file: &Utf8Path) -> [String; 2] {
    ["begin", "end"].map(|mark| format!("# {mark} regatta {file}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "/state dir/fleets/dev/ssh_config";

    #[test]
    fn the_block_comes_first_and_once() {
        let file = Utf8Path::new(FILE);
        let once = with_include(b"Host a\n  Port 1", file).unwrap();
        let expected = "# begin regatta /state dir/fleets/dev/ssh_config\nInclude \"/state dir/fleets/dev/ssh_config\"\n\
                        # end regatta /state dir/fleets/dev/ssh_config\nHost a\n  Port 1";
        assert_eq!(String::from_utf8(once.clone()).unwrap(), expected);
        assert_eq!(with_include(&once, file).unwrap(), once);
        let both = with_include(&once, Utf8Path::new("/other")).unwrap();
        assert_eq!(without_include(&both, Utf8Path::new("/other")).unwrap(), once);
    }

    #[test]
    fn a_block_without_end_and_a_path_that_is_a_pattern_are_refused() {
        let begun = format!("# begin regatta {FILE}\nHost a\n");
        assert!(matches!(without_include(begun.as_bytes(), Utf8Path::new(FILE)), Err(ConnectError::Command(_))));
        for path in ["/a*", "/a\"b", "/a%h", "/${HOME}"] {
            assert!(matches!(with_include(b"", Utf8Path::new(path)), Err(ConnectError::Command(_))), "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// LESSON 18: what is the user's own is the same afterwards, byte for byte.
        #[test]
        fn taking_it_away_leaves_what_was_there(users in proptest::collection::vec(any::<u8>(), 0..200)) {
            let with = with_include(&users, Utf8Path::new(FILE)).unwrap();
            prop_assert_eq!(without_include(&with, Utf8Path::new(FILE)).unwrap(), users);
        }
    }
}

//! Hyperlinks of terminals: OSC 8, text that leads to an address.

use camino::Utf8Path;

use crate::syntax::SourceRef;

/// Text that leads to the file of a place; the text alone for a shipped module, which is no file.
pub(super) fn place(text: &str, place: &SourceRef, directory: &Utf8Path) -> String {
    if place.file.starts_with("std") {
        return text.into();
    }
    let path = directory.join(&place.file);
    format!("\x1b]8;;file://{}#L{}\x1b\\{text}\x1b]8;;\x1b\\", encoded(path.as_str()), place.line)
}

/// A path as part of an address (RFC 3986): everything but unreserved characters and slashes is percent-encoded, so
/// that no control character of a file name reaches the terminal.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_leads_to_its_file_whatever_it_is_called() {
        let at = |file: &str| SourceRef { file: file.into(), line: 3, column: 1 };
        assert_eq!(
            place("a b.kdl:3:1", &at("a b\x1b.kdl"), "/home/ada".into()),
            "\x1b]8;;file:///home/ada/a%20b%1B.kdl#L3\x1b\\a b.kdl:3:1\x1b]8;;\x1b\\"
        );
        assert_eq!(place("std/debian:1:1", &at("std/debian"), "/".into()), "std/debian:1:1");
    }
}

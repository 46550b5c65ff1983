//! Untrusted text made safe to print: file contents, file names, what guests said.

use std::borrow::Cow;

/// Columns a tab stands for.
const TAB: &str = "    ";

/// One line of text without anything that moves the cursor, changes colours or reorders what is read. Line breaks
/// are escaped too: a line stays a line.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => safe.push_str(TAB),
            _ if is_unsafe(c) => safe.extend(c.escape_default()),
            _ => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Text of which every unsafe character became others of the same number of bytes, so that spans into it still fit.
/// Line breaks and tabs stay.
pub(super) fn in_place(text: &str) -> String {
    let same_length = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        '\r' => " ".into(),
        _ if is_unsafe(c) => match c.len_utf8() {
            1 => "?".into(),
            2 => "\u{bf}".into(),
            3 => "\u{fffd}".into(),
            _ => "????".into(),
        },
        _ => c.to_string(),
    };
    text.chars().map(same_length).collect()
}

/// What a guest wrote, of which nothing works on a terminal but line breaks and tabs.
pub fn harmless(bytes: &[u8]) -> String {
    in_place(&String::from_utf8_lossy(bytes))
}

/// Control characters, and the characters that reorder or hide text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_visible() {
        assert_eq!(line("plain größe"), "plain größe");
        assert_eq!(line("a\x1b[2Jb\r\u{9b}\u{202e}\tc"), "a\\u{1b}[2Jb\\r\\u{9b}\\u{202e}    c");
    }

    #[test]
    fn replacing_in_place_keeps_every_offset() {
        for text in ["a\x1b[31mß", "\u{9b}x", "\u{202e}x\r\n", "tab\there"] {
            let safe = in_place(text);
            assert_eq!(safe.len(), text.len(), "{text:?}");
            assert!(!safe.chars().any(|c| is_unsafe(c) && c != '\n' && c != '\t'), "{text:?}");
        }
    }
}

//! Percent-encoding: what may be part of a path, of a query and of a form.

use std::fmt::Write as _;

/// Encodes everything but letters, digits and `-._~`: a `;` would split a form for Proxmox, a `:` and a `!` are in task
/// and token names.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Decodes; what is no code stays as it is, what is no UTF-8 is replaced.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits are at most 255.
                decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_splits_a_form_or_a_path() {
        assert_eq!(encode("a;b&c=d+e f/ü%:!@"), "a%3Bb%26c%3Dd%2Be%20f%2F%C3%BC%25%3A%21%40");
        assert_eq!(decode(&encode("a;b&c=d+e f/ü%:!@")), "a;b&c=d+e f/ü%:!@");
        assert_eq!(decode("100% %4 %zz"), "100% %4 %zz");
    }
}

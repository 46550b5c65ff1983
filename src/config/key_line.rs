//! One public key as OpenSSH writes it: `type base64 comment`, as in `sshd(8)`, "AUTHORIZED_KEYS FILE FORMAT".
//!
//! Options before the type are refused: they would let a fleet file run commands at login without saying so.

use crate::syntax::shown;

/// Key types that may log in.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
];

/// The line without white space at its ends, when it is one public key.
///
/// # Errors
/// Says what it is instead; a private key is never quoted.
pub(crate) fn check(line: &str) -> Result<&str, String> {
    let line = line.trim();
    if line.contains("PRIVATE KEY") {
        return Err("found a private key, expected the public one (its file ends with `.pub`)".into());
    }
    if line.contains(char::is_control) {
        return Err("found a control character in a public key, expected one line".into());
    }
    let mut words = line.split_ascii_whitespace();
    let kind = words.next().unwrap_or_default();
    if !TYPES.contains(&kind) {
        return Err(format!("found `{}`, expected a public key line such as `ssh-ed25519 AAAA… name`", shown(line)));
    }
    let body = words.next().and_then(base64).unwrap_or_default();
    match fields(&body) {
        Some(fields) if fields.len() > 1 && fields[0] == kind.as_bytes() => Ok(line),
        _ => Err(format!("found `{}`, whose second word is no `{kind}` key", shown(line))),
    }
}

/// The fields of a key: the type's name and its numbers, each after its length in four bytes (RFC 4251, section 5).
fn fields(mut body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        fields.push(field);
        body = rest;
    }
    Some(fields)
}

/// The bytes of a padded base64 text.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPAWkGqOaVvQIIkDO1yPYmUDh2YmzfvUm3xkZ4GUZzx me@example";

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for wrong in ["Z", "Zg", "Z===", "Zm9v!m9v"] {
            assert_eq!(base64(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_public_key_and_nothing_else() {
        assert_eq!(check(&format!("  {KEY}\r\n")), Ok(KEY));
        let swapped = KEY.replace("ssh-ed25519 ", "ssh-rsa ");
        let optioned = format!("command=\"id\" {KEY}");
        let twice = format!("{KEY}\n{KEY}");
        for wrong in ["", "ssh-ed25519", "ssh-ed25519 AAAA", &KEY[..40], &swapped, &optioned, &twice] {
            assert!(check(wrong).is_err(), "{wrong} was accepted");
        }
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret";
        assert!(check(private).is_err_and(|message| !message.contains("secret")));
    }
}

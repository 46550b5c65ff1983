//! Whose signatures count, one line a key.

use serde::Serialize;

use super::screen::{Screen, Tone};
use super::scrub;
use super::table::{Cell, table};

/// One key of a signers' file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSigner {
    /// Who has it.
    pub principal: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// Why it does not count; `None` when it does.
    pub refusal: Option<&'static str>,
    /// Whether its owner may approve other signers.
    pub may_rotate: bool,
}

/// As a table.
pub fn signers(listed: &[ListedSigner], screen: Screen) -> String {
    if listed.is_empty() {
        return "Nobody's signature counts.\n".into();
    }
    table(["SIGNER", "COUNTS", "REPLACES SIGNERS", "KEY"], listed.iter().map(cells), screen)
}

fn cells(signer: &ListedSigner) -> [Cell; 4] {
    let counts = signer.refusal.map_or((Tone::Added, "yes"), |refusal| (Tone::Alarm, refusal));
    [
        (Tone::Strong, scrub::line(&signer.principal).into_owned()),
        (counts.0, counts.1.to_owned()),
        (Tone::Plain, if signer.may_rotate { "yes" } else { "no" }.to_owned()),
        (Tone::Plain, scrub::line(&signer.fingerprint).into_owned()),
    ]
}

/// As a list of JSON objects, indented.
///
/// # Errors
/// Never: every map key is text.
pub fn signers_json(listed: &[ListedSigner]) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(listed)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_counts_and_who_does_not_is_one_line_each() {
        let signer = |principal: &str, refusal, may_rotate| ListedSigner {
            principal: principal.into(),
            fingerprint: "SHA256:abc".into(),
            refusal,
            may_rotate,
        };
        let listed = [signer("alice@example.org", None, false), signer("vault\u{1b}[2J", Some("signer-expired"), true)];
        let expected = "SIGNER             COUNTS          REPLACES SIGNERS  KEY\n\
                        alice@example.org  yes             no                SHA256:abc\n\
                        vault\\u{1b}[2J     signer-expired  yes               SHA256:abc\n";
        assert_eq!(signers(&listed, Screen::plain(100)), expected);
        assert_eq!(signers(&[], Screen::plain(100)), "Nobody's signature counts.\n");
    }
}

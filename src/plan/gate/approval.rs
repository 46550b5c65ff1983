//! The text of an approval: what somebody signs.
//!
//! It has one form only: a text that is not byte for byte what its meaning would be written as is refused, so that what was signed
//! and what is understood are the same. `docs/design/gate.md` has an example.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::resource::{Address, Digest};

/// What a signature has to be made for.
pub const NAMESPACE: &str = "regatta-approval-v1";

/// No approval is larger, in bytes.
pub const APPROVAL_LIMIT: usize = 64 << 10;

const ARMOUR: &str = "-----BEGIN SSH SIGNATURE-----\n";
const NONCE_DIGITS: usize = 32;

/// One step that is approved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Approved {
    /// The operation's name.
    pub operation: String,
    /// Of the operation with its parameters.
    pub digest: Digest,
    /// The addresses, in their order.
    pub addresses: Vec<Address>,
}

/// What is approved, where, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The fleet.
    pub fleet: String,
    /// The host: the fingerprint of regatta's own key there.
    pub host: String,
    /// The seal of the saved plan.
    pub plan: Digest,
    /// Makes it another one than every other.
    pub nonce: String,
    /// In force from here on; whole seconds.
    pub issued: Timestamp,
    /// No longer in force from here on; whole seconds.
    pub expires: Timestamp,
    /// The steps, sorted.
    pub steps: Vec<Approved>,
}

impl Approval {
    /// The one text of it, with a line break at its end.
    pub fn to_text(&self) -> String {
        let Self { fleet, host, plan, nonce, issued, expires, steps } = self;
        let mut text = format!(
            "{NAMESPACE}\nfleet {fleet}\nhost {host}\nplan {}\nnonce {nonce}\nissued {issued}\nexpires {expires}\n",
            whole(plan)
        );
        for Approved { operation, digest, addresses } in steps {
            let addresses: Vec<String> = addresses.iter().map(|address| escape(address.as_str())).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "step {operation} {} {}", whole(digest), addresses.join(" "));
        }
        text
    }

    /// Reads the text.
    ///
    /// # Errors
    /// What is wrong with it: a line that is missing, another order, another spelling.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.lines().next() != Some(NAMESPACE) {
            return Err(format!("expected `{NAMESPACE}` as its first line"));
        }
        parse_lines(text)
    }
}

fn parse_lines(text: &str) -> Result<Approval, String> {
    let mut lines = text.lines().skip(1);
    let mut next = |key: &str| -> Result<&str, String> {
        let line = lines.next().ok_or_else(|| format!("found no line `{key} …`"))?;
        let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' '));
        value.ok_or_else(|| format!("expected the line `{key} …`"))
    };
    let fleet = word(next("fleet")?)?;
    let host = word(next("host")?)?;
    let plan = digest(next("plan")?)?;
    let nonce = next("nonce")?;
    if nonce.len() != NONCE_DIGITS || !nonce.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    {
        return Err(format!("expected a nonce of {NONCE_DIGITS} hexadecimal digits"));
    }
    let nonce = nonce.to_owned();
    let issued = time(next("issued")?)?;
    let expires = time(next("expires")?)?;
    let steps = lines.map(step).collect::<Result<Vec<_>, _>>()?;
    if steps.is_empty() || !steps.is_sorted() {
        return Err("expected its steps, sorted".into());
    }
    let approval = Approval { fleet, host, plan, nonce, issued, expires, steps };
    if approval.to_text() == text {
        Ok(approval)
    } else {
        Err("it is spelt in another way than regatta writes it".into())
    }
}

fn step(line: &str) -> Result<Approved, String> {
    let mut words = line.strip_prefix("step ").ok_or("expected a line `step …`")?.split(' ');
    let operation = word(words.next().unwrap_or_default())?;
    let digest = digest(words.next().unwrap_or_default())?;
    let addresses = words.map(unescape).collect::<Result<Vec<_>, _>>()?;
    Ok(Approved { operation, digest, addresses })
}

fn word(text: &str) -> Result<String, String> {
    let plain = !text.is_empty() && text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| text.to_owned()).ok_or_else(|| "expected a word of visible characters".to_owned())
}

fn whole(digest: &Digest) -> String {
    format!("sha256:{}", digest.as_str())
}

fn digest(text: &str) -> Result<Digest, String> {
    text.strip_prefix("sha256:").and_then(Digest::parse).ok_or_else(|| "expected `sha256:` and 64 digits".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = || "expected a time as 2026-01-02T03:04:05Z".to_owned();
    if text.len() != "2026-01-02T03:04:05Z".len() {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// An address as one word: paths may hold spaces and anything else.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' => escaped.push_str("%25"),
            c if c.is_ascii_graphic() => escaped.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(escaped, "%{byte:02X}");
                }
            }
        }
    }
    escaped
}

fn unescape(text: &str) -> Result<Address, String> {
    let wrong = || "expected an address".to_owned();
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = after;
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let is_address = text.split_once('.').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty());
    if is_address { serde_json::from_value(text.into()).map_err(|_| wrong()) } else { Err(wrong()) }
}

/// Cuts a file into the text and the armour of its signature.
///
/// # Errors
/// It is too large, no text, or has no armour, or more than one.
pub fn split(file: &[u8]) -> Result<(&str, &str), String> {
    if file.len() > APPROVAL_LIMIT {
        return Err(format!("it is larger than {APPROVAL_LIMIT} bytes"));
    }
    let text = std::str::from_utf8(file).map_err(|_| "it is not text".to_owned())?;
    let at = text.find(ARMOUR).ok_or_else(|| "it has no signature".to_owned())?;
    if text[at + 1..].contains(ARMOUR) {
        return Err("it has more than one signature".into());
    }
    Ok(text.split_at(at))
}

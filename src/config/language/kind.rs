//! Kinds of values: what is accepted, and how it is said when something else was found.

use core::net::{IpAddr, Ipv4Addr};
use std::fmt;
use std::str::FromStr;

use crate::config::guest_path::{below_work_disk, image_path};
use crate::config::key_line;
use crate::config::oci::{self, OciReference};
use crate::config::template::is_name;
use crate::config::{ByteSize, Mac, Subnet4, Subnet6};
use crate::syntax::{Value, shown};

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any value.
    Any,
    /// The name of a value: kebab-case.
    ValueName,
    /// Any text but the empty one.
    Text,
    /// What a file holds: any text.
    Content,
    /// The name of an environment variable.
    Variable,
    /// A DNS label: it becomes a host name, a folder and part of an address.
    Name,
    /// One word that can be part of a list or a property string: no space, comma, semicolon, `=` or quote.
    Word,
    /// A Debian release or package name: it becomes an argument of a command.
    Package,
    /// `http://…`, `https://…` or `file:/…`.
    Url,
    /// A whole number in this range.
    Integer {
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
    },
    /// A version: up to three numbers with dots.
    Version,
    /// `#true` or `#false`.
    Boolean,
    /// A size with a binary unit, at least this.
    Size {
        /// Smallest.
        min: ByteSize,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Permission bits as text of octal digits, at most `0777`.
    Mode,
    /// A path on the host; `~` is the user's home, relative paths start at the declaring file.
    HostPath,
    /// A path in the guest, on the work disk: `~`, `~/x`, `/root` or `/root/x`.
    GuestPath,
    /// A path in an image: absolute, and not where guests have other file systems.
    ImagePath,
    /// A public key as it stands in `authorized_keys`.
    KeyLine,
    /// A path on the host, or the URL of a file.
    Location,
    /// An absolute path on the host, or the URL of a file.
    FixedLocation,
    /// One word of a kernel's command line.
    KernelArgument,
    /// An image in a registry, as container tools write it.
    Reference,
    /// A SHA-256 digest: 64 lower-case hexadecimal digits.
    Sha256,
    /// A private IPv4 network.
    Subnet4,
    /// A unique local IPv6 network.
    Subnet6,
    /// An IPv4 address.
    Ipv4Address,
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// The MAC address of one interface.
    Mac,
}

/// A value that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// Text, checked.
    Text(String),
    /// A number in range, or permission bits.
    Integer(u32),
    /// A size.
    Size(ByteSize),
    /// A truth value.
    Boolean(bool),
    /// Whatever it was.
    Any,
}

/// Why a value was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// «found X, expected Y».
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
}

impl Kind {
    /// Accepts a value or says what is wrong with it.
    ///
    /// # Errors
    /// The value is of another type, or out of range.
    pub fn decode(&self, value: &Value) -> Result<Decoded, Rejection> {
        match (self, value) {
            (Self::Any, _) => Ok(Decoded::Any),
            (Self::Integer { min, max }, Value::Integer(number)) => match u32::try_from(*number) {
                Ok(number) if (*min..=*max).contains(&number) => Ok(Decoded::Integer(number)),
                _ => Err(self.rejected(&format!("`{number}`"))),
            },
            (Self::Boolean, Value::Bool(truth)) => Ok(Decoded::Boolean(*truth)),
            (Self::Integer { .. } | Self::Boolean, Value::String(text)) => Err(self.misquoted(text)),
            (Self::Integer { .. } | Self::Boolean, other) => Err(self.rejected(other.kind())),
            (_, Value::String(text)) => self.decode_text(text),
            (Self::Size { .. }, Value::Integer(number)) => {
                let help = format!("write a unit and quote it: `\"{number}MiB\"`");
                Err(Rejection {
                    message: format!("found `{number}` without a unit, expected {}", self.expected()),
                    help: Some(help),
                })
            }
            (Self::Mode, Value::Integer(number)) => {
                let help = format!("quote it: `\"{number:04}\"`");
                Err(Rejection { message: format!("found an integer, expected {}", self.expected()), help: Some(help) })
            }
            (_, other) => Err(self.rejected(other.kind())),
        }
    }

    /// What is expected, with its article.
    pub fn expected(&self) -> String {
        match self {
            Self::Any => "a value".into(),
            Self::ValueName => "a name of lower-case letters, digits and `-`, starting with a letter".into(),
            Self::Text | Self::Content => "text".into(),
            Self::Variable => "a name of letters, digits and `_`, not starting with a digit".into(),
            Self::Name => {
                "a name of letters a to z, digits and `-`, at most 63, not starting or ending with `-`".into()
            }
            Self::Word => "one word without spaces, commas, semicolons, `=` and quotes".into(),
            Self::Package => "a name of lower-case letters, digits and `+-.`".into(),
            Self::Url => "an address that starts with `http://`, `https://` or `file:/`".into(),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Version => "a version such as `0.1` or `1.2.3`".into(),
            Self::Boolean => "`#true` or `#false`".into(),
            Self::Size { min } if min.as_bytes() <= 1 => "a size such as `512MiB` or `4GiB`".into(),
            Self::Size { min } => format!("a size of at least {min}, such as `512MiB` or `4GiB`"),
            Self::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
            Self::Mode => "permission bits such as `\"0600\"`, at most `\"0777\"`".into(),
            Self::HostPath => "a path".into(),
            Self::GuestPath => "a path below the work disk, such as `~/x` or `/root/x`".into(),
            Self::ImagePath => "an absolute path in the image, such as `/etc/motd`".into(),
            Self::KeyLine => "a public key line such as `ssh-ed25519 AAAA… name`".into(),
            Self::Location => "a path, or an address that starts with `http://` or `https://`".into(),
            Self::FixedLocation => "an absolute path, or an address that starts with `http://` or `https://`".into(),
            Self::KernelArgument => "one word of a kernel's command line, such as `mitigations=off`".into(),
            Self::Reference => "an image such as `debian:12` or `registry.example/team/web:1.2`".into(),
            Self::Sha256 => "64 lower-case hexadecimal digits".into(),
            Self::Subnet4 => "a private IPv4 network such as `172.31.7.0/24`".into(),
            Self::Subnet6 => "a unique local IPv6 network such as `fd12:3456:789a::/64`".into(),
            Self::Ipv4Address => "an IPv4 address such as `172.31.7.10`".into(),
            Self::IpAddress => "an IP address such as `9.9.9.9` or `2620:fe::fe`".into(),
            Self::Mac => "a MAC address such as `52:54:00:12:34:56`".into(),
        }
    }

    fn rejected(&self, found: &str) -> Rejection {
        Rejection { message: format!("found {found}, expected {}", self.expected()), help: None }
    }

    /// A number or truth value that stands between quotes.
    fn misquoted(&self, text: &str) -> Rejection {
        let bare = match self {
            Self::Integer { .. } => text.parse::<u32>().is_ok().then(|| text.to_owned()),
            _ => matches!(text, "true" | "false").then(|| format!("#{text}")),
        };
        Rejection {
            help: bare.map(|bare| format!("write it without quotes: `{bare}`")),
            ..self.rejected(&format!("`{}`", shown(text)))
        }
    }

    fn decode_text(&self, text: &str) -> Result<Decoded, Rejection> {
        let accepted = match self {
            Self::Size { min } => return decode_size(*min, text, self),
            Self::Mode => return decode_mode(text).map(Decoded::Integer).ok_or_else(|| self.quoted(text)),
            Self::GuestPath => below_work_disk(text).map(str::to_owned),
            Self::ImagePath => image_path(text).map(str::to_owned),
            Self::KeyLine => return key_line(text),
            Self::ValueName => is_name(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Name => is_label(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Version => version(text).map(|_| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Package => is_package(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Word => is_word(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Url => is_url(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Variable => is_variable(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Content if !text.contains('\0') => Ok(text.to_owned()),
            Self::Choice(words) => return self.decode_choice(words, text),
            Self::Location => is_location(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::FixedLocation if is_location(text) && (text.starts_with('/') || text.contains("://")) => {
                Ok(text.strip_prefix("file://").unwrap_or(text).to_owned())
            }
            Self::KernelArgument => return kernel_argument(text, self),
            Self::FixedLocation => Err(self.quoted(text).message),
            Self::Reference => match OciReference::parse(text) {
                Ok(_) => Ok(text.to_owned()),
                Err(why) => return Err(Rejection { help: Some(why.to_owned()), ..self.quoted(text) }),
            },
            Self::Sha256 => oci::is_sha256(text).then(|| text.to_owned()).ok_or_else(|| self.quoted(text).message),
            Self::Subnet4 => self.decode_as::<Subnet4>(text),
            Self::Subnet6 => self.decode_as::<Subnet6>(text),
            Self::Ipv4Address => {
                text.parse::<Ipv4Addr>().map(|it| it.to_string()).map_err(|_| self.quoted(text).message)
            }
            Self::IpAddress => text.parse::<IpAddr>().map(|it| it.to_string()).map_err(|_| self.quoted(text).message),
            Self::Mac => self.decode_as::<Mac>(text),
            _ if text.is_empty() || text.contains('\0') => Err(self.quoted(text).message),
            _ => Ok(text.to_owned()),
        };
        accepted.map(Decoded::Text).map_err(|message| Rejection { message, help: None })
    }

    /// A text that says itself what it expected.
    fn decode_as<T: FromStr<Err = String> + fmt::Display>(&self, text: &str) -> Result<String, String> {
        let found = if text.is_empty() { "an empty string".into() } else { format!("`{}`", shown(text)) };
        text.parse::<T>()
            .map(|value| value.to_string())
            .map_err(|expected| format!("found {found}, expected {expected}"))
    }

    fn decode_choice(&self, words: &[&str], text: &str) -> Result<Decoded, Rejection> {
        if words.contains(&text) {
            return Ok(Decoded::Text(text.into()));
        }
        let help = super::suggestion(text, words.iter().copied());
        Err(Rejection { help, ..self.quoted(text) })
    }

    fn quoted(&self, text: &str) -> Rejection {
        match text {
            "" => self.rejected("an empty string"),
            _ => self.rejected(&format!("`{}`", shown(text))),
        }
    }
}

fn decode_size(min: ByteSize, text: &str, kind: &Kind) -> Result<Decoded, Rejection> {
    match ByteSize::parse(text) {
        Ok(size) if size >= min => Ok(Decoded::Size(size)),
        Ok(_) => Err(kind.quoted(text)),
        Err(message) => Err(Rejection { message: shown_long(&message), help: with_binary_unit(text) }),
    }
}

/// `512M`, `4 GB` and the like with the unit that was probably meant.
fn with_binary_unit(text: &str) -> Option<String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = text[number.len()..].trim_start().chars().next()?.to_ascii_uppercase();
    let size = format!("{number}{unit}iB");
    ByteSize::parse(&size).is_ok().then(|| format!("write `\"{size}\"`: units are multiples of 1024"))
}

fn key_line(text: &str) -> Result<Decoded, Rejection> {
    let path = text.starts_with(['~', '/', '.']) || text.ends_with(".pub");
    let help = path.then(|| format!("for a file of keys, write `file=\"{}\"`", shown(text)));
    key_line::check(text).map(|line| Decoded::Text(line.into())).map_err(|message| Rejection { message, help })
}

/// What our initramfs stands on, and what makes boots hang, is not the user's to say.
fn kernel_argument(text: &str, kind: &Kind) -> Result<Decoded, Rejection> {
    let word = !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    let name = text.split('=').next().unwrap_or_default();
    let refused = |help: &str| Err(Rejection { help: Some(help.to_owned()), ..kind.quoted(text) });
    match name {
        _ if !word => Err(kind.quoted(text)),
        "ip" => refused("addresses are set inside of the guest: with `ip=` a boot waits for a driver that comes later"),
        "root" | "rdinit" | "initrd" => {
            refused("regatta's initramfs mounts the disks, and starts the image's own init")
        }
        _ if name.starts_with("regatta.") => refused("these are for regatta's initramfs"),
        _ => Ok(Decoded::Text(text.to_owned())),
    }
}

/// [`ByteSize::parse`] quotes what it found: only control characters have to go.
fn shown_long(message: &str) -> String {
    message.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn decode_mode(text: &str) -> Option<u32> {
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777)?;
    octal.then_some(mode)
}

/// Whether a text can be one label of a DNS name.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// The numbers of a version; those left out are 0.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut numbers = [0; 3];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > numbers.len() {
        return None;
    }
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()?;
    }
    Some(numbers)
}

/// Whether one version is as late as another; what is no version is never late enough.
pub(in crate::config) fn version_at_least(found: &str, required: &str) -> bool {
    match (version(found), version(required)) {
        (Some(found), Some(required)) => found >= required,
        _ => false,
    }
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_package(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.'))
}

fn is_word(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b',' | b';' | b'=' | b'"' | b'\'' | b'`' | b'\\'))
}

fn is_url(text: &str) -> bool {
    ["http://", "https://", "file:/"].iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme))
        && text.bytes().all(|b| b.is_ascii_graphic())
}

fn is_location(text: &str) -> bool {
    match text.split_once("://") {
        Some(("http" | "https", rest)) => !rest.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()),
        Some(("file", rest)) => rest.starts_with('/') && !text.contains('\0'),
        Some(_) => false,
        None => !text.is_empty() && !text.contains('\0'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Kind, text: &str) -> Result<Decoded, String> {
        kind.decode(&Value::String(text.into())).map_err(|r| r.message)
    }

    #[test]
    fn names_are_dns_labels() {
        assert_eq!(text(Kind::Name, "web-1"), Ok(Decoded::Text("web-1".into())));
        for wrong in ["", "-a", "a-", "Web", "a_b", "a.b", "../x", &"a".repeat(64)] {
            assert!(text(Kind::Name, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_becomes_an_argument_cannot_be_an_option_or_a_list() {
        for wrong in ["-x", "--setup-hook=id", "a,b", "a b", "a/b", ""] {
            assert!(text(Kind::Package, wrong).is_err(), "{wrong}");
        }
        for wrong in ["ftp://x", "http://", "http://a b", "-", "http://a\nb"] {
            assert!(text(Kind::Url, wrong).is_err(), "{wrong}");
        }
    }

    /// LESSON 26.
    #[test]
    fn arguments_that_break_a_boot_are_refused() {
        for right in ["mitigations=off", "loglevel=6", "systemd.unified_cgroup_hierarchy=1", "nokaslr"] {
            assert_eq!(text(Kind::KernelArgument, right), Ok(Decoded::Text(right.into())));
        }
        for wrong in
            ["", "a b", "ip=dhcp", "ip", "root=/dev/sda1", "rdinit=/bin/sh", "regatta.work=/dev/vda", "a=\"b\""]
        {
            assert!(text(Kind::KernelArgument, wrong).is_err(), "{wrong}");
        }
    }

    /// LESSON 30: zero is not "omitted", and a size carries its unit.
    #[test]
    fn numbers_and_sizes_say_what_is_missing() {
        let cpus = Kind::Integer { min: 1, max: 256 };
        let memory = Kind::Size { min: ByteSize::mib(64) };
        let reject =
            |kind: Kind, value: Value| kind.decode(&value).map_err(|r| (r.message, r.help.unwrap_or_default()));
        assert_eq!(
            reject(cpus, Value::Integer(0)),
            Err(("found `0`, expected an integer from 1 to 256".into(), String::new()))
        );
        assert_eq!(
            reject(cpus, Value::String("2".into())),
            Err(("found `2`, expected an integer from 1 to 256".into(), "write it without quotes: `2`".into()))
        );
        assert_eq!(
            reject(memory, Value::Integer(512)),
            Err((
                "found `512` without a unit, expected a size of at least 64MiB, such as `512MiB` or `4GiB`".into(),
                "write a unit and quote it: `\"512MiB\"`".into()
            ))
        );
        assert!(reject(memory, Value::String("0MiB".into())).is_err());
        assert_eq!(memory.decode(&Value::String("1GiB".into())), Ok(Decoded::Size(ByteSize::gib(1))));
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version_at_least("0.10.0", "0.9"));
        assert!(version_at_least("1.2.3", "1.2.3"));
        assert!(!version_at_least("0.1.0", "0.1.1"));
        for wrong in ["", "1.", "v1", "1.2.3.4", "1.+2", ">=1"] {
            assert!(text(Kind::Version, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal_text() {
        assert_eq!(text(Kind::Mode, "0640"), Ok(Decoded::Integer(0o640)));
        for wrong in ["", "7", "0o600", "1777", "0888", "+600"] {
            assert!(text(Kind::Mode, wrong).is_err(), "{wrong}");
        }
    }
}

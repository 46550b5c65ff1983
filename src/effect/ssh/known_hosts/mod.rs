//! What a `known_hosts` file says about a key, as OpenSSH reads it (`man 8 sshd`, SSH_KNOWN_HOSTS FILE FORMAT).
//!
//! For hosts that are not our guests: a guest's key is pinned by value and needs no file. `russh` has a helper of its
//! own; it accepts revoked keys, so it is not used. The tests hold this one against the real `ssh`.

mod pattern;
#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::known_hosts::{Entry, Marker};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKeyOrCertificate};

use super::system::known_hosts_name;

/// What a file says about the key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// The host is known with this key, or an authority known for the host vouches for it.
    Trusted,
    /// There is nothing about the host.
    Unknown,
    /// The host is known with these keys only.
    Changed(Vec<KeyData>),
    /// The key must never be accepted from this host.
    Revoked,
}

/// The lines of a `known_hosts` file that can be understood.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

impl KnownHosts {
    /// Reads a file's content. As in OpenSSH, a line that cannot be understood says nothing, and the others still count.
    pub fn parse(text: &[u8]) -> Self {
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        Self { entries: lines.filter_map(entry).collect() }
    }

    /// What is known about the key or certificate that the server at `host` and `port` shows.
    pub(super) fn standing(&self, host: &str, port: u16, shown: &PublicKeyOrCertificate) -> Standing {
        let with_port = self.standing_under(&known_hosts_name(host, port), host, shown);
        // A host known without a port is known on all of them, unless it is known otherwise on this one.
        if with_port == Standing::Unknown && port != 22 {
            let without = self.standing_under(&known_hosts_name(host, 22), host, shown);
            if without == Standing::Trusted {
                return without;
            }
        }
        with_port
    }

    fn standing_under(&self, name: &str, host: &str, shown: &PublicKeyOrCertificate) -> Standing {
        let key = shown.public_key();
        let authority = shown.certificate().map(Certificate::signature_key);
        if self.keys(name, Some(Marker::Revoked)).any(|revoked| revoked == key.key_data() || Some(revoked) == authority)
        {
            return Standing::Revoked;
        }
        if let Some(certificate) = shown.certificate()
            && self.keys(name, Some(Marker::CertAuthority)).any(|authority| vouches(authority, certificate, host))
        {
            return Standing::Trusted;
        }
        let known: Vec<KeyData> = self.keys(name, None).cloned().collect();
        match known.contains(key.key_data()) {
            true => Standing::Trusted,
            false if known.is_empty() => Standing::Unknown,
            false => Standing::Changed(known),
        }
    }

    fn keys(&self, name: &str, marker: Option<Marker>) -> impl Iterator<Item = &KeyData> {
        self.entries
            .iter()
            .filter(move |entry| entry.marker() == marker.as_ref() && pattern::is_about(entry.host_patterns(), name))
            .map(|entry| entry.public_key().key_data())
    }

    /// The types of keys that are known for a host: a server with several keys is asked for one of these first.
    pub(super) fn algorithms(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let names = [known_hosts_name(host, port), known_hosts_name(host, 22)];
        names.iter().flat_map(|name| self.keys(name, None)).map(KeyData::algorithm).collect()
    }

    /// Whether a certificate is worth asking for: some authority is known for the host.
    pub(super) fn has_authority(&self, host: &str, port: u16) -> bool {
        let names = [known_hosts_name(host, port), known_hosts_name(host, 22)];
        names.iter().any(|name| self.keys(name, Some(Marker::CertAuthority)).next().is_some())
    }
}

/// One line, its fields separated by any spaces and tabs, without its comment.
fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace().peekable();
    let marker = fields.next_if(|field| field.starts_with('@'));
    let rest: Vec<&str> = fields.take(3).collect();
    if rest.first()?.starts_with('#') {
        return None;
    }
    let normal: Vec<&str> = marker.into_iter().chain(rest).collect();
    normal.join(" ").parse().ok()
}

/// Whether this authority signed this certificate for this host, for now.
fn vouches(authority: &KeyData, certificate: &Certificate, host: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let host = host.to_ascii_lowercase();
    // A certificate without principals would be good for every host: none is accepted as such.
    let named = certificate.valid_principals().iter().any(|name| pattern::matches(&name.to_ascii_lowercase(), &host));
    certificate.signature_key() == authority
        && certificate.cert_type() == CertType::Host
        && certificate.critical_options().is_empty()
        && named
        && certificate.validate_at(now, [&authority.fingerprint(HashAlg::Sha256)]).is_ok()
}

//! SSH key pairs: made here, so that a guest's host key is pinned before its first boot.

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};

/// Why a key could not be made or understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It could not be made or written down.
    #[error("cannot make an SSH key: {0}")]
    Make(String),
    /// It is no private key, or not one that can be used without a passphrase.
    #[error("found no unencrypted OpenSSH private key: {0}")]
    Private(String),
    /// It is no public key as one line of OpenSSH.
    #[error("found no SSH public key, expected `ssh-ed25519 AAAA…`: {0}")]
    Parse(String),
}

/// An ed25519 key pair. Its private part is wiped from memory when dropped and never printed.
pub struct KeyPair {
    key: PrivateKey,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl KeyPair {
    /// Makes a new pair from the system's randomness. The comment is part of both texts.
    ///
    /// # Errors
    /// [`KeyError::Make`] when the comment has a line break.
    pub fn generate(comment: &str) -> Result<Self, KeyError> {
        if comment.contains(char::is_control) {
            return Err(KeyError::Make("its comment has a control character".to_owned()));
        }
        let mut key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).map_err(make)?;
        key.set_comment(comment);
        Ok(Self { key })
    }

    /// A pair from a private key file's text.
    ///
    /// # Errors
    /// [`KeyError::Private`] when it is none, or is encrypted.
    pub fn from_private_pem(pem: &str) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(pem).map_err(|cause| KeyError::Private(cause.to_string()))?;
        if key.is_encrypted() {
            return Err(KeyError::Private("it is encrypted".to_owned()));
        }
        Ok(Self { key })
    }

    /// The private key as OpenSSH keeps it in a file (unencrypted PEM): a secret.
    ///
    /// # Errors
    /// [`KeyError::Make`] when it cannot be encoded.
    pub fn private_pem(&self) -> Result<String, KeyError> {
        self.key.to_openssh(LineEnding::LF).map(|pem| pem.to_string()).map_err(make)
    }

    /// The public key as one line without its end: `ssh-ed25519 AAAA… comment`.
    ///
    /// # Errors
    /// [`KeyError::Make`] when it cannot be encoded.
    pub fn public_line(&self) -> Result<String, KeyError> {
        self.key.public_key().to_openssh().map_err(make)
    }

    /// As `ssh-keygen -l` shows it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint(HashAlg::Sha256).to_string()
    }
}

fn make(cause: impl std::fmt::Display) -> KeyError {
    KeyError::Make(cause.to_string())
}

/// The fingerprint of a public key line, as `ssh-keygen -l` shows it: `SHA256:…`.
///
/// # Errors
/// [`KeyError::Parse`] when it is none.
pub fn fingerprint(public_line: &str) -> Result<String, KeyError> {
    parse_public(public_line).map(|key| key.fingerprint(HashAlg::Sha256).to_string())
}

/// Parses a public key line.
pub(super) fn parse_public(line: &str) -> Result<PublicKey, KeyError> {
    PublicKey::from_openssh(line.trim()).map_err(|cause| KeyError::Parse(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;
    use crate::effect::testing;

    fn ssh_keygen(args: &[&str]) -> String {
        let output = Command::new("ssh-keygen").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    #[test]
    fn openssh_reads_the_pair_and_agrees_on_its_fingerprint() {
        if testing::lacks("ssh-keygen") {
            return;
        }
        let pair = KeyPair::generate("regatta web-1").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("key"), dir.path().join("key.pub"));
        std::fs::write(&private, pair.private_pem().unwrap()).unwrap();
        std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&public, pair.public_line().unwrap()).unwrap();

        assert_eq!(ssh_keygen(&["-y", "-f", private.to_str().unwrap()]), pair.public_line().unwrap());
        let listed = ssh_keygen(&["-l", "-f", public.to_str().unwrap()]);
        assert_eq!(listed, format!("256 {} regatta web-1 (ED25519)", pair.fingerprint()));
        assert_eq!(fingerprint(&pair.public_line().unwrap()), Ok(pair.fingerprint()));
    }

    #[test]
    fn every_pair_is_another_and_its_secret_is_not_printed() {
        let (one, two) = (KeyPair::generate("a").unwrap(), KeyPair::generate("a").unwrap());
        assert_ne!(one.fingerprint(), two.fingerprint());
        let fingerprint = one.fingerprint();
        assert_eq!(format!("{one:?}"), format!("KeyPair {{ fingerprint: {fingerprint:?}, .. }}"));
    }

    #[test]
    fn a_comment_cannot_add_lines_and_nonsense_is_no_key() {
        assert!(matches!(KeyPair::generate("a\nssh-ed25519 AAAA"), Err(KeyError::Make(_))));
        assert!(matches!(fingerprint("ssh-ed25519 AAAA"), Err(KeyError::Parse(_))));
        assert!(matches!(fingerprint(""), Err(KeyError::Parse(_))));
    }

    #[test]
    fn a_pair_is_the_same_after_it_was_written_and_read() {
        let pair = KeyPair::generate("me").unwrap();
        let read = KeyPair::from_private_pem(&pair.private_pem().unwrap()).unwrap();
        assert_eq!(read.public_line(), pair.public_line());
        assert!(matches!(KeyPair::from_private_pem("no key"), Err(KeyError::Private(_))));
    }
}

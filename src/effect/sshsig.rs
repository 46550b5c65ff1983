//! OpenSSH signatures over bytes (SSHSIG, `PROTOCOL.sshsig`), as `ssh-keygen -Y sign` makes and `-Y verify` takes them.

use russh::keys::ssh_key::public::KeyData;
use russh::keys::ssh_key::{LineEnding, SshSig};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};

use super::keys::KeyError;

/// Smaller RSA keys are refused.
const RSA_BITS_MIN: u32 = 2048;

/// Where a security key's signature says that somebody touched it: bit 0 of the byte before its four bytes of counter (FIDO2, "UP").
const SK_TRAILER: usize = 5;
const USER_PRESENT: u8 = 1;

/// Why bytes are no signature, or not one that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It cannot be understood, or is of a kind that is not safe.
    #[error("it is no signature: {0}")]
    Malformed(String),
    /// It is not one of this key over these bytes.
    #[error("the signature does not fit the text")]
    Forged,
    /// A security key signed without anybody touching it.
    #[error("the security key signed without being touched")]
    Untouched,
}

/// A signature that was read, and not yet verified.
#[derive(Debug, Clone)]
pub struct Signature {
    signature: SshSig,
}

impl Signature {
    /// Reads the armour: `-----BEGIN SSH SIGNATURE-----` to `-----END SSH SIGNATURE-----`, and a line break.
    ///
    /// # Errors
    /// It is none, says something that is not understood, or is of an algorithm that is not safe (SHA-1, short RSA keys, DSA).
    pub fn read(armour: &str) -> Result<Self, SignatureError> {
        // The library quotes what it found.
        let malformed = |why: &str| SignatureError::Malformed(why.replace(char::is_control, "\u{fffd}"));
        let signature = SshSig::from_pem(armour).map_err(|cause| malformed(&cause.to_string()))?;
        if signature.version() != SshSig::VERSION {
            return Err(malformed("it has another version"));
        }
        if !signature.reserved().is_empty() {
            return Err(malformed("it says something that is not understood"));
        }
        let fits = match (signature.public_key(), signature.algorithm()) {
            (KeyData::Rsa(key), Algorithm::Rsa { hash: Some(_) }) if key.key_size() >= RSA_BITS_MIN => true,
            (KeyData::Rsa(_), _) => return Err(malformed("RSA needs at least 2048 bits and SHA-2")),
            (key, algorithm) => key.algorithm() == algorithm && is_known(&algorithm),
        };
        if fits { Ok(Self { signature }) } else { Err(malformed("its algorithm is not that of its key, or not known")) }
    }

    /// What it was made for.
    pub fn namespace(&self) -> &str {
        self.signature.namespace()
    }

    /// The key that it says made it, as `TYPE BASE64`.
    pub fn key(&self) -> String {
        material(&PublicKey::from(self.signature.public_key().clone()))
    }

    /// The key's fingerprint: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.signature.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Whether it is one of its key over these bytes.
    ///
    /// # Errors
    /// [`SignatureError::Forged`] when it is not, [`SignatureError::Untouched`] for a security key that nobody touched.
    pub fn verify(&self, message: &[u8]) -> Result<(), SignatureError> {
        let key = PublicKey::from(self.signature.public_key().clone());
        key.verify(self.signature.namespace(), message, &self.signature).map_err(|_| SignatureError::Forged)?;
        let is_security_key =
            matches!(self.signature.public_key(), KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_));
        let bytes = self.signature.signature_bytes();
        let flags = bytes.len().checked_sub(SK_TRAILER).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
        if is_security_key && flags & USER_PRESENT == 0 { Err(SignatureError::Untouched) } else { Ok(()) }
    }
}

const fn is_known(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256
    )
}

/// Signs bytes with an unencrypted private key; `None` when it is a key that only another program can use: encrypted, on a security
/// key, in an agent.
///
/// # Errors
/// When signing fails.
pub fn sign(private: &str, namespace: &str, message: &[u8]) -> Result<Option<String>, KeyError> {
    let Ok(key) = PrivateKey::from_openssh(private) else { return Ok(None) };
    let foreign = matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256);
    if key.is_encrypted() || foreign {
        return Ok(None);
    }
    let failed = |cause: russh::keys::ssh_key::Error| KeyError::Make(cause.to_string());
    let signature = key.sign(namespace, HashAlg::Sha512, message).map_err(failed)?;
    signature.to_pem(LineEnding::LF).map(Some).map_err(failed)
}

fn material(key: &PublicKey) -> String {
    let plain = PublicKey::from(key.key_data().clone());
    // A key without a comment always has this form.
    plain.to_openssh().map(|line| line.trim().to_owned()).unwrap_or_default()
}

//! A FIDO2 security key in software: signs as `sk-ssh-ed25519@openssh.com` keys do (PROTOCOL.u2f), with an ed25519 key of its own.

use russh::keys::ssh_key::public::{KeyData, SkEd25519};
use russh::keys::ssh_key::{LineEnding, Signature, SigningKey, SshSig};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey};
use sha2::{Digest as _, Sha256};

const APPLICATION: &str = "ssh:";

/// Signs; the public key's line, and the armour. Bit 0 of the flags says that somebody touched it.
pub(crate) fn sign(namespace: &str, message: &[u8], flags: u8) -> (String, String) {
    let inside = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap();
    let KeyData::Ed25519(point) = inside.public_key().key_data().clone() else { panic!("it is an ed25519 key") };
    let public = KeyData::SkEd25519(SkEd25519::new(point, APPLICATION));
    let data = SshSig::signed_data(namespace, HashAlg::Sha512, message).unwrap();
    let trailer = [flags, 0, 0, 0, 7];
    let signed: Vec<u8> = [&Sha256::digest(APPLICATION)[..], &trailer[..], &Sha256::digest(&data)[..]].concat();
    // What an SSH key signs for a session is the bytes as they are.
    let raw = plain(&inside, &signed);
    let bytes = [raw.as_bytes(), &trailer].concat();
    let signature = Signature::new(Algorithm::SkEd25519, bytes).unwrap();
    let armour =
        SshSig::new(public.clone(), namespace, HashAlg::Sha512, signature).unwrap().to_pem(LineEnding::LF).unwrap();
    (PublicKey::from(public).to_openssh().unwrap().trim().to_owned(), armour)
}

/// The key's signature over the bytes themselves.
fn plain(key: &impl SigningKey, bytes: &[u8]) -> Signature {
    key.try_sign(bytes).unwrap()
}

//! TLS: which server certificates are accepted. "Any" has to be asked for by name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use camino::Utf8PathBuf;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::HttpError;
use super::error::chain;
use crate::effect::files::read_bounded;

/// Largest file of certificates that is read.
const CA_LIMIT: u64 = 4 << 20;

/// Which server certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those that the system's certificate authorities issued (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    System,
    /// Those that the authorities in this PEM file issued, and no others.
    CaFile(Utf8PathBuf),
    /// This one, whoever issued it, for whatever name and time.
    Pinned(Fingerprint),
    /// One of these, as [`Trust::Pinned`]: servers renew their certificates.
    PinnedAny(Vec<Fingerprint>),
    /// Any. Whoever is in between reads and changes everything: only for those who ask for it by name, and whoever does
    /// has to be told every time.
    Unchecked,
}

/// The SHA-256 digest of a certificate (DER).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    /// As `openssl` and Proxmox print it: `AB:CD:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// 64 hexadecimal digits of any case, with or without colons between the bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a SHA-256 fingerprint: 32 bytes such as `AB:CD:…`".to_owned();
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let colons = text.len() - digits.len();
        if digits.len() != 64 || !matches!(colons, 0 | 31) {
            return Err(expected());
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = nibble(pair[0]).zip(nibble(pair[1])).ok_or_else(expected)?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// Makes TLS connections.
pub(super) struct Client(TlsConnector);

impl Client {
    pub(super) async fn new(trust: &Trust, to: &str) -> Result<Self, HttpError> {
        let wrong = |cause: String| HttpError::Trust { to: to.to_owned(), cause };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|cause| wrong(chain(&cause)))?;
        let mut config = match trust {
            Trust::Pinned(_) | Trust::PinnedAny(_) | Trust::Unchecked => {
                let pinned = match trust {
                    Trust::Pinned(pinned) => Some(vec![*pinned]),
                    Trust::PinnedAny(pinned) => Some(pinned.clone()),
                    _ => None,
                };
                let verifier = Arc::new(OnlyThese { pinned, provider });
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            Trust::System | Trust::CaFile(_) => {
                let trust = trust.clone();
                // The system's authorities are many files.
                let roots = tokio::task::spawn_blocking(move || roots(&trust)).await;
                let roots = roots.map_err(|stopped| wrong(stopped.to_string()))?.map_err(wrong)?;
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    pub(super) async fn connect(
        &self,
        tcp: TcpStream,
        host: &str,
        to: &str,
    ) -> Result<TlsStream<TcpStream>, HttpError> {
        let to = to.to_owned();
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            return Err(HttpError::Trust { to, cause: "it is no name that a certificate can have".to_owned() });
        };
        self.0.connect(name, tcp).await.map_err(|cause| {
            let tls = cause.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
            match tls {
                Some(Error::InvalidCertificate(why)) => HttpError::Trust { to, cause: certificate_problem(why) },
                _ => HttpError::Connect { to, cause: chain(&cause) },
            }
        })
    }
}

fn certificate_problem(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "its certificate was issued by nobody we trust".to_owned(),
        CertificateError::ApplicationVerificationFailure => "its certificate is not the pinned one".to_owned(),
        // What servers make for themselves often says that it is an authority.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is an authority's own, which proves no server: pin its fingerprint instead".to_owned()
        }
        other => format!("its certificate is refused: {}", super::error::printable(&other.to_string())),
    }
}

fn roots(trust: &Trust) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Trust::CaFile(path) = trust else {
        let (added, _) = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match added {
            0 => Err("the system has no certificate authorities; install `ca-certificates`".to_owned()),
            _ => Ok(store),
        };
    };
    let text = read_bounded(path, CA_LIMIT).map_err(|error| error.to_string())?;
    let text = text.ok_or_else(|| format!("there is no `{path}`"))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let refused = |cause: String| format!("`{path}` holds something that is no certificate: {cause}");
        let certificate = certificate.map_err(|cause| refused(cause.to_string()))?;
        store.add(certificate).map_err(|cause| refused(cause.to_string()))?;
    }
    if store.is_empty() { Err(format!("`{path}` holds no certificate")) } else { Ok(store) }
}

/// Accepts some certificates, or any. The handshake still proves that the server has its key.
#[derive(Debug)]
struct OnlyThese {
    pinned: Option<Vec<Fingerprint>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyThese {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.as_ref().is_none_or(|pinned| pinned.contains(&Fingerprint::of(end_entity))) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_printed() {
        let one = Fingerprint::of(b"certificate");
        let text = one.to_string();
        assert_eq!(text.len(), 95);
        assert_eq!(text.parse(), Ok(one));
        assert_eq!(text.replace(':', "").to_lowercase().parse(), Ok(one));
        let short = &text[..92];
        for wrong in ["", short, &text.replace('1', "g"), &format!("{text}00"), &text.replacen(':', "", 1)] {
            assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong}");
        }
    }
}

//! Over TLS: the system's authorities, one's own, and a pinned certificate.

use std::process::Command;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::{Client, Fingerprint};
use super::*;
use crate::effect::testing::{lacks, scratch};

/// A certificate with its key.
struct Certificate {
    file: Utf8PathBuf,
    key: Utf8PathBuf,
}

impl Certificate {
    /// An authority's own.
    fn authority(dir: &Utf8Path, name: &str) -> Self {
        Self::make(dir, name, &["-addext", "subjectAltName=DNS:localhost"])
    }

    /// One for `localhost` that an authority issued.
    fn issued_by(authority: &Self, dir: &Utf8Path, name: &str) -> Self {
        let by = ["-CA", authority.file.as_str(), "-CAkey", authority.key.as_str()];
        let about = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
        Self::make(dir, name, &[by, about].concat())
    }

    fn make(dir: &Utf8Path, name: &str, arguments: &[&str]) -> Self {
        let (file, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={name}"), "-keyout", key.as_str(), "-out", file.as_str()])
            .args(arguments)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Self { file, key }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.file).unwrap()
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der())
    }

    /// Serves one connection with one answer.
    async fn serve(&self) -> u16 {
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            // A client that does not trust us hangs up here.
            if let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await {
                answer(stream, vec![ok("secret")]).await;
            }
        });
        port
    }
}

/// The answer, or why there is none.
async fn get(server: &Certificate, host: &str, trust: Trust) -> Result<String, String> {
    let port = server.serve().await;
    let client = Client::new(trust, PATIENT);
    let response = client.send(&format!("https://{host}:{port}/"), Request::get("")).await;
    let response = response.map_err(|error| error.to_string().replace(&port.to_string(), "PORT"))?;
    Ok(text(response).await)
}

#[tokio::test]
async fn only_the_certificate_that_is_meant_is_accepted() {
    if lacks("openssl") {
        return;
    }
    let (_guard, dir) = scratch();
    let (authority, other) = (Certificate::authority(&dir, "authority"), Certificate::authority(&dir, "other"));
    let server = Certificate::issued_by(&authority, &dir, "server");
    let ca = |of: &Certificate| Trust::CaFile(of.file.clone());
    assert_eq!(get(&server, "localhost", ca(&authority)).await, Ok("secret".to_owned()));
    assert_eq!(get(&server, "127.0.0.1", Trust::Pinned(server.fingerprint())).await, Ok("secret".to_owned()));

    let untrusted = |host: &str, why: &str| Err(format!("`{host}:PORT` is not trusted: {why}"));
    let unknown = "its certificate was issued by nobody we trust";
    assert_eq!(get(&server, "localhost", Trust::System).await, untrusted("localhost", unknown));
    let not_pinned = untrusted("localhost", "its certificate is not the pinned one");
    assert_eq!(get(&server, "localhost", Trust::Pinned(other.fingerprint())).await, not_pinned);
    assert_eq!(get(&server, "localhost", ca(&other)).await, untrusted("localhost", unknown));
    let own = "its certificate is an authority's own, which proves no server: pin its fingerprint instead";
    assert_eq!(get(&authority, "localhost", ca(&authority)).await, untrusted("localhost", own));
    let wrong_name = get(&server, "127.0.0.1", ca(&authority)).await.unwrap_err();
    assert!(wrong_name.contains("certificate not valid for name"), "{wrong_name}");
    let missing = dir.join("missing.pem");
    let no_file = untrusted("localhost", &format!("there is no `{missing}`"));
    assert_eq!(get(&server, "localhost", Trust::CaFile(missing)).await, no_file);
    let empty = dir.join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let no_certificate = untrusted("localhost", &format!("`{empty}` holds no certificate"));
    assert_eq!(get(&server, "localhost", Trust::CaFile(empty)).await, no_certificate);
}

#[tokio::test]
async fn a_server_without_tls_is_no_https_server() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Like a web server that was sent what it does not understand.
    let bad_request = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    tokio::spawn(async move { listener.accept().await.unwrap().0.write_all(bad_request).await });
    let url = format!("https://127.0.0.1:{port}/");
    let error = Client::new(Trust::System, PATIENT).send(&url, Request::get("")).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
}

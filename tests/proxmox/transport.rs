//! The real connections against a server that keeps Proxmox's rules: at most 100 requests on one, none after an error, a
//! length for every body and none where none may be; and that hangs up whenever it likes.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use regatta::driver::proxmox::exchange::{Call, Exchange as _, Upload, Verb};
use regatta::driver::proxmox::{ApiError, Servers, Token};
use regatta::effect::http::{Endpoint, Trust};
use regatta::resource::Digest;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Proxmox's own limit.
const REQUESTS: usize = 100;

/// When the server ends a connection, beside after its hundredth request and after errors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Never.
    Patient,
    /// After each seventh answer, without having said so.
    HangsUp,
    /// It says that it will, and that it will not, as calls do that are handed on to a daemon.
    SaysBoth,
    /// After a fifth of a second without a request, where Proxmox waits for five.
    HangsUpWhenIdle,
}

struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    fingerprint: String,
}

fn certificate(name: &str) -> (PathBuf, PathBuf) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pve-{name}"));
    fs::create_dir_all(&dir).unwrap();
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=pve1", "-keyout", key.to_str().unwrap(), "-out", cert.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    (cert, key)
}

impl Server {
    async fn start(name: &str, manner: Manner) -> Self {
        let (cert, key) = certificate(name);
        let der = CertificateDer::from_pem_file(&cert).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], PrivateKeyDer::from_pem_file(&key).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, manner).await;
                    }
                });
            }
        });
        let shown =
            Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&cert).output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        Self { port, connections, fingerprint: shown.trim().split_once('=').unwrap().1.to_owned() }
    }

    fn client(&self) -> Servers {
        let url = format!("https://127.0.0.1:{}", self.port);
        let trust = Trust::PinnedAny(vec![self.fingerprint.parse().unwrap()]);
        Servers::new(vec![Endpoint::https(&url, 8006, trust).unwrap()], Token::parse("ci@pve!t=secret").unwrap())
    }
}

/// Answers until it is enough.
async fn serve(mut stream: impl AsyncRead + tokio::io::AsyncWrite + Unpin, manner: Manner) {
    for count in 1.. {
        let patience = Duration::from_millis(if manner == Manner::HangsUpWhenIdle { 200 } else { 60_000 });
        let Ok(Some(request)) = tokio::time::timeout(patience, read(&mut stream)).await else {
            let _ = stream.shutdown().await;
            return;
        };
        assert!(count <= REQUESTS, "more requests on one connection than Proxmox answers");
        let (status, wrong) = match request.head.contains("/missing") {
            true => ("500 Configuration file does not exist", true),
            false => ("200 OK", false),
        };
        let last = wrong || count == REQUESTS;
        let connection = match (last, manner) {
            (_, Manner::SaysBoth) => "Connection: close\r\nConnection: Keep-Alive\r\n",
            (true, _) => "Connection: close\r\n",
            (false, _) => "Connection: Keep-Alive\r\n",
        };
        let body = match uploaded(&request) {
            Some(digest) => format!("{{\"data\":\"{digest}\"}}"),
            None => "{\"data\":null}".to_owned(),
        };
        let answer = format!("HTTP/1.1 {status}\r\n{connection}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if last || (manner == Manner::HangsUp && count % 7 == 0) {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

struct Asked {
    head: String,
    body: Vec<u8>,
}

/// The digest of the file in a form of several parts.
fn uploaded(request: &Asked) -> Option<String> {
    let boundary = request.head.split("boundary=").nth(1)?.split("\r\n").next()?;
    let (begin, end) = (b"octet-stream\r\n\r\n", format!("\r\n--{boundary}--\r\n"));
    let at = request.body.windows(begin.len()).position(|window| window == begin)? + begin.len();
    let file = request.body[at..].strip_suffix(end.as_bytes())?;
    Some(Digest::of(file).as_str().to_owned())
}

/// A whole request that Proxmox would take; nothing when the client hung up.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
        assert!(head.len() <= 8 << 10, "a head of more than 8 KiB");
    }
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_lowercase();
    assert!(!lower.contains("transfer-encoding"), "501 for chunked bodies: {head}");
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    let has_body = head.starts_with("POST") || head.starts_with("PUT");
    assert!(
        has_body == length.is_some_and(|length| length > 0) || length == Some(0),
        "a body where none may be: {head}"
    );
    let mut body = vec![0; length.unwrap_or_default()];
    stream.read_exact(&mut body).await.ok()?;
    assert!(body.len() < 512 << 10 || head.contains("/upload"), "501 for data too large");
    Some(Asked { head, body })
}

/// PROXMOX A1, C7.
#[tokio::test]
async fn connections_live_with_the_rules_of_the_server() {
    for (name, manner, most) in
        [("patient", Manner::Patient, 3), ("both", Manner::SaysBoth, 250), ("hangs-up", Manner::HangsUp, 40)]
    {
        let server = Server::start(name, manner).await;
        let client = server.client();
        let calls = [
            Call::new(Verb::Get, "/version"),
            Call::new(Verb::Put, "/nodes/pve1/lxc/101/config").with("description", "a;b=c&d"),
            Call::new(Verb::Delete, "/nodes/pve1/lxc/101").with("purge", "1"),
        ];
        let mut lost = 0;
        for call in calls.iter().cycle().take(240) {
            match client.exchange(call).await {
                Ok(answer) => assert_eq!(answer.status, 200),
                // It hung up in the very moment: nobody knows whether it arrived, and that is what is said.
                Err(ApiError::Unknown(_)) if manner == Manner::HangsUp => lost += 1,
                Err(error) => panic!("{name}: {error}"),
            }
        }
        let connections = server.connections.load(Ordering::SeqCst);
        assert!(connections <= most + lost && lost <= 12, "{name}: {connections} connections, {lost} lost");
    }
}

/// A file is streamed, whole and with its length: servers know no chunks.
#[tokio::test]
async fn a_file_is_uploaded_byte_for_byte() {
    let server = Server::start("upload", Manner::Patient).await;
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
    let file = |length: u64| Upload {
        name: "d.tar.zst".into(),
        length,
        from: Box::new(Cursor::new(bytes.clone())),
        within: Duration::from_secs(30),
    };
    let call = Call::new(Verb::Post, "/nodes/pve1/storage/local/upload").with("content", "vztmpl");
    let answer = server.client().upload(&call, file(bytes.len() as u64)).await.unwrap();
    let expected = format!("{{\"data\":\"{}\"}}", Digest::of(&bytes).as_str());
    assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
    // One that became shorter meanwhile is broken off, and nobody says that it arrived.
    let short = server.client().upload(&call, file(bytes.len() as u64 + 1)).await;
    assert!(matches!(short, Err(ApiError::Unknown(_))), "{short:?}");
}

/// After an error the server closes the connection: the next request goes over another.
#[tokio::test]
async fn an_error_ends_a_connection_and_keeps_its_words() {
    let server = Server::start("errors", Manner::Patient).await;
    let client = server.client();
    for _ in 0..5 {
        let answer = client.exchange(&Call::new(Verb::Get, "/missing")).await.unwrap();
        assert_eq!((answer.status, answer.reason.as_str()), (500, "Configuration file does not exist"));
        assert_eq!(client.exchange(&Call::new(Verb::Get, "/version")).await.unwrap().status, 200);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 6);
}

/// PROXMOX A1: a server closes a connection that is idle for 5 s. Whoever uses it in that moment loses an answer, so it is
/// left alone well before. Time itself is what is tested: it has to pass.
#[tokio::test]
async fn a_connection_that_was_idle_is_not_used_again() {
    let server = Server::start("idle", Manner::Patient).await;
    let client = server.client();
    let version = Call::new(Verb::Get, "/version");
    for (idle_ms, connections) in [(0, 1), (1_000, 1), (3_100, 2)] {
        tokio::time::sleep(Duration::from_millis(idle_ms)).await;
        assert_eq!(client.exchange(&version).await.unwrap().status, 200);
        assert_eq!(server.connections.load(Ordering::SeqCst), connections, "after {idle_ms} ms");
    }
}

/// One that hung up after 5 s of silence is found out before anything is sent on it.
#[tokio::test]
async fn a_connection_that_the_server_closed_loses_no_request() {
    let server = Server::start("closes", Manner::HangsUpWhenIdle).await;
    let client = server.client();
    for (count, pause_ms) in [0, 0, 400, 400, 0].into_iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let call = Call::new(Verb::Put, "/nodes/pve1/lxc/101/config").with("cores", count.to_string());
        assert_eq!(client.exchange(&call).await.unwrap().status, 200, "request {count}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

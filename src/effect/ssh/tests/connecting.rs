//! Connecting: servers that are not there yet, not the right ones, or behind another.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::server::{Auth, PublicKeyOffer};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::super::loopback::{Setup, Sshd, ssh_keygen, write_secret};
use super::super::*;
use super::{DEADLINE, connect, outcome, refusal};
use crate::effect::keys::{self, KeyPair};

/// LESSON 17: a pinned key means that every other one is refused, whatever its type.
#[tokio::test]
async fn another_host_key_or_type_is_refused_with_both_fingerprints() {
    let Some(server) = Sshd::start() else { return };
    let right = keys::fingerprint(&server.target().host_key).unwrap();
    let other = KeyPair::generate("other").unwrap();
    let target = SshTarget { host_key: other.public_line().unwrap(), ..server.target() };
    let (found, pinned) = (format!("ssh-ed25519 {right}"), format!("ssh-ed25519 {}", other.fingerprint()));
    assert_eq!(refusal(&target).await, ConnectError::HostKey { found, pinned: pinned.clone() });

    let Some(server) = Sshd::start_with(|dir| {
        let path = dir.join("host_key");
        ssh_keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", path.as_str()]);
        let host_key = std::fs::read_to_string(format!("{path}.pub")).unwrap();
        Setup { host_key, options: vec![format!("HostKey={path}")] }
    }) else {
        return;
    };
    let right = keys::fingerprint(&server.target().host_key).unwrap();
    connect(&server.target()).await.unwrap();
    let target = SshTarget { host_key: other.public_line().unwrap(), ..server.target() };
    let found = format!("ecdsa-sha2-nistp256 {right}");
    assert_eq!(refusal(&target).await, ConnectError::HostKey { found, pinned });
    let target = SshTarget { host_key: String::new(), ..server.target() };
    assert!(matches!(refusal(&target).await, ConnectError::Protocol(_)));
}

/// LESSON 27: "key refused" is not "not up yet".
#[tokio::test]
async fn a_refused_key_and_an_unusable_one_have_their_own_causes() {
    let Some(server) = Sshd::start() else { return };
    let (other, garbage) = (server.file("other"), server.file("garbage"));
    write_secret(&other, &KeyPair::generate("other").unwrap().private_pem().unwrap());
    write_secret(&garbage, "no key");
    let target = |identity: &Utf8PathBuf| SshTarget { identity: identity.clone(), ..server.target() };
    let user = server.target().user;
    assert_eq!(refusal(&target(&other)).await, ConnectError::KeyRefused { user });
    assert!(matches!(refusal(&target(&garbage)).await, ConnectError::Identity { .. }));
    let missing = ConnectError::Identity { path: server.file("missing"), cause: "there is no such file".to_owned() };
    assert_eq!(refusal(&target(&server.file("missing"))).await, missing);
}

/// TESTBED: QEMU's user network accepts a connection before anything answers.
#[tokio::test]
async fn a_port_that_is_closed_silent_or_hangs_up_is_not_up() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Utf8PathBuf::from_path_buf(dir.path().join("identity")).unwrap();
    let key = KeyPair::generate("client").unwrap();
    write_secret(&identity, &key.private_pem().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host_key = key.public_line().unwrap();
    let target =
        SshTarget { host: "127.0.0.1".to_owned(), port, user: "root".to_owned(), host_key, identity, via: None };

    let quick = Duration::from_millis(200);
    let silent = SshClient::default().connect(&target, quick).await.err().unwrap();
    let words = format!("no SSH server answers: 127.0.0.1:{port} accepted the connection and said nothing within 0s");
    assert_eq!(silent.to_string(), words);

    let (refused, _) = tokio::join!(refusal(&target), async {
        // The first connection is the silent one's, closed on its side.
        for _ in 0..2 {
            drop(listener.accept().await.unwrap());
        }
    });
    let words = format!("127.0.0.1:{port} closed the connection without a greeting");
    assert_eq!(refused, ConnectError::NotUp(words));

    let (refused, ()) = tokio::join!(refusal(&target), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-half\r\n").await.unwrap();
    });
    assert!(matches!(refused, ConnectError::NotUp(_)), "{refused}");

    drop(listener);
    assert!(matches!(refusal(&target).await, ConnectError::NotUp(_)));
}

/// A server that hangs up instead of judging the key.
struct Rude;

impl russh::server::Handler for Rude {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Err(russh::Error::Disconnect)
    }
}

/// LESSON 27: a server that goes down while we log in has not refused our key.
#[tokio::test]
async fn a_server_that_hangs_up_during_login_has_not_refused_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Utf8PathBuf::from_path_buf(dir.path().join("identity")).unwrap();
    let key = KeyPair::generate("both").unwrap();
    write_secret(&identity, &key.private_pem().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let host_key = key.public_line().unwrap();
    let target =
        SshTarget { host: "127.0.0.1".to_owned(), port, user: "root".to_owned(), host_key, identity, via: None };
    let keys = vec![PrivateKey::from_openssh(key.private_pem().unwrap()).unwrap()];
    let config = Arc::new(russh::server::Config { keys, ..Default::default() });
    let (refused, ()) = tokio::join!(refusal(&target), async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(russh::server::run_stream(config, stream, Rude).await.unwrap().await.is_err());
    });
    assert!(matches!(refused, ConnectError::NotUp(_)), "{refused}");
}

#[tokio::test]
async fn a_server_is_reached_through_another_and_both_must_be_the_right_ones() {
    let (Some(jump), Some(server)) = (Sshd::start(), Sshd::start()) else { return };
    let via = |via: Destination| Some(Box::new(via));
    let to = Destination { via: via(Destination::from(&jump.target())), ..Destination::from(&server.target()) };
    let shell = SshClient::default().connect_to(&to, DEADLINE).await.unwrap();
    let input = vec![7; 1 << 20];
    assert!(shell.exec(&["cat"], &input, DEADLINE).await.unwrap().stdout == input);

    // Each is trusted for itself: the key of one is not good for the other.
    let (here, there) = (keys::fingerprint(&server.target().host_key), keys::fingerprint(&jump.target().host_key));
    let (found, pinned) = (format!("ssh-ed25519 {}", here.unwrap()), format!("ssh-ed25519 {}", there.unwrap()));
    let wrong = Trust::Pinned(jump.target().host_key);
    let refused = outcome(&Destination { trust: wrong, ..to.clone() }).await;
    assert_eq!(refused, Err(ConnectError::HostKey { found: found.clone(), pinned: pinned.clone() }));
    let wrong = SshTarget { host_key: server.target().host_key, ..jump.target() };
    let host = format!("127.0.0.1:{}", jump.target().port);
    let cause = Box::new(ConnectError::HostKey { found: pinned, pinned: found });
    let refused = outcome(&Destination { via: via(Destination::from(&wrong)), ..to.clone() }).await;
    assert_eq!(refused, Err(ConnectError::Jump { host: host.clone(), cause }));

    // The key of one does not log in to the other either.
    let wrong = SshTarget { identity: server.target().identity, ..jump.target() };
    let cause = Box::new(ConnectError::KeyRefused { user: jump.target().user });
    let refused = outcome(&Destination { via: via(Destination::from(&wrong)), ..to.clone() }).await;
    assert_eq!(refused, Err(ConnectError::Jump { host, cause }));

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let words = format!("the jump host cannot connect to 127.0.0.1:{port}: Failed to open channel (ConnectFailed)");
    assert_eq!(outcome(&Destination { port, ..to }).await, Err(ConnectError::NotUp(words)));
}

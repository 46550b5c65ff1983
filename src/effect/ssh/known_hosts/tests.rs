//! Our reading of `known_hosts` files against OpenSSH's: both connect to one server with the same file.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::super::loopback::{Setup, Sshd, ssh_keygen};
use super::super::{ConnectError, Destination, SshClient, Trust};
use super::KnownHosts;
use crate::effect::{KeyPair, testing};

/// A server with two host keys and a certificate over one of them, and keys that it does not have.
struct World {
    server: Sshd,
    ed25519: String,
    ecdsa: String,
    authority: String,
    other: String,
    other_ecdsa: String,
}

impl World {
    /// With a certificate that is good for these names and this long, in the words of `ssh-keygen -V`.
    fn start(principals: &str, validity: &str) -> Option<Self> {
        if testing::lacks("ssh") || testing::lacks("ssh-keygen") {
            return None;
        }
        let server = Sshd::start_with(|dir| {
            let path = |name: &str| dir.join(name).into_string();
            for (name, kind) in [("ed", "ed25519"), ("ec", "ecdsa"), ("ca", "ed25519"), ("ec2", "ecdsa")] {
                ssh_keygen(&["-q", "-t", kind, "-N", "", "-C", "", "-f", &path(name)]);
            }
            let sign = ["-q", "-s", &path("ca"), "-I", "test", "-h", "-n", principals, "-V", validity, &path("ed.pub")];
            ssh_keygen(&sign);
            let options = ["HostKey=ed", "HostKey=ec", "HostCertificate=ed-cert.pub"];
            let options = options.map(|option| option.replace('=', &format!("={dir}/"))).to_vec();
            Setup { host_key: std::fs::read_to_string(path("ed.pub")).unwrap(), options }
        })?;
        let public = |name| std::fs::read_to_string(server.file(name)).unwrap().trim().to_owned();
        Some(Self {
            ed25519: public("ed.pub"),
            ecdsa: public("ec.pub"),
            authority: public("ca.pub"),
            other: KeyPair::generate("").unwrap().public_line().unwrap().trim().to_owned(),
            other_ecdsa: public("ec2.pub"),
            server,
        })
    }

    /// The text with the names of keys and places filled in.
    fn fill(&self, text: &str) -> String {
        let port = self.server.target().port.to_string();
        let words = [
            ("{ed}", &self.ed25519),
            ("{ec}", &self.ecdsa),
            ("{ca}", &self.authority),
            ("{other}", &self.other),
            ("{other-ec}", &self.other_ecdsa),
            ("{port}", &port),
        ];
        let filled = words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
        filled.replace("{here}", &format!("[127.0.0.1]:{port}"))
    }

    /// Whether we accept the server at `host` with this file.
    async fn ours(&self, host: &str, text: &[u8]) -> bool {
        let trust = Trust::KnownHosts(Arc::new(KnownHosts::parse(text)));
        let logins = Vec::new();
        let to = Destination { host: host.to_owned(), trust, logins, ..Destination::from(&self.server.target()) };
        match SshClient::default().connect_to(&to, Duration::from_secs(20)).await {
            // The door is as far as this goes.
            Err(ConnectError::KeyRefused { .. }) => true,
            Err(ConnectError::HostKey { .. } | ConnectError::HostUnknown { .. } | ConnectError::HostRevoked { .. }) => {
                false
            }
            other => panic!("{:?}", other.err()),
        }
    }

    /// Whether OpenSSH does.
    fn theirs(&self, host: &str, text: &[u8]) -> bool {
        let file = self.server.file("known_hosts");
        std::fs::write(&file, text).unwrap();
        let options = [
            &format!("UserKnownHostsFile={file}"),
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "PreferredAuthentications=none",
            "UpdateHostKeys=no",
            "KexAlgorithms=curve25519-sha256",
        ];
        let output = Command::new("ssh")
            .args(["-F", "/dev/null", "-p", &self.server.target().port.to_string(), "-l", "nobody"])
            .args(options.iter().flat_map(|option| ["-o", option]))
            .args([host, "true"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let (accepted, refused) = (said.contains("Permission denied"), said.contains("Host key verification failed"));
        assert!(accepted != refused, "{said}");
        accepted
    }
}

const REVOKED_PLAIN: &str = "@revoked {here} {ed}\n{here} {ed}\n";

/// What OpenSSH accepts, by file. CRATES and LESSON 17: `@revoked` is honoured, tabs and unreadable lines do not hide a
/// key, and a known host is not a new one because it shows another type of key.
const TABLE: &[(&str, &str, bool)] = &[
    ("nothing", "", false),
    ("plain", "{here} {ed}\n", true),
    ("without end of line", "{here} {ed}", true),
    ("with carriage returns", "{here} {ed}\r\n", true),
    ("wrong key", "{here} {other}\n", false),
    ("wrong key of another type", "{here} {other-ec}\n", false),
    ("only another type, right", "{here} {ec}\n", true),
    ("two types, first wrong", "{here} {other}\n{here} {ec}\n", false),
    ("two keys of one type, first right", "{here} {ed}\n{here} {other}\n", true),
    ("two keys of one type, last right", "{here} {other}\n{here} {ed}\n", true),
    ("revoked before", REVOKED_PLAIN, false),
    ("revoked after", "{here} {ed}\n@revoked * {ed}\n", false),
    ("revoked elsewhere", "@revoked [10.0.0.1]:{port} {ed}\n{here} {ed}\n", true),
    ("another key revoked", "@revoked * {other}\n{here} {ed}\n", true),
    ("only revoked", "@revoked {here} {other}\n", false),
    ("authority", "@cert-authority {here} {ca}\n", true),
    ("authority for all", "@cert-authority * {ca}\n", true),
    ("another authority", "@cert-authority {here} {other}\n", false),
    ("another authority and the plain key", "@cert-authority {here} {other}\n{here} {ed}\n", true),
    ("authority for another host", "@cert-authority [10.*]:{port} {ca}\n", false),
    ("authority revoked", "@revoked * {ca}\n@cert-authority {here} {ca}\n", false),
    ("certified key revoked", "@revoked * {ed}\n@cert-authority {here} {ca}\n", false),
    ("authority without its marker", "{here} {ca}\n", false),
    ("key with the authority's marker", "@cert-authority {here} {ed}\n", false),
    ("unknown marker", "@trusted {here} {ed}\n", false),
    ("unknown marker, then plain", "@trusted {here} {other}\n{here} {ed}\n", true),
    ("wildcards", "[127.0.?.*]:{port} {ed}\n", true),
    ("wildcard for any port", "[127.0.0.1]:* {ed}\n", true),
    ("negated", "[127.*]:{port},!{here} {ed}\n", false),
    ("negated first", "!{here},[127.*]:{port} {ed}\n", false),
    ("other negated", "[127.*]:{port},![10.*]:{port} {ed}\n", true),
    ("list", "example,{here},10.0.0.1 {ed}\n", true),
    ("tabs", "{here}\t{TAB}\n", true),
    ("many spaces", "   {here}    {ed}\n", true),
    ("leading tab", "\t{here} {ed}\n", true),
    ("comment with number sign", "{here} {ed} a # b\n", true),
    ("comment lines", "# {here} {other}\n  # {here} {other}\n\n{here} {ed}\n", true),
    ("commented out", "#{here} {ed}\n", false),
    ("nonsense, then right", "{here} ssh-ed25519 !!!!\n{here}\nnonsense\n{here} {ed}\n", true),
    ("type and key disagree", "{here} ssh-rsa {BLOB}\n", false),
    ("no text, then right", "\u{0}\u{1}\n{here} {ed}\n", true),
    ("without port", "127.0.0.1 {ed}\n", true),
    ("without port, wrong", "127.0.0.1 {other}\n", false),
    ("with port right, without wrong", "{here} {ed}\n127.0.0.1 {other}\n", true),
    ("without port revoked, with port right", "{here} {ed}\n@revoked 127.0.0.1 {ed}\n", true),
    ("without port revoked", "127.0.0.1 {ed}\n@revoked 127.0.0.1 {ed}\n", false),
    ("without port authority", "@cert-authority 127.0.0.1 {ca}\n", true),
    ("other port", "[127.0.0.1]:1 {ed}\n", false),
];

#[tokio::test]
async fn openssh_and_we_accept_the_same() {
    let Some(world) = World::start("127.0.0.1", "always:forever") else { return };
    let mut verdicts = Vec::new();
    for (name, text, _) in TABLE {
        let tab = world.ed25519.replace(' ', "\t");
        let blob = world.ed25519.split(' ').nth(1).unwrap();
        let text = world.fill(text).replace("{TAB}", &tab).replace("{BLOB}", blob);
        verdicts.push((
            *name,
            world.ours("127.0.0.1", text.as_bytes()).await,
            world.theirs("127.0.0.1", text.as_bytes()),
        ));
    }
    let expected: Vec<_> = TABLE.iter().map(|(name, _, accepted)| (*name, *accepted, *accepted)).collect();
    assert_eq!(verdicts, expected);
}

/// LESSON 17: known on this port means known. OpenSSH 9.2 agrees, unless the server also has a certificate that nobody
/// vouches for: then it looks the host up without the port, and a key that was changed passes.
#[tokio::test]
async fn a_key_known_for_the_port_is_not_overruled_by_one_without() {
    let Some(world) = World::start("127.0.0.1", "always:forever") else { return };
    assert!(!world.ours("127.0.0.1", world.fill("{here} {other}\n127.0.0.1 {ed}\n").as_bytes()).await);
}

#[tokio::test]
async fn names_are_compared_without_case_and_hashed_ones_as_they_are() {
    let Some(world) = World::start("localhost", "always:forever") else { return };
    for (host, text, accepted) in [
        ("localhost", "[LocalHost]:{port} {ed}\n", true),
        ("LOCALHOST", "[local*]:{port} {ed}\n", true),
        ("localhost", "@cert-authority * {ca}\n", true),
        ("127.0.0.1", "@cert-authority * {ca}\n", false),
        ("127.0.0.1", "[localhost]:{port} {ed}\n", false),
    ] {
        let text = world.fill(text);
        let verdicts = (world.ours(host, text.as_bytes()).await, world.theirs(host, text.as_bytes()));
        assert_eq!(verdicts, (accepted, accepted), "{host} {text}");
    }
    let file = world.server.file("hashed");
    std::fs::write(&file, world.fill("[localhost]:{port},{here} {ed}\n")).unwrap();
    ssh_keygen(&["-H", "-f", file.as_str()]);
    let hashed = std::fs::read(&file).unwrap();
    assert!(hashed.starts_with(b"|1|"));
    for (host, accepted) in [("localhost", true), ("LocalHost", true), ("127.0.0.1", true)] {
        assert_eq!((world.ours(host, &hashed).await, world.theirs(host, &hashed)), (accepted, accepted), "{host}");
    }
    let elsewhere = world.fill("{here} {other}\n").into_bytes();
    let both = [&hashed[..], b"\xff\xfe\n", &elsewhere].concat();
    assert_eq!((world.ours("127.0.0.1", &both).await, world.theirs("127.0.0.1", &both)), (true, true));
}

#[tokio::test]
async fn a_certificate_that_is_over_or_names_another_host_is_none() {
    for (principals, validity) in [("127.0.0.1", "20200101:20200102"), ("10.0.0.1,*.example", "always:forever")] {
        let Some(world) = World::start(principals, validity) else { return };
        for (text, accepted) in [("@cert-authority * {ca}\n", false), ("@cert-authority * {ca}\n{here} {ed}\n", true)] {
            let text = world.fill(text);
            let verdicts = (world.ours("127.0.0.1", text.as_bytes()).await, world.theirs("127.0.0.1", text.as_bytes()));
            assert_eq!(verdicts, (accepted, accepted), "{principals} {validity} {text}");
        }
    }
}

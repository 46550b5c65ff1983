//! The way to a node with real programs: sshd on the loopback interface, an ordinary user, sudo with the printed rules.
//! `pct` is a stand-in that refuses what the real one refuses. Makes a user, rules and that program and removes them, so it
//! is asked for by name, as root, and never where Proxmox VE is installed:
//!
//! ```text
//! cargo test --test proxmox -- --ignored --nocapture root_on_a_real_node
//! ```

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use regatta::driver::StateDir;
use regatta::driver::nodes::{NodeDoors, Nodes};
use regatta::driver::privilege::Rules;
use regatta::effect::{
    CommandRunner, Connect, ConnectError, Shell, SshClient, SshTarget, Status, Streams, SystemClock,
};
use regatta::resource::Desired;
use tokio::io::AsyncWriteExt as _;

use crate::fake::Fake;
use crate::fleet::{Regatta, of_file, told};
use crate::house::House;
use crate::node::{Anything, Node};

pub(crate) const PCT: &str = "/usr/sbin/pct";

/// As strict as `pct set`.
const STAND_IN: &str = include_str!("../common/stand_in_pct.sh");

/// What a real login does, and then the fake as well: it has the configuration that is read.
struct Mirrored(Node);

struct MirroredShell(Box<dyn Shell>, Node);

#[async_trait]
impl Connect for Mirrored {
    async fn connect(&self, target: &SshTarget, deadline: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        let shell = SshClient::default().connect(target, deadline).await?;
        Ok(Box::new(MirroredShell(shell, self.0.clone())))
    }
}

#[async_trait]
impl Shell for MirroredShell {
    async fn stream(&self, argv: &[&str], streams: Streams<'_>, deadline: Duration) -> Result<Status, ConnectError> {
        let Streams { stdin, stdout, stderr } = streams;
        let both = Streams { stdin: &mut *stdin, stdout: &mut *stdout, stderr: &mut *stderr };
        let status = self.0.stream(argv, both, deadline).await?;
        let ["sudo", "-n", "--", PCT, words @ ..] = argv else { return Ok(status) };
        if status != Status::Code(0) {
            return Ok(status);
        }
        let (code, said) = self.1.set("lxc", words).await;
        stderr.write_all(said.as_bytes()).await.unwrap();
        Ok(Status::Code(code))
    }
}

/// A user who may log in, the stand-in, and later the rules; all of it goes with the value.
pub(crate) struct Account {
    pub(crate) name: String,
    at: PathBuf,
}

impl Account {
    pub(crate) fn new(house: &House) -> Self {
        let (name, at) = (format!("rgtnode{}", std::process::id()), PathBuf::from(house.path("")));
        succeeds(Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", "--password", "*", &name]));
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write("/run/regatta-stand-in", at.to_str().unwrap()).unwrap();
        fs::write(PCT, STAND_IN).unwrap();
        fs::set_permissions(PCT, fs::Permissions::from_mode(0o755)).unwrap();
        Self { name, at }
    }

    pub(crate) fn allow(&self, rules: &str) {
        let path = Path::new("/etc/sudoers.d").join(&self.name);
        fs::write(&path, rules).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
        succeeds(Command::new("visudo").arg("-cf").arg(&path));
    }

    /// What ran as root.
    pub(crate) fn ran(&self) -> Vec<String> {
        let log = fs::read_to_string(self.at.join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new("/etc/sudoers.d").join(&self.name));
        let _ = fs::remove_file(PCT);
        let _ = fs::remove_file("/run/regatta-stand-in");
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn fleet(house: &House, user: &str) -> Desired {
    let (key, identity) = (house.public("host_key"), house.path("state/identity"));
    of_file(&format!(
        "fleet \"shop\"
         cluster \"pve\" {{ endpoint \"https://127.0.0.1:8006\"; token env=\"T\"
             fence {{ node \"pve1\" host=\"127.0.0.1\" port={} user=\"{user}\" identity=\"{identity}\" {{ host-key \"{key}\" }} }} }}
         container \"web\" {{ cluster \"pve\"; vmid 1000; root-disk storage=\"local\" size=\"8GiB\"
             template \"local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst\"
             feature \"nesting\" \"keyctl\"; bind \"/data\" from=\"/srv\"; device \"/dev/ttyUSB0\" gid=20; hook-script \"local:snippets/x.sh\" }}",
        house.port
    ))
}

/// LESSONS 32 to 34 on the way to a node: nothing runs before the rules are there, what is declared runs then, and nothing else.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a user, a file of sudo rules and a program: needs root, and no Proxmox VE"]
async fn root_on_a_real_node() {
    if Path::new(PCT).exists() {
        return eprintln!("SKIPPED: `{PCT}` is there, and this test would put another in its place");
    }
    let Some(house) = House::new() else { return };
    let account = Account::new(&house);
    let (fake, wish) = (Fake::new(), fleet(&house, &account.name));
    let mirrored = Mirrored(Node::new(&fake));
    let doors = NodeDoors {
        connect: Arc::new(mirrored),
        run: Arc::new(CommandRunner),
        clock: Arc::new(SystemClock),
        audit: Arc::new(Anything),
    };
    let regatta = Regatta::new(&fake)
        .with_nodes(|clusters| Nodes::new(&wish, clusters, doors, StateDir::new(house.path("state")), None));
    let nodes = regatta.nodes();
    let node = nodes.named("pve1")[0].clone();
    let needed = nodes.commands(&node).unwrap();

    let failures = regatta.apply(&wish).await;
    assert!(failures[0].1.causes[0].starts_with("sudo does not allow `/usr/sbin/pct set 1000"), "{failures:?}");
    assert_eq!(account.ran(), [""; 0]);
    assert_eq!(nodes.not_allowed(&node).await.unwrap(), (needed.len(), needed.clone()));

    account.allow(&Rules::new(&account.name, "shop", &needed).unwrap().to_string());
    assert_eq!(nodes.not_allowed(&node).await.unwrap(), (needed.len(), Vec::new()));
    assert_eq!(regatta.apply(&wish).await, []);
    assert_eq!(told(&regatta.plan(&wish).await), [""; 0]);
    assert_eq!(account.ran().len(), 4, "{:?}", account.ran());

    let shell = SshClient::default().connect(&target(&house, &account.name), Duration::from_secs(10)).await.unwrap();
    let digest = "0123456789abcdef0123456789abcdef01234567";
    for hostile in [
        &["set", "1001", "--digest", digest, "--features", "keyctl=1,nesting=1"][..],
        &["set", "1000", "--digest", digest, "--mp0", "/etc,mp=/data"],
        &["set", "1000", "--digest", digest, "--mp0", "/srv,mp=/data", "--mp1", "/etc,mp=/x"],
        &["set", "1000", "--digest", digest, "--delete", "protection"],
        &["exec", "1000", "--", "sh"],
        &["set", "1000 --digest", digest, "--delete", "features; id"],
    ] {
        let argv: Vec<&str> = ["sudo", "-n", "--", PCT].into_iter().chain(hostile.iter().copied()).collect();
        let output = shell.exec(&argv, b"", Duration::from_secs(20)).await.unwrap();
        assert_ne!(output.status, Status::Code(0), "{hostile:?}");
    }
    assert_eq!(account.ran().len(), 4, "{:?}", account.ran());
}

/// The login that sudo's rules are for.
pub(crate) fn target(house: &House, user: &str) -> SshTarget {
    SshTarget {
        host: "127.0.0.1".into(),
        port: house.port,
        user: user.into(),
        host_key: house.public("host_key"),
        identity: house.path("state/identity"),
        via: None,
    }
}

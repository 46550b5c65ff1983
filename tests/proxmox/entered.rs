//! Into containers by way of their node, with the real program: `fakepve` says that the container runs, and the way there is
//! sshd on the loopback interface, an ordinary user, sudo with the printed rules and a stand-in for `pct` that goes into
//! namespaces. As `real_node`, it is asked for by name, as root, and never where Proxmox VE is installed:
//!
//! ```text
//! cargo test --test proxmox -- --ignored --nocapture containers_are_gone_into_by_a_real_node
//! ```

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use regatta::effect::{Connect as _, SshClient, Status};

use crate::house::House;
use crate::inside::{FILES, home};
use crate::peer::{Peer, TOKEN};
use crate::real_node::{Account, PCT, target};

/// Makes a home and `/run` of its own, and says which process it is outside.
const INIT: &str = "read -r pid _ </proc/self/stat; mount --bind \"$0\" /root && mount -t tmpfs tmpfs /run && \
                    mount -t proc proc /proc && echo \"$pid\" && exec sleep infinity";

/// Namespaces that stand for container 1000; everything in them ends with the value.
struct Container {
    unshare: Child,
    init: String,
}

impl Container {
    /// `None`, loudly, where namespaces cannot be had.
    fn start(house: &House) -> Option<Self> {
        let isolate = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"];
        let mut command = Command::new("unshare");
        command.args(isolate).args(["sh", "-c", INIT, house.path("guest").as_str()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut init = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut init).unwrap();
        let init = init.trim().to_owned();
        if init.is_empty() {
            child.wait().unwrap();
            eprintln!("SKIPPED: no namespaces for mounts and processes can be made here");
            return None;
        }
        fs::write(house.path("init-1000"), &init).unwrap();
        Some(Self { unshare: child, init })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Whoever waits for the first process sees that all others are gone.
        let _ = Command::new("kill").args(["-KILL", &self.init]).status();
        let _ = self.unshare.wait();
    }
}

struct Scene {
    // Dropped first: what runs in there has files open.
    container: Option<Container>,
    account: Account,
    peer: Peer,
    house: House,
}

impl Scene {
    fn new() -> Option<Self> {
        if Path::new(PCT).exists() {
            eprintln!("SKIPPED: `{PCT}` is there, and this test would put another in its place");
            return None;
        }
        let house = House::new()?;
        let peer = Peer::start("entered", "plain")?;
        let container = Some(Container::start(&house)?);
        home(&house);
        let account = Account::new(&house);
        let scene = Self { container, account, peer, house };
        scene.declare(&scene.by_ssh());
        Some(scene)
    }

    /// The way to the node that the account has.
    fn by_ssh(&self) -> String {
        let (key, identity) = (self.house.public("host_key"), self.house.path("state/identity"));
        format!(
            "host=\"127.0.0.1\" port={} user=\"{}\" identity=\"{identity}\" {{ host-key \"{key}\"; }}",
            self.house.port, self.account.name
        )
    }

    fn declare(&self, node: &str) {
        let fence = format!("fence {{ node \"pve1\" {node}; }}");
        let container = format!(
            "container \"web\" {{ cluster \"pve\"; vmid 1000; root-disk storage=\"local-lvm\" size=\"8GiB\"
             template \"local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst\"
             ssh via=\"node\"
             session \"worker\" restart=\"always\" {{ command \"sleep\" \"1000\" }}
             {FILES} }}"
        );
        self.peer.fleet(&self.peer.fingerprint, &container);
        let file = self.peer.dir.join("fleet.kdl");
        let text = fs::read_to_string(&file).unwrap().replacen("token env", &format!("{fence}\ntoken env"), 1);
        fs::write(file, text).unwrap();
    }

    /// Runs the real program; what it wrote to its two outputs.
    fn output(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut command = self.peer.command(arguments, TOKEN);
        command
            .env("HOME", self.house.path("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(stdin).unwrap();
        drop(pipe);
        child.wait_with_output().unwrap()
    }

    fn regatta(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.output(arguments, b"");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap_or(-1), text)
    }

    fn guest(&self, below: &str) -> Utf8PathBuf {
        self.house.path("guest").join(below)
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.guest(below)).unwrap()
    }

    /// A plan that has nothing to say.
    fn is_settled(&self) {
        let (code, text) = self.regatta(&["plan", "--detailed-exitcode"]);
        assert!(code == 0 && text.contains("No changes"), "{code}\n{text}");
    }
}

/// LESSONS 19 and 32 to 34: what goes into a guest over SSH goes into a container by way of its node with the same outcome, by one
/// command that sudo's rules hold, and by nothing else.
#[test]
#[ignore = "makes a user, a file of sudo rules, a program and namespaces: needs root, and no Proxmox VE"]
fn containers_are_gone_into_by_a_real_node() {
    let Some(mut scene) = Scene::new() else { return };
    nothing_runs_without_rules(&scene);
    files_and_sessions(&scene);
    commands(&scene);
    sessions_by_hand(&scene);
    other_programs_say_what_goes(&scene);
    the_audit_log(&scene);
    hostile_words(&scene);
    on_the_node_itself(&scene);
    scene.container = None;
    a_stopped_container(&scene);
}

fn nothing_runs_without_rules(scene: &Scene) {
    let (code, text) = scene.regatta(&["apply", "--yes"]);
    assert!(
        code == 4 && text.contains("sudo does not allow `/usr/sbin/pct exec 1000 -- /usr/bin/env -i"),
        "{code}\n{text}"
    );
    assert_eq!(scene.account.ran(), [""; 0]);
    let rules = scene.output(&["sudoers", "--node", "pve1"], b"").stdout;
    let rules = String::from_utf8(rules).unwrap();
    assert_eq!(rules.lines().filter(|line| line.contains("/usr/sbin/pct exec ")).count(), 1, "{rules}");
    assert_ne!(scene.regatta(&["sudoers", "--node", "pve1", "--check"]).0, 0);
    let finding = |scene: &Scene| {
        let told: serde_json::Value =
            serde_json::from_slice(&scene.output(&["doctor", "--format", "json"], b"").stdout).unwrap();
        let findings = told["findings"].as_array().unwrap().clone();
        let node = findings.into_iter().find(|finding| finding["check"] == "node pve/pve1").unwrap();
        (node["verdict"].as_str().unwrap().to_owned(), node["found"].as_str().unwrap().to_owned())
    };
    assert_eq!(finding(scene).0, "fail");
    scene.account.allow(&rules);
    assert_eq!(finding(scene), ("pass".to_owned(), "is reached; root may be asked for 4 commands".to_owned()));
    let (code, text) = scene.regatta(&["sudoers", "--node", "pve1", "--check"]);
    assert_eq!(code, 0, "{text}");
}

/// The same that `inside` shows over SSH.
fn files_and_sessions(scene: &Scene) {
    let (code, text) = scene.regatta(&["apply", "--yes"]);
    assert!(code == 0 && text.contains("goes in by way of node `pve1`"), "{code}\n{text}");
    scene.is_settled();
    assert_eq!(scene.read(".config/app/lua/x"), "two\n");
    assert_eq!(scene.read("motd"), "hello\n");
    assert!(scene.read(".gitconfig").contains("ada@lab.test"));
    assert!(scene.read(".ssh/authorized_keys").contains("ann@host"));
    // Somebody changes one file, the user another, and a third leaves the source.
    fs::write(scene.guest("motd"), "bye\n").unwrap();
    fs::write(scene.house.path("home/dotfiles/init"), [b"new\0\r\n", &[0xff; 70_000][..]].concat()).unwrap();
    fs::remove_file(scene.house.path("home/dotfiles/lua/x")).unwrap();
    let (code, text) = scene.regatta(&["plan", "--detailed-exitcode"]);
    assert!(code == 2 && text.contains("~/motd") && text.contains("~/.config/app"), "{code}\n{text}");
    let (code, text) = scene.regatta(&["apply", "--yes"]);
    assert_eq!(code, 0, "{text}");
    scene.is_settled();
    assert_eq!(scene.read("motd"), "hello\n");
    assert!(!scene.guest(".config/app/lua/x").exists());
    let (ours, theirs) = (scene.house.path("home/dotfiles/init"), scene.guest(".config/app/init"));
    assert_eq!(fs::read(ours).unwrap(), fs::read(theirs).unwrap());
}

/// Exit codes, input, arguments, environment, output of any size, and time.
fn commands(scene: &Scene) {
    let awkward = ["it's \"$HOME\" `id` \\ *", "two\nlines\t", "", "-n", "é\u{1}"];
    let script =
        "printf '<%s>' \"$@\"; pwd; env | grep -E '^(HOME|USER|SUDO)' | sort; cat | wc -c; echo oh >&2; exit 42";
    let argv = [&["exec", "web", "--stdin", "--format", "json", "--", "sh", "-c", script, "sh"][..], &awkward].concat();
    let ran = scene.output(&argv, &[0, 255, 10, 13].repeat(50_000));
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    let expected = format!("<{}>/root\nHOME=/root\nUSER=root\n200000\n", awkward.join("><"));
    let web = &told["guests"][0];
    assert_eq!((&web["stdout"], &web["code"], ran.status.code()), (&expected.into(), &42.into(), Some(42)));
    assert!(web["stderr"].as_str().unwrap().ends_with("oh\n"), "{web}");
    for (command, expected) in [("kill -9 $$", 137), ("exit 255", 255), ("no-such-program", 127)] {
        assert_eq!(scene.regatta(&["exec", "web", "--", "sh", "-c", command]).0, expected, "{command}");
    }
    let many = scene.output(&["exec", "web", "--", "sh", "-c", "yes 0123456789abcdef | head -n 200000"], b"");
    let lines = many.stdout.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"0123456789abcdef")).count();
    assert_eq!((many.status.code(), lines), (Some(0), 200_000));
    let started = Instant::now();
    let (code, text) = scene.regatta(&["exec", "web", "--timeout", "2", "--", "sleep", "1000"]);
    assert!(
        code == 255 && text.contains("web: `sleep` did not end within 2s, and may still be running"),
        "{code}\n{text}"
    );
    assert!(started.elapsed() < Duration::from_secs(30));
}

fn sessions_by_hand(scene: &Scene) {
    let (code, text) =
        scene.regatta(&["session", "start", "web", "--name", "build", "--", "sh", "-c", "echo out; exit 7"]);
    assert_eq!(code, 0, "{text}");
    let started = Instant::now();
    let logs = loop {
        let (_, listed) = scene.regatta(&["session", "list", "web"]);
        assert!(listed.contains("worker") && started.elapsed() < Duration::from_secs(30), "{listed}");
        if listed.lines().any(|line| line.contains("build") && line.contains("exited")) {
            break scene.regatta(&["session", "logs", "web", "build"]);
        }
    };
    assert!(logs.1.contains("out"), "{logs:?}");
    assert_eq!(scene.regatta(&["session", "rm", "web", "build"]).0, 0);
    // One that the fleet file declares and that is gone comes back.
    assert_eq!(scene.regatta(&["session", "stop", "web", "worker"]).0, 0);
    let (code, text) = scene.regatta(&["plan", "--detailed-exitcode"]);
    assert!(code == 2 && text.contains("worker"), "{code}\n{text}");
    assert_eq!(scene.regatta(&["apply", "--yes"]).0, 0);
    scene.is_settled();
}

fn other_programs_say_what_goes(scene: &Scene) {
    let started = ["session", "start", "web", "--name", "talk", "--stdin", "pipe", "--", "cat"];
    assert_eq!(scene.regatta(&started).0, 0);
    for words in [&["ssh", "web"][..], &["cp", "fleet.kdl", "web:/tmp/x"], &["session", "attach", "web", "talk"]] {
        let (code, text) = scene.regatta(words);
        let expected = "guest `web` is gone into by way of its node, and not by SSH";
        assert!(code == 1 && text.contains(expected), "{words:?}: {code}\n{text}");
    }
    assert_eq!(scene.regatta(&["session", "kill", "web", "talk"]).0, 0);
}

/// Every entry is in the audit log, with the container; what came on the input is not, contents of files included.
fn the_audit_log(scene: &Scene) {
    let (code, text) = scene.regatta(&["audit", "show", "--format", "json"]);
    assert!(code == 0 && text.contains("enter-container") && text.contains("pct exec 1000"), "{code}\n{text}");
    assert!(!text.contains("hello") && !text.contains("ada@lab.test"), "{text}");
    assert_eq!(scene.regatta(&["audit", "verify"]).0, 0);
}

/// Whoever has the login and the rules, and no other right: the words of the rule reach that container and nothing else, however
/// they are cut.
fn hostile_words(scene: &Scene) {
    let rules = scene.output(&["sudoers", "--node", "pve1"], b"").stdout;
    let rules = String::from_utf8(rules).unwrap().replace('\\', "");
    let rule = rules.lines().find_map(|line| line.split_once("/usr/sbin/pct exec ")).unwrap().1;
    let words: Vec<&str> = ["exec"].into_iter().chain(rule.splitn(11, ' ')).collect();
    let mut tried = vec![
        vec!["exec", "1000", "--", "sh", "-c", "id"],
        vec!["exec", "1001", "--", "/usr/bin/env"],
        vec!["enter", "1000"],
        vec!["push", "1000", "/etc/shadow", "/x"],
    ];
    let cut: Vec<String> = (1..words.len()).map(|at| words[at - 1..=at].join(" ")).collect();
    tried.extend((1..words.len()).map(|at| [&words[..at - 1], &[&*cut[at - 1]], &words[at + 1..]].concat()));
    let before = scene.account.ran().len();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let to = target(&scene.house, &scene.account.name);
        let shell = SshClient::default().connect(&to, Duration::from_secs(10)).await.unwrap();
        for words in &tried {
            let argv = [&["sudo", "-n", "--", PCT][..], words].concat();
            // The first line of its input is a command of the container's root.
            let ran = shell.exec(&argv, b"id\n", Duration::from_secs(20)).await.unwrap();
            let reached = words.starts_with(&["exec", "1000", "--"]) && words.len() > 6;
            assert!(reached || ran.status != Status::Code(0), "{words:?}: {ran:?}");
        }
    });
    let ran = scene.account.ran();
    assert!(ran[before..].iter().all(|line| line.starts_with("exec 1000 -- ")), "{ran:?}");
    assert!(ran.len() > before, "nothing reached the container");
}

/// Where regatta runs on the node, as root, neither SSH nor sudo is on the way.
fn on_the_node_itself(scene: &Scene) {
    scene.declare("via=\"local\"");
    scene.is_settled();
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let ran = scene.output(&["exec", "web", "--stdin", "--", "sh", "-c", "cat >sent; exit 9"], &input);
    assert_eq!((ran.status.code(), fs::read(scene.guest("sent")).unwrap() == input), (Some(9), true), "{ran:?}");
    let (code, text) = scene.regatta(&["exec", "web", "--timeout", "2", "--", "sleep", "1000"]);
    assert!(code == 255 && text.contains("web: `sleep` did not end within 2s"), "{code}\n{text}");
    scene.declare(&scene.by_ssh());
}

/// The cluster still says that it runs; its node knows better.
fn a_stopped_container(scene: &Scene) {
    let said = "container '1000' not running!";
    let (code, text) = scene.regatta(&["exec", "web", "--", "true"]);
    assert!(
        code == 255 && text.contains("`pct exec 1000` on `pve1` does not get in") && text.contains(said),
        "{code}\n{text}"
    );
    let (code, text) = scene.regatta(&["plan", "--detailed-exitcode"]);
    assert!(code != 0 && text.contains(said), "{code}\n{text}");
    // What the cluster knows to be stopped is not among all that run, and is not gone into.
    let (code, text) = scene.regatta(&["stop", "web"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = scene.regatta(&["session", "list"]);
    assert!(code == 0 && !text.contains("web"), "{code}\n{text}");
    let (code, text) = scene.regatta(&["exec", "web", "--", "true"]);
    assert!(code == 255 && !text.contains("does not get in"), "{code}\n{text}");
}

//! Scenario: somebody is connected to a host over a way that a new network takes over, or regatta dies in the middle of changing
//! one: the change is taken back by itself. In network namespaces of the test's own; needs root, so it is asked for by name:
//!
//! ```text
//! cargo test --test operator -- --ignored --nocapture --exact nobody_is_cut_off_by_a_network
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here is the test")]
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a scenario says what it skips")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const FLEET: &str = r#"
fleet "ways"
import "std/debian"
network "lan" { mode "bridge"; subnet "SUBNET"; nat #NAT; ANSWERS }
vm "a" { image "bookworm"; network "lan"; mac "02:00:00:00:00:0a"; }
"#;

/// The operator, and the host's address that he is connected to.
const OPERATOR: &str = "10.9.9.2";
const HOST: &str = "192.0.2.1";

#[test]
#[ignore = "makes network namespaces, and needs root for that"]
fn nobody_is_cut_off_by_a_network() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 || !installed("ip") || !installed("nft") {
        return eprintln!("SKIPPED: namespaces need root, `ip` and `nft`");
    }
    let world = World::new();
    let before = world.surroundings();

    // The routes that `ip route` lists say nothing of the operator's: the network cannot be refused beforehand.
    world.declare("10.9.9.0/24", "true");
    let (code, said) = world.apply();
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("taken back, because it would cut off"), "{said}");
    assert!(said.contains(&format!("packets to {OPERATOR} went through up0")), "{said}");
    assert_eq!(world.surroundings(), before, "nothing is left of it");

    world.declare("172.31.9.0/24", "true");
    world.dies_when(|| world.bridges() == 1);
    world.comes_to("taken back after a death", || world.surroundings() == before);

    let (code, said) = world.apply();
    assert_eq!(code, 0, "{said}");
    let confirmed = world.surroundings();
    assert_eq!(world.bridges(), 1);
    assert!(world.translates(), "guests reach the outside");
    assert_eq!(world.armed(), Vec::<String>::new(), "what is confirmed is not armed");

    world.declare("172.31.9.0/24", "false");
    world.dies_when(|| !world.translates());
    world.comes_to("put back after a death", || world.translates() && world.armed().is_empty());
    assert_eq!(world.surroundings().0, confirmed.0, "as it was confirmed");
    let (code, said) = world.apply();
    assert_eq!(code, 0, "{said}");
    assert!(!world.translates());
}

/// DHCP and DNS: a machine with a guest's MAC address is given that guest's address, and asks for names.
#[test]
#[ignore = "makes network namespaces, and needs root for that"]
fn guests_are_told_addresses_and_names() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0
        || !["ip", "nft", "dnsmasq", "busybox"].iter().all(|it| installed(it))
    {
        return eprintln!("SKIPPED: needs root, `ip`, `nft`, `dnsmasq` and `busybox`");
    }
    let world = World::new();
    let before = world.surroundings();
    world.declare_with("172.31.9.0/24", "true", "dhcp #true; dns #true");
    world.applied();
    world.is_as_declared();
    let address = world.plugged();
    assert_eq!(world.asks("a.ways"), Some(address.clone()), "names of guests");
    assert_eq!(world.asks("a"), Some(address), "also without the fleet's");
    assert_eq!(world.asks("b.ways"), None, "and no others of the fleet");

    let (pid, _) = world.dnsmasq().expect("it runs");
    run(&["kill", &pid.to_string()]);
    world.comes_to("dnsmasq ends", || world.dnsmasq().is_none());
    let plan = world.regatta(&["plan", "--only", "network.lan"]);
    assert!(plan.1.contains("dnsmasq  off → as declared"), "{}", plan.1);
    world.applied();
    world.is_as_declared();
    world.declare_with("172.31.9.0/24", "true", "dns #true");
    world.applied();
    world.is_as_declared();
    let (_, arguments) = world.dnsmasq().expect("it was started anew");
    assert!(!arguments.contains("dhcp") && arguments.contains("host-record"), "{arguments}");
    let (code, said) = world.regatta(&["destroy", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert!(world.dnsmasq().is_none(), "it went with its bridge");
    world.unplug();
    assert_eq!(world.surroundings(), before);
}

/// Holds one connection; ends with its input.
#[test]
#[ignore = "run by the scenario, in a namespace of its own"]
fn holds_a_connection() {
    let Ok(address) = std::env::var("REGATTA_TEST_SERVE") else { return };
    let listener = TcpListener::bind(address).unwrap();
    println!("serving");
    let (_stream, _) = listener.accept().unwrap();
    println!("connected");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Two namespaces with a cable, and a connection over it.
struct World {
    dir: tempfile::TempDir,
    name: String,
    children: Vec<Child>,
}

impl World {
    fn new() -> Self {
        let name = format!("rgtway{}", std::process::id());
        let mut world = Self { dir: tempfile::tempdir().unwrap(), name, children: Vec::new() };
        let (inside, outside) = (world.namespace("i"), world.namespace("o"));
        for namespace in [&inside, &outside] {
            run(&["ip", "netns", "add", namespace]);
            run(&["ip", "-n", namespace, "link", "set", "lo", "up"]);
        }
        run(&["ip", "-n", &inside, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", &outside]);
        for (namespace, address) in [(&inside, HOST), (&outside, OPERATOR)] {
            run(&["ip", "-n", namespace, "address", "add", &format!("{address}/32"), "dev", "up0"]);
            run(&["ip", "-n", namespace, "link", "set", "up0", "up"]);
        }
        run(&["ip", "-n", &outside, "route", "add", HOST, "dev", "up0", "src", OPERATOR]);
        run(&["ip", "-n", &inside, "route", "add", OPERATOR, "dev", "up0", "src", HOST, "table", "100"]);
        run(&["ip", "-n", &inside, "rule", "add", "pref", "40000", "lookup", "100"]);
        run(&["ip", "netns", "exec", &inside, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        world.connect();
        world
    }

    fn namespace(&self, end: &str) -> String {
        format!("{}{end}", self.name)
    }

    fn connect(&mut self) {
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &self.namespace("i")]).arg(std::env::current_exe().unwrap());
        server.args(["--ignored", "--exact", "holds_a_connection", "--nocapture"]);
        server.env("REGATTA_TEST_SERVE", format!("{HOST}:2222")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = server.spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("serving")));
        let client = format!("exec 3<>/dev/tcp/{HOST}/2222; read -r line");
        let mut operator = Command::new("ip");
        operator.args(["netns", "exec", &self.namespace("o"), "bash", "-c", &client]);
        self.children.push(operator.stdin(Stdio::piped()).spawn().unwrap());
        assert!(lines.any(|line| line.contains("connected")));
        self.children.push(server);
    }

    fn declare(&self, subnet: &str, nat: &str) {
        self.declare_with(subnet, nat, "");
    }

    fn declare_with(&self, subnet: &str, nat: &str, answers: &str) {
        let text = FLEET.replace("SUBNET", subnet).replace("NAT", nat).replace("ANSWERS", answers);
        std::fs::write(self.dir.path().join("fleet.kdl"), text).unwrap();
    }

    /// An apply of the network alone.
    fn command(&self) -> Command {
        self.program(&["apply", "--yes", "--only", "network.lan", "--wait", "60"])
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace("i"), env!("CARGO_BIN_EXE_regatta")]).args(args);
        command.env("HOME", self.dir.path()).env("REGATTA_STATE_DIR", self.state());
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn apply(&self) -> (i32, String) {
        self.regatta(&["apply", "--yes", "--only", "network.lan", "--wait", "60"])
    }

    fn applied(&self) {
        let (code, said) = self.apply();
        assert_eq!(code, 0, "{said}");
    }

    fn is_as_declared(&self) {
        let (code, said) = self.regatta(&["plan", "--only", "network.lan", "--detailed-exitcode"]);
        assert_eq!(code, 0, "{said}");
    }

    fn regatta(&self, args: &[&str]) -> (i32, String) {
        let output = self.program(args).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Starts an apply, and kills it as soon as something is so.
    fn dies_when(&self, seen: impl Fn() -> bool) {
        let mut apply = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.comes_to("the change is made", seen);
        assert!(apply.try_wait().unwrap().is_none(), "it still looks whether the host is reached");
        apply.kill().unwrap();
        apply.wait().unwrap();
    }

    fn comes_to(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < end, "{what}: {:?} {:?}", self.surroundings(), self.armed());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Plugs the other namespace to the bridge, as the guest `a`; the address that it is given.
    fn plugged(&self) -> String {
        let (inside, outside) = (self.namespace("i"), self.namespace("o"));
        let mac = "02:00:00:00:00:0a";
        run(&[
            "ip", "-n", &outside, "link", "add", "eth0", "address", mac, "type", "veth", "peer", "name", "plug0",
            "netns", &inside,
        ]);
        let links: Value = serde_json::from_str(&self.inside(&["ip", "-j", "link"])).unwrap();
        let is_it =
            |link: &&Value| link["ifalias"].as_str().is_some_and(|alias| alias.starts_with("regatta:1:ways:lan:"));
        let bridge = links.as_array().unwrap().iter().find(is_it).unwrap()["ifname"].as_str().unwrap().to_owned();
        run(&["ip", "-n", &inside, "link", "set", "plug0", "master", &bridge, "up"]);
        run(&["ip", "-n", &outside, "link", "set", "eth0", "up"]);
        let script = self.dir.path().join("leased");
        std::fs::write(
            &script,
            "#!/bin/sh\n[ \"$1\" = bound ] && ip address add \"$ip/24\" dev eth0 && echo \"leased $ip\"\nexit 0\n",
        )
        .unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let script = script.to_str().unwrap();
        let client = ["busybox", "udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", script];
        let said = run(&[&["ip", "netns", "exec", &outside][..], &client].concat());
        said.lines().find_map(|line| line.strip_prefix("leased ")).unwrap().to_owned()
    }

    /// What the host answers to the question for a name.
    fn asks(&self, name: &str) -> Option<String> {
        let command = ["netns", "exec", &self.namespace("o"), "busybox", "nslookup", name, "172.31.9.1"];
        let output = Command::new("ip").args(command).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // The server's own address has a tabulator before it.
        text.lines().find_map(|line| line.strip_prefix("Address: ")).map(|it| it.trim().to_owned())
    }

    /// The process that answers, and its arguments.
    fn dnsmasq(&self) -> Option<(u32, String)> {
        let pids =
            std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(|pid: u32| {
            Some((pid, String::from_utf8(std::fs::read(format!("/proc/{pid}/cmdline")).ok()?).ok()?))
        })
        .find(|(_, line)| {
            line.split('\0').next().is_some_and(|it| it.ends_with("/dnsmasq")) && line.contains("--domain=ways")
        })
    }

    fn unplug(&self) {
        run(&["ip", "-n", &self.namespace("i"), "link", "delete", "dev", "plug0"]);
    }

    fn inside(&self, command: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.namespace("i")], command].concat())
    }

    /// Interfaces but for what changes by itself, and rules.
    fn surroundings(&self) -> (Vec<(String, String)>, Value) {
        let links: Value = serde_json::from_str(&self.inside(&["ip", "-j", "link"])).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let links = links.as_array().unwrap().iter();
        let links = links.map(|link| (text(&link["ifname"]), text(&link["ifalias"]))).collect();
        (links, serde_json::from_str(&self.inside(&["nft", "-j", "list", "ruleset"])).unwrap())
    }

    fn bridges(&self) -> usize {
        self.surroundings().0.iter().filter(|(_, alias)| alias.starts_with("regatta:1:ways:lan:")).count()
    }

    fn translates(&self) -> bool {
        self.surroundings().1.to_string().contains("masquerade")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// What is armed.
    fn armed(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.state().join("fleets/ways/networks")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".armed") || name.ends_with(".watched")).collect()
    }
}

fn installed(program: &str) -> bool {
    Command::new("which").arg(program).output().unwrap().status.success()
}

fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for World {
    /// Whatever happened, nothing is left.
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for end in ["i", "o"] {
            let _ = Command::new("ip").args(["netns", "delete", &self.namespace(end)]).output();
        }
    }
}

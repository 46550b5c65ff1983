//! Scenario: an ordinary user with only the generated sudo rules makes a fleet of three guests on two bridges, in a
//! network namespace of the test's own. Another namespace behind a cable plays the outside. Needs root and a package
//! archive, so it is asked for by name:
//!
//! ```text
//! cargo test --test network -- --ignored --nocapture --exact a_bridged_fleet_is_made_connected_and_removed
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here is the test")]
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a scenario says what it skips and how long it took")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

/// `lan` is where guests meet; `quiet` has no way out.
const FLEET: &str = r#"
fleet "bridged"
import "std/debian"

network "lan" { mode "bridge"; subnet "172.31.7.0/24"; subnet6 "fd12:3456:789a::/64"; isolate #ISOLATE; dns #true; }
network "quiet" { mode "bridge"; subnet "172.31.8.0/24"; nat #false; }

profile "small" { image "bookworm"; memory "256MiB"; work-disk size="64MiB"; }
vm "a" { use "small"; network "lan"; address "172.31.7.10"; forward host=8022 guest=22; }
vm "b" { use "small"; network "lan"; address "172.31.7.11"; }
vm "c" { use "small"; network "quiet"; address "172.31.8.12"; autostart #true; }
"#;

/// What the scenario needs.
const TOOLS: [&str; 10] =
    ["sudo", "useradd", "setpriv", "unshare", "ip", "nft", "dnsmasq", "qemu-system-x86_64", "mmdebstrap", "newuidmap"];

#[test]
#[ignore = "builds an image and boots three guests on bridges: needs root, a package archive and some minutes"]
fn a_bridged_fleet_is_made_connected_and_removed() {
    if missing(&TOOLS) {
        return;
    }
    let world = World::new();
    let mut clock = Clock(Instant::now());
    world.user(&["apply", "--yes", "--only", "image.*", "--only", "kernel.*"], Place::Host).ok();
    clock.lap("image and kernel");

    let before = world.surroundings();
    let refused = world.user(&["plan"], Place::Inside);
    assert_eq!(refused.code, 3, "without rules the plan says which networks cannot be made: {}", refused.stdout);
    assert!(refused.stdout.contains("sudo does not allow it"), "{}", refused.stdout);
    world.install_rules();
    world.user(&["sudoers", "--check"], Place::Inside).ok();
    world.user(&["apply", "--yes"], Place::Inside).ok();
    clock.lap("three guests on two bridges");
    world.is_as_declared();

    assert_eq!(world.reaches("a", "172.31.7.11", 22), Some("SSH-".into()), "guests of one network reach each other");
    assert_eq!(world.reaches("b", "fd12:3456:789a::a", 22), Some("SSH-".into()), "also by IPv6");
    assert_eq!(world.resolves("a", "b.bridged"), "172.31.7.11", "names of guests inside of guests");
    assert_eq!(world.reaches("a", OUTSIDE, 8000), Some(INSIDE.into()), "the outside sees the host's address");
    assert_eq!(world.reaches("c", OUTSIDE, 8000), None, "a network without NAT has no outside");
    assert_eq!(world.reaches("a", "172.31.8.12", 22), None, "networks are kept apart");
    assert_eq!(world.reaches("c", "172.31.7.10", 22), None, "both ways");
    assert_eq!(world.outside_reaches(INSIDE, 8022), Some("SSH-".into()), "a forwarded port");
    assert_eq!(world.outside_reaches(INSIDE, 8023), None, "no other port");
    clock.lap("who reaches whom");

    let started = world.pids();
    world.write_fleet("true");
    assert_eq!(world.changes(), ["network.lan update pending live"]);
    world.install_rules();
    world.user(&["apply", "--yes"], Place::Inside).ok();
    assert_eq!(world.reaches("a", "172.31.7.11", 22), None, "isolated guests are kept from each other");
    assert_eq!(world.reaches("a", OUTSIDE, 8000), Some(INSIDE.into()), "and from nothing else");
    world.is_as_declared();
    clock.lap("isolated while they run");

    world.root_in_namespace(&["ip", "link", "delete", "dev", &world.bridge("lan")]);
    // Nobody can look into guests without their bridge; that does not keep it from being made again.
    assert_eq!(world.changes(), ["network.lan create missing none"]);
    world.user(&["apply", "--yes"], Place::Inside).ok();
    assert_eq!(world.reaches("b", OUTSIDE, 8000), Some(INSIDE.into()), "a bridge that was removed is made again");
    world.root_in_namespace(&["nft", "flush", "table", "inet", &world.table("lan")]);
    assert_eq!(world.changes(), ["network.lan update drift live"]);
    world.user(&["apply", "--yes"], Place::Inside).ok();
    world.is_as_declared();
    assert_eq!(world.pids(), started, "no guest was restarted");
    clock.lap("drift, seen and repaired");

    assert!(world.unit().unwrap().contains(" start --wait 300 --autostart\n"), "{:?}", world.unit());
    world.forgets_what_a_reboot_forgets("c", "quiet");
    world.user(&["start", "--autostart"], Place::Inside).ok();
    world.is_as_declared();
    assert_eq!(world.reaches("c", OUTSIDE, 8000), None, "its network is as it was");
    clock.lap("started with its host");

    a_network_is_renamed(&world);
    clock.lap("a network renamed");

    world.user(&["destroy", "--yes"], Place::Inside).ok();
    assert_eq!(world.unit(), None, "nothing starts with the host any more");
    assert_eq!(world.surroundings(), before, "interfaces, rules and processes are as they were");
    clock.lap("destroyed");
}

/// With its addresses, and only the rules of what is declared now.
fn a_network_is_renamed(world: &World) {
    world.call_otherwise("quiet", "silent");
    let renamed = [
        "vm.c update pending restart",
        "network.silent create missing none",
        "network.quiet destroy not-declared none",
    ];
    assert_eq!(world.changes(), renamed);
    world.install_rules();
    world.user(&["apply", "--yes"], Place::Inside).ok();
    world.is_as_declared();
    assert_eq!(world.reaches("c", OUTSIDE, 8000), None, "under its new name, with its address, it is as it was");
}

/// Addresses of the cable's ends.
const INSIDE: &str = "192.0.2.1";
const OUTSIDE: &str = "192.0.2.2";

/// Plays a server of the outside: tells whoever connects the address that he seems to have. Ends with its input.
#[test]
#[ignore = "run by the scenario, in a namespace of its own"]
fn serve() {
    let Ok(address) = std::env::var("REGATTA_TEST_SERVE") else { return };
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            let _ = stream.write_all(peer.as_bytes());
        }
    });
    println!("serving");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Tells how long things took.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self, what: &str) {
        eprintln!("[{:6.2}s] {what}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

fn missing(programs: &[&str]) -> bool {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("SKIPPED: namespaces, a user and sudo rules need root");
        return true;
    }
    let found = |program: &&&str| Command::new("which").arg(program).output().unwrap().status.success();
    let missing: Vec<_> = programs.iter().filter(|program| !found(program)).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED: not installed: {missing:?}");
    }
    !missing.is_empty()
}

/// Where a command runs.
#[derive(Clone, Copy)]
enum Place {
    /// On the machine itself: packages can be fetched.
    Host,
    /// In the namespace.
    Inside,
}

/// What a command left.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Done {
    fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// A user, two namespaces with a cable between them, a server outside.
struct World {
    dir: tempfile::TempDir,
    name: String,
    server: Option<Child>,
}

impl World {
    fn new() -> Self {
        let open = std::fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("rgt").permissions(open).tempdir().unwrap();
        let name = format!("rgtnet{}", std::process::id());
        let mut world = Self { dir, name, server: None };
        let home = world.home();
        run(&["useradd", "--create-home", "--home-dir", home.to_str().unwrap(), "--shell", "/bin/sh", &world.name]);
        std::fs::copy(env!("CARGO_BIN_EXE_regatta"), world.binary()).unwrap();
        world.write_fleet("false");
        world.play_systemd();
        world.connect();
        world.server = Some(world.serve());
        world
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn binary(&self) -> PathBuf {
        self.dir.path().join("regatta")
    }

    fn state(&self) -> PathBuf {
        self.home().join("state")
    }

    fn inside(&self) -> String {
        format!("{}i", self.name)
    }

    fn outside(&self) -> String {
        format!("{}o", self.name)
    }

    fn rules(&self) -> PathBuf {
        Path::new("/etc/sudoers.d").join(&self.name)
    }

    fn write_fleet(&self, isolate: &str) {
        std::fs::write(self.home().join("fleet.kdl"), FLEET.replace("ISOLATE", isolate)).unwrap();
    }

    /// The same network under another name, with its addresses.
    fn call_otherwise(&self, before: &str, after: &str) {
        let fleet = FLEET.replace("ISOLATE", "true").replace(&format!("\"{before}\""), &format!("\"{after}\""));
        std::fs::write(self.home().join("fleet.kdl"), fleet).unwrap();
    }

    /// A systemd that reads what it is told to, and a user who needs no login.
    fn play_systemd(&self) {
        std::fs::create_dir(self.dir.path().join("bin")).unwrap();
        for (program, says) in [("systemctl", "Version=255"), ("loginctl", "Linger=yes")] {
            let path = self.dir.path().join("bin").join(program);
            std::fs::write(&path, format!("#!/bin/sh\necho {says}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// The unit that starts guests with the host, when it is there and linked.
    fn unit(&self) -> Option<String> {
        let units = self.home().join(".config/systemd/user/default.target.wants");
        let mut links = std::fs::read_dir(units).ok()?.map(|entry| entry.unwrap().path());
        links.next().map(|link| std::fs::read_to_string(link).unwrap())
    }

    /// A guest without its process, and a network of which nothing is left.
    fn forgets_what_a_reboot_forgets(&self, guest: &str, network: &str) {
        let (bridge, table) = (self.bridge(network), self.table(network));
        let pid = self.record(guest)["process"]["pid"].to_string();
        run(&["kill", "-KILL", &pid]);
        let end = Instant::now() + std::time::Duration::from_secs(30);
        while Path::new("/proc").join(&pid).join("exe").exists() {
            assert!(Instant::now() < end, "{guest} does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let plugged: Value =
            serde_json::from_str(&self.root_in_namespace(&["ip", "-j", "link", "show", "master", &bridge])).unwrap();
        for tap in plugged.as_array().unwrap() {
            self.root_in_namespace(&["ip", "link", "delete", "dev", tap["ifname"].as_str().unwrap()]);
        }
        self.root_in_namespace(&["ip", "link", "delete", "dev", &bridge]);
        self.root_in_namespace(&["nft", "delete", "table", "inet", &table]);
    }

    /// The outside knows nothing of the fleet's networks: without NAT there is no answer.
    fn connect(&self) {
        let (inside, outside) = (self.inside(), self.outside());
        for namespace in [&inside, &outside] {
            run(&["ip", "netns", "add", namespace]);
            run(&["ip", "-n", namespace, "link", "set", "lo", "up"]);
        }
        run(&["ip", "-n", &inside, "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", &outside]);
        for (namespace, address) in [(&inside, INSIDE), (&outside, OUTSIDE)] {
            run(&["ip", "-n", namespace, "address", "add", &format!("{address}/24"), "dev", "up0"]);
            run(&["ip", "-n", namespace, "link", "set", "up0", "up"]);
        }
        run(&["ip", "-n", &inside, "route", "add", "default", "via", OUTSIDE]);
        for switch in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
            self.root_in_namespace(&["sysctl", "-qw", switch]);
        }
        // The device is open to everybody where udev runs; here it may be root's. QEMU sees this one.
        let tun = self.dir.path().join("tun");
        run(&["mknod", "-m", "0666", tun.to_str().unwrap(), "c", "10", "200"]);
    }

    fn serve(&self) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.outside()]).arg(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "serve", "--nocapture"]);
        command.env("REGATTA_TEST_SERVE", format!("{OUTSIDE}:8000"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let started = output.by_ref().lines().map_while(Result::ok).any(|line| line.contains("serving"));
        assert!(started, "the server did not start");
        // Kept open: it goes on to say how long it has been running.
        child.stdout = Some(output.into_inner());
        child
    }

    fn root_in_namespace(&self, command: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.inside()], command].concat())
    }

    /// regatta as the ordinary user, with nothing of the tester's environment.
    fn user(&self, args: &[&str], place: Place) -> Done {
        let mut command = match place {
            Place::Host => Command::new("env"),
            Place::Inside => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &self.inside(), "unshare", "--mount", "sh", "-c"]);
                command.args(["mount --bind \"$0\" /dev/net/tun && exec \"$@\""]).arg(self.dir.path().join("tun"));
                command
            }
        };
        command.args(["setpriv", "--reuid", &self.name, "--regid", &self.name, "--init-groups", "--reset-env", "env"]);
        command.arg(format!("HOME={}", self.home().display()));
        command.arg(format!("REGATTA_STATE_DIR={}", self.state().display()));
        let path =
            format!("PATH={}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.dir.path().join("bin").display());
        command.arg(path).arg("REGATTA_ACCEL=tcg").arg(self.binary()).args(args);
        let output = command.current_dir(self.home()).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Done { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What `regatta sudoers` prints, installed as its help says.
    fn install_rules(&self) {
        let printed = self.user(&["sudoers"], Place::Inside).ok().stdout;
        std::fs::write(self.rules(), printed).unwrap();
        std::fs::set_permissions(self.rules(), std::fs::Permissions::from_mode(0o440)).unwrap();
        run(&["visudo", "-cf", self.rules().to_str().unwrap()]);
    }

    /// Law: apply, then plan, is empty.
    fn is_as_declared(&self) {
        let done = self.user(&["plan", "--detailed-exitcode"], Place::Inside);
        assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    }

    /// Every change of the plan that is one.
    fn changes(&self) -> Vec<String> {
        let done = self.user(&["plan", "--format", "json"], Place::Inside);
        let plan: Value = serde_json::from_str(&done.stdout).unwrap();
        let changes = plan["changes"].as_array().unwrap().iter().filter(|change| change["action"] != "none");
        let word = |change: &Value, key: &str| change[key].as_str().unwrap().to_owned();
        changes.map(|change| ["address", "action", "reason", "impact"].map(|key| word(change, key)).join(" ")).collect()
    }

    /// What a guest hears first from an address; nothing when it does not get there.
    fn reaches(&self, guest: &str, address: &str, port: u16) -> Option<String> {
        let script = "exec 3<>\"/dev/tcp/$0/$1\" && head -c 9 <&3";
        let port = port.to_string();
        let args = ["ssh", guest, "--", "timeout", "10", "bash", "-c", script, address, &port];
        heard(&self.user(&args, Place::Inside))
    }

    /// The address that a guest finds for a name.
    fn resolves(&self, guest: &str, name: &str) -> String {
        let found = self.user(&["ssh", guest, "--", "getent", "ahostsv4", name], Place::Inside).ok().stdout;
        found.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// The same, from outside.
    fn outside_reaches(&self, address: &str, port: u16) -> Option<String> {
        let script = "exec 3<>\"/dev/tcp/$0/$1\" && head -c 9 <&3";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.outside(), "timeout", "10", "bash", "-c", script, address]);
        let output = command.arg(port.to_string()).stdin(Stdio::null()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        heard(&Done { code: output.status.code().unwrap_or(1), stdout, stderr: String::new() })
    }

    /// Interfaces and rules of the namespace, and processes of the user.
    fn surroundings(&self) -> (Value, Value, Vec<String>) {
        let json = |command: &[&str]| serde_json::from_str(&self.root_in_namespace(command)).unwrap();
        (json(&["ip", "-j", "link"]), json(&["nft", "-j", "list", "ruleset"]), self.processes())
    }

    fn processes(&self) -> Vec<String> {
        let uid = std::fs::metadata(self.home()).unwrap().uid();
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).map(|entry| entry.path());
        let ours = entries.filter(|path| std::fs::metadata(path).is_ok_and(|found| found.uid() == uid));
        let command_line = |path: PathBuf| std::fs::read(path.join("cmdline")).unwrap_or_default();
        let lines = ours.map(|path| String::from_utf8_lossy(&command_line(path)).replace('\0', " "));
        // What has ended and was not yet waited for by init has no command line any more.
        lines.filter(|line| !line.is_empty()).collect()
    }

    fn record(&self, guest: &str) -> Value {
        let path = self.state().join("fleets/bridged/vms").join(guest).join("record.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn pids(&self) -> Vec<Value> {
        ["a", "b", "c"].map(|guest| self.record(guest)["process"].clone()).into()
    }

    /// The bridge of a network, by its mark.
    fn bridge(&self, network: &str) -> String {
        let links: Value = serde_json::from_str(&self.root_in_namespace(&["ip", "-j", "link"])).unwrap();
        let mark = format!("regatta:1:bridged:{network}:");
        let is_it = |link: &&Value| link["ifalias"].as_str().is_some_and(|alias| alias.starts_with(&mark));
        links.as_array().unwrap().iter().find(is_it).unwrap()["ifname"].as_str().unwrap().to_owned()
    }

    fn table(&self, network: &str) -> String {
        self.bridge(network).replace("rgt", "regatta_")
    }
}

/// The start of what a server says: `SSH-` of an SSH server, all of an address.
fn heard(done: &Done) -> Option<String> {
    let text = done.stdout.trim();
    (done.code == 0 && !text.is_empty()).then(|| if text.starts_with("SSH-") { "SSH-".into() } else { text.into() })
}

fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for World {
    /// Whatever happened, nothing is left.
    fn drop(&mut self) {
        let done = self.user(&["destroy", "--yes"], Place::Inside);
        if done.code != 0 {
            eprintln!("cleaning up failed: {}{}", done.stdout, done.stderr);
        }
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            let _ = server.wait();
        }
        let _ = std::fs::remove_file(self.rules());
        for namespace in [self.inside(), self.outside()] {
            let _ = Command::new("ip").args(["netns", "delete", &namespace]).output();
        }
        let _ = Command::new("userdel").arg(&self.name).output();
    }
}

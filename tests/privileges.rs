//! The generated sudo rules against the real sudo, and the catalogue against the same: hostile arguments get through
//! neither. Makes a user and a file of rules and removes both, so it is asked for by name, as root:
//!
//! ```text
//! cargo test --test privileges -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here is the test")]
#![allow(clippy::print_stderr, reason = "a scenario says what it skips and how much it tried")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regatta::driver::privilege::{
    By, Mark, RootCommand, Rules, UNFINISHED, add_to_fstab, admit, disk_health, entries, mount_disk, needed,
    needed_on_nodes,
};
use regatta::resource::cluster::field::canonical;
use regatta::resource::cluster::{
    ClusterGuestSpec, GuestKind, GuestOrigin, NodeMountSpec, Reach, Restart, Via, VmidRange,
};
use regatta::resource::{BridgeSpec, LinkName, PortForward, Tap};

/// A network with one of everything.
fn network() -> BridgeSpec {
    let tap = |guest: &str, address: &str, address6: &str| {
        let link = LinkName::tap("shop", "lan", guest);
        (
            guest.to_owned(),
            Tap {
                link,
                address: address.parse().unwrap(),
                address6: address6.parse().ok(),
                mac: "02:00:00:00:00:05".parse().ok(),
                owner: None,
            },
        )
    };
    let forward =
        PortForward { host: 8080, address: "172.31.7.5".parse().unwrap(), address6: "fd12::5".parse().ok(), guest: 80 };
    BridgeSpec {
        name: "lan".into(),
        bridge: LinkName::bridge("shop", "lan"),
        subnet: "172.31.7.0/24".parse().unwrap(),
        subnet6: "fd12::/64".parse().ok(),
        nat: true,
        isolate: true,
        dhcp: true,
        dns: true,
        taps: BTreeMap::from([tap("web", "172.31.7.5", "fd12::5"), tap("db", "172.31.7.6", "fd12::6")]),
        forwards: BTreeSet::from([forward]),
    }
}

fn commands() -> Vec<RootCommand> {
    let owner = Mark {
        fleet: "shop".into(),
        network: "lan".into(),
        origin: "0123456789ab".into(),
        applied: UNFINISHED.into(),
        rules: UNFINISHED.into(),
    };
    let mut all = needed(&network(), &owner, 1000, &[]).unwrap();
    all.extend(on_nodes());
    all
}

/// What root may be asked for on a node of a cluster, of a container and a virtual machine with everything.
fn on_nodes() -> Vec<RootCommand> {
    let guest = |kind, name: &str, vmid, via, set: &[(&str, &str)]| ClusterGuestSpec {
        fleet: "shop".into(),
        name: name.into(),
        kind,
        cluster: "pve".into(),
        nodes: Vec::new(),
        vmid: VmidRange { from: vmid, to: vmid },
        origin: GuestOrigin::Clone { vmid: 900, full: true, storage: None },
        unprivileged: Some(true),
        keys: Vec::new(),
        values: set.iter().map(|(key, raw)| canonical(kind, key, raw).unwrap()).collect(),
        notes: None,
        running: true,
        restart: Restart::IfNeeded,
        reach: Reach {
            cluster: "pve".into(),
            guest: name.into(),
            via,
            host: None,
            port: 22,
            identity: None,
            host_key: None,
        },
    };
    let set = [
        ("features", "nesting=1,keyctl=1"),
        ("mp0", "/mnt/usb/data,mp=/srv/data,ro=1"),
        ("dev0", "/dev/ttyUSB0,gid=20,mode=0600"),
        ("hookscript", "local:snippets/hook.sh"),
    ];
    let web = guest(GuestKind::Container, "web", 105, Via::Node, &set);
    let db = guest(GuestKind::Vm, "db", 106, Via::Ssh, &[("hookscript", "local:snippets/hook.sh")]);
    let mut all = needed_on_nodes(&[&web, &db]).unwrap();
    all.push(disk_health("/dev/sda").unwrap());
    let [cluster, node, at, uuid] = ["pve", "pve1", "/mnt/backup", "1234-ABCD"].map(str::to_owned);
    let mount = NodeMountSpec { cluster, node, at, uuid, fstab: true };
    all.push(mount_disk(&mount).unwrap());
    all.push(add_to_fstab(&mount).unwrap());
    all
}

/// A program and its arguments.
type Vector = (String, Vec<String>);

/// What one might try instead of a command that is allowed. Each differs from every command that is.
fn hostile(allowed: &[RootCommand]) -> BTreeSet<Vector> {
    let mut vectors = BTreeSet::new();
    for command in allowed {
        let (program, words) = (command.program(), command.arguments().to_vec());
        let mut add = |words: Vec<String>| _ = vectors.insert((program.clone(), words));
        for extra in [
            "-b",
            "-batch",
            "--",
            "-f",
            "/etc/shadow",
            "-force",
            "-n",
            "netns",
            ";",
            "*",
            "",
            " ",
            "\n",
            "é",
            "\u{202e}",
        ] {
            add([words.clone(), vec![extra.into()]].concat());
            add([vec![extra.to_owned()], words.clone()].concat());
        }
        for (index, word) in words.iter().enumerate() {
            let mut with = |word: String| {
                let mut words = words.clone();
                words[index] = word;
                add(words);
            };
            for wrong in
                ["eth0", "lo", "docker0", "../../etc/passwd", "/dev/sda1", "$(id)", "`id`", "-x", "a b", "rgt*", "rgt"]
            {
                with(wrong.into());
            }
            for end in ["\n", "\0x", " ", "x", "\u{301}", "\\", "\t", ";", "\u{ff0f}", "/../x"] {
                if !end.contains('\0') {
                    with(format!("{word}{end}"));
                    with(format!("{end}{word}"));
                }
            }
            with(word.to_uppercase());
            with(word.replace('a', "а"));
        }
        if words.len() > 1 {
            add(words[..words.len() - 1].to_vec());
            add(words.iter().rev().cloned().collect());
            add(words.iter().map(|word| word.replace("rgt", "eth")).collect());
            add(words.join(" ").split(' ').chain(["up"]).map(str::to_owned).collect());
        }
    }
    vectors.extend(by_hand());
    vectors.extend(entering(allowed));
    // What by chance is a command of the catalogue is not hostile.
    vectors.retain(|(program, words)| {
        !allowed.iter().any(|it| it.program() == *program && it.arguments().join(" ") == words.join(" "))
    });
    vectors
}

/// Other programs, other commands of the same programs, links and paths.
fn by_hand() -> Vec<Vector> {
    let bridge = LinkName::bridge("shop", "lan");
    let (bridge, table) = (bridge.as_str(), bridge.table());
    let texts = [
        "/usr/sbin/ip netns exec x /bin/sh".to_owned(),
        "/usr/sbin/ip -batch /tmp/commands".into(),
        "/usr/sbin/ip -force -batch -".into(),
        "/usr/sbin/ip link set dev eth0 down".into(),
        "/usr/sbin/ip link delete dev eth0".into(),
        "/usr/sbin/ip address add 172.31.7.1/24 dev eth0".into(),
        "/usr/sbin/ip address flush dev eth0".into(),
        "/usr/sbin/ip route replace default via 10.0.0.1".into(),
        "/usr/sbin/ip tuntap add dev tun0 mode tun user 0".into(),
        format!("/usr/sbin/ip link set dev {bridge} master docker0"),
        format!("/usr/sbin/ip link set dev {bridge} netns 1"),
        format!("/usr/sbin/ip link set dev {bridge} name eth0"),
        format!("/usr/sbin/ip link set dev {bridge} xdp object /tmp/x.o"),
        format!("/usr/sbin/ip link set dev {bridge} up up"),
        format!("/usr/sbin/ip link set dev {bridge} alias regatta:1:shop:lan:0123456789ab:000000000000:00000000000g"),
        format!(
            "/usr/sbin/ip link set dev {bridge} alias regatta:1:shop:lan:0123456789ab:000000000000:000000000000 up"
        ),
        format!("/usr/sbin/ip link set dev {bridge} alias regatta:1:other:lan:0123456789ab:000000000000:000000000000"),
        format!("/usr/sbin/ip address delete 10.0.0.1/8 dev {bridge} dev eth0"),
        format!("/usr/sbin/ip address delete 10.0.0.1/8 dev eth0 dev {bridge}"),
        "/usr/sbin/nft flush ruleset".into(),
        "/usr/sbin/nft -f -".into(),
        "/usr/sbin/nft -f /etc/shadow".into(),
        "/usr/sbin/nft -f /dev/stdin".into(),
        "/usr/sbin/nft -i".into(),
        "/usr/sbin/nft include \"/etc/shadow\"".into(),
        "/usr/sbin/nft -I /tmp -f x".into(),
        "/usr/sbin/nft -D x=y list ruleset".into(),
        "/usr/sbin/nft list ruleset".into(),
        "/usr/sbin/nft delete table inet filter".into(),
        format!("/usr/sbin/nft delete table inet {table} ; flush ruleset"),
        format!("/usr/sbin/nft delete table ip {table}"),
        format!("/usr/sbin/nft -j list table inet {table} ; delete table inet filter"),
        format!("/usr/sbin/nft -c -j list table inet {table}"),
        format!("/usr/sbin/nft add rule inet {table} forward accept"),
        "/usr/sbin/dnsmasq --conf-file=/etc/shadow".into(),
        "/usr/sbin/dnsmasq --dhcp-script=/tmp/x --bind-interfaces".into(),
        "/usr/bin/pkill --pidfile /run/sshd.pid --exact sshd".into(),
        "/usr/bin/pkill --pidfile /run/../tmp/regatta-rgt0123456789ab.pid --exact dnsmasq".into(),
        "/usr/bin/pkill -9 -u root".into(),
        "/bin/sh -c id".into(),
        "/usr/bin/env id".into(),
        "/usr/bin/tee /etc/sudoers.d/x".into(),
        "/usr/bin/install /tmp/x /usr/sbin/ip".into(),
        "/tmp/ip link set dev eth0 up".into(),
        "/usr/sbin/../../tmp/ip link show".into(),
        "ip".into(),
        "/usr/sbin/ip".into(),
        "/usr/sbin/nft".into(),
        "/usr/sbin/visudo -f /etc/sudoers".into(),
    ];
    let texts = texts.into_iter().chain(of_nodes());
    let split = |text: String| {
        let mut words = text.split(' ').map(str::to_owned);
        (words.next().unwrap(), words.collect())
    };
    texts.map(split).collect()
}

/// The same of what runs on the nodes of clusters.
fn of_nodes() -> impl Iterator<Item = String> {
    let digest = "0123456789abcdef0123456789abcdef01234567";
    let of_nodes = [
        "set 107 --digest {} --features keyctl=1,nesting=1",
        "set 105 --features keyctl=1,nesting=1",
        "set 105 --digest {} --features keyctl=1,nesting=1,mount=nfs",
        "set 105 --digest {} --features fuse=1",
        "set 105 --digest {} --mp0 /etc,mp=/srv/data,ro=1",
        "set 105 --digest {} --mp0 /,mp=/srv/data,ro=1",
        "set 105 --digest {} --mp0 /mnt/usb/data,mp=/srv/data",
        "set 105 --digest {} --mp0 /mnt/usb/../../etc,mp=/srv/data,ro=1",
        "set 105 --digest {} --mp0 /mnt/usb/data,mp=/srv/data,ro=1 --mp1 /etc,mp=/x",
        "set 105 --digest {} --rootfs /mnt/usb/data",
        "set 105 --digest {} --dev0 /dev/sda",
        "set 105 --digest {} --dev0 /dev/ttyUSB0,gid=20,mode=0666",
        "set 105 --digest {} --delete protection",
        "set 105 --digest {} --delete dev0,features",
        "set 105 --digest {} --hookscript local:snippets/evil.sh",
        "set 105 --digest {} --lock backup",
        "set 105 --digest {} --unprivileged 0",
        "set 105 --digest ../../etc/passwd --features keyctl=1,nesting=1",
        "set 105 --digest {} --features keyctl=1,nesting=1 --force",
        "set 0105 --digest {} --features keyctl=1,nesting=1",
        "set 105 106 --digest {} --features keyctl=1,nesting=1",
        "exec 105 -- sh",
        "enter 105",
        "push 105 /etc/shadow /x",
        "pull 105 /x /etc/shadow",
        "mount 105",
        "destroy 105",
        "create 107 local:vztmpl/x",
    ];
    let of_nodes = of_nodes.map(|rest| format!("/usr/sbin/pct {}", rest.replace("{}", digest)));
    let of_machines =
        ["set 106 --args -drive", "set 106 --hostpci0 00:02.0", "monitor 106", "sendkey 106 ctrl-alt-delete"];
    let of_disks = [
        "--json --info --health --attributes /dev/sdb",
        "-t short /dev/sda",
        "--set=security-freeze /dev/sda",
        "-a /dev/sda",
    ];
    let of_disks = of_disks.map(|rest| format!("/usr/sbin/smartctl {rest}"));
    of_nodes
        .into_iter()
        .chain(of_disks)
        .chain(of_mounts())
        .chain(of_machines.map(|rest| format!("/usr/sbin/qm {rest}")))
}

/// The same of disks that are mounted there.
fn of_mounts() -> impl Iterator<Item = String> {
    let safe = "--options=nosuid,nodev,X-mount.mkdir=0755";
    let of_mounts = [
        "{} --source=UUID=1234-ABCE --target=/mnt/backup",
        "{} --source=UUID=1234-abcd --target=/mnt/backup",
        "{} --source=UUID=1234-ABCD --target=/mnt/other",
        "{} --source=UUID=1234-ABCD --target=/mnt/backup/below",
        "{} --source=UUID=1234-ABCD --target=/mnt/../etc",
        "{} --source=UUID=1234-ABCD --target=/etc",
        "{} --source=UUID=1234-ABCD --target=/",
        "{} --source=/dev/sda1 --target=/mnt/backup",
        "{} --source=LABEL=backup --target=/mnt/backup",
        "{} --source=UUID=1234-ABCD --target=/mnt/backup --options=suid,dev",
        "{},suid,dev --source=UUID=1234-ABCD --target=/mnt/backup",
        "{} --target=/mnt/backup --source=UUID=1234-ABCD",
        "{} --source=UUID=1234-ABCD",
        "{} --target=/mnt/backup",
        "{} --bind --source=/etc --target=/mnt/backup",
        "--options=suid,dev --source=UUID=1234-ABCD --target=/mnt/backup",
        "--options=nosuid --source=UUID=1234-ABCD --target=/mnt/backup",
        "--source=UUID=1234-ABCD --target=/mnt/backup",
        "--fstab=/tmp/fstab --target=/mnt/backup",
        "--bind /tmp/evil /etc/sudoers.d",
        "-o remount,suid,dev /mnt/backup",
        "--all",
        "--move /mnt/backup /etc",
    ];
    let line = r"--expression=$aUUID=1234-ABCD\t/mnt/backup\tauto\tnosuid,nodev,nofail\t0\t2";
    let of_lines = [
        "--in-place {} /etc/sudoers",
        "--in-place {} /etc/fstab /etc/passwd",
        "--in-place {} --expression=1d /etc/fstab",
        "--in-place {}\n/dev/sda1\t/etc /etc/fstab",
        "--in-place {}x /etc/fstab",
        "--in-place=.bak {} /etc/fstab",
        "--in-place --null-data {} /etc/fstab",
        "--in-place --expression=1eid /etc/fstab",
        "--in-place --expression=d /etc/fstab",
        "--in-place --file=/tmp/script /etc/fstab",
        "--quiet {} /etc/fstab",
        "-n w/etc/sudoers.d/x /tmp/x",
        // What a rule means whose backslashes are lost.
        "--in-place --expression=$aUUID=1234-ABCDt/mnt/backuptautotnosuid,nodev,nofailt0t2 /etc/fstab",
    ];
    let of_mounts = of_mounts.into_iter().map(move |rest| format!("/usr/bin/mount {}", rest.replace("{}", safe)));
    of_mounts.chain(of_lines.into_iter().map(move |rest| format!("/usr/bin/sed {}", rest.replace("{}", line))))
}

/// Other ways into containers than the one that is allowed, which is one exact text: other containers, other options before the
/// command, other commands, and more behind it.
fn entering(allowed: &[RootCommand]) -> Vec<Vector> {
    let command = allowed.iter().find(|command| command.entry().name == "enter-container").unwrap();
    let words: Vec<&str> = command.arguments().iter().map(String::as_str).collect();
    let [exec, vmid, dashes, around @ .., script] = &words[..] else { panic!("{words:?}") };
    let behind = ["; id", " && id", "\nid", " | sh", "$(id)", " # "].map(|more| format!("{script}{more}"));
    let same = [around, &[*script]].concat();
    let mut vectors = vec![
        [&[*exec, "106", *dashes][..], &same].concat(),
        [&[*exec, "0105", *dashes], &same[..]].concat(),
        [&[*exec, "1050", *dashes], &same[..]].concat(),
        [&[*exec, *vmid, "106", *dashes], &same[..]].concat(),
        [&[*exec, *vmid], &same[..]].concat(),
        [&[*exec, *vmid, "--keep-env", "1", *dashes], &same[..]].concat(),
        [&[*exec, "--keep-env=1", *vmid, *dashes], &same[..]].concat(),
        [&["enter", *vmid, *dashes], &same[..]].concat(),
        [&[*exec, *vmid, *dashes, "/usr/bin/env"], &same[1..]].concat(),
        [&[*exec, *vmid, *dashes, "/usr/bin/env", "-i", "LD_PRELOAD=/tmp/x.so"], &same[2..]].concat(),
        [&words[..words.len() - 1], &["id"]].concat(),
        [&words[..words.len() - 2], &["-ic", *script]].concat(),
        [&words[..], &["sh", "-c", "id"]].concat(),
    ];
    vectors.extend(behind.iter().map(|script| [&words[..words.len() - 1], &[script.as_str()]].concat()));
    let owned = |words: Vec<&str>| (command.program(), words.into_iter().map(str::to_owned).collect());
    vectors.into_iter().map(owned).collect()
}

/// The same text, cut into arguments elsewhere: sudo, which joins them, cannot tell. (LESSON 34)
fn split_elsewhere(allowed: &[RootCommand]) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for command in allowed.iter().filter(|command| command.arguments().len() > 1) {
        let words = command.arguments();
        for at in 1..words.len() {
            let mut joined = words.to_vec();
            let next = joined.remove(at);
            joined[at - 1] = format!("{} {next}", joined[at - 1]);
            vectors.push((command.program(), joined));
        }
        vectors.push((command.program(), vec![words.join(" ")]));
    }
    vectors
}

/// LESSONS 32 to 34, the runner's half: it admits what it made, and nothing else, whatever sudo would say.
#[test]
fn the_catalogue_admits_what_it_names_and_nothing_else() {
    let allowed = commands();
    for command in &allowed {
        assert_eq!(admit(&command.program(), command.arguments()).as_ref(), Ok(command));
    }
    let used: BTreeSet<&str> = allowed.iter().map(|command| command.entry().name).collect();
    let by_sudo = entries().iter().filter(|entry| entry.by == By::Sudo);
    assert_eq!(used, by_sudo.map(|entry| entry.name).collect());
    let hostile = hostile(&allowed);
    assert!(hostile.len() >= 200, "{}", hostile.len());
    for (program, words) in hostile.iter().chain(&split_elsewhere(&allowed)) {
        if let Ok(command) = admit(program, words) {
            // The shape fits: then it names other things of ours, which sudo's exact rules tell apart.
            let ours = words
                .iter()
                .filter(|word| word.starts_with("rgt"))
                .all(|word| LinkName::try_from(word.clone()).is_ok());
            assert!(ours && command.program() == *program, "{program} {words:?}");
        }
    }
    for (program, words) in split_elsewhere(&allowed).iter().filter(|(program, _)| program.ends_with("ip")) {
        assert!(admit(program, words).is_err(), "{program} {words:?}");
    }
}

/// A user and his rules; both go when this goes.
struct User {
    /// Programs of Proxmox VE that stand-ins are in the place of.
    stand_ins: Vec<&'static str>,
    name: String,
    rules: PathBuf,
    namespace: String,
}

impl User {
    fn new(allowed: &[RootCommand]) -> Self {
        let name = format!("rgtsudo{}", std::process::id());
        let stand_ins = ["/usr/sbin/pct", "/usr/sbin/qm", "/usr/sbin/smartctl"]
            .into_iter()
            .filter(|it| !Path::new(it).exists())
            .collect();
        let rules = PathBuf::from("/etc/sudoers.d").join(&name);
        let user = Self { stand_ins, rules, namespace: name.clone(), name };
        // sudo does not answer for programs that are not there.
        for program in &user.stand_ins {
            std::fs::write(program, include_str!("common/stand_in_pct.sh")).unwrap();
            std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        succeeds(Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", &user.name]));
        succeeds(Command::new("ip").args(["netns", "add", &user.namespace]));
        let text = Rules::new(&user.name, "shop", allowed).unwrap().to_string();
        std::fs::write(&user.rules, text).unwrap();
        std::fs::set_permissions(&user.rules, std::fs::Permissions::from_mode(0o440)).unwrap();
        succeeds(Command::new("visudo").arg("-cf").arg(&user.rules));
        user
    }

    /// `sudo OPTIONS -- PROGRAM ARGUMENTS` as this user, in an empty network namespace.
    fn sudo(&self, options: &[&str], program: &str, words: &[String]) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "setpriv", "--reuid", &self.name, "--regid", &self.name]);
        command.args(["--init-groups", "sudo"]).args(options).arg("--").arg(program).args(words);
        command.stdin(std::process::Stdio::null()).current_dir("/").output().unwrap()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.rules);
        self.stand_ins.iter().for_each(|program| drop(std::fs::remove_file(program)));
        let _ = Command::new("userdel").arg(&self.name).output();
        let _ = Command::new("ip").args(["netns", "delete", &self.namespace]).output();
    }
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// LESSON 34: rules are tested with the real sudo.
#[test]
#[ignore = "makes a user and a file of sudo rules: needs root"]
fn hostile_arguments_do_not_get_through_sudo() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return eprintln!("SKIPPED: making a user and sudo rules needs root");
    }
    let found = |program: &&str| Command::new("which").arg(program).output().unwrap().status.success();
    let missing: Vec<_> =
        ["sudo", "visudo", "useradd", "setpriv", "ip", "nft"].into_iter().filter(|program| !found(program)).collect();
    if !missing.is_empty() {
        return eprintln!("SKIPPED: not installed: {missing:?}");
    }
    let allowed = commands();
    let user = User::new(&allowed);
    for command in &allowed {
        let output = user.sudo(&["-n", "-l"], &command.program(), command.arguments());
        assert!(output.status.success(), "not allowed: {command}");
    }
    let hostile = hostile(&allowed);
    // Each call takes sudo 20 ms: a part of those that were made by rule, spread over all of them, and all by hand.
    let by_hand: BTreeSet<Vector> = by_hand().into_iter().chain(entering(&allowed)).collect();
    let tried: BTreeSet<&Vector> = hostile.iter().step_by(4).chain(hostile.intersection(&by_hand)).collect();
    assert!(tried.len() >= 200, "{}", tried.len());
    for (program, words) in &tried {
        let output = user.sudo(&["-n", "-l"], program, words);
        assert!(!output.status.success(), "allowed: {program} {words:?}");
    }
    let first = &allowed[0];
    let as_others: [&[&str]; 7] =
        [&["-u", "daemon"], &["-g", "root"], &["-E"], &["-i"], &["-s"], &["-D", "/tmp"], &["-R", "/tmp"]];
    for options in as_others {
        let output = user.sudo(&[&["-n"], options].concat(), &first.program(), first.arguments());
        assert!(!output.status.success(), "allowed with {options:?}");
    }
    // The same words cut elsewhere: sudo lets them through, and the program does not know them. Nothing happens.
    let links = || succeeds(Command::new("ip").args(["-n", &user.namespace, "-j", "link"]));
    let fstab = || std::fs::read_to_string("/etc/fstab").ok();
    let (before, split) = ((links(), fstab()), split_elsewhere(&allowed));
    for (program, words) in split.iter().filter(|(program, _)| !program.ends_with("/nft")) {
        let output = user.sudo(&["-n"], program, words);
        assert!(!output.status.success(), "did something: {program} {words:?}");
    }
    assert_eq!((links(), fstab()), before);
    eprintln!(
        "{} allowed, {} hostile refused, {} split elsewhere without effect",
        allowed.len(),
        tried.len(),
        split.len()
    );
}

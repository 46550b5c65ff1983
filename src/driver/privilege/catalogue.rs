//! Every command that runs as root, as data. The runner admits nothing else, and sudo's rules are printed from it.

use std::fmt;
use std::time::Duration;

use super::slot::Slot;
use crate::effect::paths;

/// A program that is run as root, by absolute path only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// iproute2.
    Ip,
    /// nftables.
    Nft,
    /// DHCP and DNS.
    Dnsmasq,
    /// procps.
    Pkill,
    /// Firecracker's.
    Jailer,
    /// Proxmox VE: containers of its node.
    Pct,
    /// Proxmox VE: virtual machines of its node.
    Qm,
    /// What disks say of themselves.
    Smartctl,
    /// util-linux: disks of a node.
    Mount,
    /// GNU sed: a line of a node's `/etc/fstab`.
    Sed,
}

/// Where distributions put programs of the system; all of these are root's.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/run/current-system/sw/bin"];

/// Where else root puts what no distribution has: the releases of Firecracker.
const LOCAL: &str = "/usr/local/bin";

/// The program that the jailer runs, by absolute path; its usual one where it is not installed.
pub(in crate::driver) fn jailed_program() -> String {
    installed("firecracker", true)
}

/// Whether this is such a path, of whatever machine.
pub(super) fn is_jailed_program(path: &str) -> bool {
    let folder = path.strip_suffix("/firecracker");
    folder.is_some_and(|folder| folder == LOCAL || FOLDERS.contains(&folder))
}

fn installed(program: &str, local: bool) -> String {
    let place = |folder: &str| format!("{folder}/{program}");
    let folders = FOLDERS.into_iter().chain(local.then_some(LOCAL));
    let found = folders.map(place).find(|path| paths::exists(path.as_str().into()).unwrap_or(false));
    found.unwrap_or_else(|| place(if local { LOCAL } else { FOLDERS[0] }))
}

impl Program {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Nft => "nft",
            Self::Dnsmasq => "dnsmasq",
            Self::Pkill => "pkill",
            Self::Jailer => "jailer",
            Self::Pct => "pct",
            Self::Qm => "qm",
            Self::Smartctl => "smartctl",
            Self::Mount => "mount",
            Self::Sed => "sed",
        }
    }

    /// Whether it is run on the nodes of clusters, which need not be this machine.
    pub const fn is_of_nodes(self) -> bool {
        matches!(self, Self::Pct | Self::Qm | Self::Smartctl | Self::Mount | Self::Sed)
    }

    /// Its absolute path on this machine; its usual one where it is not installed. On nodes, that of Proxmox's packages.
    pub fn path(self) -> String {
        match self {
            Self::Mount | Self::Sed => format!("/usr/bin/{}", self.name()),
            _ if self.is_of_nodes() => format!("/usr/sbin/{}", self.name()),
            _ => installed(self.name(), self == Self::Jailer),
        }
    }
}

/// One shape of command.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it does.
    pub name: &'static str,
    /// The program.
    pub program: Program,
    /// Its arguments: words, and `{kinds}` of arguments (`Slot`), with spaces between them. A last kind with a star stands for any
    /// number of such arguments.
    pub pattern: &'static str,
    /// Why it needs root.
    pub why: &'static str,
    /// Who may have it run.
    pub by: By,
}

/// Who may have a command run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Whoever sudo lets.
    Sudo,
    /// Root only: no rule of sudo's would be safe.
    Root,
}

/// Interfaces, addresses and rules are the kernel's: changing them needs `CAP_NET_ADMIN`.
const CHANGES: &str = "it changes the host's network (CAP_NET_ADMIN)";
const READS: &str = "the kernel shows rules to CAP_NET_ADMIN only";

/// Everything that runs as root.
static ENTRIES: [Entry; 27] = [
    ip("add-bridge", "link add name {link} address {mac} type bridge"),
    ip("mark", "link set dev {link} alias {mark}"),
    ip("add-address", "address add {address4} dev {link}"),
    // Nobody else can have an address on a bridge that nobody is plugged to yet: no search for duplicates.
    ip("add-address6", "address add {address6} dev {link} nodad"),
    ip("delete-address", "address delete {any-address} dev {link}"),
    ip("set-up", "link set dev {link} up"),
    ip("add-tap", "tuntap add dev {link} mode tap user {user}"),
    ip("plug", "link set dev {link} master {link}"),
    ip("isolate", "link set dev {link} type bridge_slave isolated {on-off}"),
    ip("delete-link", "link delete dev {link}"),
    Entry {
        name: "list-rules",
        program: Program::Nft,
        pattern: "-j list table inet {table}",
        why: READS,
        by: By::Sudo,
    },
    Entry { name: "replace-rules", program: Program::Nft, pattern: "{rules}", why: CHANGES, by: By::Sudo },
    Entry {
        name: "delete-table",
        program: Program::Nft,
        pattern: "delete table inet {table}",
        why: CHANGES,
        by: By::Sudo,
    },
    Entry {
        name: "start-resolver",
        program: Program::Dnsmasq,
        pattern: "--bind-interfaces {listen} --conf-file=/dev/null --no-hosts --user=nobody {pid-file} {local} {domain} \
                  {dns-port} {answer}*",
        why: "it answers on ports 53 and 67 (CAP_NET_BIND_SERVICE, CAP_NET_RAW), and is nobody then",
        by: By::Sudo,
    },
    Entry {
        name: "stop-resolver",
        program: Program::Pkill,
        pattern: "--pidfile {pid-path} --exact dnsmasq",
        why: "what it ends is not ours any more",
        by: By::Sudo,
    },
    Entry {
        name: "start-jailed",
        program: Program::Jailer,
        pattern: "--id {uuid} --exec-file {firecracker} --uid {jailed} --gid {jailed} --chroot-base-dir /srv/jailer \
                  --new-pid-ns -- --api-sock /run/api.sock",
        why: "it makes device files, changes the root directory and becomes another user",
        // It copies a program into a directory that is another user's after the first start, following links: whoever may have it
        // run for a jail that is there writes where root may (LESSON 33).
        by: By::Root,
    },
    on_node("set-features", Program::Pct, "set {vmid} --digest {digest} --features {features}"),
    on_node("set-directory", Program::Pct, "set {vmid} --digest {digest} {mount-key} {directory}"),
    on_node("set-device", Program::Pct, "set {vmid} --digest {digest} {device-key} {device}"),
    on_node("set-container-hook", Program::Pct, "set {vmid} --digest {digest} --hookscript {snippet}"),
    on_node("unset-container", Program::Pct, "set {vmid} --digest {digest} --delete {root-key}"),
    on_node("set-vm-hook", Program::Qm, "set {vmid} --digest {digest} --hookscript {snippet}"),
    Entry {
        name: "disk-health",
        program: Program::Smartctl,
        pattern: "--json --info --health --attributes {disk}",
        why: "disks answer to root only (CAP_SYS_RAWIO)",
        by: By::Sudo,
    },
    Entry {
        name: "mount-disk",
        program: Program::Mount,
        // One word each, and what counts first: cut elsewhere, the text lacks a target or a source, and `nosuid,nodev` stays.
        pattern: "--options=nosuid,nodev,X-mount.mkdir=0755 {volume} {mount-point}",
        why: "the kernel lets nobody else mount disks (CAP_SYS_ADMIN)",
        by: By::Sudo,
    },
    Entry {
        name: "add-to-fstab",
        program: Program::Sed,
        // The line is one word. Cut elsewhere, sed has no file to edit, or an option that it does not know.
        pattern: "--in-place {fstab-line} /etc/fstab",
        why: "the file is root's",
        by: By::Sudo,
    },
    Entry {
        name: "enter-container",
        program: Program::Pct,
        pattern: "exec {vmid} -- /usr/bin/env -i HOME=/root LOGNAME=root USER=root \
                  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /bin/sh -c {enter}",
        why: "only root of a node goes into its containers",
        by: By::Sudo,
    },
    on_node("unset-vm-hook", Program::Qm, "set {vmid} --digest {digest} --delete hookscript"),
];

/// Proxmox's rule is that the user is `root@pam` itself.
const fn on_node(name: &'static str, program: Program, pattern: &'static str) -> Entry {
    Entry { name, program, pattern, why: "Proxmox lets no API token do it, not even one of root's", by: By::Sudo }
}

const fn ip(name: &'static str, pattern: &'static str) -> Entry {
    Entry { name, program: Program::Ip, pattern, why: CHANGES, by: By::Sudo }
}

/// The statements that `{rules}` may consist of, with ` ; ` between them: one transaction for one table. nft gets it as
/// an argument, so that sudo sees all of it; `-f -` would hide it from sudo, and would allow `include`.
const STATEMENTS: [&str; 20] = [
    "add table inet {table}",
    "delete table inet {table}",
    "add chain inet {table} forward { type filter hook forward priority filter ; policy accept ; }",
    "add chain inet {table} prerouting { type nat hook prerouting priority dstnat ; policy accept ; }",
    "add chain inet {table} output { type nat hook output priority -100 ; policy accept ; }",
    "add chain inet {table} postrouting { type nat hook postrouting priority srcnat ; policy accept ; }",
    // Guests are kept from each other, also by way of the host.
    "add rule inet {table} forward iifname {link} oifname {link} drop",
    // Answers, and forwarded ports; nothing else reaches guests from outside.
    "add rule inet {table} forward iifname {link} ct state established,related accept",
    "add rule inet {table} forward oifname {link} ct state established,related accept",
    "add rule inet {table} forward oifname {link} ct status dnat accept",
    "add rule inet {table} forward iifname != {link} oifname {link} drop",
    // Guests reach nothing outside, or do so with addresses of their network only.
    "add rule inet {table} forward iifname {link} oifname != {link} drop",
    "add rule inet {table} forward iifname {link} ip saddr != {subnet4} drop",
    "add rule inet {table} forward iifname {link} ip6 saddr != {subnet6} drop",
    "add rule inet {table} postrouting oifname != {link} ip saddr {subnet4} masquerade",
    "add rule inet {table} postrouting oifname != {link} ip6 saddr {subnet6} masquerade",
    // Ports of the host, but for its loopback address.
    "add rule inet {table} prerouting iifname != {link} fib daddr type local tcp dport {port} dnat ip to {guest4} : {port}",
    "add rule inet {table} prerouting iifname != {link} fib daddr type local tcp dport {port} dnat ip6 to {guest6} : {port}",
    "add rule inet {table} output ip daddr != 127.0.0.0/8 fib daddr type local tcp dport {port} dnat ip to {guest4} : {port}",
    "add rule inet {table} output ip6 daddr != ::1 fib daddr type local tcp dport {port} dnat ip6 to {guest6} : {port}",
];

/// Longest argument: Linux refuses more than 128 KiB (`MAX_ARG_STRLEN`).
const LONGEST: usize = 120 << 10;

/// A command that the catalogue has admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootCommand {
    pub(super) entry: &'static Entry,
    pub(super) arguments: Vec<String>,
}

/// A command that is not in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused to run as root, because it is not in the catalogue: `{program} {}`", arguments.join(" ").escape_debug())]
pub struct Refused {
    program: String,
    arguments: Vec<String>,
}

/// The catalogue.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// Admits a command when it is in the catalogue: same program, same number of arguments, every one of them accepted.
///
/// # Errors
/// It is not.
pub fn admit<S: AsRef<str>>(program: &str, arguments: &[S]) -> Result<RootCommand, Refused> {
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.as_ref().to_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let fits = |entry: &&Entry| {
        let same_program = program == entry.program.name() || program == entry.program.path();
        same_program && words.iter().all(|word| word.len() <= LONGEST) && matches(entry.pattern, &words)
    };
    match ENTRIES.iter().find(fits) {
        Some(entry) => Ok(RootCommand { entry, arguments }),
        None => Err(Refused { program: program.to_owned(), arguments }),
    }
}

impl RootCommand {
    /// The program's absolute path.
    pub fn program(&self) -> String {
        self.entry.program.path()
    }

    /// The arguments.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// How long it may take.
    pub(super) const fn deadline(&self) -> Duration {
        // Those of nodes wait 10 s for a lock of Proxmox's; the others are done in milliseconds.
        Duration::from_secs(if self.entry.program.is_of_nodes() { 60 } else { 20 })
    }

    /// Its shape.
    pub const fn entry(&self) -> &'static Entry {
        self.entry
    }
}

impl fmt::Display for RootCommand {
    /// As one would type it in a POSIX shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::effect::Command::new(self.program()).args(&self.arguments).fmt(f)
    }
}

/// Whether each word is the pattern's, or of the kind that it asks for there.
fn matches(pattern: &str, words: &[&str]) -> bool {
    if let Some((pattern, kind)) = pattern.strip_suffix('*').and_then(|pattern| pattern.rsplit_once(' ')) {
        let fixed = pattern.split(' ').count();
        return words
            .split_at_checked(fixed)
            .is_some_and(|(words, more)| matches(pattern, words) && more.iter().all(|word| fits(kind, word)));
    }
    let expected = pattern.split(' ');
    expected.clone().count() == words.len() && expected.zip(words).all(|(expected, word)| fits(expected, word))
}

fn fits(expected: &str, word: &str) -> bool {
    match Slot::named(expected) {
        Some(slot) => slot.accepts(word),
        None => expected == word,
    }
}

/// Whether a text is a set of rules: statements of the catalogue, all about one table, and within it about one bridge.
pub(super) fn are_rules(text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    let mut rest = words.as_slice();
    loop {
        let Some(length) = statement(rest) else { return false };
        match &rest[length..] {
            [] => return same(&words, "{table}") && same(&words, "{link}"),
            [";", more @ ..] => rest = more,
            _ => return false,
        }
    }
}

/// How many words the statement has that these words begin with.
fn statement(words: &[&str]) -> Option<usize> {
    let lengths = STATEMENTS.iter().map(|statement| (statement, statement.split(' ').count()));
    // Statements may be beginnings of others: the one that is followed by another, or by nothing, is meant.
    lengths
        .filter(|(_, length)| words.get(*length).is_none_or(|next| *next == ";"))
        .find(|(pattern, length)| words.get(..*length).is_some_and(|words| matches(pattern, words)))
        .map(|(_, length)| length)
}

/// Whether all words of a kind are the same. No other kind accepts what tables and links are called.
fn same(words: &[&str], kind: &str) -> bool {
    let mut of_kind = words.iter().filter(|word| fits(kind, word));
    let first = of_kind.next();
    of_kind.all(|word| Some(word) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_a_pattern_names_is_known() {
        let patterns = ENTRIES.iter().map(|entry| entry.pattern).chain(STATEMENTS);
        let words = patterns.flat_map(|pattern| pattern.split(' ')).map(|word| word.trim_end_matches('*'));
        for kind in words.filter(|word| word.len() > 1 && word.starts_with('{')) {
            assert!(Slot::named(kind).is_some(), "{kind}");
        }
    }

    const TABLE: &str = "regatta_0123456789ab";

    #[test]
    fn rules_are_statements_of_the_catalogue_about_one_table_of_ours() {
        let good = format!(
            "add table inet {TABLE} ; delete table inet {TABLE} ; add table inet {TABLE} ; add chain inet {TABLE} forward {{ \
             type filter hook forward priority filter ; policy accept ; }} ; add rule inet {TABLE} forward iifname \
             rgt0123456789ab oifname rgt0123456789ab drop"
        );
        assert!(are_rules(&good));
        for wrong in [
            String::new(),
            "flush ruleset".into(),
            format!("{good} ; flush ruleset"),
            format!("{good} ;"),
            format!("{good}\n"),
            format!("{good} ; delete table inet filter"),
            format!("{good} ; include \"/etc/shadow\""),
            format!("{good} ; delete table inet regatta_ffffffffffff"),
            good.replace("oifname rgt0123456789ab", "oifname rgtffffffffffff"),
            good.replace("oifname rgt0123456789ab", "oifname eth0"),
            good.replace(" ; ", ";"),
            good.replace("policy accept", "policy drop"),
            good.replace(' ', "  "),
        ] {
            assert!(!are_rules(&wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_in_the_catalogue_is_refused_and_named() {
        let refused = admit("ip", &["link", "set", "dev", "eth0", "down\n"]).unwrap_err();
        let text = "refused to run as root, because it is not in the catalogue: `ip link set dev eth0 down\\n`";
        assert_eq!(refused.to_string(), text);
        assert!(admit("/tmp/ip", &["link", "set", "dev", "rgt0123456789ab", "up"]).is_err());
        assert!(admit("ip", &["link", "set", "dev", "rgt0123456789ab", "up"]).is_ok());
    }
}

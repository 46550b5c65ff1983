//! Guests of clusters: `container NAME { … }`, and `vm NAME { cluster …; … }`.

mod container;
mod container_rules;
mod firewall;
mod high_availability;
mod inside;
mod origin;
mod rules;
mod vm;
mod vm_rules;

use crate::config::block::Block;
use crate::config::language::NodeRule;
use crate::config::node::guest;
use crate::config::problems::Problems;
use crate::config::settings::Settings;
use crate::config::{
    ByteSize, ClusterGuest, ClusterOrigin, ClusterVm, Connection, Container, Restarts, Setting, Startup,
};
use crate::syntax::{Diagnostic, Node, Span, Spanned};

pub(in crate::config) use container_rules::CONTAINER;
pub(in crate::config) use inside::{is_host, key_of};
pub(in crate::config) use vm_rules::CLUSTER_VM;

/// The numbers Proxmox has.
const ALL_NUMBERS: (u32, u32) = (100, 999_999_999);

/// A decoded node; `count` is not expanded yet.
#[derive(Debug)]
pub(in crate::config) struct ClusterGuestNode {
    /// What it declares, under the name as written.
    pub(in crate::config) guest: OnCluster,
    /// Where the name stands.
    pub(in crate::config) at: Span,
    /// `count`, where it is written.
    pub(in crate::config) count: Option<Spanned<u32>>,
    /// Profiles it uses.
    pub(in crate::config) uses: Vec<Spanned<String>>,
    /// What it states itself of that which profiles may state as well: they are not merged in yet.
    pub(in crate::config) own: Settings,
}

/// What guests of clusters share with those of this machine, and with profiles.
const SHARED: [&str; 7] = ["after", "authorized-key", "file", "file-sync", "git-identity", "session", "tags"];

/// A guest of either kind.
#[derive(Debug, Clone)]
pub(in crate::config) enum OnCluster {
    Container(Container),
    Vm(ClusterVm),
}

impl OnCluster {
    /// What both have.
    pub(in crate::config) const fn common(&self) -> &ClusterGuest {
        match self {
            Self::Container(container) => &container.guest,
            Self::Vm(vm) => &vm.guest,
        }
    }

    /// What both have, to be completed.
    pub(in crate::config) const fn common_mut(&mut self) -> &mut ClusterGuest {
        match self {
            Self::Container(container) => &mut container.guest,
            Self::Vm(vm) => &mut vm.guest,
        }
    }

    /// The same under another name.
    pub(in crate::config) fn named(&self, name: &str) -> Self {
        let mut guest = self.clone();
        name.clone_into(&mut guest.common_mut().name);
        guest
    }
}

/// Whether a `vm` node is one of a cluster: that is what the node `cluster` in its block says.
pub(in crate::config) fn is_on_cluster(node: &Node) -> bool {
    node.children.iter().flatten().any(|child| child.name.value == rules::CLUSTER.name)
}

/// The container, as far as it can be understood.
pub(in crate::config) fn container(node: &Node, problems: &mut Problems) -> Option<ClusterGuestNode> {
    let block = Block::read(node, &CONTAINER, problems);
    let guest = OnCluster::Container(container::decode(&block, problems)?);
    declared(&block, guest, problems)
}

/// The virtual machine, as far as it can be understood.
pub(in crate::config) fn vm(node: &Node, problems: &mut Problems) -> Option<ClusterGuestNode> {
    let block = Block::read(node, &CLUSTER_VM, problems);
    let guest = OnCluster::Vm(vm::decode(&block, problems)?);
    declared(&block, guest, problems)
}

fn declared(block: &Block<'_>, guest: OnCluster, problems: &mut Problems) -> Option<ClusterGuestNode> {
    let uses = guest::decode_uses(block, problems);
    let mut own = Settings::default();
    for node in block.all_children().filter(|node| SHARED.contains(&node.name.value.as_str())) {
        guest::decode_setting(node, &mut own, problems);
    }
    Some(ClusterGuestNode { guest, at: block.text("name")?.span, count: block.integer("count"), uses, own })
}

/// Takes the nodes of a block one kind at a time.
struct Reading<'a> {
    block: &'a Block<'a>,
    problems: &'a mut Problems,
}

impl Reading<'_> {
    /// What both kinds have; `origin` is read by each.
    fn common(&mut self, origin: Option<ClusterOrigin>) -> Option<ClusterGuest> {
        let cluster = self.text(&rules::CLUSTER, "cluster");
        let pool = self.text(&rules::POOL, "pool");
        let high_availability = self.block.children(high_availability::HA.name).next();
        let high_availability = high_availability.map(|node| high_availability::decode(node, self.problems));
        let firewall = self.block.children(firewall::FIREWALL.name).next();
        let firewall = firewall.map(|node| firewall::decode(node, self.problems));
        let dns =
            self.each(&rules::DNS, |block| Some((block.texts("server").collect::<Vec<_>>(), block.text("domain"))));
        let (dns_servers, search_domain) = dns.into_iter().next().map_or((Vec::new(), None), |dns| dns.value);
        let nodes = self.texts(&rules::NODE, "node");
        let vmid = self.vmid();
        let notes = self.text(&rules::NOTES, "text");
        let startup = self.each(&rules::STARTUP, startup).into_iter().next();
        let protection = self.boolean(&rules::PROTECTION, false);
        let on_boot = self.boolean(&rules::ON_BOOT, false);
        let running = self.boolean(&rules::RUNNING, true);
        let hook_script = self.text(&rules::HOOK_SCRIPT, "volume");
        let restarts = match self.text(&rules::RESTART, "when") {
            Some(when) => Setting::written(restarts(&when.value), when.span),
            None => Setting::default_value(Restarts::IfNeeded),
        };
        let inside = inside::decode(self.block, self.problems);
        let (name, span) = (self.block.text("name")?.value, self.block.node.span);
        let (cluster, origin) = (cluster?, origin?);
        Some(ClusterGuest {
            name,
            span,
            cluster,
            nodes,
            vmid,
            origin,
            pool,
            high_availability,
            firewall,
            dns_servers,
            search_domain,
            tags: Vec::new(),
            after: Vec::new(),
            notes,
            startup,
            protection,
            on_boot,
            hook_script,
            running,
            restarts,
            inside,
        })
    }

    fn each<T>(&mut self, rule: &'static NodeRule, read: impl Fn(&Block<'_>) -> Option<T>) -> Vec<Spanned<T>> {
        let mut all = Vec::new();
        for node in self.block.children(rule.name) {
            all.extend(read(&Block::read(node, rule, self.problems)).map(|value| Spanned::new(value, node.span)));
        }
        all
    }

    fn one<T>(
        &mut self,
        rule: &'static NodeRule,
        read: impl Fn(&Block<'_>) -> Option<Spanned<T>>,
    ) -> Option<Spanned<T>> {
        self.each(rule, read).into_iter().next().map(|outer| outer.value)
    }

    fn text(&mut self, rule: &'static NodeRule, name: &str) -> Option<Spanned<String>> {
        self.one(rule, |block| block.text(name))
    }

    fn texts(&mut self, rule: &'static NodeRule, name: &str) -> Vec<Spanned<String>> {
        let all = self.each(rule, |block| Some(block.texts(name).collect::<Vec<_>>()));
        all.into_iter().flat_map(|texts| texts.value).collect()
    }

    fn size(&mut self, rule: &'static NodeRule, name: &str) -> Option<Spanned<ByteSize>> {
        self.one(rule, |block| block.size(name))
    }

    fn boolean(&mut self, rule: &'static NodeRule, default: bool) -> Setting<bool> {
        decided(self.one(rule, |block| block.boolean("truth")), default)
    }

    fn vmid(&mut self) -> Setting<(u32, u32)> {
        let found = self.each(&rules::NUMBER, |block| {
            let number = |name| block.integer(name).map(|number| number.value);
            Some((number("number"), number("from"), number("to")))
        });
        let Some(written) = found.into_iter().next() else { return Setting::default_value(ALL_NUMBERS) };
        let range = match written.value {
            (Some(number), None, None) => (number, number),
            (None, from, to) if from.is_some() || to.is_some() => {
                (from.unwrap_or(ALL_NUMBERS.0), to.unwrap_or(ALL_NUMBERS.1))
            }
            _ => (1, 0),
        };
        if range.0 > range.1 {
            let message = "`vmid` takes either one number, or a range with `from=` not above `to=`";
            self.problems.push(Diagnostic::error("config::contradiction", message, written.span, "neither of the two"));
        }
        Setting::written(range, written.span)
    }
}

fn decided<T>(found: Option<Spanned<T>>, default: T) -> Setting<T> {
    found.map_or_else(|| Setting::default_value(default), |found| Setting::written(found.value, found.span))
}

/// A truth value that is false where it is not written.
fn truth(block: &Block<'_>, name: &str) -> bool {
    block.boolean(name).is_some_and(|truth| truth.value)
}

/// How an interface of either kind is connected.
fn connection(block: &Block<'_>) -> Option<Connection> {
    let text = |name| block.text(name).map(|text| text.value);
    let number = |name| block.integer(name).map(|number| number.value);
    Some(Connection {
        bridge: text("bridge")?,
        ip: text("ip"),
        gateway: text("gateway"),
        ip6: text("ip6"),
        gateway6: text("gateway6"),
        mac: text("mac"),
        vlan: number("vlan"),
        mtu: number("mtu"),
        firewall: truth(block, "firewall"),
    })
}

fn restarts(when: &str) -> Restarts {
    match when {
        "never" => Restarts::Never,
        "ask" => Restarts::Ask,
        _ => Restarts::IfNeeded,
    }
}

fn startup(block: &Block<'_>) -> Option<Startup> {
    let number = |name| block.integer(name).map(|number| number.value);
    Some(Startup { order: number("order"), up_s: number("up"), down_s: number("down") })
}

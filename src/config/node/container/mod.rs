//! `container NAME { … }`

mod rules;

use crate::config::block::Block;
use crate::config::language::NodeRule;
use crate::config::problems::Problems;
use crate::config::{ByteSize, Container, ContainerOrigin, Interface, Setting, Startup, Volume};
use crate::syntax::{Diagnostic, Node, Span, Spanned};

pub(in crate::config) use rules::CONTAINER;

const DEFAULT_MEMORY: ByteSize = ByteSize::mib(512);

/// The numbers Proxmox has.
const ALL_NUMBERS: (u32, u32) = (100, 999_999_999);

/// A decoded `container` node; `count` is not expanded yet.
#[derive(Debug)]
pub(in crate::config) struct ContainerNode {
    /// What it declares, under the name as written.
    pub(in crate::config) container: Container,
    /// Where the name stands.
    pub(in crate::config) at: Span,
    /// `count`, where it is written.
    pub(in crate::config) count: Option<Spanned<u32>>,
}

/// The container, as far as it can be understood.
pub(in crate::config) fn decode(node: &Node, problems: &mut Problems) -> Option<ContainerNode> {
    let before = problems.count();
    let block = Block::read(node, &CONTAINER, problems);
    let mut reading = Reading { block: &block, problems };
    let origin = reading.origin();
    let truth = |reading: &mut Reading<'_>, rule, default| reading.boolean(rule, default);
    let cluster = reading.text(&rules::CLUSTER, "cluster");
    let vmid = reading.vmid();
    let unprivileged = truth(&mut reading, &rules::UNPRIVILEGED, true);
    let protection = truth(&mut reading, &rules::PROTECTION, false);
    let on_boot = truth(&mut reading, &rules::ON_BOOT, false);
    let running = truth(&mut reading, &rules::RUNNING, true);
    let restarts = reading.text(&rules::RESTART, "when");
    let root_disk = reading.each(&rules::ROOT_DISK, volume).into_iter().next();
    let dns =
        reading.each(&rules::DNS, |block| Some((block.texts("server").collect::<Vec<_>>(), block.text("domain"))));
    let (dns_servers, search_domain) = dns.into_iter().next().map_or((Vec::new(), None), |dns| dns.value);
    let partial = (
        reading.texts(&rules::NODE, "node"),
        reading.one(&rules::CORES, |block| block.integer("cores")),
        reading.size(&rules::MEMORY, "memory"),
        reading.size(&rules::SWAP, "swap"),
        reading.each(&rules::MOUNT, |block| Some((block.text("path")?.value, volume(block)?))),
        reading.each(&rules::INTERFACE, interface),
    );
    let (nodes, cores, memory, swap, mounts, interfaces) = partial;
    let features = reading.texts(&rules::FEATURE, "feature");
    let tags = reading.texts(&rules::TAGS, "tag");
    let notes = reading.text(&rules::NOTES, "text");
    let startup = reading.each(&rules::STARTUP, startup).into_iter().next();
    let authorized_keys = reading.texts(&rules::AUTHORIZED_KEY, "key");
    let name = block.text("name")?;
    if problems.count() == before {
        check_disk(origin.as_ref(), root_disk.as_ref(), &block, problems);
    }
    let container = Container {
        name: name.value,
        span: node.span,
        cluster: cluster?,
        nodes,
        vmid,
        origin: origin?,
        unprivileged,
        cores,
        memory,
        swap,
        root_disk,
        mounts,
        interfaces,
        dns_servers,
        search_domain,
        features,
        tags,
        notes,
        startup,
        protection,
        on_boot,
        running,
        restarts: match restarts {
            Some(when) => Setting::written(when.value == "if-needed", when.span),
            None => Setting::default_value(true),
        },
        authorized_keys,
    };
    Some(ContainerNode { container, at: name.span, count: block.integer("count") })
}

/// A template has no root disk of its own.
fn check_disk(
    origin: Option<&ContainerOrigin>,
    root_disk: Option<&Spanned<Volume>>,
    block: &Block<'_>,
    problems: &mut Problems,
) {
    if matches!(origin, Some(ContainerOrigin::Template(_))) && root_disk.is_none() {
        let message = "`container` with a `template` lacks the node `root-disk`";
        let problem =
            Diagnostic::error("config::missing-node", message, block.head(), "expected `root-disk` in its block");
        problems.push(problem.help("such as `root-disk storage=\"local\" size=\"8GiB\"`"));
    }
}

/// Takes the nodes of a block one kind at a time.
struct Reading<'a> {
    block: &'a Block<'a>,
    problems: &'a mut Problems,
}

impl Reading<'_> {
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

    fn size(&mut self, rule: &'static NodeRule, name: &str) -> Setting<ByteSize> {
        decided(self.one(rule, |block| block.size(name)), DEFAULT_MEMORY)
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

    fn origin(&mut self) -> Option<ContainerOrigin> {
        let before = self.problems.count();
        let template = self.text(&rules::TEMPLATE, "volume");
        let clone = self.each(&rules::CLONE, |block| {
            let full = block.boolean("full").is_some_and(|full| full.value);
            let storage = block.text("storage").map(|storage| storage.value);
            Some(ContainerOrigin::Clone { vmid: block.integer("vmid")?, full, storage })
        });
        match (template, clone.into_iter().next()) {
            (Some(template), None) => Some(ContainerOrigin::Template(template)),
            (None, Some(clone)) => Some(clone.value),
            _ => {
                if self.problems.count() == before {
                    let message = "`container` takes either `template` or `clone`";
                    let head = self.block.head();
                    self.problems.push(Diagnostic::error(
                        "config::contradiction",
                        message,
                        head,
                        "not exactly one of them",
                    ));
                }
                None
            }
        }
    }
}

fn decided<T>(found: Option<Spanned<T>>, default: T) -> Setting<T> {
    found.map_or_else(|| Setting::default_value(default), |found| Setting::written(found.value, found.span))
}

fn volume(block: &Block<'_>) -> Option<Volume> {
    let truth = |name| block.boolean(name).is_some_and(|truth| truth.value);
    Some(Volume {
        storage: block.text("storage")?.value,
        size: block.size("size")?.value,
        backup: truth("backup"),
        read_only: truth("read-only"),
    })
}

fn interface(block: &Block<'_>) -> Option<Interface> {
    let text = |name| block.text(name).map(|text| text.value);
    let number = |name| block.integer(name).map(|number| number.value);
    Some(Interface {
        name: text("name")?,
        bridge: text("bridge")?,
        ip: text("ip"),
        gateway: text("gateway"),
        ip6: text("ip6"),
        gateway6: text("gateway6"),
        mac: text("mac"),
        vlan: number("vlan"),
        mtu: number("mtu"),
        firewall: block.boolean("firewall").is_some_and(|truth| truth.value),
    })
}

fn startup(block: &Block<'_>) -> Option<Startup> {
    let number = |name| block.integer(name).map(|number| number.value);
    Some(Startup { order: number("order"), up_s: number("up"), down_s: number("down") })
}

//! Nodes → [`Fleet`]: declarations decoded, profiles merged, counts expanded, references and clashes checked.

use std::collections::BTreeMap;

use super::node::{self, DOCUMENT, guest};
use super::problems::Problems;
use super::profiles::Profiles;
use super::renames;
use super::settings::Settings;
use super::{Fleet, Provenance, Setting, block};
use super::{cluster_guests, guests, order};
use crate::syntax::{Diagnostic, Node, Span, Spanned, Value};

/// Declarations of one kind by name, with the place of the name.
type Declared<T> = BTreeMap<String, (Span, T)>;

/// Everything that was declared, before guests are put together.
#[derive(Default)]
struct Declarations {
    header: Option<node::fleet::Header>,
    policy: Option<(Span, super::Policy)>,
    hosts: Declared<()>,
    images: Declared<super::Image>,
    kernels: Declared<super::Kernel>,
    networks: Declared<super::Network>,
    profiles: Declared<node::profile::Profile>,
    vms: Vec<node::vm::VmNode>,
    moved: Vec<node::moved::Moved>,
    forget: Vec<Spanned<String>>,
    clusters: Declared<super::Cluster>,
    cluster_guests: Vec<node::cluster_guest::ClusterGuestNode>,
    /// What the top of the file says about every guest.
    base: Settings,
    /// Where it says who commits.
    identity: Option<Span>,
}

/// The fleet; only to be used when no problem was found. Nodes are dropped as they are decoded: a large fleet is never
/// in memory twice.
pub(super) fn fleet(nodes: Vec<Node>, default_name: &str, problems: &mut Problems) -> Fleet {
    let mut declared = Declarations::default();
    for node in &nodes {
        mention(node, problems);
    }
    for node in nodes {
        declared.add(&node, problems);
    }
    let header = declared.header.unwrap_or_default();
    let name = header.name.map(|name| Setting::written(name.value, name.span));
    let profiles = declared.profiles.iter().map(|(name, (_, profile))| (name.clone(), profile.span)).collect();
    let mut fleet = Fleet {
        name: name.unwrap_or_else(|| Setting::default_value(default_name.into())),
        owner: header.owner,
        parallelism: header.parallelism,
        policy: declared.policy.map(|(_, policy)| super::Policy { of_fleet: true, ..policy }),
        images: unplaced(declared.images),
        kernels: unplaced(declared.kernels),
        networks: unplaced(declared.networks),
        vms: BTreeMap::new(),
        moved: BTreeMap::new(),
        forget: Vec::new(),
        clusters: unplaced(declared.clusters),
        containers: BTreeMap::new(),
        cluster_vms: BTreeMap::new(),
        provenance: Provenance { profiles, ..Provenance::default() },
    };
    let profiles = Profiles::new(unplaced(declared.profiles), problems);
    let mut counted = guests::add(&mut fleet, declared.vms, &profiles, &declared.base, problems);
    renames::add(&mut fleet, declared.moved, declared.forget, problems);
    let on_clusters = declared.cluster_guests;
    counted.extend(cluster_guests::add(&mut fleet, on_clusters, &profiles, &declared.base, problems));
    order::resolve(&mut fleet, &counted, problems);
    fleet
}

/// Remembers what a node declares before looking whether it does so well.
fn mention(node: &Node, problems: &mut Problems) {
    let kind =
        ["cluster", "image", "kernel", "network", "profile", "vm"].into_iter().find(|kind| *kind == node.name.value);
    let name = node.arguments.first().map(|argument| &argument.value.value);
    if let (Some(kind), Some(Value::String(name))) = (kind, name) {
        problems.declare(kind, name);
    }
}

fn unplaced<T>(declared: Declared<T>) -> BTreeMap<String, T> {
    declared.into_iter().map(|(name, (_, value))| (name, value)).collect()
}

impl Declarations {
    fn add(&mut self, node: &Node, problems: &mut Problems) {
        match node.name.value.as_str() {
            "fleet" => self.add_header(node, problems),
            "policy" => self.add_policy(node, problems),
            "host" => {
                let host = node::host::decode(node, problems);
                insert("host", &mut self.hosts, host.map(|name| (name, ())), problems);
            }
            "image" => insert("image", &mut self.images, node::image::decode(node, problems), problems),
            "kernel" => insert("kernel", &mut self.kernels, node::kernel::decode(node, problems), problems),
            "network" => insert("network", &mut self.networks, node::network::decode(node, problems), problems),
            "profile" => insert("profile", &mut self.profiles, node::profile::decode(node, problems), problems),
            "moved" => self.moved.extend(node::moved::decode(node, problems)),
            "forget" => self.forget.extend(node::forget::decode(node, problems)),
            "cluster" => insert("cluster", &mut self.clusters, node::cluster::decode(node, problems), problems),
            "container" => self.cluster_guests.extend(node::cluster_guest::container(node, problems)),
            "vm" if node::cluster_guest::is_on_cluster(node) => {
                self.cluster_guests.extend(node::cluster_guest::vm(node, problems));
            }
            "vm" => self.vms.extend(node::vm::decode(node, problems)),
            "module" => problems.push(
                Diagnostic::error(
                    "config::misplaced",
                    "found `module` in the middle",
                    node.name.span,
                    "not possible here",
                )
                .help("it is the first node of a file that others import"),
            ),
            "authorized-key" => guest::decode_setting(node, &mut self.base, problems),
            "git-identity" => self.add_identity(node, problems),
            _ => problems.push(block::unknown_node(node, &DOCUMENT)),
        }
    }
}

impl Declarations {
    fn add_header(&mut self, node: &Node, problems: &mut Problems) {
        let header = node::fleet::decode(node, problems);
        match (self.header.as_ref().and_then(|first| first.name.as_ref()), &header.name) {
            (Some(first), Some(again)) => problems.declared_twice("fleet", again, first.span),
            _ => self.header = Some(header),
        }
    }

    fn add_policy(&mut self, node: &Node, problems: &mut Problems) {
        let policy = node::policy::decode(node, problems);
        match &self.policy {
            None => self.policy = Some((node.name.span, policy)),
            Some((first, _)) => problems.push(
                Diagnostic::error("config::duplicate-node", "found a second `policy`", node.name.span, "again here")
                    .also(*first, "first here"),
            ),
        }
    }

    fn add_identity(&mut self, node: &Node, problems: &mut Problems) {
        match self.identity {
            None => {
                self.identity = Some(node.name.span);
                guest::decode_setting(node, &mut self.base, problems);
            }
            Some(first) => problems.push(
                Diagnostic::error(
                    "config::duplicate-node",
                    "found a second `git-identity` at the top of a file",
                    node.name.span,
                    "again here",
                )
                .also(first, "first here"),
            ),
        }
    }
}

fn insert<T>(kind: &str, all: &mut Declared<T>, found: Option<(Spanned<String>, T)>, problems: &mut Problems) {
    let Some((name, value)) = found else { return };
    match all.get(&name.value) {
        Some((first, _)) => problems.declared_twice(kind, &name, *first),
        None => {
            all.insert(name.value, (name.span, value));
        }
    }
}

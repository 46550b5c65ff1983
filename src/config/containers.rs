//! `container` nodes → containers: counts expanded, references and clashes checked.

use std::collections::BTreeMap;

use super::language::is_label;
use super::node::container::ContainerNode;
use super::problems::Problems;
use super::{Container, Fleet};
use crate::syntax::{Diagnostic, Span, Spanned, shown};

/// Adds all containers to the fleet, whose virtual machines and clusters are complete.
pub(super) fn add(fleet: &mut Fleet, nodes: Vec<ContainerNode>, problems: &mut Problems) {
    let mut numbers: BTreeMap<(String, u32), Span> = BTreeMap::new();
    for ContainerNode { container, at, count } in nodes {
        if !fleet.clusters.contains_key(&container.cluster.value) {
            problems.missing("cluster", &container.cluster);
        }
        check_block(&container, problems);
        check_number(&container, count, &mut numbers, problems);
        let names = match count {
            None => vec![container.name.clone()],
            Some(count) => (1..=count.value).map(|number| format!("{}-{number}", container.name)).collect(),
        };
        for name in names {
            // What is wrong with one guest of a count is wrong with all: it is said once.
            if !check_name(fleet, &name, at, problems) {
                break;
            }
            fleet.containers.insert(name.clone(), Container { name, ..container.clone() });
        }
    }
}

fn check_name(fleet: &Fleet, name: &str, at: Span, problems: &mut Problems) -> bool {
    if !is_label(name) {
        let message = format!("found the name `{}` of {} characters, the limit is 63", shown(name), name.len());
        problems.push(Diagnostic::error("config::long-name", message, at, "too long with its number"));
        return false;
    }
    let first = fleet.vms.get(name).map(|vm| vm.span);
    if let Some(first) = first.or_else(|| fleet.containers.get(name).map(|container| container.span)) {
        problems.declared_twice("guest", &Spanned::new(name.to_owned(), at), first);
        return false;
    }
    true
}

/// One number belongs to one guest of a cluster.
fn check_number(
    container: &Container,
    count: Option<Spanned<u32>>,
    numbers: &mut BTreeMap<(String, u32), Span>,
    problems: &mut Problems,
) {
    let (from, to) = container.vmid.value;
    let super::Origin::Written(span) = container.vmid.origin else { return };
    if from > to {
        return;
    }
    if let Some(count) = count.filter(|count| count.value > to - from + 1) {
        let message = format!("{} containers `{}` have only {} numbers", count.value, container.name, to - from + 1);
        problems.push(
            Diagnostic::error("config::duplicate-number", message, span, "too few numbers")
                .also(count.span, "for so many containers")
                .help("give them a larger range: `vmid from=… to=…`"),
        );
    }
    if from == to
        && let Some(first) = numbers.insert((container.cluster.value.clone(), from), span)
    {
        let message = format!("the number {from} is given to two containers of one cluster");
        problems.push(
            Diagnostic::error("config::duplicate-number", message, span, "again here")
                .also(first, "first here")
                .help("give each its own number, or both a range"),
        );
    }
}

/// What may be there only once in one container.
fn check_block(container: &Container, problems: &mut Problems) {
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    let interfaces = container.interfaces.iter().map(|net| (("interface", net.value.name.as_str()), net.span));
    let mounts = container.mounts.iter().map(|mount| (("mount", mount.value.0.as_str()), mount.span));
    for ((kind, name), span) in interfaces.chain(mounts) {
        if let Some(first) = seen.insert((kind, name), span) {
            problems.declared_twice(kind, &Spanned::new(name.to_owned(), span), first);
        }
    }
    for mount in container.mounts.iter().filter(|mount| !mount.value.0.starts_with('/')) {
        let message = format!("found the path `{}`, expected one that starts with `/`", shown(&mount.value.0));
        problems.push(Diagnostic::error("config::wrong-value", message, mount.span, "not accepted"));
    }
}

//! A guest's configuration as Proxmox has it → as it is compared.

use std::collections::{BTreeMap, BTreeSet};

use super::api::{Config, Listed};
use crate::resource::cluster::field::{Home, Several, by_key, canonical};
use crate::resource::cluster::{GuestKind, Mark, ObservedClusterGuest, Value, mark};

/// The guest, when it carries the mark of this fleet and is no copy of one that does; or when it carries no mark of anybody
/// and has the number that is to be taken over.
pub(super) fn guest(
    cluster: &str,
    fleet: &str,
    listed: &Listed,
    config: &Config,
    taken_over: Option<u32>,
) -> Option<ObservedClusterGuest> {
    let description = config.fields.get("description").map(String::as_str).unwrap_or_default();
    let mark::Description { notes, mark } = mark::read(description);
    let is_free = taken_over == Some(listed.vmid) && !listed.template && !description.contains(mark::BEGIN);
    let mark = match mark {
        Some(mark) if mark.fleet == fleet && mark.vmid == listed.vmid => mark,
        Some(_) => return None,
        None if is_free => Mark::to_come(fleet, &listed.name, listed.vmid),
        None => return None,
    };
    let (mut values, mut keys, mut sizes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut pending = BTreeSet::new();
    values.extend(listed.pool.as_ref().map(|pool| ("pool".to_owned(), Value::Text(pool.clone()))));
    for (key, raw) in config.fields.iter().filter(|(key, _)| is_of_config(listed.kind, key)) {
        let Some((path, value)) = canonical(listed.kind, key, raw) else { continue };
        if by_key(listed.kind, key).is_some_and(|(field, _)| field.several != Several::No) {
            keys.insert(path.clone(), key.clone());
        }
        if config.pending.contains(key) {
            pending.insert(path.clone());
        }
        let until_then = config.until_then.get(key).and_then(|raw| canonical(listed.kind, key, raw));
        if let Some(size) = until_then.as_ref().and_then(|(_, value)| value.as_properties()?.get("size")) {
            sizes.insert(path.clone(), size.to_owned());
        }
        values.insert(path, value);
    }
    let deleted = config.pending.iter().filter(|key| !config.fields.contains_key(*key));
    pending.extend(deleted.filter_map(|key| by_key(listed.kind, key)).map(|(field, _)| field.path.to_owned()));
    Some(ObservedClusterGuest {
        cluster: cluster.to_owned(),
        node: listed.node.clone(),
        vmid: listed.vmid,
        kind: listed.kind,
        mark,
        unprivileged: (listed.kind == GuestKind::Container)
            .then(|| config.fields.get("unprivileged").is_some_and(|value| value == "1")),
        notes,
        values,
        keys,
        pending,
        sizes,
        digest: config.fields.get("digest").cloned().unwrap_or_default(),
        digests: BTreeMap::new(),
        power: listed.power(),
        lock: config.fields.get("lock").cloned(),
    })
}

/// Other fields of the table are kept elsewhere.
fn is_of_config(kind: GuestKind, key: &str) -> bool {
    by_key(kind, key).is_some_and(|(field, _)| field.home == Home::Config)
}

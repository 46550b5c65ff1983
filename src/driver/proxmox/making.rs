//! The request that makes a guest, with its mark: from the first moment it is known whose it is.

use std::collections::{BTreeMap, BTreeSet};

use super::api::Place;
use super::exchange::{Call, Verb};
use crate::resource::cluster::mark::MARK_VERSION;
use crate::resource::cluster::{
    Act, ClusterGuestSpec, GuestKind, GuestOrigin, Mark, ObservedClusterGuest, Power, Value, compare, mark, percent,
};

/// The disk that an image is imported to, and that the machine boots from.
const FIRST_DISK: &str = "scsi0";

/// The request. `original` is what a clone is made of.
pub(super) fn request(spec: &ClusterGuestSpec, place: &Place, original: Option<&Place>) -> Call {
    let applied = if spec.origin.is_whole() { spec.set_when_made() } else { BTreeMap::new() };
    let mark = Mark {
        host_key: None,
        version: MARK_VERSION,
        fleet: spec.fleet.clone(),
        guest: spec.name.clone(),
        vmid: place.vmid,
        origin: spec.origin.words(),
        applied,
        notes: spec.notes.clone(),
    };
    let description = mark::write(spec.notes.as_deref().unwrap_or_default(), &mark);
    let new = || {
        let path = format!("/nodes/{}/{}", percent::encode(&place.node), place.kind.api_name());
        Call::new(Verb::Post, path).with("vmid", place.vmid.to_string())
    };
    let call = match &spec.origin {
        GuestOrigin::Template { volume, .. } => {
            let call = new()
                .with("ostemplate", volume)
                .with("unprivileged", if spec.unprivileged == Some(false) { "0" } else { "1" });
            let call = if spec.keys.is_empty() { call } else { call.with("ssh-public-keys", spec.keys.join("\n")) };
            return with_fields(call.with("description", description), spec, mark, place);
        }
        GuestOrigin::DiskImage { volume, .. } => {
            let call = new().with("ostype", "l26").with("scsihw", "virtio-scsi-single");
            let call = call.with("boot", format!("order={FIRST_DISK}")).with("description", description);
            return with_image(with_fields(call, spec, mark, place), volume);
        }
        GuestOrigin::Restore { volume, same, storage } => restore(new(), spec, volume, *same, storage.as_deref()),
        // Never made: who asks for it is told so before.
        GuestOrigin::Existing => new(),
        GuestOrigin::Clone { full, storage, .. } => clone(spec, place, original, *full, storage.as_deref()),
    };
    let pool = spec.values.get("pool").and_then(Value::as_text);
    let call = pool.into_iter().fold(call, |call, pool| call.with("pool", pool));
    call.with("description", description)
}

fn name_key(kind: GuestKind) -> &'static str {
    if kind == GuestKind::Container { "hostname" } else { "name" }
}

fn restore(call: Call, spec: &ClusterGuestSpec, volume: &str, same: bool, storage: Option<&str>) -> Call {
    let call = match spec.kind {
        GuestKind::Container => call.with("ostemplate", volume).with("restore", "1"),
        GuestKind::Vm => call.with("archive", volume),
    };
    let call = call.with(name_key(spec.kind), &spec.name).with("unique", if same { "0" } else { "1" });
    storage.into_iter().fold(call, |call, storage| call.with("storage", storage))
}

/// Proxmox takes the request where the original is; with `target` the copy is made elsewhere, on a storage that both share.
fn clone(spec: &ClusterGuestSpec, place: &Place, original: Option<&Place>, full: bool, storage: Option<&str>) -> Call {
    let original = original.unwrap_or(place);
    let call = Call::new(Verb::Post, original.path("/clone"))
        .with("newid", place.vmid.to_string())
        .with(name_key(spec.kind), &spec.name)
        .with("full", if full { "1" } else { "0" });
    let call = if original.node == place.node { call } else { call.with("target", &place.node) };
    storage.into_iter().filter(|_| full).fold(call, |call, storage| call.with("storage", storage))
}

/// The first disk is the image, on the storage that it was to be made on. It grows afterwards.
fn with_image(mut call: Call, volume: &str) -> Call {
    for (key, value) in &mut call.parameters {
        if key == FIRST_DISK {
            let (new, rest) = value.split_once(',').unwrap_or((value, ""));
            let storage = new.split(':').next().unwrap_or_default();
            let rest = if rest.is_empty() { String::new() } else { format!(",{rest}") };
            *value = format!("{storage}:0,import-from={volume}{rest}");
        }
    }
    call
}

/// All fields of a new guest: what differs from a guest without any.
fn with_fields(call: Call, spec: &ClusterGuestSpec, mark: Mark, place: &Place) -> Call {
    let nothing = ObservedClusterGuest {
        cluster: spec.cluster.clone(),
        node: place.node.clone(),
        vmid: place.vmid,
        kind: spec.kind,
        mark: Mark { applied: BTreeMap::new(), ..mark },
        unprivileged: spec.unprivileged,
        notes: String::new(),
        values: BTreeMap::new(),
        keys: BTreeMap::new(),
        pending: BTreeSet::new(),
        sizes: BTreeMap::new(),
        digest: String::new(),
        digests: BTreeMap::new(),
        power: Power::Off,
        lock: None,
    };
    let set = compare(spec, &nothing).all.into_iter().filter(|it| it.home.is_set_when_made() && !it.needs_root(spec));
    set.fold(call, |call, difference| match difference.act {
        Act::Set { key, value } => call.with(&key, value),
        Act::Delete { .. } | Act::Grow { .. } => call,
    })
}

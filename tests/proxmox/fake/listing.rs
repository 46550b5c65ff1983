//! What the fake shows of itself: version, guests and nodes at a glance, one guest's run state.

use regatta::resource::cluster::GuestKind;
use serde_json::{Value, json};

use super::guest::Guest;
use super::{Manner, World};

impl World {
    pub(super) fn version(&self) -> Value {
        match self.manner {
            Manner::V8 => json!({"version": "8.4.21", "release": "8.4", "repoid": "0"}),
            Manner::V9 => json!({"version": "9.2.11", "release": "9.2", "repoid": "0"}),
        }
    }

    /// `GET /cluster/resources`: guests, and unless only those are asked for, nodes and storages.
    pub(super) fn resources(&self, kind: Option<&str>) -> Value {
        let seen = self.guests.iter().filter(|(vmid, _)| self.has(&format!("/vms/{vmid}"), "VM.Audit"));
        let guests = seen.map(|(vmid, guest)| self.resource(*vmid, guest));
        if kind == Some("vm") {
            return Value::Array(guests.collect());
        }
        let nodes = self.nodes.iter().map(|(node, online)| match online {
            true if !self.has("/", "VM.Audit") => {
                json!({"type": "node", "node": node, "id": format!("node/{node}"), "status": "online", "level": "",
                    "cgroup-mode": 2})
            }
            true => json!({"type": "node", "node": node, "id": format!("node/{node}"), "status": "online", "level": "",
                "maxmem": 8u64 << 30, "mem": 1u64 << 30, "cpu": 0, "maxcpu": 8, "disk": 0, "maxdisk": 0, "uptime": 1,
                "cgroup-mode": 2}),
            false => json!({"type": "node", "node": node, "id": format!("node/{node}"), "status": "unknown"}),
        });
        let storages = self.nodes.keys().filter(|_| self.has("/storage/local", "Datastore.Audit")).map(|node| {
            json!({"type": "storage", "node": node, "id": format!("storage/{node}/local"), "storage": "local",
                "status": "available", "content": "images", "plugintype": "dir", "shared": 0, "disk": 0, "maxdisk": 0})
        });
        let zones = self.nodes.keys().filter(|_| self.has("/sdn", "VM.Audit")).map(|node| match self.manner {
            Manner::V8 => json!({"type": "sdn", "node": node, "sdn": "localnetwork", "status": "ok"}),
            Manner::V9 => json!({"type": "network", "node": node, "network": "localnetwork", "network-type": "zone",
                "status": "ok"}),
        });
        Value::Array(nodes.chain(storages).chain(zones).chain(guests).collect())
    }

    pub(super) fn resource(&self, vmid: u32, guest: &Guest) -> Value {
        let kind = guest.kind.api_name();
        let id = format!("{kind}/{vmid}");
        if !self.nodes.get(&guest.node).copied().unwrap_or_default() {
            return json!({"type": kind, "vmid": vmid, "node": guest.node, "status": "unknown", "id": id});
        }
        let mut item = usage(guest);
        let more = json!({"type": kind, "vmid": vmid, "node": guest.node, "id": id, "status": status(guest),
            "template": u8::from(guest.template), "maxcpu": 2, "diskread": 0, "diskwrite": 0});
        merge(&mut item, more);
        merge(&mut item, self.tags_and_lock(guest));
        item["name"] = json!(guest.name());
        if let Some(pool) = self.beside.pool_of(vmid) {
            item["pool"] = json!(pool);
        }
        if let Some(service) = self.beside.services.get(&vmid) {
            item["hastate"] = json!(service["state"]);
        }
        if self.manner == Manner::V9 {
            item["memhost"] = json!(0);
        }
        item
    }

    fn tags_and_lock(&self, guest: &Guest) -> Value {
        let mut shown = json!({});
        if let Some(tags) = guest.config.get("tags") {
            shown["tags"] = json!(tags);
        }
        if let Some(lock) = &guest.lock {
            shown["lock"] = json!(lock);
        }
        shown
    }

    /// `GET status/current`.
    pub(super) fn current(&self, vmid: u32) -> Value {
        let guest = &self.guests[&vmid];
        let mut shown = usage(guest);
        let managed = u8::from(self.beside.services.contains_key(&vmid));
        merge(
            &mut shown,
            json!({"vmid": vmid, "status": status(guest), "cpus": 2, "ha": {"managed": managed}, "name": guest.name()}),
        );
        merge(&mut shown, self.tags_and_lock(guest));
        let own = match guest.kind {
            GuestKind::Container => json!({"type": "lxc", "swap": 0, "maxswap": 0, "diskread": 0, "diskwrite": 0}),
            GuestKind::Vm => json!({"qmpstatus": status(guest)}),
        };
        merge(&mut shown, own);
        if guest.kind == GuestKind::Vm {
            if guest.config.contains_key("agent") {
                shown["agent"] = json!(1);
            }
            if self.manner == Manner::V9 {
                shown["memhost"] = json!(0);
            }
        }
        if guest.running {
            merge(&mut shown, self.running_only(guest));
        }
        shown
    }

    fn running_only(&self, guest: &Guest) -> Value {
        let mut shown = json!({"pid": 1512});
        if self.manner == Manner::V9 {
            for what in ["cpu", "io", "memory"] {
                for how in ["full", "some"] {
                    shown[format!("pressure{what}{how}")] = json!(0);
                }
            }
        }
        if guest.kind == GuestKind::Vm {
            shown["nics"] = json!({});
        }
        shown
    }
}

fn status(guest: &Guest) -> &'static str {
    if guest.running { "running" } else { "stopped" }
}

fn usage(_: &Guest) -> Value {
    json!({"cpu": 0, "mem": 0, "maxmem": 0, "disk": 0, "maxdisk": 0, "netin": 0, "netout": 0, "uptime": 0})
}

fn merge(into: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    into.as_object_mut().unwrap().extend(more);
}

//! What a genuine server keeps of guests beside their configurations: pools, firewalls, high availability.

use std::collections::{BTreeMap, BTreeSet};

use regatta::driver::proxmox::exchange::{Call, Verb};
use regatta::resource::Digest;
use regatta::resource::cluster::GuestKind;
use serde_json::{Value, json};

use super::{Manner, Refusal, World, parameter, refused, wrong_parameter};

/// Fields by name.
pub(crate) type Fields = BTreeMap<String, String>;

/// The firewall of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Firewall {
    pub(crate) options: Fields,
    pub(crate) rules: Vec<Fields>,
}

impl Firewall {
    /// Options and rules have digests of their own.
    fn digest(&self, what: &str) -> String {
        let text = if what == "options" { format!("{:?}", self.options) } else { format!("{:?}", self.rules) };
        Digest::of(text.as_bytes()).as_str()[..40].to_owned()
    }
}

/// What guests are in and under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Comments and members of pools by name.
    pub(crate) pools: BTreeMap<String, (String, BTreeSet<u32>)>,
    /// Guests that high availability looks after.
    pub(crate) services: BTreeMap<u32, Fields>,
    /// Groups of nodes up to 8, rules from 9 on, by name.
    pub(crate) affinities: BTreeMap<String, Fields>,
    pub(crate) firewalls: BTreeMap<u32, Firewall>,
    /// Guests that high availability is about to start or stop, and after how many requests.
    pub(crate) queue: BTreeMap<u32, (bool, u32)>,
}

impl Beside {
    pub(crate) fn pool_of(&self, vmid: u32) -> Option<&String> {
        self.pools.iter().find(|(_, (_, members))| members.contains(&vmid)).map(|(name, _)| name)
    }

    /// Puts a guest into a pool, and out of any other.
    pub(crate) fn join(&mut self, vmid: u32, pool: &str) {
        for (_, members) in self.pools.values_mut() {
            members.remove(&vmid);
        }
        if let Some((_, members)) = self.pools.get_mut(pool) {
            members.insert(vmid);
        }
    }

    /// Forgets a guest.
    pub(crate) fn remove(&mut self, vmid: u32) {
        for (_, members) in self.pools.values_mut() {
            members.remove(&vmid);
        }
        self.services.remove(&vmid);
        self.firewalls.remove(&vmid);
        self.queue.remove(&vmid);
    }
}

fn digest_of(all: &Fields) -> String {
    Digest::of(format!("{all:?}").as_bytes()).as_str()[..40].to_owned()
}

/// The parameters of a request that are fields.
fn fields<'a>(call: &'a Call, others: &'a [&'a str]) -> impl Iterator<Item = (String, String)> + 'a {
    call.parameters.iter().filter(|(key, _)| !others.contains(&key.as_str())).cloned()
}

fn deleted(call: &Call) -> impl Iterator<Item = &str> {
    parameter(call, "delete").into_iter().flat_map(|keys| keys.split(','))
}

fn typed(all: &Fields, numbers: &[&str]) -> serde_json::Map<String, Value> {
    let value = |key: &str, value: &String| match value.parse::<u64>() {
        Ok(number) if numbers.contains(&key) => json!(number),
        _ => json!(value),
    };
    all.iter().map(|(key, text)| (key.clone(), value(key, text))).collect()
}

impl World {
    /// High availability does what it was asked for, some time later.
    pub(super) fn let_crm_work(&mut self) {
        let due = |(vmid, (on, left)): (&u32, &mut (bool, u32))| {
            *left = left.saturating_sub(1);
            (*left == 0).then_some((*vmid, *on))
        };
        let due: Vec<(u32, bool)> = self.beside.queue.iter_mut().filter_map(due).collect();
        for (vmid, on) in due {
            self.beside.queue.remove(&vmid);
            if let Some(guest) = self.guests.get_mut(&vmid) {
                guest.power(on);
            }
        }
    }

    pub(super) fn on_pools(&mut self, verb: Verb, path: &[&str], call: &Call) -> Result<Value, Refusal> {
        let name = path.first().copied().or_else(|| parameter(call, "poolid")).unwrap_or_default().to_owned();
        match verb {
            Verb::Get if name.is_empty() => Ok(self
                .beside
                .pools
                .iter()
                .map(|(name, (comment, _))| json!({"poolid": name, "comment": comment}))
                .collect()),
            Verb::Post => {
                let comment = parameter(call, "comment").unwrap_or_default().to_owned();
                self.beside.pools.insert(name, (comment, BTreeSet::new()));
                Ok(Value::Null)
            }
            Verb::Delete => match self.beside.pools.get(&name) {
                None => refused(500, format!("delete pool failed: pool '{name}' does not exist")),
                Some((_, members)) if !members.is_empty() => {
                    let first = members.first().unwrap();
                    refused(500, format!("delete pool failed: pool '{name}' is not empty (contains VM {first})"))
                }
                Some(_) => {
                    self.beside.pools.remove(&name);
                    Ok(Value::Null)
                }
            },
            Verb::Get => self.pool(&name, path.is_empty()),
            Verb::Put => self.members(&name, call),
        }
    }

    fn pool(&self, name: &str, listed: bool) -> Result<Value, Refusal> {
        let Some((comment, members)) = self.beside.pools.get(name) else {
            return refused(500, format!("pool '{name}' does not exist"));
        };
        let shown = members.iter().filter_map(|vmid| Some(self.resource(*vmid, self.guests.get(vmid)?)));
        let mut pool = json!({"comment": comment, "members": shown.collect::<Vec<_>>()});
        pool["poolid"] = json!(name);
        Ok(if listed { json!([pool]) } else { pool })
    }

    fn members(&mut self, name: &str, call: &Call) -> Result<Value, Refusal> {
        if !self.has(&format!("/pool/{name}"), "Pool.Allocate") {
            return refused(403, format!("Permission check failed (/pool/{name}, Pool.Allocate)"));
        }
        let vmids: Vec<u32> =
            parameter(call, "vms").unwrap_or_default().split(',').filter_map(|it| it.parse().ok()).collect();
        let leaves = parameter(call, "delete") == Some("1");
        let moves = parameter(call, "allow-move") == Some("1");
        if !self.beside.pools.contains_key(name) {
            return refused(500, format!("pool '{name}' does not exist"));
        }
        for vmid in vmids {
            let is = self.beside.pool_of(vmid).cloned();
            match (is, leaves) {
                (Some(is), true) if is == name => {}
                (_, true) => return refused(500, format!("VM {vmid} is not a pool member")),
                (Some(is), false) if is == name => {
                    return refused(500, format!("VM {vmid} is already a pool member"));
                }
                (Some(is), false) if !moves => {
                    return refused(
                        500,
                        format!("VM {vmid} belongs already to pool '{is}' and 'allow-move' is not set"),
                    );
                }
                _ => {}
            }
            self.beside.join(vmid, if leaves { "" } else { name });
        }
        Ok(Value::Null)
    }

    pub(super) fn on_services(&mut self, verb: Verb, path: &[&str], call: &Call) -> Result<Value, Refusal> {
        let needs = if verb == Verb::Get { "Sys.Audit" } else { "Sys.Console" };
        if !self.has("/", needs) {
            return refused(403, format!("Permission check failed (/, {needs})"));
        }
        let shown = |world: &Self, vmid: &u32, all: &Fields| {
            let kind = if world.guests.get(vmid).is_some_and(|it| it.kind == GuestKind::Vm) { "vm" } else { "ct" };
            let mut shown = typed(all, &["max_restart", "max_relocate"]);
            shown.insert("sid".into(), json!(format!("{kind}:{vmid}")));
            shown.insert("type".into(), json!(kind));
            shown.insert("digest".into(), json!("22262bab945d589ff54c46d481f2eee6fc0712ed"));
            Value::Object(shown)
        };
        let sid = path.first().copied().or_else(|| parameter(call, "sid")).unwrap_or_default().to_owned();
        let vmid: u32 = sid.split(':').next_back().and_then(|vmid| vmid.parse().ok()).unwrap_or_default();
        if let Some(refusal) = self.wrong_group(call) {
            return Err(refusal);
        }
        match (verb, self.beside.services.get(&vmid).cloned()) {
            (Verb::Get, _) if sid.is_empty() => {
                Ok(self.beside.services.iter().map(|(vmid, all)| shown(self, vmid, all)).collect())
            }
            (Verb::Get, Some(all)) => Ok(shown(self, &vmid, &all)),
            (Verb::Post, None) if !self.guests.contains_key(&vmid) => {
                refused(500, format!("unable to add service '{sid}' - service does not exist"))
            }
            (Verb::Post, None) => {
                let mut all: Fields = fields(call, &["sid"]).collect();
                all.entry("state".into()).or_insert_with(|| "started".into());
                self.wish(vmid, all["state"] == "started");
                self.beside.services.insert(vmid, all);
                Ok(Value::Null)
            }
            (Verb::Post, Some(_)) => refused(500, format!("resource ID '{sid}' already defined")),
            (_, None) => refused(500, format!("no such resource '{sid}'")),
            (Verb::Put, Some(mut all)) => {
                for key in deleted(call) {
                    if !["group", "max_restart", "max_relocate", "comment", "failback"].contains(&key) {
                        return refused(500, format!("no such option '{key}'"));
                    }
                    all.remove(key);
                }
                all.extend(fields(call, &["sid", "delete", "digest"]));
                self.beside.services.insert(vmid, all);
                Ok(Value::Null)
            }
            (Verb::Delete, Some(_)) => {
                self.beside.affinities.retain(|_, rule| rule.get("resources") != Some(&sid));
                self.beside.services.remove(&vmid);
                self.beside.queue.remove(&vmid);
                Ok(Value::Null)
            }
        }
    }

    fn wrong_group(&self, call: &Call) -> Option<Refusal> {
        let group = parameter(call, "group")?;
        match self.manner {
            Manner::V9 => wrong_parameter::<()>("group", "HA groups have been migrated to rules").err(),
            Manner::V8 if self.beside.affinities.contains_key(group) => None,
            Manner::V8 => refused::<()>(500, format!("ha group '{group}' does not exist")).err(),
        }
    }

    /// Groups of 8 and rules of 9.
    pub(super) fn on_affinities(
        &mut self,
        verb: Verb,
        what: &str,
        path: &[&str],
        call: &Call,
    ) -> Result<Value, Refusal> {
        let key = match (self.manner, what) {
            (Manner::V8, "groups") => "group",
            (Manner::V9, "rules") => "rule",
            (Manner::V9, _) => return refused(500, "cannot use HA groups: they have been migrated to rules"),
            (Manner::V8, _) => {
                return refused(501, format!("Method '{} {}' not implemented", verb.name(), call.path));
            }
        };
        let needs = if verb == Verb::Get { "Sys.Audit" } else { "Sys.Console" };
        if !self.has("/", needs) {
            return refused(403, format!("Permission check failed (/, {needs})"));
        }
        let id = path.first().copied().or_else(|| parameter(call, key)).unwrap_or_default().to_owned();
        let unmanaged = |sid: &&str| {
            let vmid = sid.split(':').next_back().and_then(|vmid| vmid.parse().ok());
            !vmid.is_some_and(|vmid: u32| self.beside.services.contains_key(&vmid))
        };
        let resources = parameter(call, "resources").unwrap_or_default();
        if let Some(sid) = resources.split(',').filter(|sid| !sid.is_empty()).find(unmanaged) {
            return refused(500, format!("cannot use unmanaged resource(s) {sid}."));
        }
        match (verb, self.beside.affinities.get(&id).cloned()) {
            (Verb::Get, _) if path.is_empty() => {
                let shown = |(id, all): (&String, &Fields)| {
                    let mut shown = typed(all, &["restricted", "strict", "disable"]);
                    shown.insert(key.into(), json!(id));
                    shown.insert("digest".into(), json!(digest_of(all)));
                    Value::Object(shown)
                };
                Ok(self.beside.affinities.iter().map(shown).collect())
            }
            (Verb::Post, None) => {
                self.beside.affinities.insert(id, fields(call, &[key]).collect());
                Ok(Value::Null)
            }
            (Verb::Post, Some(_)) => refused(500, format!("HA {key} '{id}' already defined")),
            (_, None) => refused(500, format!("no such ha {key} '{id}'")),
            (Verb::Put, Some(all)) if parameter(call, "digest").is_some_and(|is| is != digest_of(&all)) => {
                refused(500, "detected modified configuration - file changed by other user? Try again.")
            }
            (Verb::Put, Some(mut all)) => {
                all.extend(fields(call, &[key, "digest", "delete"]));
                self.beside.affinities.insert(id, all);
                Ok(Value::Null)
            }
            (Verb::Delete, Some(_)) if self.beside.services.values().any(|all| all.get("group") == Some(&id)) => {
                refused(500, format!("ha group is used by service '{id}'"))
            }
            (Verb::Delete, Some(_)) => {
                self.beside.affinities.remove(&id);
                Ok(Value::Null)
            }
            (Verb::Get, Some(_)) => refused(501, "not asked for"),
        }
    }

    /// What high availability is asked for it does a little later, where there is a manager.
    pub(super) fn wish(&mut self, vmid: u32, on: bool) {
        if self.has_manager && self.guests.get(&vmid).is_some_and(|guest| guest.running != on) {
            self.beside.queue.insert(vmid, (on, 3));
        }
    }

    pub(super) fn on_firewall(&mut self, verb: Verb, vmid: u32, path: &[&str], call: &Call) -> Result<Value, Refusal> {
        if verb != Verb::Get && !self.has(&format!("/vms/{vmid}"), "VM.Config.Network") {
            return refused(403, format!("Permission check failed (/vms/{vmid}, VM.Config.Network)"));
        }
        let mut wall = self.beside.firewalls.get(&vmid).cloned().unwrap_or_default();
        let guarded = matches!(verb, Verb::Put | Verb::Delete);
        if guarded && parameter(call, "digest").is_some_and(|digest| digest != wall.digest(path[0])) {
            return refused(500, "detected modified configuration - file changed by other user? Try again.");
        }
        let position = path.get(1).and_then(|position| position.parse::<usize>().ok());
        if position.is_some_and(|position| position >= wall.rules.len()) {
            return wrong_parameter("pos", format!("no rule at position {}", path[1]));
        }
        let shown = |wall: &Firewall, position: usize| {
            let mut rule = typed(&wall.rules[position], &["enable"]);
            rule.insert("pos".into(), json!(position));
            rule.insert("digest".into(), json!(wall.digest("rules")));
            Value::Object(rule)
        };
        match (verb, path[0], position) {
            (Verb::Get, "options", _) => {
                let mut all = typed(&wall.options, &["enable", "dhcp", "ndp", "radv", "macfilter", "ipfilter"]);
                all.insert("digest".into(), json!(wall.digest("options")));
                return Ok(Value::Object(all));
            }
            (Verb::Get, _, None) => return Ok((0..wall.rules.len()).map(|position| shown(&wall, position)).collect()),
            (Verb::Get, _, Some(position)) => return Ok(shown(&wall, position)),
            (Verb::Put, "options", _) => {
                deleted(call).for_each(|key| drop(wall.options.remove(key)));
                wall.options.extend(fields(call, &["delete", "digest"]));
            }
            (Verb::Post, "rules", None) => {
                let mut rule: Fields = fields(call, &["digest", "pos"]).collect();
                rule.entry("enable".into()).or_insert_with(|| "0".into());
                wall.rules.insert(0, rule);
            }
            (Verb::Put, "rules", Some(position)) => {
                for key in deleted(call) {
                    if matches!(key, "type" | "action") {
                        return wrong_parameter("delete", format!("unable to delete required property '{key}'"));
                    }
                    wall.rules[position].remove(key);
                }
                wall.rules[position].extend(fields(call, &["delete", "digest", "pos", "moveto"]));
            }
            (Verb::Delete, "rules", Some(position)) => drop(wall.rules.remove(position)),
            _ => return refused(501, format!("Method '{} {}' not implemented", verb.name(), call.path)),
        }
        self.beside.firewalls.insert(vmid, wall);
        Ok(Value::Null)
    }
}

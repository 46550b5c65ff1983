//! A cluster in memory that behaves like a genuine one where the driver could notice: what it normalises, refuses, locks
//! and leaves pending, and what it does when something goes wrong. It answers with status, reason and body.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use regatta::driver::proxmox::ApiError;
use regatta::driver::proxmox::answer::Answer;
use regatta::driver::proxmox::exchange::{Call, Exchange, Verb};
use regatta::resource::cluster::percent;
use serde_json::{Value, json};

use crate::fault::{Fault, Strike};
use crate::guest::{Guest, normalised};

/// What a token for fleets has.
const ALL: [&str; 12] = [
    "Datastore.AllocateSpace",
    "Datastore.Audit",
    "SDN.Use",
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
];

/// A cluster that several clients may use at once.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<World>>);

/// What there is.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) guests: BTreeMap<u32, Guest>,
    /// Nodes, and whether they are online.
    pub(crate) nodes: BTreeMap<String, bool>,
    /// Privileges of the token by path; they hold below it as well.
    pub(crate) privileges: BTreeMap<String, BTreeSet<String>>,
    /// Tasks: polls that are left, exit status.
    tasks: BTreeMap<String, Task>,
    pub(crate) quorum: bool,
    /// Requests so far, as `VERB path`.
    pub(crate) requests: Vec<String>,
    pub(crate) strike: Option<Strike>,
    pub(crate) macs: u32,
    /// How often a task says that it still runs.
    pub(crate) polls: u32,
}

#[derive(Debug, Clone)]
struct Task {
    polls: u32,
    exit: String,
    vmid: u32,
    /// What it does when it ends.
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Nothing,
    Unlock(Vec<u32>),
    /// The first is removed, the others are unlocked.
    TakeBack(Vec<u32>),
    Power(u32, bool),
    Remove(u32),
}

/// Status, reason, errors by parameter.
pub(crate) type Refusal = (u16, String, BTreeMap<String, String>);

fn refused<T>(status: u16, reason: impl Into<String>) -> Result<T, Refusal> {
    Err((status, reason.into(), BTreeMap::new()))
}

impl Fake {
    /// Three nodes, and guests that are nobody's business.
    pub(crate) fn new() -> Self {
        let fake = Self::default();
        {
            let mut world = fake.world();
            world.nodes = ["pve1", "pve2", "pve3"].map(|node| (node.to_owned(), true)).into();
            world.privileges = [("/".to_owned(), ALL.map(str::to_owned).into())].into();
            world.quorum = true;
            let foreign = [("hostname", "other"), ("memory", "64"), ("tags", "theirs"), ("description", "hands off\n")];
            world.guests.insert(100, Guest::of("pve1", &foreign, true));
            let original =
                [("hostname", "original"), ("memory", "512"), ("rootfs", "local:900/base-900-disk-0.raw,size=1G")];
            world.guests.insert(900, Guest { template: true, ..Guest::of("pve2", &original, false) });
        }
        fake
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Guests that are not the fleet's.
    pub(crate) fn foreign(&self) -> BTreeMap<u32, Guest> {
        [100, 900].into_iter().map(|vmid| (vmid, self.world().guests[&vmid].clone())).collect()
    }
}

#[async_trait]
impl Exchange for Fake {
    async fn exchange(&self, call: &Call) -> Result<Answer, ApiError> {
        // Others get their turn between any two requests.
        tokio::task::yield_now().await;
        let mut world = self.world();
        let index = world.requests.len();
        world.requests.push(call.to_string());
        let fault = world.strike.as_ref().filter(|strike| strike.hits(index, call)).map(|strike| strike.fault);
        match fault {
            None => Ok(world.answer(call)),
            Some(fault) => world.struck(fault, call),
        }
    }
}

impl World {
    fn struck(&mut self, fault: Fault, call: &Call) -> Result<Answer, ApiError> {
        if let Some((status, reason)) = fault.refusal() {
            return Ok(answer(Err((status, reason.to_owned(), fault.errors()))));
        }
        match fault {
            Fault::Unreachable => Err(ApiError::Unreachable("connection refused".into())),
            Fault::LostBefore => Err(ApiError::Unknown("lost the connection before it answered".into())),
            Fault::LostAfter => {
                self.answer(call);
                Err(ApiError::Unknown("lost the connection before it answered".into()))
            }
            Fault::GatewayTimeout => {
                self.answer(call);
                Ok(Answer { status: 596, reason: "Connection timed out".into(), body: Vec::new() })
            }
            Fault::Moved => {
                let guest = vmid(call).and_then(|vmid| self.guests.get_mut(&vmid));
                if let Some(guest) = guest.filter(|guest| !guest.template) {
                    guest.config.insert("arch".into(), format!("amd64-{}", self.requests.len()));
                }
                Ok(self.answer(call))
            }
            Fault::Raced => {
                if let Some(vmid) =
                    parameter(call, "vmid").or_else(|| parameter(call, "newid")).and_then(|v| v.parse().ok())
                {
                    self.guests.entry(vmid).or_insert_with(|| Guest::of("pve1", &[("hostname", "racer")], false));
                }
                Ok(self.answer(call))
            }
            Fault::TaskEnds(exit) => {
                let answered = self.answer(call);
                let name: Option<Value> = serde_json::from_slice(&answered.body).ok();
                let name = name.and_then(|body| body["data"].as_str().map(str::to_owned));
                if let Some(task) = name.and_then(|name| self.tasks.get_mut(&name)) {
                    task.exit = exit.to_owned();
                    if !exit.starts_with("WARNINGS") && !exit.starts_with("unable") {
                        // A worker that fails takes back what it began.
                        task.then = match &task.then {
                            Then::Unlock(vmids) => Then::TakeBack(vmids.clone()),
                            _ => Then::Nothing,
                        };
                    }
                }
                Ok(answered)
            }
            _ => Ok(self.answer(call)),
        }
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let result = self.handle(call);
        answer(result)
    }

    fn handle(&mut self, call: &Call) -> Result<Value, Refusal> {
        let path: Vec<String> = call.path.split('/').skip(1).map(percent::decode).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if !matches!(call.verb, Verb::Get) && !self.quorum {
            return refused(500, "cluster not ready - no quorum?");
        }
        match (call.verb, path.as_slice()) {
            (Verb::Get, ["version"]) => Ok(json!({"version": "9.2.11", "release": "9.2", "repoid": "0"})),
            (Verb::Get, ["cluster", "resources"]) => Ok(self.resources()),
            (Verb::Get, ["access", "permissions"]) => {
                let path = parameter(call, "path").unwrap_or("/");
                let holds = |at: &str| at == "/" || at == path || path.starts_with(&format!("{at}/"));
                let granted = self.privileges.iter().filter(|(at, _)| holds(at)).flat_map(|(_, names)| names);
                let all: BTreeMap<&String, u8> = granted.map(|name| (name, 1)).collect();
                Ok(json!({ path: all }))
            }
            (Verb::Get, ["nodes", node, "tasks"]) => Ok(self.running(node, parameter(call, "vmid"))),
            (Verb::Get, ["nodes", _, "tasks", upid, "status"]) => self.poll(upid),
            (Verb::Get, ["nodes", _, "tasks", upid, "log"]) => match self.tasks.get(*upid) {
                Some(task) => {
                    Ok(json!([{"n": 1, "t": "it began"}, {"n": 2, "t": format!("TASK ERROR: {}", task.exit)}]))
                }
                None => refused(400, "Parameter verification failed."),
            },
            (Verb::Post, ["nodes", node, "lxc"]) => self.create(node, call),
            (verb, ["nodes", node, "lxc", vmid, rest @ ..]) => {
                let vmid: u32 =
                    vmid.parse().map_err(|_| (400, "Parameter verification failed.".to_owned(), BTreeMap::new()))?;
                match self.guests.get(&vmid) {
                    Some(guest) if guest.node == *node => self.on_guest(verb, vmid, rest, call),
                    _ => refused(500, format!("Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist")),
                }
            }
            (verb, _) => refused(501, format!("Method '{} {}' not implemented", verb.name(), call.path)),
        }
    }

    fn on_guest(&mut self, verb: Verb, vmid: u32, rest: &[&str], call: &Call) -> Result<Value, Refusal> {
        let guest = &self.guests[&vmid];
        match (verb, rest) {
            (Verb::Get, ["config"]) => Ok(guest.shown()),
            (Verb::Get, ["pending"]) => Ok(guest.pending_view()),
            (Verb::Get, ["status", "current"]) => {
                Ok(json!({"status": if guest.running { "running" } else { "stopped" }, "vmid": vmid}))
            }
            (Verb::Put, ["config"]) => self.configure(vmid, call),
            (Verb::Put, ["resize"]) => self.resize(vmid, call),
            (Verb::Post, ["clone"]) => self.clone_of(vmid, call),
            (Verb::Post, ["status", what @ ("start" | "shutdown")]) => self.power(vmid, *what == "start"),
            (Verb::Delete, []) => self.delete(vmid),
            _ => refused(501, format!("Method '{} {}' not implemented", verb.name(), call.path)),
        }
    }

    fn resources(&self) -> Value {
        let guests = self.guests.iter().map(|(vmid, guest)| {
            if !self.nodes[&guest.node] {
                return json!({"type": "lxc", "vmid": vmid, "node": guest.node, "status": "unknown", "id": format!("lxc/{vmid}")});
            }
            let status = if guest.running { "running" } else { "stopped" };
            let mut item = json!({"type": "lxc", "vmid": vmid, "node": guest.node, "status": status, "template": u8::from(guest.template)});
            item["name"] = json!(guest.config.get("hostname"));
            if let Some(tags) = guest.config.get("tags") {
                item["tags"] = json!(tags);
            }
            item
        });
        let nodes = self.nodes.iter().map(|(node, online)| match online {
            true => json!({"type": "node", "node": node, "status": "online", "maxmem": 8u64 << 30, "mem": 1u64 << 30}),
            false => json!({"type": "node", "node": node, "status": "unknown"}),
        });
        Value::Array(nodes.chain(guests).collect())
    }

    fn begin(&mut self, kind: &str, vmid: u32, then: Then) -> Value {
        let node = self.guests[&vmid].node.clone();
        let name = format!("UPID:{node}:0000017A:0003A5FB:{:08X}:{kind}:{vmid}:root@pam!ci:", self.tasks.len());
        self.tasks.insert(name.clone(), Task { polls: self.polls, exit: "OK".into(), vmid, then });
        Value::String(name)
    }

    fn poll(&mut self, upid: &str) -> Result<Value, Refusal> {
        let Some(task) = self.tasks.get_mut(upid) else { return refused(400, "Parameter verification failed.") };
        if task.polls > 0 {
            task.polls -= 1;
            return Ok(json!({"status": "running", "upid": upid}));
        }
        let (exit, then) = (task.exit.clone(), std::mem::replace(&mut task.then, Then::Nothing));
        self.end(then);
        Ok(json!({"status": "stopped", "exitstatus": exit, "upid": upid}))
    }

    fn end(&mut self, then: Then) {
        match then {
            Then::Nothing => {}
            Then::Unlock(vmids) => vmids.iter().for_each(|vmid| self.guests.get_mut(vmid).unwrap().lock = None),
            Then::TakeBack(vmids) => {
                self.guests.remove(&vmids[0]);
                vmids[1..].iter().for_each(|vmid| self.guests.get_mut(vmid).unwrap().lock = None);
            }
            Then::Power(vmid, on) => self.guests.get_mut(&vmid).unwrap().power(on),
            Then::Remove(vmid) => drop(self.guests.remove(&vmid)),
        }
    }

    /// Lets every task come to its end, as time does.
    pub(crate) fn let_tasks_end(&mut self) {
        let ended: Vec<Then> = self
            .tasks
            .values_mut()
            .map(|task| {
                task.polls = 0;
                std::mem::replace(&mut task.then, Then::Nothing)
            })
            .collect();
        ended.into_iter().for_each(|then| self.end(then));
    }

    fn running(&self, node: &str, vmid: Option<&str>) -> Value {
        let ours = self.tasks.iter().filter(|(name, task)| {
            name.starts_with(&format!("UPID:{node}:"))
                && vmid == Some(task.vmid.to_string().as_str())
                && !matches!(task.then, Then::Nothing)
        });
        Value::Array(ours.map(|(name, _)| json!({"upid": name, "status": "RUNNING"})).collect())
    }

    fn create(&mut self, node: &str, call: &Call) -> Result<Value, Refusal> {
        let vmid: u32 = parameter(call, "vmid").and_then(|vmid| vmid.parse().ok()).unwrap_or_default();
        let mut config: BTreeMap<String, String> =
            [("memory", "512"), ("swap", "512"), ("arch", "amd64")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (key, value) in &call.parameters {
            if matches!(key.as_str(), "vmid" | "ostemplate" | "ssh-public-keys") {
                continue;
            }
            config.insert(key.clone(), normalised(key, value, vmid, &mut self.macs)?);
        }
        if self.guests.contains_key(&vmid) {
            return refused(500, format!("CT {vmid} already exists on node 'pve1'"));
        }
        let guest = Guest { config, lock: Some("create".into()), ..Guest::of(node, &[], false) };
        self.guests.insert(vmid, guest);
        Ok(self.begin("vzcreate", vmid, Then::Unlock(vec![vmid])))
    }

    fn clone_of(&mut self, original: u32, call: &Call) -> Result<Value, Refusal> {
        self.unlocked(original)?;
        let newid: u32 = parameter(call, "newid").and_then(|vmid| vmid.parse().ok()).unwrap_or_default();
        if self.guests.contains_key(&newid) {
            return refused(500, format!("CT {newid} already exists on node 'pve1'"));
        }
        let mut guest = Guest { template: false, ..self.guests[&original].clone() };
        guest.config.insert("rootfs".into(), format!("local:{newid}/vm-{newid}-disk-0.raw,size=1G"));
        for key in ["hostname", "description"] {
            if let Some(value) = parameter(call, key) {
                guest.config.insert(key.into(), normalised(key, value, newid, &mut self.macs)?);
            }
        }
        guest.lock = Some("create".into());
        self.guests.insert(newid, guest);
        self.guests.get_mut(&original).unwrap().lock = Some("disk".into());
        Ok(self.begin("vzclone", newid, Then::Unlock(vec![newid, original])))
    }

    fn unlocked(&self, vmid: u32) -> Result<(), Refusal> {
        match &self.guests[&vmid].lock {
            Some(lock) => refused(500, format!("CT is locked ({lock})")),
            None => Ok(()),
        }
    }

    fn configure(&mut self, vmid: u32, call: &Call) -> Result<Value, Refusal> {
        let mut guest = self.guests[&vmid].clone();
        if parameter(call, "digest").is_some_and(|digest| digest != guest.digest()) {
            return refused(500, "detected modified configuration - file changed by other user? Try again.");
        }
        self.unlocked(vmid)?;
        let fields: Vec<&(String, String)> =
            call.parameters.iter().filter(|(key, _)| !matches!(key.as_str(), "digest" | "delete")).collect();
        let deleted: Vec<&str> = parameter(call, "delete").into_iter().flat_map(|keys| keys.split(',')).collect();
        if fields.is_empty() && deleted.is_empty() {
            return refused(500, "no options specified");
        }
        for (key, value) in fields {
            let value = normalised(key, value, vmid, &mut self.macs)?;
            guest.set(key, Some(value));
        }
        for key in deleted {
            if matches!(key, "rootfs" | "memory") {
                return refused(500, "unable to delete required option");
            }
            guest.set(key, None);
        }
        self.guests.insert(vmid, guest);
        Ok(Value::Null)
    }

    fn resize(&mut self, vmid: u32, call: &Call) -> Result<Value, Refusal> {
        self.unlocked(vmid)?;
        let (Some(disk), Some(size)) = (parameter(call, "disk"), parameter(call, "size")) else {
            return refused(400, "Parameter verification failed.");
        };
        let guest = self.guests.get_mut(&vmid).unwrap();
        let Some(is) = guest.config.get(disk).cloned() else {
            return refused(500, format!("disk '{disk}' does not exist"));
        };
        let parts = is.split(',').filter(|part| !part.starts_with("size="));
        let grown = parts.map(str::to_owned).chain([format!("size={size}")]).collect::<Vec<_>>().join(",");
        guest.config.insert(disk.to_owned(), grown);
        Ok(self.begin("resize", vmid, Then::Nothing))
    }

    fn power(&mut self, vmid: u32, on: bool) -> Result<Value, Refusal> {
        let running = self.guests[&vmid].running;
        match (on, running) {
            (true, true) => refused(500, format!("CT {vmid} already running")),
            (false, false) => refused(500, format!("CT {vmid} not running")),
            _ => {
                let locked = self.unlocked(vmid).err().map(|(_, reason, _)| reason);
                let then = if locked.is_some() { Then::Nothing } else { Then::Power(vmid, on) };
                let name = self.begin(if on { "vzstart" } else { "vzshutdown" }, vmid, then);
                if let (Some(reason), Some(task)) = (locked, name.as_str().and_then(|name| self.tasks.get_mut(name))) {
                    task.exit = reason;
                }
                Ok(name)
            }
        }
    }

    fn delete(&mut self, vmid: u32) -> Result<Value, Refusal> {
        self.unlocked(vmid)?;
        let guest = &self.guests[&vmid];
        if guest.running {
            return refused(500, format!("unable to destroy CT {vmid} - container is running"));
        }
        if guest.config.get("protection").is_some_and(|on| on == "1") {
            return refused(500, format!("can't remove CT {vmid} - protection mode enabled"));
        }
        Ok(self.begin("vzdestroy", vmid, Then::Remove(vmid)))
    }
}

pub(crate) fn parameter<'a>(call: &'a Call, key: &str) -> Option<&'a str> {
    call.parameters.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

fn vmid(call: &Call) -> Option<u32> {
    call.path.split('/').nth(4)?.parse().ok()
}

fn answer(result: Result<Value, Refusal>) -> Answer {
    let (status, reason, body) = match result {
        Ok(data) => (200, "OK".to_owned(), json!({ "data": data })),
        Err((status, reason, errors)) if errors.is_empty() => {
            (status, reason.clone(), json!({"data": null, "message": format!("{reason}\n")}))
        }
        Err((status, reason, errors)) => {
            (status, reason.clone(), json!({"data": null, "message": format!("{reason}\n"), "errors": errors}))
        }
    };
    let body = if status == 401 { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
    Answer { status, reason, body }
}

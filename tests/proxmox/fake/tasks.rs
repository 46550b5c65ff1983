//! Tasks of the fake: what they are called, what they do when they end, how they are listed.

use std::collections::BTreeMap;

use regatta::driver::proxmox::answer::Answer;
use regatta::driver::proxmox::exchange::{Call, Verb};
use serde_json::{Value, json};

use super::{Refusal, World, parameter, refused, wrong_parameter};

#[derive(Debug, Clone)]
pub(super) struct Task {
    polls: u32,
    pub(super) exit: String,
    kind: String,
    id: String,
    serial: usize,
    over: bool,
    /// What it does when it ends.
    then: Then,
}

#[derive(Debug, Clone)]
pub(super) enum Then {
    Nothing,
    /// The first is made what it will be; all are unlocked.
    Made(Vec<u32>, BTreeMap<String, String>),
    /// The first is removed, the others are unlocked.
    TakeBack(Vec<u32>),
    Power(u32, bool),
    /// High availability is asked for it.
    Wish(u32, bool),
    Remove(u32),
    Grow(u32, String, String),
    Set(u32, BTreeMap<String, String>),
    /// A node has a volume.
    Have(String, String),
}

impl World {
    pub(super) fn begin(&mut self, kind: &str, vmid: u32, then: Then) -> Value {
        let node = self.guests.get(&vmid).map_or_else(|| "pve1".to_owned(), |guest| guest.node.clone());
        self.begin_on(&node, kind, &vmid.to_string(), then)
    }

    /// A task about something else than a guest.
    pub(super) fn begin_on(&mut self, node: &str, kind: &str, id: &str, then: Then) -> Value {
        let serial = self.tasks.len();
        let name = format!("UPID:{node}:0000017A:0003A5FB:{serial:08X}:{kind}:{id}:root@pam!ci:");
        let (kind, id, polls) = (kind.to_owned(), id.to_owned(), self.polls);
        let task = Task { polls, exit: "OK".into(), kind, id, serial, over: false, then };
        self.tasks.insert(name.clone(), task);
        Value::String(name)
    }

    /// A task that cannot do what it was started for.
    pub(super) fn fail(&mut self, kind: &str, vmid: u32, exit: impl Into<String>) -> Value {
        let name = self.begin(kind, vmid, Then::Nothing);
        self.end_with(&name, &exit.into());
        name
    }

    /// Says how a task will end that does nothing.
    pub(super) fn end_without(&mut self, name: &Value, exit: &str) {
        if let Some(task) = name.as_str().and_then(|name| self.tasks.get_mut(name)) {
            (task.exit, task.then) = (exit.to_owned(), Then::Nothing);
        }
    }

    /// A task that ends when somebody ends it.
    pub(super) fn begin_endless(&mut self, kind: &str, vmid: u32) -> Value {
        let name = self.begin(kind, vmid, Then::Nothing);
        if let Some(task) = name.as_str().and_then(|name| self.tasks.get_mut(name)) {
            task.polls = u32::MAX;
        }
        name
    }

    /// Says how a task will end.
    pub(super) fn end_with(&mut self, name: &Value, exit: &str) {
        if let Some(task) = name.as_str().and_then(|name| self.tasks.get_mut(name)) {
            task.exit = exit.to_owned();
        }
    }

    /// Lets the task that an answer names end like this.
    pub(super) fn end_badly(&mut self, answered: &Answer, exit: &str) {
        let body: Option<Value> = serde_json::from_slice(&answered.body).ok();
        let name = body.and_then(|body| body["data"].as_str().map(str::to_owned));
        let Some(task) = name.and_then(|name| self.tasks.get_mut(&name)) else { return };
        task.exit = exit.to_owned();
        if !exit.starts_with("WARNINGS") && !exit.starts_with("un") {
            // A worker that fails takes back what it began.
            task.then = match &task.then {
                Then::Made(vmids, _) => Then::TakeBack(vmids.clone()),
                _ => Then::Nothing,
            };
        }
    }

    pub(super) fn on_task(&mut self, verb: Verb, upid: &str, rest: &[&str]) -> Result<Value, Refusal> {
        if !upid.starts_with("UPID:") || upid.split(':').count() != 9 {
            return wrong_parameter("upid", "unable to parse worker upid");
        }
        if !self.tasks.contains_key(upid) {
            return wrong_parameter("upid", "no such task");
        }
        if !self.has("/", "VM.Audit") {
            return refused(403, "Permission check failed (/nodes/pve1, Sys.Audit)");
        }
        match (verb, rest) {
            (Verb::Get, ["status"]) => Ok(self.poll(upid)),
            (Verb::Get, ["log"]) => Ok(self.log(upid)),
            (Verb::Delete, []) => {
                let task = self.tasks.get_mut(upid).unwrap();
                (task.exit, task.then, task.polls) = ("received interrupt".into(), Then::Nothing, 0);
                Ok(Value::Null)
            }
            _ => refused(501, format!("Method '{}' not implemented", verb.name())),
        }
    }

    fn log(&self, upid: &str) -> Value {
        let task = &self.tasks[upid];
        let end = match task.exit.as_str() {
            "OK" => "TASK OK".to_owned(),
            exit if exit.starts_with("WARNINGS") => format!("TASK {exit}"),
            exit => format!("TASK ERROR: {exit}"),
        };
        json!([{"n": 1, "t": "it began"}, {"n": 2, "t": end}])
    }

    fn poll(&mut self, upid: &str) -> Value {
        let task = self.tasks.get_mut(upid).unwrap();
        let over = task.polls == 0;
        task.polls = if task.polls == u32::MAX { u32::MAX } else { task.polls.saturating_sub(1) };
        if over {
            self.finish(upid);
        }
        let task = &self.tasks[upid];
        let mut shown = task.shown(upid);
        shown["user"] = json!("root@pam");
        shown["status"] = json!(if task.over { "stopped" } else { "running" });
        if task.over {
            shown["exitstatus"] = json!(task.exit);
        }
        shown
    }

    fn finish(&mut self, upid: &str) {
        let task = self.tasks.get_mut(upid).unwrap();
        task.over = true;
        let then = std::mem::replace(&mut task.then, Then::Nothing);
        let unlock = |world: &mut Self, vmids: &[u32]| {
            vmids.iter().filter_map(|vmid| world.guests.get_mut(vmid).map(|guest| guest.lock = None)).for_each(drop);
        };
        match then {
            Then::Nothing => {}
            Then::Made(vmids, config) => {
                unlock(self, &vmids);
                self.guests.get_mut(&vmids[0]).unwrap().config = config;
            }
            Then::TakeBack(vmids) => {
                self.beside.remove(vmids[0]);
                self.guests.remove(&vmids[0]);
                unlock(self, &vmids[1..]);
            }
            Then::Wish(vmid, on) => {
                let state = if on { "started" } else { "stopped" };
                if let Some(service) = self.beside.services.get_mut(&vmid) {
                    service.insert("state".into(), state.into());
                }
                self.wish(vmid, on);
            }
            Then::Power(vmid, on) => self.guests.get_mut(&vmid).unwrap().power(on),
            Then::Remove(vmid) => {
                self.beside.remove(vmid);
                self.guests.remove(&vmid);
            }
            Then::Have(node, volume) => {
                if let Some(all) = &mut self.volumes {
                    all.insert((node, volume));
                }
            }
            Then::Grow(vmid, disk, raw) => drop(self.guests.get_mut(&vmid).unwrap().config.insert(disk, raw)),
            Then::Set(vmid, fields) => self.guests.get_mut(&vmid).unwrap().config.extend(fields),
        }
    }

    /// Lets every task come to its end, as time does.
    pub(crate) fn let_tasks_end(&mut self) {
        let mut open: Vec<(usize, String)> = self
            .tasks
            .iter()
            .filter(|(_, task)| !task.over && task.polls < u32::MAX)
            .map(|(name, task)| (task.serial, name.clone()))
            .collect();
        open.sort();
        open.iter().for_each(|(_, name)| self.finish(name));
    }

    pub(super) fn tasks_of(&self, node: &str, call: &Call) -> Value {
        let (vmid, source) = (parameter(call, "vmid"), parameter(call, "source").unwrap_or("archive"));
        let limit = parameter(call, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(50);
        let fits = |(name, task): &(&String, &Task)| {
            let here = name.starts_with(&format!("UPID:{node}:")) && vmid.is_none_or(|vmid| vmid == task.id);
            let filtered = match (parameter(call, "statusfilter"), parameter(call, "errors")) {
                (Some("warning"), _) => task.exit.starts_with("WARNINGS"),
                (_, Some("1")) => task.exit != "OK",
                _ => true,
            };
            here && filtered
                && match source {
                    "active" => !task.over,
                    "all" => true,
                    _ => task.over,
                }
        };
        self.list(fits, limit)
    }

    pub(super) fn all_tasks(&self) -> Value {
        let mut all = self.list(|_| true, 50);
        for task in all.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            if task.contains_key("endtime") {
                task.insert("saved".into(), json!("1"));
                task.retain(|key, _| !matches!(key.as_str(), "pid" | "pstart"));
            } else {
                task.insert("tokenid".into(), json!("ci"));
                task.retain(|key, _| !matches!(key.as_str(), "status" | "saved" | "pstart"));
            }
        }
        all
    }

    fn list(&self, fits: impl Fn(&(&String, &Task)) -> bool, limit: usize) -> Value {
        if !self.has("/", "VM.Audit") {
            return json!([]);
        }
        let mut tasks: Vec<(&String, &Task)> = self.tasks.iter().filter(|task| fits(task)).collect();
        tasks.sort_by_key(|(_, task)| std::cmp::Reverse(task.serial));
        let shown = tasks.into_iter().take(limit).map(|(name, task)| {
            let mut shown = task.shown(name);
            shown["status"] = json!(if task.over { task.exit.as_str() } else { "RUNNING" });
            shown["user"] = json!(if task.over { "root@pam" } else { "root@pam!ci" });
            if task.over {
                shown["endtime"] = json!(1);
            } else {
                shown["saved"] = json!("0");
                shown.as_object_mut().unwrap().remove("tokenid");
            }
            shown
        });
        Value::Array(shown.collect())
    }
}

impl Task {
    fn shown(&self, name: &str) -> Value {
        let node = name.split(':').nth(1).unwrap_or_default();
        json!({"upid": name, "node": node, "id": self.id, "type": self.kind, "tokenid": "ci", "pid": 378,
               "pstart": 239_099, "starttime": 1})
    }
}

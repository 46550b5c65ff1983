//! A cluster in memory that behaves like a genuine one where the driver could notice: what it normalises, refuses, locks
//! and leaves pending, and what it does when something goes wrong. It answers with status, reason and body.
//!
//! `recorded.rs` holds it against the recorded answers of genuine servers.

mod access;
pub(crate) mod beside;
pub(crate) mod fault;
pub(crate) mod guest;
pub(crate) mod inside;
mod lifecycle;
mod listing;
mod make;
mod storage;
mod tasks;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use regatta::driver::proxmox::ApiError;
use regatta::driver::proxmox::answer::Answer;
use regatta::driver::proxmox::exchange::{Call, Exchange, Upload, Verb};
use regatta::resource::cluster::{GuestKind, percent};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::schema;
use beside::Beside;
use fault::{Fault, Strike};
use guest::Guest;
use tasks::Task;

/// A cluster that several clients may use at once.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<World>>);

/// Which release it behaves like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    V8,
    #[default]
    V9,
}

/// What there is.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) manner: Manner,
    pub(crate) guests: BTreeMap<u32, Guest>,
    /// Nodes, and whether they are online.
    pub(crate) nodes: BTreeMap<String, bool>,
    /// Privileges of the token by path; they hold below it as well.
    pub(crate) privileges: BTreeMap<String, BTreeSet<String>>,
    /// Whether it is root with a password who asks: no token may do everything.
    pub(crate) is_root: bool,
    /// Whether a token of few rights was given some by now.
    pub(crate) granted: bool,
    /// Guests that do not shut down when they are asked to.
    pub(crate) stubborn: BTreeSet<u32>,
    /// What is kept of guests beside their configurations.
    pub(crate) beside: Beside,
    /// Whether high availability does what it is asked for.
    pub(crate) has_manager: bool,
    /// Volumes by node; `None` when all that are asked for are there.
    pub(crate) volumes: Option<BTreeSet<(String, String)>>,
    /// What runs inside of guests.
    pub(crate) insides: BTreeMap<u32, inside::Inside>,
    /// Backups by volume.
    pub(crate) backups: BTreeMap<String, Guest>,
    tasks: BTreeMap<String, Task>,
    pub(crate) quorum: bool,
    /// Requests so far, as `VERB path`.
    pub(crate) requests: Vec<String>,
    /// How long each answer takes.
    pub(crate) latency: Duration,
    /// The file that came with the last upload.
    pub(crate) uploaded: Vec<u8>,
    pub(crate) strike: Option<Strike>,
    macs: u32,
    /// How often a task says that it still runs.
    pub(crate) polls: u32,
}

/// Status, reason, errors by parameter.
pub(crate) type Refusal = (u16, String, BTreeMap<String, String>);

fn refused<T>(status: u16, reason: impl Into<String>) -> Result<T, Refusal> {
    Err((status, reason.into(), BTreeMap::new()))
}

fn wrong_parameter<T>(key: &str, why: impl Into<String>) -> Result<T, Refusal> {
    Err((400, "Parameter verification failed.".into(), [(key.to_owned(), why.into())].into()))
}

impl Fake {
    /// Three nodes, originals to clone, and guests that are nobody's business.
    pub(crate) fn new() -> Self {
        Self::of(Manner::V9)
    }

    /// As [`Self::new`], in the manner of a release.
    pub(crate) fn of(manner: Manner) -> Self {
        let fake = Self::default();
        {
            let mut world = fake.world();
            world.manner = manner;
            world.nodes = ["pve1", "pve2", "pve3"].map(|node| (node.to_owned(), true)).into();
            world.privileges = [("/".to_owned(), access::ALL.map(str::to_owned).into())].into();
            world.quorum = true;
            world.has_manager = true;
            world.beside.pools = ["lab", "prod"].map(|name| (name.to_owned(), Default::default())).into();
            let foreign = [("hostname", "other"), ("memory", "64"), ("tags", "theirs"), ("description", "hands off\n")];
            world.guests.insert(100, Guest::of("pve1", &foreign, true));
            let original =
                [("hostname", "original"), ("memory", "512"), ("rootfs", "local:900/base-900-disk-0.raw,size=1G")];
            world.guests.insert(900, Guest { template: true, ..Guest::of("pve2", &original, false) });
            let original = [
                ("name", "original-vm"),
                ("memory", "2048"),
                ("cores", "1"),
                ("agent", "enabled=1"),
                ("boot", "order=scsi0"),
                ("ide2", "local:901/vm-901-cloudinit.qcow2,media=cdrom,size=4M"),
                ("net0", "virtio=BC:24:11:00:99:01,bridge=vmbr0"),
                ("scsi0", "local:901/base-901-disk-0.qcow2,size=3G"),
                ("scsihw", "virtio-scsi-single"),
            ];
            world.guests.insert(901, Guest { template: true, ..Guest::vm("pve2", &original, false) });
        }
        fake
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Guests that do not carry our mark.
    pub(crate) fn foreign(&self) -> BTreeMap<u32, Guest> {
        let world = self.world();
        let others = world.guests.iter().filter(|(_, guest)| !guest.is_marked());
        others.map(|(vmid, guest)| (*vmid, guest.clone())).collect()
    }
}

#[async_trait]
impl Exchange for Fake {
    async fn exchange(&self, call: &Call) -> Result<Answer, ApiError> {
        // Others get their turn between any two requests.
        let latency = self.world().latency;
        if latency.is_zero() {
            tokio::task::yield_now().await;
            schema::assert_valid(call);
        } else {
            // Where time is taken, only answering may take it.
            tokio::time::sleep(latency).await;
        }
        let mut world = self.world();
        let index = world.requests.len();
        world.requests.push(call.to_string());
        let fault = world.strike.as_ref().filter(|strike| strike.hits(index, call)).map(|strike| strike.fault);
        match fault {
            None => Ok(world.answer(call)),
            Some(fault) => world.struck(fault, call),
        }
    }

    async fn upload(&self, call: &Call, mut file: Upload) -> Result<Answer, ApiError> {
        let mut bytes = Vec::new();
        let read = file.from.read_to_end(&mut bytes).await;
        assert_eq!(read.unwrap() as u64, file.length);
        // A genuine server takes the file into its temporary directory, and hands its name on as one more parameter.
        let call = call.clone().with("filename", file.name);
        self.world().uploaded = bytes;
        self.exchange(&call).await
    }
}

impl World {
    pub(crate) fn struck(&mut self, fault: Fault, call: &Call) -> Result<Answer, ApiError> {
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
                let number = parameter(call, "vmid").or_else(|| parameter(call, "newid"));
                if let Some(vmid) = number.and_then(|vmid| vmid.parse().ok()) {
                    self.guests.entry(vmid).or_insert_with(|| Guest::of("pve1", &[("hostname", "racer")], false));
                }
                Ok(self.answer(call))
            }
            Fault::TaskEnds(exit) => {
                let answered = self.answer(call);
                self.end_badly(&answered, exit);
                Ok(answered)
            }
            _ => Ok(self.answer(call)),
        }
    }

    pub(crate) fn answer(&mut self, call: &Call) -> Answer {
        let result = self.handle(call);
        answer(result)
    }

    fn handle(&mut self, call: &Call) -> Result<Value, Refusal> {
        self.let_crm_work();
        let path: Vec<String> = call.path.split('/').skip(1).map(percent::decode).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if !matches!(call.verb, Verb::Get) && !self.quorum {
            return refused(500, "cluster not ready - no quorum?");
        }
        match (call.verb, path.as_slice()) {
            (Verb::Get, ["version"]) => Ok(self.version()),
            (Verb::Get, ["cluster", "resources"]) => Ok(self.resources(parameter(call, "type"))),
            (Verb::Get, ["access", "permissions"]) => Ok(self.permissions(parameter(call, "path"))),
            (Verb::Get, ["cluster", "tasks"]) => Ok(self.all_tasks()),
            (Verb::Get, ["nodes", node, "tasks"]) => Ok(self.tasks_of(node, call)),
            (verb, ["nodes", _, "tasks", upid, rest @ ..]) => self.on_task(verb, upid, rest),
            (verb, ["pools", rest @ ..]) => self.on_pools(verb, rest, call),
            (verb, ["cluster", "ha", "resources", rest @ ..]) => self.on_services(verb, rest, call),
            (verb, ["cluster", "ha", what @ ("groups" | "rules"), rest @ ..]) => {
                self.on_affinities(verb, what, rest, call)
            }
            (Verb::Get, ["nodes", node, "storage", storage, "content"]) => self.content(node, storage, call),
            (Verb::Post, ["nodes", node, "storage", storage, "download-url"]) => self.download(node, storage, call),
            (Verb::Post, ["nodes", node, "storage", storage, "upload"]) => self.take_upload(node, storage, call),
            (Verb::Post, ["nodes", node, "lxc"]) => self.create(GuestKind::Container, node, call),
            (Verb::Post, ["nodes", node, "qemu"]) => self.create(GuestKind::Vm, node, call),
            (verb, ["nodes", node, kind @ ("lxc" | "qemu"), vmid, rest @ ..]) => {
                let kind = if *kind == "lxc" { GuestKind::Container } else { GuestKind::Vm };
                let Ok(number) = vmid.parse() else {
                    return wrong_parameter("vmid", format!("type check ('integer') failed - got '{vmid}'"));
                };
                self.may(verb, number, rest, call)?;
                match self.guests.get(&number) {
                    Some(guest) if guest.node == *node && guest.kind == kind => self.on_guest(verb, number, rest, call),
                    _ => refused(500, no_such(kind, node, number, rest)),
                }
            }
            (verb, _) => refused(501, format!("Method '{} {}' not implemented", verb.name(), call.path)),
        }
    }

    fn on_guest(&mut self, verb: Verb, vmid: u32, rest: &[&str], call: &Call) -> Result<Value, Refusal> {
        let guest = &self.guests[&vmid];
        match (verb, rest) {
            (Verb::Get, ["config"]) => Ok(guest.shown(parameter(call, "current"), parameter(call, "snapshot"))),
            (Verb::Get, ["pending"]) => Ok(guest.pending_view()),
            (Verb::Get, ["interfaces" | "agent", ..]) => self.inside(vmid, rest, call),
            (Verb::Get, ["status", "current"]) => Ok(self.current(vmid)),
            (Verb::Put | Verb::Post, ["config"]) => self.configure(verb, vmid, call),
            (Verb::Put, ["resize"]) => self.resize(vmid, call),
            (Verb::Post, ["clone"]) => self.clone_of(vmid, call),
            (Verb::Post, ["status", what]) => self.power(vmid, what, call),
            (Verb::Post, ["template"]) => Ok(self.make_template(vmid)),
            (verb, ["firewall", rest @ ..]) if !rest.is_empty() => self.on_firewall(verb, vmid, rest, call),
            (Verb::Get, ["feature"]) => Ok(json!({"hasFeature": u8::from(!guest.is_on_directory())})),
            (Verb::Get, ["snapshot"]) => Ok(guest.snapshot_list()),
            (Verb::Get, ["snapshot", name, "config"]) => {
                let mut shown = guest.shown(None, Some(name));
                shown.as_object_mut().unwrap().remove("digest");
                Ok(shown)
            }
            (Verb::Post, ["snapshot", ..]) | (Verb::Delete, ["snapshot", ..]) => {
                self.on_snapshot(verb, vmid, &rest[1..], call)
            }
            (Verb::Post, ["move_volume" | "move_disk"]) => Ok(self.move_volume(vmid, call)),
            (Verb::Delete, []) => self.delete(vmid, call),
            _ => refused(501, format!("Method '{} {}' not implemented", verb.name(), call.path)),
        }
    }

    fn mac(&mut self) -> String {
        self.macs += 1;
        format!("BC:24:11:00:{:02X}:{:02X}", self.macs / 256, self.macs % 256)
    }
}

fn no_such(kind: GuestKind, node: &str, vmid: u32, rest: &[&str]) -> String {
    match (kind, rest) {
        (GuestKind::Vm, ["clone"]) => format!("unable to find configuration file for VM {vmid} on node '{node}'"),
        (GuestKind::Vm, _) => format!("Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"),
        (GuestKind::Container, _) => format!("Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist"),
    }
}

pub(crate) fn parameter<'a>(call: &'a Call, key: &str) -> Option<&'a str> {
    call.parameters.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
}

fn vmid(call: &Call) -> Option<u32> {
    call.path.split('/').nth(4)?.parse().ok()
}

pub(crate) fn answer(result: Result<Value, Refusal>) -> Answer {
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

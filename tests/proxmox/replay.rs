//! Our fake held against genuine servers: every recorded request is sent to it, in the order in which it was sent to
//! them, and its answers to requests that the driver makes are compared: status, reason, parameters with errors, keys of
//! the data, and how tasks end. What differs is told.

use std::collections::{BTreeMap, BTreeSet};

use regatta::driver::proxmox::answer::Answer;
use regatta::driver::proxmox::exchange::{Call, Verb};
use regatta::resource::cluster::percent;
use serde_json::Value;

use crate::fake::fault::Fault;
use crate::fake::guest::Guest;
use crate::fake::{Fake, Manner, World, answer};
use crate::recorded::{exchanges, recordings};
use crate::schema;

/// What has to agree.
const AGREE_PERCENT: usize = 95;

/// Artefacts of the recording: its machine had no AppArmor, so that nothing could be plugged into a container.
const ARTEFACTS: [&str; 2] = ["hot-mp", "mixed-put-400"];

/// What was done to the genuine servers at a request, and our fake does when it is told to.
const FAULTS: [(&str, Fault); 4] = [
    ("proxied-backend-hangs-596", Fault::GatewayTimeout),
    ("config-lock-held-put", Fault::GotTimeout),
    ("config-lock-held-start", Fault::TaskEnds("can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout")),
    ("long-task2", Fault::TaskEnds("unexpected status")),
];

#[test]
fn our_fake_answers_as_9_2_does() {
    compare(Manner::V9, "9.2", "pve-9.2.11.jsonl");
}

#[test]
fn our_fake_answers_as_8_4_does() {
    compare(Manner::V8, "8.4", "pve-8.4.21.jsonl");
}

fn compare(manner: Manner, release: &str, file: &str) {
    let (Some(dir), Some(schema)) = (recordings(), schema::of(release)) else { return };
    let mut all: Vec<Value> =
        exchanges(&dir.join(file)).into_iter().filter(|exchange| exchange.get("request").is_some()).collect();
    all.sort_by_key(|exchange| when(exchange["id"].as_str().unwrap_or_default()));
    let mut replay = Replay::new(manner);
    let (mut compared, mut differ) = (0, Vec::new());
    for exchange in &all {
        let label = exchange["label"].as_str().unwrap_or_default();
        let Some(call) = replay.call(&exchange["request"]) else { continue };
        let concerns = concerns_us(&call) && !ARTEFACTS.contains(&label) && !replay.is_of_others(&exchange["request"]);
        if ARTEFACTS.contains(&label) && exchange["response"]["status"] == 400 {
            continue;
        }
        let ours = replay.send(exchange, &call, schema);
        if !concerns || exchange["response"]["status"].is_null() {
            continue;
        }
        compared += 1;
        let (theirs, ours) = (shape(&crate::recorded::answer(&exchange["response"])), shape(&ours));
        if theirs != ours {
            differ.push(format!("{}: genuine {theirs}, ours {ours}", exchange["id"].as_str().unwrap_or_default()));
        }
    }
    let agree = compared - differ.len();
    eprintln!("{release}: {agree} of {compared} answers agree; the others:\n{}", differ.join("\n"));
    assert!(compared > 300, "{compared}");
    assert!(agree * 100 >= compared * AGREE_PERCENT, "{agree} of {compared} agree:\n{}", differ.join("\n"));
}

/// The recordings are sorted by id; the sessions with virtual machines were made in another order.
fn when(id: &str) -> (u8, String) {
    let session = match id.as_bytes() {
        [b'0', b'0', b'0', b'b', b'4', ..] => 0,
        [b'7', ..] => 2,
        [b'6', ..] => 3,
        [b'8', b'0', ..] => 6,
        [b'8', ..] => 4,
        [b'9', ..] => 5,
        _ => 1,
    };
    (session, id.to_owned())
}

/// Whether it is a request that the driver makes.
fn concerns_us(call: &Call) -> bool {
    let path: Vec<&str> = call.path.split('/').skip(1).collect();
    matches!(
        (call.verb, path.as_slice()),
        (Verb::Get, ["version"] | ["access", "permissions"] | ["cluster", "resources" | "tasks"])
            | (_, ["pools", ..] | ["cluster", "ha", "resources", ..])
            | (_, ["nodes", _, "lxc" | "qemu", _, "firewall" | "snapshot" | "feature", ..])
            | (Verb::Get, ["nodes", _, "tasks"] | ["nodes", _, "tasks", _, "status" | "log"])
            | (Verb::Get, ["nodes", _, "lxc" | "qemu", _, "config" | "pending"])
            | (Verb::Get, ["nodes", _, "lxc" | "qemu", _, "status", "current"])
            | (Verb::Post, ["nodes", _, "lxc"])
            | (Verb::Post, ["nodes", _, "lxc" | "qemu", _, "clone"])
            | (Verb::Post, ["nodes", _, "lxc" | "qemu", _, "status", "start" | "shutdown"])
            | (Verb::Put, ["nodes", _, "lxc", _, "config"])
            | (Verb::Post, ["nodes", _, "qemu", _, "config"])
            | (Verb::Put, ["nodes", _, "lxc" | "qemu", _, "resize"])
            | (Verb::Delete, ["nodes", _, "lxc" | "qemu", _])
    )
}

struct Replay {
    fake: Fake,
    /// Names of tasks and digests: theirs → ours.
    names: BTreeMap<String, String>,
}

impl Replay {
    fn new(manner: Manner) -> Self {
        let fake = Fake::of(manner);
        {
            let mut world = fake.world();
            world.guests.clear();
            world.nodes = [("pve1".to_owned(), true)].into();
            world.stubborn = [200, 210].into();
            world.beside.pools.clear();
            // Its manager of high availability stood by, without a watchdog.
            world.has_manager = false;
            let net = "name=eth0,bridge=vmbr0,gw=10.99.0.1,hwaddr=BC:24:11:B6:29:3B,ip=10.99.0.50/24,type=veth";
            let made = [("arch", "amd64"), ("cores", "1"), ("hostname", "ct1"), ("memory", "128"), ("net0", net)];
            let more = [("ostype", "debian"), ("rootfs", "local:101/vm-101-disk-0.raw,size=1G"), ("swap", "0")];
            let all = [&made[..], &more[..], &[("unprivileged", "1")]].concat();
            world.guests.insert(101, Guest::of("pve1", &all, false));
        }
        Self { fake, names: BTreeMap::new() }
    }

    /// A recorded request as the driver would have made it; nothing for what is no request of the API.
    fn call(&self, request: &Value) -> Option<Call> {
        let verb = match request["method"].as_str()? {
            "GET" => Verb::Get,
            "POST" => Verb::Post,
            "PUT" => Verb::Put,
            "DELETE" => Verb::Delete,
            _ => return None,
        };
        let url = request["url"].as_str()?.strip_prefix("/api2/json")?;
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = path.split('/').map(|part| percent::encode(&self.ours(&percent::decode(part))));
        let mut call = Call::new(verb, path.collect::<Vec<_>>().join("/"));
        let body = request["body"].as_str().unwrap_or_default();
        if let Ok(Value::Object(fields)) = serde_json::from_str(body) {
            let text = |value: &Value| match value {
                Value::Bool(truth) => u8::from(*truth).to_string(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            call.parameters = fields.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        } else {
            for pair in query.split('&').chain(body.split('&')).filter(|pair| !pair.is_empty()) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let value = percent::decode(&value.replace('+', " "));
                call.parameters.push((percent::decode(key), self.ours(&value)));
            }
        }
        Some(call)
    }

    /// Whether it asks for a task that no request began which the fake knows: downloads, backups, moves.
    fn is_of_others(&self, request: &Value) -> bool {
        let url = request["url"].as_str().unwrap_or_default();
        let task = url.split('/').find(|part| part.starts_with("UPID")).map(percent::decode);
        task.is_some_and(|task| !self.names.contains_key(&task) && !task.contains("00000000"))
    }

    fn ours(&self, name: &str) -> String {
        self.names.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    fn send(&mut self, exchange: &Value, call: &Call, schema: &schema::Schema) -> Answer {
        let label = exchange["label"].as_str().unwrap_or_default();
        let mut world = self.fake.world();
        if exchange["id"] == "601-qm-create" {
            // Between the two sessions with virtual machines those of the first were removed.
            [200, 201, 202].iter().for_each(|vmid| drop(world.guests.remove(vmid)));
        }
        if exchange["id"] == "000b4-create" {
            world.guests.clear();
        }
        who(&mut world, &exchange["request"], label);
        let unauthorised = exchange["response"]["status"] == 401;
        let wrong = if unauthorised { BTreeMap::new() } else { schema.check(call) };
        let ours = if unauthorised {
            let reason = exchange["response"]["reason"].as_str().unwrap_or_default();
            answer(Err((401, reason.to_owned(), BTreeMap::new())))
        } else if let Some((_, fault)) = FAULTS.iter().find(|(at, _)| *at == label) {
            world.struck(*fault, call).unwrap()
        } else if wrong.is_empty() || wrong.contains_key("path") {
            world.answer(call)
        } else {
            answer(Err((400, "Parameter verification failed.".into(), wrong)))
        };
        world.let_tasks_end();
        if label == "vzdump" {
            let Some(backed_up) = world.guests.get(&102).cloned() else { return ours };
            let volumes = exchange_volumes();
            world.backups.extend(volumes.into_iter().map(|volume| (volume, backed_up.clone())));
        }
        after(&mut world, label);
        drop(world);
        let theirs = &exchange["response"]["body"]["data"];
        let mine: Value = serde_json::from_slice(&ours.body).unwrap_or_default();
        for (theirs, mine) in [(theirs, &mine["data"]), (&theirs["digest"], &mine["data"]["digest"])] {
            if let (Some(theirs), Some(mine)) = (theirs.as_str(), mine.as_str()) {
                self.names.insert(theirs.to_owned(), mine.to_owned());
            }
        }
        ours
    }
}

/// Backups are named after the moment they were made.
fn exchange_volumes() -> Vec<String> {
    let Some(dir) = recordings() else { return Vec::new() };
    let texts = ["pve-8.4.21.jsonl", "pve-9.2.11.jsonl"].map(|file| std::fs::read_to_string(dir.join(file)).unwrap());
    let begin = "vzdump-lxc-102-";
    let named = texts.iter().flat_map(|text| text.split(begin).skip(1));
    let ends: BTreeSet<&str> = named.filter_map(|rest| Some(&rest[..rest.find(".tar.zst")?])).collect();
    ends.into_iter().map(|end| format!("local:backup/{begin}{end}.tar.zst")).collect()
}

/// Who asks: root with a password, root's token, or a token of a user with few rights.
fn who(world: &mut World, request: &Value, label: &str) {
    let authorization = request["headers"]["Authorization"].as_str().unwrap_or_default();
    world.is_root = authorization == "REDACTED" || label.starts_with("rootticket") || label.starts_with("ticket");
    let all: BTreeSet<String> = ["VM.Audit", "VM.Allocate", "VM.Clone", "VM.PowerMgmt", "VM.Config.Disk"]
        .into_iter()
        .chain(["VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"])
        .map(str::to_owned)
        .collect();
    let few = authorization.contains("lab@pve");
    world.privileges = match (few, label) {
        (false, _) => {
            let more = ["Pool.Allocate", "Sys.Audit", "Sys.Console", "VM.Snapshot"].map(str::to_owned);
            [("/".to_owned(), all.into_iter().chain(more).collect())].into()
        }
        (true, label) if world.granted || label == "tf-perms" => [("/vms/101".to_owned(), all)].into(),
        (true, _) => BTreeMap::new(),
    };
}

/// What requests did that the fake has no part in.
fn after(world: &mut World, label: &str) {
    world.granted |= label == "acl-token";
}

/// What of an answer has to agree.
fn shape(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let keys = |value: &Value| {
        let own = value.as_object().into_iter().flat_map(|object| object.keys());
        let inner =
            value.as_array().into_iter().flatten().filter_map(Value::as_object).flat_map(|object| object.keys());
        own.chain(inner).cloned().collect::<BTreeSet<String>>()
    };
    let kind = match &body["data"] {
        Value::Null => "nothing",
        Value::String(text) if text.starts_with("UPID:") => "task",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
        _ => "scalar",
    };
    let exit = body["data"]["exitstatus"].as_str().map(|exit| exit.split(':').next().unwrap_or_default());
    let errors = keys(&body["errors"]);
    format!("{} {:?} {kind} {:?} errors {errors:?} exit {exit:?}", answer.status, answer.reason, keys(&body["data"]))
}

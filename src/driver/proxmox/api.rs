//! The requests that are made, with what they give.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::affinity::Affinities;
use super::answer::{clean, flag, integer, list, scalar, text};
use super::error::ApiError;
use super::exchange::{Call, Exchange, Upload, Verb};
use super::task::{Ended, Upid};
use crate::resource::cluster::{GuestKind, Power, percent};

/// Lines of a failed task's log that are told.
const TAIL: usize = 8;

/// Tasks that make guests.
const MAKERS: [&str; 6] = ["vzcreate", "vzclone", "vzrestore", "qmcreate", "qmclone", "qmrestore"];

/// One cluster's API.
#[derive(Clone)]
pub struct Api {
    exchange: Arc<dyn Exchange>,
    affinities: Arc<OnceCell<Affinities>>,
}

/// A guest as the one listing of a cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub vmid: u32,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Where it is.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// `running`, `stopped`, or `unknown` when its node does not answer.
    pub status: String,
    /// Whether it is a template.
    pub template: bool,
    /// The resource pool that it is in.
    pub pool: Option<String>,
}

impl Listed {
    /// Whether it runs.
    pub fn power(&self) -> Power {
        if self.status == "running" { Power::On } else { Power::Off }
    }
}

/// A node as the listing has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub online: bool,
    /// Bytes of memory that are free.
    pub free: u64,
}

/// The one listing of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Guests that the token may see, by number.
    pub guests: BTreeMap<u32, Listed>,
    /// Nodes by name.
    pub nodes: BTreeMap<String, Node>,
}

/// A guest's configuration: what the next start brings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Fields by Proxmox's names.
    pub fields: BTreeMap<String, String>,
    /// Fields whose values wait for a start.
    pub pending: BTreeSet<String>,
    /// Of those, what they are until then.
    pub until_then: BTreeMap<String, String>,
}

/// Where a guest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its node.
    pub node: String,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Its number.
    pub vmid: u32,
}

impl Place {
    /// A path below the guest's.
    pub fn path(&self, below: &str) -> String {
        format!("/nodes/{}/{}/{}{below}", percent::encode(&self.node), self.kind.api_name(), self.vmid)
    }
}

impl Api {
    /// The API behind an exchange.
    pub fn new(exchange: Arc<dyn Exchange>) -> Self {
        Self { exchange, affinities: Arc::default() }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// There was no answer, or it was no success.
    pub async fn call(&self, call: &Call) -> Result<Value, ApiError> {
        self.exchange.exchange(call).await?.data()
    }

    /// Sends a request with a file.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn upload(&self, call: &Call, file: Upload) -> Result<Value, ApiError> {
        self.exchange.upload(call, file).await?.data()
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.call(&Call::new(Verb::Get, path)).await
    }

    /// The version of the server that answers.
    pub async fn version(&self) -> Result<String, ApiError> {
        let found = self.get("/version").await?;
        text(&found, "version").map(|version| clean(&version)).ok_or_else(|| ApiError::Garbled("no version".into()))
    }

    /// How this release says which nodes high availability keeps guests on; asked once.
    pub(super) async fn affinities(&self) -> Result<Affinities, ApiError> {
        let asked = self.affinities.get_or_try_init(|| async { Ok(Affinities::of(&self.version().await?)) });
        asked.await.copied()
    }

    /// Guests and nodes, in one request.
    pub async fn listing(&self) -> Result<Listing, ApiError> {
        let found = self.get("/cluster/resources").await?;
        let mut listing = Listing::default();
        for item in list(&found) {
            match text(item, "type").as_deref() {
                Some("lxc") => {
                    listing.guests.extend(listed(item, GuestKind::Container).map(|guest| (guest.vmid, guest)));
                }
                Some("qemu") => listing.guests.extend(listed(item, GuestKind::Vm).map(|guest| (guest.vmid, guest))),
                Some("node") => listing.nodes.extend(node(item).map(|node| (node.name.clone(), node))),
                _ => {}
            }
        }
        Ok(listing)
    }

    /// The privileges that the token has on a path.
    pub async fn privileges(&self, path: &str) -> Result<BTreeSet<String>, ApiError> {
        let found = self.call(&Call::new(Verb::Get, "/access/permissions").with("path", path)).await?;
        // What is granted above a path holds on it; servers may answer with the place of the grant.
        let holds = |at: &str| at == path || at == "/" || path.starts_with(&format!("{at}/"));
        let granted = found.as_object().into_iter().flatten().filter(|(at, _)| holds(at));
        Ok(granted
            .filter_map(|(_, privileges)| privileges.as_object())
            .flatten()
            .filter(|(_, has)| scalar(has).is_some())
            .map(|(name, _)| name.clone())
            .collect())
    }

    /// A guest's configuration. One that runs is asked for what is pending, which is all of it as well.
    pub async fn config(&self, place: &Place, power: Power) -> Result<Config, ApiError> {
        if power == Power::Off {
            let found = self.get(&place.path("/config")).await?;
            let fields = found.as_object().into_iter().flatten();
            let fields = fields.filter_map(|(key, value)| Some((key.clone(), scalar(value)?))).collect();
            return Ok(Config { fields, ..Config::default() });
        }
        let found = self.get(&place.path("/pending")).await?;
        let mut config = Config::default();
        for item in list(&found) {
            let Some(key) = text(item, "key") else { continue };
            let (pending, deleted) = (text(item, "pending"), integer(item, "delete").unwrap_or_default() > 0);
            if pending.is_some() || deleted {
                config.pending.insert(key.clone());
                config.until_then.extend(text(item, "value").map(|value| (key.clone(), value)));
            }
            if let Some(value) = pending.or_else(|| text(item, "value").filter(|_| !deleted)) {
                config.fields.insert(key, value);
            }
        }
        Ok(config)
    }

    /// Whether a task is over, and how it ended.
    pub async fn ended(&self, task: &Upid) -> Result<Option<Ended>, ApiError> {
        let found =
            self.get(&format!("/nodes/{}/tasks/{}/status", percent::encode(task.node()), task.in_path())).await?;
        let stopped = text(&found, "status").as_deref() == Some("stopped");
        Ok(stopped.then(|| Ended::of(clean(&text(&found, "exitstatus").unwrap_or_default()).as_str())))
    }

    /// The last lines of a task's log.
    pub async fn tail(&self, task: &Upid) -> Result<Vec<String>, ApiError> {
        let path = format!("/nodes/{}/tasks/{}/log", percent::encode(task.node()), task.in_path());
        let found = self.call(&Call::new(Verb::Get, path).with("limit", "0")).await?;
        let lines: Vec<String> =
            list(&found).iter().filter_map(|line| text(line, "t")).map(|line| clean(&line)).collect();
        let skipped = lines.len().saturating_sub(TAIL);
        Ok(lines.into_iter().skip(skipped).collect())
    }

    /// Tasks that run on a guest.
    pub async fn running_tasks(&self, place: &Place) -> Result<Vec<Upid>, ApiError> {
        let path = format!("/nodes/{}/tasks", percent::encode(&place.node));
        let call = Call::new(Verb::Get, path).with("source", "active").with("vmid", place.vmid.to_string());
        let found = self.call(&call).await?;
        let running = list(&found).iter().filter(|task| text(task, "endtime").is_none());
        Ok(running.filter_map(|task| Upid::parse(&text(task, "upid")?)).collect())
    }

    /// Tasks of the whole cluster that are making guests.
    pub async fn running_makers(&self) -> Result<Vec<Upid>, ApiError> {
        let found = self.get("/cluster/tasks").await?;
        let running = list(&found).iter().filter(|task| text(task, "endtime").is_none());
        let tasks = running.filter_map(|task| Upid::parse(&text(task, "upid")?));
        Ok(tasks.filter(|task| MAKERS.contains(&task.kind())).collect())
    }

    /// The addresses that a running guest has, its own loopback ones left out: a container's node knows them, and of a
    /// virtual machine its agent tells them.
    pub async fn addresses(&self, place: &Place) -> Result<Vec<IpAddr>, ApiError> {
        let below = match place.kind {
            GuestKind::Container => "/interfaces",
            GuestKind::Vm => "/agent/network-get-interfaces",
        };
        let found = self.get(&place.path(below)).await?;
        let interfaces = if place.kind == GuestKind::Vm { found.get("result").unwrap_or(&Value::Null) } else { &found };
        let all =
            list(interfaces).iter().flat_map(|interface| list(interface.get("ip-addresses").unwrap_or(&Value::Null)));
        Ok(all.filter_map(|address| text(address, "ip-address")?.parse().ok()).collect())
    }

    /// A short text file of a virtual machine, as its agent reads it.
    pub async fn agent_file(&self, place: &Place, path: &str) -> Result<String, ApiError> {
        let found = self.call(&Call::new(Verb::Get, place.path("/agent/file-read")).with("file", path)).await?;
        text(&found, "content").ok_or_else(|| ApiError::Garbled("no content of a file".into()))
    }

    /// Whether a guest runs.
    pub async fn is_running(&self, place: &Place) -> Result<bool, ApiError> {
        let found = self.get(&place.path("/status/current")).await?;
        match text(&found, "status").as_deref() {
            Some("running") => Ok(true),
            Some("stopped") => Ok(false),
            other => {
                Err(ApiError::Garbled(format!("the run state `{}` of guest {}", other.unwrap_or_default(), place.vmid)))
            }
        }
    }
}

fn listed(item: &Value, kind: GuestKind) -> Option<Listed> {
    let tags = text(item, "tags").unwrap_or_default();
    let tags = tags.split([';', ',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_lowercase).collect();
    Some(Listed {
        vmid: integer(item, "vmid").and_then(|vmid| u32::try_from(vmid).ok())?,
        kind,
        node: text(item, "node")?,
        name: text(item, "name").unwrap_or_default(),
        tags,
        status: text(item, "status").unwrap_or_else(|| "unknown".to_owned()),
        template: flag(item, "template"),
        pool: text(item, "pool").filter(|pool| !pool.is_empty()),
    })
}

fn node(item: &Value) -> Option<Node> {
    let free = integer(item, "maxmem").unwrap_or_default().saturating_sub(integer(item, "mem").unwrap_or_default());
    let online = text(item, "status").as_deref() == Some("online");
    Some(Node { name: text(item, "node")?, online, free })
}

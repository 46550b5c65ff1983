//! A node of the fake's: `pct` and `qm` as strict as the real ones are, in the rights of root.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use regatta::driver::StateDir;
use regatta::driver::nodes::{NodeDoors, Nodes};
use regatta::driver::proxmox::Clusters;
use regatta::driver::proxmox::exchange::{Call, Exchange as _, Verb};
use regatta::effect::{Command, CommandError, Output, Pipe, Run, SshClient, Status, Streams, SystemClock};
use regatta::exec::{Audit, AuditFact};
use regatta::resource::Desired;

use crate::fake::Fake;
use crate::node_disks::Disks;

/// Runs what the driver asks a node for, against the fake's configurations. Every command is kept.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) fake: Fake,
    pub(crate) ran: Arc<Mutex<Vec<String>>>,
    /// What `stat` says of every directory.
    pub(crate) directories: &'static str,
    pub(crate) plugged: Arc<Mutex<Disks>>,
}

/// An audit log that takes everything.
pub(crate) struct Anything;

impl Audit for Anything {
    fn append(&self, _: jiff::Timestamp, _: &[AuditFact]) -> std::io::Result<()> {
        Ok(())
    }
}

impl Node {
    pub(crate) fn new(fake: &Fake) -> Self {
        let plugged = Arc::new(Mutex::new(Disks::usual()));
        Self { fake: fake.clone(), ran: Arc::default(), directories: "41ed:0", plugged }
    }

    /// What is plugged in and mounted.
    pub(crate) fn disks(&self) -> MutexGuard<'_, Disks> {
        self.plugged.lock().unwrap()
    }

    pub(crate) fn commands(&self) -> Vec<String> {
        std::mem::take(&mut self.ran.lock().unwrap())
    }

    /// The nodes of a fleet, all of which are this one.
    pub(crate) fn nodes(&self, desired: &Desired) -> impl FnOnce(Arc<Clusters>) -> Nodes {
        let doors = NodeDoors {
            connect: Arc::new(SshClient::default()),
            run: Arc::new(self.clone()),
            clock: Arc::new(SystemClock),
            audit: Arc::new(Anything),
        };
        let desired = desired.clone();
        move |clusters| Nodes::new(&desired, clusters, doors, StateDir::new("/nowhere"), None)
    }

    /// `pct set` and `qm set`: the guest has to be of this node's kind, and every option is one of the schema's.
    pub(crate) async fn set(&self, kind: &str, words: &[&str]) -> (i32, String) {
        let ["set", vmid, options @ ..] = words else {
            return (255, format!("ERROR: unknown command '{} {}'", kind, words.join(" ")));
        };
        let node =
            match vmid.parse().ok().and_then(|vmid: u32| self.fake.world().guests.get(&vmid).map(|it| it.node.clone()))
            {
                Some(node) => node,
                None => return (2, format!("Configuration file 'nodes/pve1/{kind}/{vmid}.conf' does not exist")),
            };
        let mut call = Call::new(Verb::Put, format!("/nodes/{node}/{kind}/{vmid}/config"));
        for pair in options.chunks(2) {
            let [option, value] = pair else { return (255, format!("Option {} requires an argument", pair[0])) };
            let Some(key) = option.strip_prefix("--") else {
                return (255, format!("400 too many arguments: {option}"));
            };
            call = call.with(key, *value);
        }
        self.fake.world().is_root = true;
        let answer = self.fake.exchange(&call).await;
        self.fake.world().is_root = false;
        match answer.and_then(|answer| answer.data()) {
            Ok(_) => (0, String::new()),
            Err(error) => (255, error.to_string()),
        }
    }
}

#[async_trait]
impl Run for Node {
    async fn run(&self, command: &Command) -> Result<Output, CommandError> {
        let mut words: Vec<&str> = command.arguments().iter().map(String::as_str).collect();
        words.insert(0, command.program());
        let words = words.strip_prefix(&["sudo", "-n", "--"]).unwrap_or(&words);
        self.ran.lock().unwrap().push(words.join(" "));
        let of_disks = self.disks().run(words);
        let (code, stdout, stderr) = match words {
            _ if of_disks.is_some() => of_disks.unwrap(),
            ["/usr/sbin/pct", rest @ ..] => self.set("lxc", rest).await.with_output(),
            ["/usr/sbin/qm", rest @ ..] => self.set("qemu", rest).await.with_output(),
            ["stat", "--format=%f:%u", "--", paths @ ..] => {
                (0, paths.iter().map(|_| format!("{}\n", self.directories)).collect(), String::new())
            }
            // Exit code 4 says that some command to the disk failed; what it told counts.
            ["/usr/sbin/smartctl", "--json", "--info", "--health", "--attributes", "/dev/sda"] => (
                4,
                r#"{"model_name":"WDC WD40","smart_status":{"passed":true},"temperature":{"current":34},"power_on_time":{"hours":9}}"#.into(),
                String::new(),
            ),
            ["/usr/sbin/smartctl", "--json", "--info", "--health", "--attributes", _] => {
                (2, r#"{"smartctl":{"messages":[{"string":"No such device"}]}}"#.into(), String::new())
            }
            ["sensors", "-j"] => (1, "{\n\n}\n".into(), String::new()),
            other => panic!("no program of a node: {other:?}"),
        };
        Ok(Output { status: Status::Code(code), stdout: stdout.into_bytes(), stderr: stderr.into_bytes() })
    }
}

#[async_trait]
impl Pipe for Node {
    /// Nothing that is set on a node is streamed.
    async fn pipe(&self, command: &Command, _: Streams<'_>) -> Result<Status, CommandError> {
        panic!("no program of a node that is talked to: {command}")
    }
}

trait WithOutput {
    fn with_output(self) -> (i32, String, String);
}

impl WithOutput for (i32, String) {
    fn with_output(self) -> (i32, String, String) {
        (self.0, String::new(), self.1)
    }
}

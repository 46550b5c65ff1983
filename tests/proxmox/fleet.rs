//! Fleets of the tests, and what `regatta apply` does with them, without a terminal: look, plan, do every step in order.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8Path;
use regatta::config::{self, LoadError, Loader};
use regatta::driver::Insides;
use regatta::driver::inputs::{self, Secrets, User};
use regatta::driver::nodes::Nodes;
use regatta::driver::proxmox::exchange::Exchange;
use regatta::driver::proxmox::{Cluster, Clusters, Open, Pace};
use regatta::effect::{CommandRunner, DigestCache};
use regatta::exec::{Failure, FailureKind, Perform, Progress};
use regatta::plan::{Action, Goal, Op, Options, Plan, Step, StepId, plan};
use regatta::resource::{Desired, Inputs, Observed, lower};

use crate::fake::Fake;

struct Text<'a>(&'a str);

impl Loader for Text<'_> {
    fn read(&mut self, _: &Utf8Path) -> Result<String, LoadError> {
        Ok(self.0.to_owned())
    }

    fn list(&mut self, _: &Utf8Path) -> Result<Vec<String>, LoadError> {
        Ok(Vec::new())
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }
}

/// Everything that a container may have.
pub(crate) const EVERYTHING: &str = r#"
    template "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
    vmid from=1000 to=1999
    cores 2
    memory "256MiB"
    swap "0MiB"
    root-disk storage="local-lvm" size="8GiB"
    mount "/data" storage="local-lvm" size="2GiB" backup=#true
    mount "/srv" storage="slow" size="1536MiB" read-only=#true
    interface "eth0" bridge="vmbr0" ip="dhcp" ip6="auto" vlan=7 mtu=1400 firewall=#true
    interface "eth1" bridge="vmbr1" ip="10.0.0.2/24" gateway="10.0.0.1" mac="bc:24:11:aa:00:01"
    dns "10.0.0.1" "10.0.0.2" domain="lab.test"
    feature "nesting"
    tags "web" "edge"
    notes "The *shop*'s server; a=1,b=2 --> ünï %41"
    startup order=1 up=5 down=30
    protection #false
    on-boot #true
"#;

/// Everything that a virtual machine may have.
pub(crate) const EVERYTHING_OF_A_VM: &str = r#"
    clone 901 full=#true storage="local"
    vmid from=2000 to=2999
    cores 2
    sockets 2
    cpu "host"
    memory "1GiB"
    disk 0 storage="local" size="8GiB" discard=#true ssd=#true
    disk 1 storage="slow" size="1536MiB" backup=#false io-thread=#true
    interface 0 bridge="vmbr0" ip="10.0.0.5/24" gateway="10.0.0.1" ip6="auto" vlan=7 mtu=1400 firewall=#true
    interface 1 bridge="vmbr1" model="e1000" mac="bc:24:11:aa:00:02" ip="dhcp"
    cloud-init storage="local" user="admin" {
        authorized-key "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozi ann+x@host two"
        authorized-key "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII/aKIo6IK7fXDThW53pFSOQxIiIqyqNPQvvdUSa7Ozj bob@host"
    }
    dns "10.0.0.1" domain="lab.test"
    agent #true
    tags "db" "edge"
    notes "The *shop*'s data; a=1,b=2 --> ünï %41"
    startup order=2 up=5
    protection #false
    on-boot #true
"#;

/// Everything that is kept of a guest beside its configuration.
pub(crate) const BESIDE: &str = r#"
    pool "lab"
    ha max-restart=2 { node "pve1"; node "pve2" priority=2; }
    firewall in="drop" log-in="info" ndp=#false {
        rule "in" "accept" proto="tcp" port="22,80" source="10.0.0.0/8" comment="a, b; c=1"
        rule "group" "web-servers"
        rule "out" "reject" macro="SMTP" enable=#false
    }
"#;

/// So many virtual machines with everything.
pub(crate) fn vms(count: u32) -> Desired {
    desired(&format!("vm \"db\" count={count} {{ cluster \"pve\"\n{EVERYTHING_OF_A_VM} }}"))
}

/// A fleet with these guests.
pub(crate) fn desired(guests: &str) -> Desired {
    let cluster = r#"cluster "pve" { endpoint "https://127.0.0.1:8006"; token env="T" }"#;
    of_file(&format!("fleet \"shop\"\n{cluster}\n{guests}"))
}

/// What a fleet file declares.
pub(crate) fn of_file(text: &str) -> Desired {
    let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "shop", &mut Text(text));
    let fleet = fleet.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    lower(&fleet, &sources, &Inputs::default()).unwrap().desired
}

/// So many containers with everything.
pub(crate) fn containers(count: u32) -> Desired {
    desired(&format!("container \"web\" count={count} {{ cluster \"pve\"\n{EVERYTHING} }}"))
}

/// A fleet with these guests and what they name on this machine.
pub(crate) async fn desired_with_files(guests: &str, home: &Utf8Path, own_key: &str) -> Desired {
    let cluster = r#"cluster "pve" { endpoint "https://127.0.0.1:8006"; token env="T" }"#;
    let text = format!("fleet \"shop\"\n{cluster}\n{guests}");
    let (sources, fleet) = config::load(&home.join("fleet.kdl"), "shop", &mut Text(&text));
    let fleet = fleet.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    let user = User { home: home.to_owned(), git_environment: Vec::new() };
    let digests = Arc::new(DigestCache::default());
    let read = inputs::read(&fleet, &sources, &user, &CommandRunner, &Secrets::Leave, &digests).await.unwrap();
    let inputs = Inputs { own_keys: vec![own_key.to_owned()], ..read };
    lower(&fleet, &sources, &inputs).unwrap().desired
}

struct Quiet;

impl Progress for Quiet {
    fn say(&self, _: &str) {}
}

struct Opener {
    exchange: Arc<dyn Exchange>,
    pace: Pace,
}

#[async_trait]
impl Open for Opener {
    async fn open(&self) -> Result<Cluster, Failure> {
        Ok(Cluster::new("pve", "shop", Arc::clone(&self.exchange), self.pace))
    }
}

/// A process that knows the fake.
pub(crate) struct Regatta {
    pub(crate) clusters: Arc<Clusters>,
    insides: Option<Arc<Insides>>,
    nodes: Option<Arc<Nodes>>,
}

impl Regatta {
    pub(crate) fn new(fake: &Fake) -> Self {
        Self::over(Arc::new(fake.clone()))
    }

    pub(crate) fn over(exchange: Arc<dyn Exchange>) -> Self {
        let pace = Pace {
            poll: Duration::ZERO,
            first: Duration::ZERO,
            longest: Duration::ZERO,
            patience: Duration::from_secs(10),
            settle: Duration::ZERO,
        };
        let open: Box<dyn Open> = Box::new(Opener { exchange, pace });
        Self { clusters: Arc::new(Clusters::new([("pve".to_owned(), open)])), insides: None, nodes: None }
    }

    /// The same, logging in to guests.
    pub(crate) fn with_insides(self, make: impl FnOnce(Arc<Clusters>) -> Insides) -> Self {
        Self { insides: Some(Arc::new(make(Arc::clone(&self.clusters)))), ..self }
    }

    /// The same, with a way to root on nodes.
    pub(crate) fn with_nodes(self, make: impl FnOnce(Arc<Clusters>) -> Nodes) -> Self {
        Self { nodes: Some(Arc::new(make(Arc::clone(&self.clusters)))), ..self }
    }

    pub(crate) fn nodes(&self) -> Arc<Nodes> {
        Arc::clone(self.nodes.as_ref().unwrap())
    }

    pub(crate) async fn observe(&self, desired: &Desired) -> Observed {
        let mut observed = Observed::default();
        self.clusters.observe(desired, &mut observed).await;
        if let Some(insides) = &self.insides {
            insides.observe(desired, &mut observed).await;
        }
        if let Some(nodes) = &self.nodes {
            nodes.observe(&mut observed).await;
        }
        observed
    }

    pub(crate) async fn plan(&self, desired: &Desired) -> Plan {
        plan(desired, &self.observe(desired).await, &Options::default())
    }

    /// Plans and does it. Gives the failures, by step.
    pub(crate) async fn apply(&self, desired: &Desired) -> Vec<(String, Failure)> {
        let made = self.plan(desired).await;
        self.carry_out(&made).await
    }

    pub(crate) async fn destroy(&self, desired: &Desired) -> Vec<(String, Failure)> {
        let options = Options { goal: Goal::Destroy, ..Options::default() };
        let made = plan(desired, &self.observe(desired).await, &options);
        self.carry_out(&made).await
    }

    pub(crate) async fn carry_out(&self, plan: &Plan) -> Vec<(String, Failure)> {
        let unreadable = plan.changes.iter().filter(|change| change.action == Action::Unreadable);
        let unreadable: Vec<_> = unreadable
            .map(|change| (change.address.to_string(), Failure::permanent(change.note.clone().unwrap_or_default())))
            .collect();
        if !unreadable.is_empty() || !plan.refusals.is_empty() {
            return unreadable;
        }
        let (mut failures, mut failed): (Vec<_>, Vec<StepId>) = (Vec::new(), Vec::new());
        for step in &plan.graph.steps {
            if step.after.iter().any(|edge| failed.contains(&edge.step)) {
                failed.push(step.id);
                continue;
            }
            if let Err(failure) = self.attempt(step).await {
                failed.push(step.id);
                failures.push((format!("{} {}", step.op.name(), step.addresses[0]), failure));
            }
        }
        failures
    }

    /// As the run does it: what certainly did not happen is tried again.
    pub(crate) async fn attempt(&self, step: &Step) -> Result<(), Failure> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let done = match (&step.op, &self.insides, &self.nodes) {
                (Op::WriteFiles { .. } | Op::EnsureSessions { .. }, Some(insides), _) => {
                    insides.perform(step, &Quiet).await
                }
                (Op::SetOnNode { .. } | Op::MountOnNode { .. }, _, Some(nodes)) => nodes.perform(step, &Quiet).await,
                _ => self.clusters.perform(step, &Quiet).await,
            };
            match done {
                Err(failure) if failure.kind == FailureKind::Transient && attempts < 3 => {}
                other => return other,
            }
        }
    }
}

/// What a plan would do, as text.
pub(crate) fn told(plan: &Plan) -> Vec<String> {
    let changes = plan.changes.iter().filter(|change| change.action != Action::None);
    let changes = changes.map(|change| {
        let paths: Vec<&str> = change.attributes.iter().map(|attribute| attribute.path.as_str()).collect();
        format!("{} {:?} {:?} {:?}: {}", change.address, change.action, change.reason, change.impact, paths.join(", "))
    });
    let refusals =
        plan.refusals.iter().map(|refusal| format!("{} {:?}: {}", refusal.address, refusal.rule, refusal.message));
    changes.chain(refusals).collect()
}

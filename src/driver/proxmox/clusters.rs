//! All clusters of a fleet: which one a step is for, and what all of them show.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::beside::Asked;
use super::cluster::Cluster;
use super::examine::{Fence, failed};
use super::snapshots::{Act, GuestSnapshot};
use super::task::Upid;
use super::waiting::Watch;
use crate::exec::{Failure, Perform, Progress, Task};
use crate::plan::{Op, Step};
use crate::resource::cluster::ClusterGuestSpec;
use crate::resource::{Address, Desired, Finding, Observed, Reading, Resource};

/// How long a task is waited for that a run left behind which died.
const LEFT_BEHIND: Duration = Duration::from_secs(30 * 60);

/// How a cluster is come by: its token is asked for when it is first needed, and once.
#[async_trait]
pub trait Open: Send + Sync {
    /// A cluster that can be asked.
    ///
    /// # Errors
    /// There is no token, or what it is trusted by cannot be had.
    async fn open(&self) -> Result<Cluster, Failure>;
}

/// The clusters of a fleet by name.
#[derive(Default)]
pub struct Clusters(BTreeMap<String, Arc<Lazy>>);

/// A cluster that may not have been needed yet.
struct Lazy {
    how: Box<dyn Open>,
    opened: OnceCell<Result<Arc<Cluster>, Failure>>,
}

impl Lazy {
    async fn get(&self) -> Result<Arc<Cluster>, Failure> {
        self.opened.get_or_init(|| async { self.how.open().await.map(Arc::new) }).await.clone()
    }
}

impl Clusters {
    /// These clusters, none of which is opened before it is needed.
    pub fn new(clusters: impl IntoIterator<Item = (String, Box<dyn Open>)>) -> Self {
        let lazy = |how| Arc::new(Lazy { how, opened: OnceCell::new() });
        Self(clusters.into_iter().map(|(name, how)| (name, lazy(how))).collect())
    }

    /// Whether each cluster lets this fleet do what it asks for; by name. Looks only.
    pub async fn examine(&self, desired: &Desired) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (name, lazy) in &self.0 {
            let check = format!("cluster.{name}");
            match lazy.get().await {
                Ok(cluster) => {
                    findings.extend(cluster.examine(&check, &specs(desired, name), fence(desired, name)).await);
                }
                Err(failure) => findings.push(failed(&check, &failure)),
            }
        }
        findings
    }

    /// Adds what is seen on all clusters, which are read at the same time.
    pub async fn observe(&self, desired: &Desired, observed: &mut Observed) {
        let mut reads = tokio::task::JoinSet::new();
        for (name, lazy) in &self.0 {
            let (name, lazy, declared) = (name.clone(), Arc::clone(lazy), declared(desired, name));
            reads.spawn(async move {
                let seen = match lazy.get().await {
                    Ok(cluster) => cluster.observe(&declared).await,
                    Err(failure) => Err(failure),
                };
                (name, seen)
            });
        }
        let mut all = reads.join_all().await;
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (name, seen) in all {
            match seen {
                Ok((cluster, guests)) => {
                    observed.clusters.insert(name, Reading::Present(cluster));
                    for (guest, reading) in guests {
                        add(&mut observed.cluster_guests, guest, reading);
                    }
                }
                Err(failure) => drop(observed.clusters.insert(name, Reading::Unreadable(words(&failure)))),
            }
        }
    }

    /// Waits for a task that an earlier run began, up to half an hour.
    ///
    /// # Errors
    /// It failed; or nobody knows how it ended, or whether it has.
    pub async fn wait_for(&self, task: &Task, progress: &dyn Progress) -> Result<(), Failure> {
        let unknown = || Failure::unknown(format!("found `{}`, which is no name of a task", task.name));
        let name = Upid::parse(&task.name).ok_or_else(unknown)?;
        let watch = Watch { progress, until: Instant::now() + LEFT_BEHIND };
        self.get(&task.on).await?.finish(&name, watch).await.map_err(Failure::from)
    }

    /// The snapshots of a guest on a cluster, oldest first.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn snapshots(&self, cluster: &str, guest: &str, vmid: u32) -> Result<Vec<GuestSnapshot>, Failure> {
        self.get(cluster).await?.snapshots(guest, vmid).await
    }

    pub(super) async fn get(&self, name: &str) -> Result<Arc<Cluster>, Failure> {
        match self.0.get(name) {
            Some(lazy) => lazy.get().await,
            None => Err(Failure::permanent(format!("found no cluster `{name}` in the fleet file"))),
        }
    }
}

/// A failure as a plan shows it.
fn words(failure: &Failure) -> String {
    let causes = failure.causes.join(": ");
    failure.hint.as_ref().map_or_else(|| causes.clone(), |hint| format!("{causes}; {hint}"))
}

/// A name that is on two clusters is unreadable, rather than one of them at random.
fn add<T>(all: &mut BTreeMap<String, Reading<T>>, name: String, reading: Reading<T>) {
    match (all.get(&name), &reading) {
        (Some(Reading::Present(_)), Reading::Present(_)) => {
            all.insert(name, Reading::Unreadable("guests on two clusters carry its mark".into()));
        }
        (Some(Reading::Present(_) | Reading::Unreadable(_)), Reading::Absent) => {}
        _ => drop(all.insert(name, reading)),
    }
}

fn fence(desired: &Desired, cluster: &str) -> Fence {
    match desired.resources.get(&Address::cluster(cluster)).map(|declared| &declared.resource) {
        Some(Resource::Cluster(spec)) if !spec.fence.is_empty() => Fence::Some,
        _ => Fence::None,
    }
}

fn declared(desired: &Desired, cluster: &str) -> BTreeMap<String, Asked> {
    specs(desired, cluster).into_iter().map(|spec| (spec.name.clone(), Asked::of(spec))).collect()
}

/// The guests that are declared on a cluster.
fn specs<'a>(desired: &'a Desired, cluster: &str) -> Vec<&'a ClusterGuestSpec> {
    let specs = desired.resources.values().filter_map(|declared| match &declared.resource {
        Resource::ClusterGuest(spec) if spec.cluster == cluster => Some(&**spec),
        _ => None,
    });
    specs.collect()
}

#[async_trait]
impl Perform for Clusters {
    async fn perform(&self, step: &Step, progress: &dyn Progress) -> Result<(), Failure> {
        // A little less than what the run gives it, so that this is what says what was waited for.
        let left = Duration::from_secs(step.deadline_s.saturating_sub(5).max(5));
        let watch = Watch { progress, until: Instant::now() + left };
        match &step.op {
            Op::CreateClusterGuest { guest } => self.get(&guest.cluster).await?.create(guest, watch).await,
            Op::UpdateClusterGuest { guest } => self.get(&guest.cluster).await?.update(guest, watch).await,
            Op::StartClusterGuest { cluster, guest } => self.get(cluster).await?.start(guest, watch).await,
            Op::RestartClusterGuest { cluster, guest, .. } => self.get(cluster).await?.restart(guest, watch).await,
            Op::StopClusterGuest { cluster, guest, vmid } => self.get(cluster).await?.stop(guest, *vmid, watch).await,
            Op::DestroyClusterGuest { cluster, guest, vmid } => {
                self.get(cluster).await?.destroy(guest, *vmid, watch).await
            }
            Op::SnapshotClusterGuest { cluster, guest, vmid, snapshot, why } => {
                let act = Act::Take { why };
                self.get(cluster).await?.snapshot((guest, *vmid), snapshot, act, watch).await
            }
            Op::RollBackClusterGuest { cluster, guest, vmid, snapshot } => {
                self.get(cluster).await?.snapshot((guest, *vmid), snapshot, Act::RollBack, watch).await
            }
            Op::DeleteClusterSnapshot { cluster, guest, vmid, snapshot } => {
                self.get(cluster).await?.snapshot((guest, *vmid), snapshot, Act::Delete, watch).await
            }
            other => Err(Failure::permanent(format!("`{}` is no step of a cluster", other.name()))),
        }
    }
}

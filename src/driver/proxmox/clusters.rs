//! All clusters of a fleet: which one a step is for, and what all of them show.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::waiting::Watch;
use crate::exec::{Failure, Perform, Progress};
use crate::plan::{Op, Step};
use crate::resource::{Desired, Observed, Reading, Resource};

/// The clusters of a fleet by name; those that cannot even be asked, with the reason.
#[derive(Default)]
pub struct Clusters(BTreeMap<String, Result<Arc<Cluster>, Failure>>);

impl Clusters {
    /// These clusters.
    pub fn new(clusters: impl IntoIterator<Item = (String, Result<Cluster, Failure>)>) -> Self {
        Self(clusters.into_iter().map(|(name, cluster)| (name, cluster.map(Arc::new))).collect())
    }

    /// Adds what is seen on all clusters, which are read at the same time.
    pub async fn observe(&self, desired: &Desired, observed: &mut Observed) {
        let mut reads = tokio::task::JoinSet::new();
        for (name, cluster) in &self.0 {
            let (name, cluster, declared) = (name.clone(), cluster.clone(), declared(desired, name));
            reads.spawn(async move {
                let seen = match cluster {
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

    fn get(&self, name: &str) -> Result<&Arc<Cluster>, Failure> {
        match self.0.get(name) {
            Some(Ok(cluster)) => Ok(cluster),
            Some(Err(failure)) => Err(failure.clone()),
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

fn declared(desired: &Desired, cluster: &str) -> BTreeSet<String> {
    let specs = desired.resources.values().filter_map(|declared| match &declared.resource {
        Resource::ClusterGuest(spec) if spec.cluster == cluster => Some(spec.name.clone()),
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
            Op::CreateClusterGuest { guest } => self.get(&guest.cluster)?.create(guest, watch).await,
            Op::UpdateClusterGuest { guest } => self.get(&guest.cluster)?.update(guest, watch).await,
            Op::StartClusterGuest { cluster, guest } => self.get(cluster)?.start(guest, watch).await,
            Op::RestartClusterGuest { cluster, guest } => self.get(cluster)?.restart(guest, watch).await,
            Op::StopClusterGuest { cluster, guest, vmid } => self.get(cluster)?.stop(guest, *vmid, watch).await,
            Op::DestroyClusterGuest { cluster, guest, vmid } => self.get(cluster)?.destroy(guest, *vmid, watch).await,
            other => Err(Failure::permanent(format!("`{}` is no step of a cluster", other.name()))),
        }
    }
}

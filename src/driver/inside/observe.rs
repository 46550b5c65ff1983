//! Seeing the files of guests on clusters: those that run, carry our mark, and of which files are declared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Insides;
use crate::driver::files::{Wanted, live};
use crate::resource::cluster::{ObservedClusterGuest, Power, Reach};
use crate::resource::{Desired, FileSet, GuestFiles, Observed, Reading, Resource};

/// How long a running guest may take to let us in before its files count as unreadable.
const LOGIN_DEADLINE: Duration = Duration::from_secs(20);

/// Guests read at the same time.
const PARALLEL: usize = 16;

impl Insides {
    /// Adds the files of guests that were seen. A guest that does not run is left out.
    pub async fn observe(self: &Arc<Self>, desired: &Desired, observed: &mut Observed) {
        let limit = Arc::new(Semaphore::new(PARALLEL));
        let mut reads = JoinSet::new();
        for (name, (reach, sets)) in declared(desired) {
            let Some(seen) = observed.cluster_guests.get(name).and_then(Reading::present) else { continue };
            if seen.power == Power::Off {
                continue;
            }
            let (insides, limit) = (Arc::clone(self), Arc::clone(&limit));
            let (name, reach, seen, wanted) = (name.to_owned(), reach.clone(), seen.clone(), Wanted::of(sets));
            reads.spawn(async move {
                let _permit = limit.acquire_owned().await;
                (name, insides.read(&reach, &seen, &wanted).await)
            });
        }
        observed.inside.extend(reads.join_all().await);
    }

    async fn read(&self, reach: &Reach, seen: &ObservedClusterGuest, wanted: &Wanted) -> Reading<GuestFiles> {
        match self.shell_of(reach, seen, LOGIN_DEADLINE).await {
            Ok(shell) => {
                live::Guest::behind(&*shell).with_work_directory(self.account.home.as_str()).read(wanted).await
            }
            Err(failure) => Reading::Unreadable(failure.in_one_line()),
        }
    }
}

/// The declared guests of clusters that have files, with those.
fn declared(desired: &Desired) -> BTreeMap<&str, (&Reach, Vec<&FileSet>)> {
    let guests = desired.resources.values().filter_map(|declared| match &declared.resource {
        Resource::ClusterGuest(spec) => Some((spec.name.as_str(), (&spec.reach, Vec::new()))),
        _ => None,
    });
    let mut guests: BTreeMap<&str, (&Reach, Vec<&FileSet>)> = guests.collect();
    for declared in desired.resources.values() {
        if let Resource::Files(set) = &declared.resource
            && let Some((_, sets)) = guests.get_mut(set.guest.as_str())
        {
            sets.push(set);
        }
    }
    guests.retain(|_, (_, sets)| !sets.is_empty());
    guests
}

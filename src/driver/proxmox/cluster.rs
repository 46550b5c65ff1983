//! One cluster, as it concerns one fleet: where its guests are, and what every step begins with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use tokio::sync::{Mutex, OnceCell};

use super::api::{Api, Listed, Listing, Place};
use super::beside::{Asked, Services};
use super::error::ApiError;
use super::exchange::Exchange;
use super::read;
use crate::exec::Failure;
use crate::resource::cluster::{ObservedClusterGuest, mark};

/// How fast is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks at a task, at first.
    pub poll: Duration,
    /// Before a lock is tried again, at first; then twice as long each time.
    pub first: Duration,
    /// No wait for a lock is longer.
    pub longest: Duration,
    /// How long a lock is waited for in all.
    pub patience: Duration,
    /// How long a request whose answer was lost may take to begin.
    pub settle: Duration,
}

impl Default for Pace {
    /// Proxmox gives up after 30 s what it does afterwards all the same.
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(100),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15),
            patience: Duration::from_secs(300),
            settle: Duration::from_secs(5),
        }
    }
}

/// One cluster.
pub struct Cluster {
    pub(super) name: String,
    pub(super) fleet: String,
    pub(super) api: Api,
    pub(super) pace: Pace,
    /// Whether its certificate is not looked at.
    pub(super) unverified: bool,
    /// Numbers that this process gave to guests it makes: the server reserves none.
    pub(super) reserved: Mutex<BTreeSet<u32>>,
    /// Whether what earlier runs began was waited for.
    pub(super) begun: OnceCell<()>,
    /// Held while a volume is downloaded or uploaded.
    pub(super) fetching: Mutex<()>,
    /// What `~/` is in paths of files that are uploaded.
    pub(super) home: Option<Utf8PathBuf>,
}

impl Cluster {
    /// A cluster behind an exchange.
    pub fn new(name: &str, fleet: &str, exchange: Arc<dyn Exchange>, pace: Pace) -> Self {
        let (name, fleet) = (name.to_owned(), fleet.to_owned());
        let (reserved, begun, fetching) = (Mutex::default(), OnceCell::new(), Mutex::default());
        let api = Api::new(exchange);
        Self { name, fleet, api, pace, unverified: false, reserved, begun, fetching, home: None }
    }

    /// Says what `~/` is in paths of files that are uploaded.
    #[must_use]
    pub fn at_home(self, home: Option<Utf8PathBuf>) -> Self {
        Self { home, ..self }
    }

    /// Says that its certificate is not looked at: every plan repeats it.
    #[must_use]
    pub fn unverified(self) -> Self {
        Self { unverified: true, ..self }
    }

    /// The guest of this name that carries our mark, wherever it is now.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) async fn find(&self, name: &str) -> Result<Option<(Place, ObservedClusterGuest)>, Failure> {
        let listing = self.api.listing().await.map_err(Failure::from)?;
        self.find_in(&listing, name, Asked::default()).await
    }

    pub(super) async fn find_in(
        &self,
        listing: &Listing,
        name: &str,
        asked: Asked,
    ) -> Result<Option<(Place, ObservedClusterGuest)>, Failure> {
        let tag = mark::tag(&self.fleet);
        let named = listing.guests.values().filter(|guest| guest.name == name);
        // Somebody may have renamed it.
        let tagged = listing.guests.values().filter(|guest| guest.name != name && guest.tags.contains(&tag));
        let services = Services::default();
        for guest in named.chain(tagged) {
            match self.read(guest, asked, &services).await {
                Ok(Some(seen)) if seen.mark.guest == name => return Ok(Some((place(guest), seen))),
                Ok(_) | Err(ApiError::Absent(_)) => {}
                Err(error) => return Err(Failure::from(error).context(format!("cannot read guest {}", guest.vmid))),
            }
        }
        Ok(None)
    }

    /// A guest of ours, if it is one: its configuration, and what is asked for beside it or was applied there.
    pub(super) async fn read(
        &self,
        guest: &Listed,
        asked: Asked,
        services: &Services,
    ) -> Result<Option<ObservedClusterGuest>, ApiError> {
        let place = place(guest);
        let config = self.api.config(&place, guest.power()).await?;
        let Some(mut seen) = read::guest(&self.name, &self.fleet, guest, &config, asked.taken_over) else {
            return Ok(None);
        };
        let asked = asked.or(Asked::by(&seen.mark.applied));
        let beside = self.api.beside(&place, asked, services).await?;
        seen.values.extend(beside.values);
        seen.digests = beside.digests;
        Ok(Some(seen))
    }
}

/// Where a listed guest is.
pub(super) fn place(guest: &Listed) -> Place {
    Place { node: guest.node.clone(), kind: guest.kind, vmid: guest.vmid }
}

//! Starting, stopping and removing guests.

use super::affinity::Between;
use super::api::Place;
use super::beside::{Asked, Services};
use super::cluster::Cluster;
use super::error::ApiError;
use super::exchange::{Call, Verb};
use super::waiting::Watch;
use crate::exec::Failure;
use crate::resource::cluster::{ObservedClusterGuest, Power, Value};

/// Seconds a guest gets to shut down before it is stopped by force.
const SHUTDOWN_S: u32 = 60;

/// How often an answer may be lost.
const ATTEMPTS: usize = 4;

/// Requests after which a guest is gone: what keeps it on nodes, high availability, the guest itself; and each may get lost.
const REMOVALS: usize = 3 * ATTEMPTS;

impl Cluster {
    /// Starts a guest, unless it runs.
    pub(super) async fn start(&self, name: &str, watch: Watch<'_>) -> Result<(), Failure> {
        let (place, _) = self.found(name).await?;
        self.turn(&place, Power::On, watch).await
    }

    /// Shuts a guest down and starts it, so that what waits for a start is in force. Nobody is disturbed for nothing:
    /// what was expected to wait may have been taken at once.
    pub(super) async fn restart(&self, name: &str, watch: Watch<'_>) -> Result<(), Failure> {
        let (place, seen) = self.found(name).await?;
        if seen.power == Power::On && seen.pending.is_empty() {
            watch.progress.note("nothing waits for a restart: all of it was taken while the guest runs");
            return Ok(());
        }
        self.turn(&place, Power::Off, watch).await?;
        self.turn(&place, Power::On, watch).await
    }

    /// Shuts a guest down, by force when it does not within its time.
    pub(super) async fn stop(&self, name: &str, vmid: u32, watch: Watch<'_>) -> Result<(), Failure> {
        match self.same(name, vmid).await? {
            Some((place, _)) => self.turn(&place, Power::Off, watch).await,
            None => Ok(()),
        }
    }

    /// Removes a stopped guest with its disks. One that is gone is removed already.
    pub(super) async fn destroy(&self, name: &str, vmid: u32, watch: Watch<'_>) -> Result<(), Failure> {
        let mut last = ApiError::Unknown(String::new());
        for _ in 0..REMOVALS {
            let Some((place, seen)) = self.same(name, vmid).await? else { return Ok(()) };
            if seen.power == Power::On {
                return Err(Failure::permanent(format!("guest {vmid} runs: somebody started it again")));
            }
            let call = match self.next_of_affinity(&place, &seen).await? {
                Some(first) => first,
                None => Call::new(Verb::Delete, place.path("")).with("purge", "1"),
            };
            match self.run(&call, watch).await {
                Ok(()) | Err(ApiError::Absent(_)) if is_last(&call, &place) => return Ok(()),
                Ok(()) => {}
                Err(error @ ApiError::Unknown(_)) => {
                    self.settle(&place, watch).await;
                    last = error;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    /// What keeps the guest on nodes is ours, and goes before it does. `purge` knows nothing of groups.
    async fn next_of_affinity(&self, place: &Place, seen: &ObservedClusterGuest) -> Result<Option<Call>, Failure> {
        let asked = Asked::by(&seen.mark.applied);
        if !asked.affinity() {
            return Ok(None);
        }
        let beside = self.api.beside(place, asked, &Services::default()).await.map_err(Failure::from)?;
        let affinities = self.api.affinities().await.map_err(Failure::from)?;
        let (is, digest) = (beside.values.get("ha").and_then(Value::as_properties), beside.digests.get("affinity"));
        let digest = digest.map(String::as_str);
        Ok(affinities.next(&Between { place, power: seen.power, wish: None, is, digest }))
    }

    async fn found(&self, name: &str) -> Result<(Place, ObservedClusterGuest), Failure> {
        self.find(name).await?.ok_or_else(|| Failure::permanent(format!("guest `{name}` is gone")))
    }

    async fn turn(&self, place: &Place, to: Power, watch: Watch<'_>) -> Result<(), Failure> {
        let call = match to {
            Power::On => Call::new(Verb::Post, place.path("/status/start")),
            Power::Off => Call::new(Verb::Post, place.path("/status/shutdown"))
                .with("timeout", SHUTDOWN_S.to_string())
                .with("forceStop", "1"),
        };
        let mut last = ApiError::Unknown(String::new());
        for _ in 0..ATTEMPTS {
            if self.api.is_running(place).await.map_err(Failure::from)? == (to == Power::On) {
                return Ok(());
            }
            match self.run(&call, watch).await {
                // Where high availability manages it, the task only put the wish into a queue.
                Ok(()) => return self.reached(place, to, watch).await,
                Err(error @ ApiError::Unknown(_)) => {
                    self.settle(place, watch).await;
                    last = error;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    async fn reached(&self, place: &Place, to: Power, watch: Watch<'_>) -> Result<(), Failure> {
        let mut wait = self.pace.poll;
        while tokio::time::Instant::now() < watch.until {
            match self.api.is_running(place).await {
                Ok(running) if running == (to == Power::On) => return Ok(()),
                Ok(_) | Err(ApiError::Unreachable(_) | ApiError::Unknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(self.pace.longest);
        }
        let word = if to == Power::On { "run" } else { "stop" };
        Err(Failure::unknown(format!("guest {} does not {word} although its task is done", place.vmid)))
    }
}

/// Whether a request removes the guest itself.
fn is_last(call: &Call, place: &Place) -> bool {
    call.path == place.path("")
}

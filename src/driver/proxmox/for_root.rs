//! What of a guest is left to root on its node: data for whoever has the way there. Nothing here goes it.

use super::beside::Asked;
use super::clusters::Clusters;
use crate::exec::Failure;
use crate::resource::cluster::{Act, ClusterGuestSpec, GuestKind, compare};

/// A guest, and what only root may change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForRoot {
    /// Where it is.
    pub node: String,
    /// Container or virtual machine.
    pub kind: GuestKind,
    /// Its number.
    pub vmid: u32,
    /// Names its configuration as it was read.
    pub digest: String,
    /// What to change, one at a time.
    pub acts: Vec<Act>,
}

impl Clusters {
    /// Looks what of a guest is left to root.
    ///
    /// # Errors
    /// The guest is not there, or its cluster cannot be asked.
    pub async fn for_root(&self, spec: &ClusterGuestSpec) -> Result<ForRoot, Failure> {
        let cluster = self.get(&spec.cluster).await?;
        let listing = cluster.api.listing().await.map_err(Failure::from)?;
        let found = cluster.find_in(&listing, &spec.name, Asked::default()).await?;
        let Some((place, seen)) = found else {
            return Err(Failure::permanent(format!("guest `{}` is gone", spec.name)));
        };
        let acts = compare(spec, &seen).all.into_iter().filter(|it| it.needs_root(spec)).map(|it| it.act).collect();
        Ok(ForRoot { node: place.node, kind: place.kind, vmid: place.vmid, digest: seen.digest, acts })
    }
}

//! Guests that nobody manages yet, as they are: what `regatta adopt` writes down of them. Reads only.

use super::beside::{Asked, Services};
use super::clusters::Clusters;
use crate::exec::Failure;
use crate::resource::cluster::ObservedClusterGuest;

impl Clusters {
    /// A guest of this number that carries no mark of anybody.
    ///
    /// # Errors
    /// There is none, it is a template, or it belongs to a fleet already.
    pub async fn unmarked(&self, cluster: &str, vmid: u32) -> Result<ObservedClusterGuest, Failure> {
        let on = self.get(cluster).await?;
        let listing = on.api.listing().await.map_err(Failure::from)?;
        let missing = || Failure::permanent(format!("found no guest {vmid} on the cluster `{cluster}`"));
        let listed = listing.guests.get(&vmid).ok_or_else(missing)?;
        if listed.template {
            return Err(Failure::permanent(format!("guest {vmid} is a template, which nobody runs")));
        }
        let asked = Asked::taking_over(vmid);
        let read = on.read(listed, asked, &Services::default()).await.map_err(Failure::from)?;
        match read {
            Some(seen) if !seen.mark.is_there() => Ok(seen),
            Some(seen) => {
                Err(Failure::permanent(format!("guest {vmid} is `{}` of this fleet already", seen.mark.guest)))
            }
            None => {
                let failure = Failure::permanent(format!("guest {vmid} carries the mark of another fleet"));
                Err(failure.hint("take it out of that fleet first: nothing that is somebody's is touched"))
            }
        }
    }
}

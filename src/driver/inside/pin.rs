//! Trusting a host key of a guest on a cluster, because somebody who looked says so. The guest's mark keeps it.

use super::Insides;
use super::login::has_server;
use crate::driver::host_keys;
use crate::exec::Failure;
use crate::resource::cluster::Reach;

impl Insides {
    /// Pins the host key with this fingerprint (`SHA256:…`), if the guest shows one.
    ///
    /// # Errors
    /// The fleet file declares its key; the guest does not run, or shows no such key.
    pub async fn pin(&self, reach: &Reach, wanted: &str) -> Result<(), Failure> {
        has_server(reach)?;
        if reach.host_key.is_some() {
            let failure =
                Failure::permanent(format!("the fleet file declares the host key of guest `{}`", reach.guest));
            return Err(failure.hint("write the new `host-key` there"));
        }
        let found = self.clusters.whereabouts(reach).await?;
        let shown = host_keys::shown(&*self.doors.run, &found.host, reach.port).await?;
        match shown.iter().find(|(_, fingerprint)| fingerprint == wanted) {
            Some((key, _)) => self.clusters.pin(reach, key).await,
            None => {
                let shown = host_keys::listed(&shown);
                Err(Failure::permanent(format!("guest `{}` shows {shown}, expected {wanted}", reach.guest)))
            }
        }
    }
}

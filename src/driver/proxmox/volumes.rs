//! Volumes that guests are made from: downloaded by the node, or uploaded, when its storage does not have them.

use super::answer::{list, text};
use super::api::Place;
use super::cluster::Cluster;
use super::error::ApiError;
use super::exchange::{Call, Verb};
use super::waiting::Watch;
use crate::exec::Failure;
use crate::resource::cluster::{ClusterGuestSpec, GuestOrigin, VolumeSource, percent};

/// How often is looked again, when somebody else may have been faster.
const ATTEMPTS: usize = 3;

/// `STORAGE:CONTENT/FILE`.
pub(super) struct Volume<'a> {
    whole: &'a str,
    storage: &'a str,
    pub(super) content: &'a str,
    pub(super) file: &'a str,
}

impl<'a> Volume<'a> {
    fn parse(whole: &'a str) -> Option<Self> {
        let (storage, rest) = whole.split_once(':')?;
        let (content, file) = rest.split_once('/')?;
        Some(Self { whole, storage, content, file })
    }

    pub(super) fn path(&self, node: &str, below: &str) -> String {
        format!("/nodes/{}/storage/{}/{below}", percent::encode(node), percent::encode(self.storage))
    }
}

impl Cluster {
    /// Has the volume that a guest is made from on the node where it is made, when it says where it comes from.
    pub(super) async fn have_volume(
        &self,
        spec: &ClusterGuestSpec,
        place: &Place,
        watch: Watch<'_>,
    ) -> Result<(), Failure> {
        let (GuestOrigin::Template { volume, source: Some(source) }
        | GuestOrigin::DiskImage { volume, source: Some(source) }) = &spec.origin
        else {
            return Ok(());
        };
        let Some(volume) = Volume::parse(volume) else {
            let message = format!("found the volume `{volume}`, expected one such as `local:vztmpl/NAME.tar.zst`");
            return Err(Failure::permanent(message));
        };
        // One at a time: others want the same.
        let _one = self.fetching.lock().await;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            if self.has_volume(&place.node, &volume).await.map_err(Failure::from)? {
                return Ok(());
            }
            match self.fetch(&place.node, &volume, source, watch).await? {
                Ok(()) => last = None,
                // Somebody else may have been faster, or it goes on: what is there then decides.
                Err(error @ (ApiError::Unknown(_) | ApiError::Refused(_))) => {
                    if matches!(error, ApiError::Unknown(_)) {
                        self.settle(place, watch).await;
                    }
                    last = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let failure = last.map_or_else(
            || Failure::permanent(format!("`{}` is not there, although its task is done", volume.whole)),
            Failure::from,
        );
        let verb = if matches!(source, VolumeSource::Url { .. }) { "download" } else { "upload" };
        Err(failure.context(format!("cannot {verb} `{}`", volume.whole)))
    }

    /// Downloads or uploads it once. The outer error is about this machine: there is nothing to upload.
    async fn fetch(
        &self,
        node: &str,
        volume: &Volume<'_>,
        source: &VolumeSource,
        watch: Watch<'_>,
    ) -> Result<Result<(), ApiError>, Failure> {
        match source {
            VolumeSource::Url { url, sha256 } => {
                watch.say(&format!("downloads {} to `{node}`", volume.file));
                let call = request(node, volume, "download-url", sha256).with("filename", volume.file).with("url", url);
                Ok(self.run(&call, watch).await)
            }
            VolumeSource::File { file, sha256 } => {
                let call = request(node, volume, "upload", sha256);
                self.upload(&call, volume.file, file, watch).await
            }
        }
    }

    async fn has_volume(&self, node: &str, volume: &Volume<'_>) -> Result<bool, ApiError> {
        let call = Call::new(Verb::Get, volume.path(node, "content")).with("content", volume.content);
        let found = self.api.call(&call).await?;
        Ok(list(&found).iter().any(|item| text(item, "volid").as_deref() == Some(volume.whole)))
    }
}

fn request(node: &str, volume: &Volume<'_>, below: &str, sha256: &str) -> Call {
    Call::new(Verb::Post, volume.path(node, below))
        .with("content", volume.content)
        .with("checksum", sha256)
        .with("checksum-algorithm", "sha256")
}

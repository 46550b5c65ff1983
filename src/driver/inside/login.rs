//! How a guest of a cluster is logged in to.

use std::time::Duration;

use camino::Utf8PathBuf;
use tokio::time::{Instant, sleep};

use super::Insides;
use crate::driver::key_file::key_file;
use crate::driver::microvm::Login;
use crate::driver::proxmox::{Entrance, Whereabouts};
use crate::effect::{Shell, SshTarget, files, known_hosts_line};
use crate::exec::{Failure, FailureKind, Progress};
use crate::resource::cluster::{ObservedClusterGuest, Reach, Via};

/// One try has this long.
const TRY: Duration = Duration::from_secs(15);

/// From one try to the next.
const BETWEEN: Duration = Duration::from_millis(1500);

impl Insides {
    /// How people log in to a guest that runs.
    ///
    /// # Errors
    /// It is not there or stopped, or nobody knows its address or its host key.
    pub async fn login(&self, reach: &Reach) -> Result<Login, Failure> {
        has_server(reach)?;
        let found = self.clusters.whereabouts(reach).await?;
        self.login_to(reach, &found).await
    }

    /// The same of a guest that was seen a moment ago.
    pub(super) async fn login_of(&self, reach: &Reach, seen: &ObservedClusterGuest) -> Result<Login, Failure> {
        let found = self.clusters.whereabouts_of(reach, seen).await?;
        self.login_to(reach, &found).await
    }

    /// Goes into a guest that runs, by the way that is declared.
    ///
    /// # Errors
    /// As [`Insides::login`]; it does not answer in time, or its node does not let us in.
    pub async fn shell(&self, reach: &Reach, within: Duration) -> Result<Box<dyn Shell>, Failure> {
        match reach.via {
            Via::Ssh => Ok(self.doors.connect.connect(&self.login(reach).await?.target, within).await?),
            Via::Node => self.by_its_node(reach, &self.clusters.entrance(reach).await?).await,
        }
    }

    /// Whether a guest that is gone into by way of its node can be: its cluster is asked, its node is not.
    ///
    /// # Errors
    /// It is not made yet, does not run, or is not to be gone into.
    pub async fn can_be_entered(&self, reach: &Reach) -> Result<(), Failure> {
        self.clusters.entrance(reach).await.map(drop)
    }

    /// The same of a guest that was seen a moment ago.
    pub(super) async fn shell_of(
        &self,
        reach: &Reach,
        seen: &ObservedClusterGuest,
        within: Duration,
    ) -> Result<Box<dyn Shell>, Failure> {
        match reach.via {
            Via::Ssh => {
                let target = self.login_of(reach, seen).await?.target;
                let connected = self.doors.connect.connect(&target, within).await;
                connected.map_err(|error| Failure::permanent(format!("cannot log in: {error}")))
            }
            Via::Node => self.by_its_node(reach, &self.clusters.entrance_of(reach, seen).await?).await,
        }
    }

    async fn by_its_node(&self, reach: &Reach, at: &Entrance) -> Result<Box<dyn Shell>, Failure> {
        match &self.nodes {
            Some(nodes) => nodes.enter(reach, &at.node, at.vmid).await,
            None => {
                Err(Failure::permanent(format!("no way leads to the node `{}` of guest `{}`", at.node, reach.guest)))
            }
        }
    }

    async fn login_to(&self, reach: &Reach, found: &Whereabouts) -> Result<Login, Failure> {
        let host_key = found.host_key.clone().map_err(|why| no_host_key(reach, &why))?;
        let line = known_hosts_line(&found.host, reach.port, &host_key)
            .map_err(|error| Failure::permanent(error.to_string()).context("cannot use the host key"))?;
        let known_hosts = self.state.cluster_known_hosts(&self.fleet, &reach.guest);
        known_hosts.parent().map_or(Ok(()), files::private_dir)?;
        files::write_atomic(&known_hosts, line.as_bytes())?;
        let via = self.surroundings.way(&*self.doors.run, &found.host).await?.map(Box::new);
        Ok(Login { target: SshTarget { via, ..self.target(reach, &found.host, host_key)? }, known_hosts })
    }

    pub(super) fn target(&self, reach: &Reach, host: &str, host_key: String) -> Result<SshTarget, Failure> {
        let (host, user) = (host.to_owned(), self.account.user.clone());
        Ok(SshTarget { host, port: reach.port, user, host_key, identity: self.identity(reach)?, via: None })
    }

    fn identity(&self, reach: &Reach) -> Result<Utf8PathBuf, Failure> {
        key_file(reach.identity.as_deref(), self.home.as_deref(), &self.state)
    }

    /// Logs in to a guest that may just have been started: tries until it works.
    ///
    /// # Errors
    /// At once when trying again would give the same answer, else when the time is over.
    pub(super) async fn enter(
        &self,
        reach: &Reach,
        within: Duration,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Shell>, Failure> {
        let end = Instant::now() + within;
        loop {
            let started = Instant::now();
            let failure = match self.try_to_enter(reach, progress).await {
                Ok(shell) => return Ok(shell),
                Err(failure) => failure,
            };
            let last = Instant::now() + BETWEEN >= end;
            if failure.kind == FailureKind::Permanent || last {
                return Err(failure.context(format!("cannot log in to guest `{}`", reach.guest)));
            }
            progress.say(&format!("waits until it answers: {}", failure.causes.join(": ")));
            sleep(BETWEEN.saturating_sub(started.elapsed())).await;
        }
    }

    async fn try_to_enter(&self, reach: &Reach, progress: &dyn Progress) -> Result<Box<dyn Shell>, Failure> {
        if reach.via == Via::Node {
            let at = self.clusters.entrance(reach).await?;
            progress.say(&format!("goes in by way of node `{}`", at.node));
            return self.by_its_node(reach, &at).await;
        }
        let login = self.login(reach).await?;
        if let Some(jump) = &login.target.via {
            progress.say(&format!("goes through `{}`, as the ssh configuration says", jump.named));
        }
        Ok(self.doors.connect.connect(&login.target, TRY).await?)
    }
}

/// Some guests are gone into by their nodes: programs that speak SSH reach no server there.
pub(super) fn has_server(reach: &Reach) -> Result<(), Failure> {
    if reach.via == Via::Ssh {
        return Ok(());
    }
    let guest = &reach.guest;
    let failure = Failure::permanent(format!("guest `{guest}` is gone into by way of its node, and not by SSH"));
    Err(failure.hint(format!(
        "`regatta exec {guest} -- …` and `regatta session` go there, and `regatta exec {guest} --stdin -- tee PATH <FILE` takes a \
         file along; on the node, `pct enter` is a shell and `pct pull` copies out of it"
    )))
}

/// What is done about a host key that nobody vouches for: somebody has to, or there is no login.
fn no_host_key(reach: &Reach, why: &str) -> Failure {
    let guest = &reach.guest;
    let failure = Failure::permanent(format!("cannot tell whether guest `{guest}` is itself: {why}"));
    failure.hint(format!(
        "read `/etc/ssh/ssh_host_ed25519_key.pub` in the guest and write `host-key` into the `ssh` of its block, or run \
         `regatta repin {guest} SHA256:…` with what `ssh-keygen -l` prints there"
    ))
}

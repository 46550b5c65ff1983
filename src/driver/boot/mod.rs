//! Guests that come back when their host boots: one unit of systemd for a fleet, there as long as a guest is marked.
//!
//! The mark is in the guest's record, so that it goes where the guest goes; the unit only says `start --autostart`. Unit and link
//! are written by us, as `systemctl enable` would: then what is in force can be read without asking anybody.

mod unit;

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

pub use unit::{Reader, Unit, Which};

use super::StateDir;
use super::microvm::Guests;
use crate::effect::{Command, Run, files, paths, process};
use crate::exec::{Failure, Progress};
use crate::resource::{Desired, Digest, Observed, Obstacle, Resource};

/// What runs this program, as the kernel tells it.
const PROGRAM: &str = "/proc/self/exe";

/// There where systemd runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

/// Where the machine's own units are.
const MACHINE: &str = "/etc/systemd/system";

/// Users whose systemd runs without a login, one file each (loginctl(1), `enable-linger`).
const LINGER: &str = "/var/lib/systemd/linger";

/// systemd answers at once, or not at all.
const DEADLINE: Duration = Duration::from_secs(20);

/// A unit is short.
const UNIT_LIMIT: u64 = 64 << 10;

/// The unit of one fleet.
pub struct BootUnit {
    run: Arc<dyn Run>,
    name: String,
    text: String,
    reader: Reader,
    /// Where units are; `None` where we have no home.
    folder: Option<Utf8PathBuf>,
    /// Held while it is decided whether the unit is still needed: guests go in parallel.
    one_at_a_time: tokio::sync::Mutex<()>,
}

/// Where our units are, for a user whose configuration is in `config`.
pub fn folder(config: Option<&Utf8Path>) -> Option<Utf8PathBuf> {
    match Reader::ours() {
        Reader::Machine => Some(MACHINE.into()),
        Reader::User => config.map(|config| config.join("systemd/user")),
    }
}

impl BootUnit {
    /// The unit of `fleet`, declared by the file at `origin` (absolute), among the units in `folder`.
    ///
    /// # Errors
    /// When it cannot be told which program this is.
    pub fn new(
        fleet: &str,
        origin: &str,
        state: &StateDir,
        folder: Option<Utf8PathBuf>,
        run: Arc<dyn Run>,
    ) -> Result<Self, Failure> {
        let program = paths::canonical(Utf8Path::new(PROGRAM))?;
        let reader = Reader::ours();
        let unit = Unit {
            program: program.as_str(),
            file: origin,
            state: state.root().as_str(),
            fleet,
            guests: Which::Marked,
            reader,
        };
        let digest: String = Digest::of(origin.as_bytes()).as_str().chars().take(8).collect();
        let name = format!("regatta-{fleet}-{digest}.service");
        Ok(Self { run, name, text: unit.text(), reader, folder, one_at_a_time: tokio::sync::Mutex::default() })
    }

    /// Adds whether the unit is in place, and what stands in the way of guests that should start with the host. Nothing is
    /// looked at for fleets without such guests.
    ///
    /// # Errors
    /// When the unit cannot be read.
    pub async fn observe(&self, desired: &Desired, observed: &mut Observed) -> Result<(), Failure> {
        let wanted = desired.resources.iter().filter(|(_, declared)| declared.rules.autostart);
        let wanted: Vec<_> = wanted
            .filter(|(_, declared)| matches!(declared.resource, Resource::Vm(_)))
            .map(|(address, _)| address.clone())
            .collect();
        let marked = observed.guests.values().filter_map(|guest| guest.present()).any(|guest| guest.record.autostart);
        if wanted.is_empty() && !marked {
            return Ok(());
        }
        observed.starts_with_host = self.is_in_place()?;
        if wanted.is_empty() {
            return Ok(());
        }
        if let Some(obstacle) = self.obstacle().await {
            wanted
                .into_iter()
                .for_each(|address| observed.obstacles.entry(address).or_default().push(obstacle.clone()));
        }
        Ok(())
    }

    /// Marks a guest, or takes its mark away, and has the unit there as long as a guest is marked.
    ///
    /// # Errors
    /// When the guest does not exist, or its record or the unit cannot be written.
    pub async fn set(
        &self,
        guests: &Guests,
        guest: &str,
        starts: Starts,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        match starts {
            Starts::WithHost => {
                // The mark comes last: until then the next plan does it again.
                self.install(progress).await?;
                guests.mark_autostart(guest, starts)
            }
            Starts::ByHand => {
                guests.mark_autostart(guest, starts)?;
                self.remove_if_unneeded(guests, progress).await
            }
        }
    }

    /// Takes the unit away when the last guest that needed it is gone.
    ///
    /// # Errors
    /// When the guests cannot be listed, or the unit cannot be removed.
    pub async fn tidy(&self, guests: &Guests, progress: &dyn Progress) -> Result<(), Failure> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        self.remove_if_unneeded(guests, progress).await
    }

    async fn remove_if_unneeded(&self, guests: &Guests, progress: &dyn Progress) -> Result<(), Failure> {
        let Some((unit, link)) = self.places() else { return Ok(()) };
        if !paths::exists(&unit)? && !paths::exists(&link)? || guests.has_autostart()? {
            return Ok(());
        }
        paths::remove_if_there(&link)?;
        paths::remove_if_there(&unit)?;
        self.reload(progress).await;
        Ok(())
    }

    async fn install(&self, progress: &dyn Progress) -> Result<(), Failure> {
        if self.is_in_place()? {
            return Ok(());
        }
        let Some((unit, link)) = self.places() else {
            return Err(Failure::permanent("found no place for units of systemd: HOME is not set"));
        };
        if let Some(folder) = link.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|cause| Failure::permanent(format!("cannot make `{folder}`: {cause}")))?;
        }
        files::write_atomic(&unit, self.text.as_bytes())?;
        paths::remove_if_there(&link)?;
        symlink(&unit, &link).map_err(|cause| Failure::permanent(format!("cannot make `{link}`: {cause}")))?;
        self.reload(progress).await;
        Ok(())
    }

    /// Has systemd read its units again. When it does not, it does so at the next boot, and that is when it matters.
    async fn reload(&self, progress: &dyn Progress) {
        let reload = self.systemctl(&["daemon-reload"]);
        if let Err(error) = self.run.run_ok(&reload).await {
            progress.note(&format!("systemd did not read its units again, which it does at the next boot: {error}"));
        }
    }

    fn systemctl(&self, words: &[&str]) -> Command {
        let whose: &[&str] = match self.reader {
            Reader::Machine => &[],
            Reader::User => &["--user"],
        };
        Command::new("systemctl").args(whose.iter().copied()).args(words.iter().copied()).deadline(DEADLINE)
    }

    /// The unit, and the link that has it started.
    fn places(&self) -> Option<(Utf8PathBuf, Utf8PathBuf)> {
        let folder = self.folder.as_ref()?;
        let wants = folder.join(format!("{}.wants", self.reader.target()));
        Some((folder.join(&self.name), wants.join(&self.name)))
    }

    fn is_in_place(&self) -> Result<bool, Failure> {
        let Some((unit, link)) = self.places() else { return Ok(false) };
        let read = files::read_bounded(&unit, UNIT_LIMIT)?;
        let linked = std::fs::read_link(&link).is_ok_and(|target| target == unit.as_std_path());
        Ok(linked && read.as_deref() == Some(self.text.as_bytes()))
    }

    /// What keeps guests from starting with this host.
    async fn obstacle(&self) -> Option<Obstacle> {
        if !paths::exists(Utf8Path::new(SYSTEMD)).unwrap_or(false)
            && self.run.run_ok(&self.systemctl(&["show", "--property=Version"])).await.is_err()
        {
            return Some(Obstacle {
                message: "it is to start with its host, and systemd, which would do that, does not run here".into(),
                help: "remove `autostart`, and have whatever starts programs at boot run `regatta start NAME`".into(),
            });
        }
        if self.reader == Reader::Machine {
            return None;
        }
        let Ok(user) = process::account(None).map(|account| account.name) else { return None };
        let asked = Command::new("loginctl").args(["show-user", &user, "--property=Linger"]).deadline(DEADLINE);
        let lingers = paths::exists(&Utf8Path::new(LINGER).join(&user)).unwrap_or(false)
            || self.run.run_ok(&asked).await.is_ok_and(|output| output.stdout.starts_with(b"Linger=yes"));
        (!lingers).then(|| Obstacle {
            message: format!("it is to start with its host, and what `{user}` starts waits for a login here"),
            help: format!("as root: `loginctl enable-linger {user}`"),
        })
    }
}

/// What starts a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starts {
    /// Its host, when it boots.
    WithHost,
    /// Somebody.
    ByHand,
}

#[cfg(test)]
mod tests;

//! Whose a guest is: letting go of it, and taking one over. Neither touches its disks, and neither cares whether it runs.

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::guests::{Guests, not_looked_at};
use crate::driver::kept::{self, DESTROYED};
use crate::driver::record;
use crate::effect::paths;
use crate::exec::Failure;
use crate::resource::{ObservedGuest, Reading, Record, Stray};

/// Before the name of a guest that was let go of: names that begin with a dot are no guests.
const FORGOTTEN: &str = ".forgotten-";

/// Where to look for guests to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where<'a> {
    /// Among the guests of this fleet.
    Here,
    /// Among those of a fleet of another name.
    Fleet(&'a str),
    /// Among those of this fleet that were let go of.
    Forgotten,
    /// Among those of this fleet that were destroyed.
    Destroyed,
}

impl Guests {
    /// The directory of this fleet's guests, below the state directory.
    pub fn place(&self) -> String {
        self.below_state(&self.state.guests(&self.fleet))
    }

    /// Names of the guests that are there, whoever made them.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    pub fn taken(&self) -> Result<std::collections::BTreeSet<String>, Failure> {
        self.names()
    }

    /// Guests that could be taken over, by name.
    ///
    /// # Errors
    /// When the state directory cannot be read; a guest that cannot be read is part of the answer.
    pub fn strays(&self, place: Where<'_>) -> Result<BTreeMap<String, Stray>, Failure> {
        let fleet = match place {
            Where::Here | Where::Forgotten | Where::Destroyed => &self.fleet,
            Where::Fleet(name) => name,
        };
        let directory = self.state.guests(fleet);
        let mut strays = BTreeMap::new();
        for name in paths::names_in(&directory)? {
            let wanted = match place {
                Where::Forgotten => name.strip_prefix(FORGOTTEN),
                Where::Destroyed => name.strip_prefix(DESTROYED),
                Where::Here | Where::Fleet(_) => Some(name.as_str()).filter(|name| !name.starts_with('.')),
            };
            let Some(wanted) = wanted else { continue };
            let guest = self.stray(&directory.join(&name));
            if guest != Reading::Absent {
                // Names of guests have no dots: what follows is the uuid.
                let guest_name = wanted.split('.').next().unwrap_or(wanted).to_owned();
                strays.insert(guest_name, Stray { at: self.below_state(&directory.join(&name)), guest });
            }
        }
        Ok(strays)
    }

    fn stray(&self, directory: &Utf8Path) -> Reading<ObservedGuest> {
        let record = match record::read(&directory.join("record.json")) {
            Reading::Present(record) => record,
            Reading::Absent => return Reading::Absent,
            Reading::Unreadable(why) => return Reading::Unreadable(why),
        };
        let state = self.run_states([&record]).remove(&record.uuid).unwrap_or_else(not_looked_at);
        Reading::Present(ObservedGuest {
            record,
            state,
            work_disk: Reading::Absent,
            disks: BTreeMap::new(),
            files: Reading::Absent,
        })
    }

    fn below_state(&self, path: &Utf8Path) -> String {
        path.strip_prefix(self.state.root()).unwrap_or(path).as_str().to_owned()
    }

    /// Lets go of a guest: nobody looks for one under its new name. Its record stays with it, so that it can be taken
    /// over again.
    pub(in crate::driver) fn forget(&self, guest: &str) -> Result<(), Failure> {
        let dir = self.dir(guest);
        if !paths::exists(dir.root())? {
            return Ok(());
        }
        let record = self.record(guest)?;
        let place = format!("{FORGOTTEN}{guest}.{}", record.uuid.simple());
        Ok(paths::rename(dir.root(), &self.state.guests(&self.fleet).join(place))?)
    }

    /// Makes a guest one of this fleet file's. Its directory comes first, so that a record that says ours is where ours
    /// are.
    pub(in crate::driver) fn adopt(&self, guest: &str, at: &str) -> Result<(), Failure> {
        let (from, dir) = (self.state.root().join(at), self.dir(guest));
        let outside = Utf8Path::new(at).components().any(|part| !matches!(part, camino::Utf8Component::Normal(_)));
        if outside || !at.starts_with("fleets/") {
            return Err(Failure::permanent(format!("found the directory `{at}`, expected one of a fleet's guests")));
        }
        if from != dir.root() && paths::exists(&from)? {
            if paths::exists(dir.root())? {
                return Err(Failure::permanent(format!("found a guest `{guest}` already, expected none")));
            }
            crate::effect::files::private_dir(&self.state.guests(&self.fleet))?;
            paths::rename(&from, dir.root())?;
        }
        kept::take_back(dir.root())?;
        let record = self.record(guest)?;
        self.write_record(&Record { fleet: self.fleet.clone(), origin: self.origin.clone(), ..record })
    }
}

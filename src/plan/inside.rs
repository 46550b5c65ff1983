//! Files of guests on clusters: what they stand on, and the step that writes them.

use super::Op;
use super::cluster::Way;
use super::files::Ground;
use super::lane::Writes;
use super::order::{Draft, Drafted};
use super::verdict::Found;
use crate::resource::cluster::Reach;
use crate::resource::{Observed, Reading};

/// What is said of files that nobody can see: no disk of a cluster's guest is opened from here.
const RESTS: &str = "its guest is stopped: its files are looked at while it runs";

/// What the files of a declared guest stand on.
///
/// # Errors
/// The guest does not run, or will not: nothing is planned for its files, and this is why.
pub(super) fn ground<'a>(name: &str, way: Way, observed: &'a Observed) -> Result<Ground<'a>, &'static str> {
    match way.found {
        Found::Unknown | Found::Unfinished => {
            Ok(Ground::Unknown(format!("it is in guest `{name}`, which could not be read")))
        }
        _ if !way.will_run => Err(RESTS),
        Found::Absent => Ok(Ground::Bare),
        Found::Up | Found::Down if !way.runs => Err(RESTS),
        Found::Up | Found::Down => Ok(match observed.inside.get(name) {
            Some(Reading::Present(files)) => Ground::Files(files, Found::Up),
            Some(Reading::Unreadable(why)) => Ground::Unknown(why.clone()),
            Some(Reading::Absent) | None => Ground::Unknown(format!("the files of guest `{name}` were not read")),
        }),
    }
}

/// Drafts the steps that write them and keep sessions, when there is anything to do. `last` is what is done to the guest
/// before: its sessions may end of that.
pub(super) fn lane(draft: &mut Draft, name: &str, writes: Writes, (reach, last): (Option<Reach>, Option<Drafted>)) {
    let Writes { sets, remove, sessions } = writes;
    let mut first = last.map(|last| (last, "it must run"));
    if !sets.is_empty() {
        let addresses = sets.iter().map(|(address, _)| address.clone()).collect();
        let op = Op::WriteFiles { guest: name.to_owned(), sets, remove, reach: reach.clone() };
        first = Some((draft.follow(first, addresses, op), "its files must be in place"));
    }
    if let Some((addresses, op)) = sessions.step(name, last.is_some(), reach) {
        draft.follow(first, addresses, op);
    }
}

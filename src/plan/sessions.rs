//! Sessions of guests: whether what runs is what is declared, and the step that brings it there.
//!
//! What is declared of a session is a file in its guest and planned like every other. What comes on top of that is whether
//! it runs.

use super::files::SetPlan;
use super::verdict::Found;
use super::{Aspect, Attribute, Cause, Impact, Op, Refusal, Rule, Shown};
use crate::resource::cluster::Reach;
use crate::resource::{Address, FileSet, GuestFiles, Reading, SessionSpec, Standing};

/// Adds how the session of a set stands to what differs of its files. A guest that does not run has none that could.
///
/// # Errors
/// Nobody knows, for this reason.
pub(super) fn compare(plan: &mut SetPlan, set: &FileSet, files: &GuestFiles, guest: Found) -> Result<(), String> {
    let Some(spec) = SessionSpec::of(set).filter(|_| guest == Found::Up) else { return Ok(()) };
    let sessions = match &files.sessions {
        Reading::Present(sessions) => sessions,
        Reading::Unreadable(why) => return Err(why.clone()),
        Reading::Absent => return Ok(()),
    };
    let found = sessions.get(&spec.name);
    // A declaration that is written anew says by itself that the session starts anew.
    let is_pending = !plan.change.attributes.is_empty();
    let before = match spec.judge(found) {
        Standing::Right => return Ok(()),
        Standing::Missing | Standing::Outdated if is_pending => return Ok(()),
        Standing::Foreign => {
            plan.refusals.push(foreign(&spec.name, plan));
            return Ok(());
        }
        Standing::Missing => Shown::Absent,
        Standing::Outdated => Shown::plain("as it was declared before"),
        Standing::Ended => found.map_or(Shown::Absent, |found| Shown::plain(&found.state)),
    };
    plan.change.attributes.push(Attribute {
        path: "state".into(),
        aspect: Aspect::Value,
        before,
        after: Shown::plain("running"),
        impact: Impact::Live,
        cause: Cause::Drift,
    });
    Ok(())
}

/// Nothing without our mark is ended or removed, whatever it is called.
fn foreign(name: &str, plan: &SetPlan) -> Refusal {
    Refusal {
        address: plan.change.address.clone(),
        rule: Rule::NotOurs,
        message: format!("found a session `{name}` that was started by hand"),
        help: "end it and remove it (`regatta session stop`, `regatta session rm`), or declare another name".into(),
        source: plan.change.source.clone(),
    }
}

/// Whether a session of ours is there that an address names.
pub(super) fn is_there(address: &Address, files: &GuestFiles) -> bool {
    let found = name(address).zip(files.sessions.present()).and_then(|(name, sessions)| sessions.get(name));
    found.is_some_and(|session| session.declared.is_some())
}

/// The session that an address names.
fn name(address: &Address) -> Option<&str> {
    if address.kind() == "session" { address.as_str().split_once('/').map(|(_, name)| name) } else { None }
}

/// What has to be done about the sessions of one guest.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// All that are planned.
    all: Vec<(Address, SessionSpec)>,
    /// Those of them that are not as declared.
    differing: Vec<(Address, SessionSpec)>,
    /// Those that go.
    remove: Vec<(Address, String)>,
}

impl Work {
    /// Takes over what was planned for a set, if that is a session's.
    pub(super) fn add(&mut self, address: &Address, set: &FileSet, differs: bool) {
        match (SessionSpec::of(set), name(address)) {
            (Some(spec), _) => {
                if differs {
                    self.differing.push((address.clone(), spec.clone()));
                }
                self.all.push((address.clone(), spec));
            }
            (None, Some(name)) if differs => self.remove.push((address.clone(), name.to_owned())),
            (None, _) => {}
        }
    }

    /// The step, with the addresses that it serves; nothing when there is nothing to do. Where the guest starts, none of
    /// its sessions runs.
    pub(super) fn step(self, guest: &str, starts: bool, reach: Option<Reach>) -> Option<(Vec<Address>, Op)> {
        let keep = if starts { self.all } else { self.differing };
        if keep.is_empty() && self.remove.is_empty() {
            return None;
        }
        let (mut addresses, sessions): (Vec<Address>, Vec<SessionSpec>) = keep.into_iter().unzip();
        let (gone, remove): (Vec<Address>, Vec<String>) = self.remove.into_iter().unzip();
        addresses.extend(gone);
        Some((addresses, Op::EnsureSessions { guest: guest.to_owned(), sessions, remove, reach }))
    }
}

/// Whether anything of a set's files differs, and not only whether its session runs.
pub(super) fn is_written(plan: &SetPlan) -> bool {
    plan.change.address.kind() != "session"
        || plan.change.attributes.iter().any(|attribute| attribute.aspect != Aspect::Value)
        || !plan.remove.is_empty()
        || plan.change.attributes.is_empty()
}

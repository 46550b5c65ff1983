//! What differs between the files a resource puts into a guest and those that are there.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{self, Present, Wanted};
use super::sessions;
use super::verdict::{Facts, Found, Wish, decide, difference};
use super::{Aspect, Attribute, Cause, Change, Impact, Refusal, Rule, Shown};
use crate::config::OnDrift;
use crate::resource::{Address, Declared, Digest, FileKind, FileSet, FileSetKind, GuestFiles, GuestPath, WrittenFile};

/// What the planned guest's work disk holds.
#[derive(Debug, Clone)]
pub(super) enum Ground<'a> {
    /// Nothing yet: it is made anew.
    Bare,
    /// These files; and whether somebody can notice a change at once, because the guest runs.
    Files(&'a GuestFiles, Found),
    /// Nobody knows, for this reason.
    Unknown(String),
    /// Nobody knows, and this plan makes the network by which it could be read: the next plan looks at it.
    Later(Address),
}

/// Kinds of sets whose files go when they are no longer declared.
const REMOVABLE: [&str; 4] = ["file-sync", "file", "secret", "session"];

/// What is to be done with one set of files.
#[derive(Debug)]
pub(super) struct SetPlan {
    /// The change.
    pub(super) change: Change,
    /// Files of ours that go.
    pub(super) remove: Vec<GuestPath>,
    /// What it asks for and does not get.
    pub(super) refusals: Vec<Refusal>,
}

/// Plans a declared set. `claimed` are the paths that any set of the guest wants: pruning never takes those, and what is
/// above another is wanted as a directory.
pub(super) fn declared(
    address: &Address,
    declared: &Declared,
    set: &FileSet,
    ground: &Ground<'_>,
    claimed: &BTreeSet<&GuestPath>,
) -> SetPlan {
    let mut plan =
        SetPlan { change: Change::none(address, declared.source.as_ref()), remove: Vec::new(), refusals: Vec::new() };
    let found = match ground {
        Ground::Bare => compare(&mut plan, set, &GuestFiles::default(), Impact::None).map(|()| Found::Absent),
        Ground::Unknown(why) => Err(why.clone()),
        Ground::Later(network) => {
            plan.change.note = Some(format!("it is looked at when `{network}` is there again"));
            Ok(Found::Up)
        }
        Ground::Files(files, state) => {
            let live = if *state == Found::Up { Impact::Live } else { Impact::None };
            refuse_parents(&mut plan, set, files, claimed);
            compare(&mut plan, set, files, live).and_then(|()| sessions::compare(&mut plan, set, files, *state)).map(
                |()| {
                    prune(&mut plan, set, files, claimed, live);
                    whole(set, files)
                },
            )
        }
    };
    let found = found.unwrap_or_else(|why| {
        plan.change.attributes.clear();
        plan.remove.clear();
        plan.change.note = Some(why);
        Found::Unknown
    });
    let left = plan.change.leave(&declared.rules);
    // What drifted away as a whole is as much expected as what drifted in place.
    settle(&mut plan.change, if left { Found::Up } else { found }, Wish::Declared);
    plan
}

/// Plans what an earlier declaration of files left behind: files that are still what we wrote go, changed ones stay and are
/// no longer managed (LESSONS 14, 43). Merged files are never removed: what is foreign in them is not ours.
pub(super) fn undeclared(
    address: &Address,
    files: &GuestFiles,
    claimed: &BTreeSet<&GuestPath>,
    state: Found,
    rests: bool,
) -> Option<SetPlan> {
    let written = files.manifest.get(address).filter(|_| REMOVABLE.contains(&address.kind()))?;
    let mut change = Change::none(address, None);
    let live = if state == Found::Up { Impact::Live } else { Impact::None };
    let left: Vec<_> = written
        .iter()
        .filter(|(path, _)| !claimed.contains(path))
        .filter_map(|(path, written)| Some((path, written.digest.as_ref()?, files.files.get(path)?)))
        .collect();
    let (ours, changed): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|(_, digest, file)| file.digest.as_ref() == Some(*digest));
    // What is left of a session goes when its guest runs again.
    let is_there = !rests && sessions::is_there(address, files);
    if ours.is_empty() && changed.is_empty() && !is_there {
        return None;
    }
    change.attributes = ours.iter().map(|(path, _, found)| removal(path, Present(found), live)).collect();
    if address.kind() == "secret" {
        change.attributes.iter_mut().for_each(hide);
    }
    change.note = (!changed.is_empty()).then(|| {
        let kept: Vec<String> = changed.iter().map(|(path, _, _)| path.to_string()).collect();
        format!("changed since it was written, so it stays: {}", kept.join(", "))
    });
    settle(&mut change, Found::Up, Wish::Undeclared);
    let remove = ours.into_iter().map(|(path, _, _)| path.clone()).collect();
    Some(SetPlan { change, remove, refusals: Vec::new() })
}

fn settle(change: &mut Change, found: Found, wish: Wish) {
    let difference = difference(&change.attributes);
    let loss = difference.map_or(Impact::None, |(impact, _)| impact);
    let verdict = decide(Facts { wish, found, difference, loss });
    (change.action, change.reason, change.impact) = (verdict.action, verdict.reason, verdict.impact);
}

/// A set none of whose files is there was never applied, or is gone as a whole: it is created.
fn whole(set: &FileSet, files: &GuestFiles) -> Found {
    let present = set.files.keys().any(|path| files.files.contains_key(path));
    if present || set.files.is_empty() { Found::Up } else { Found::Absent }
}

/// Compares file by file; what is not known makes the whole set unknown (LESSON 42).
fn compare(plan: &mut SetPlan, set: &FileSet, files: &GuestFiles, live: Impact) -> Result<(), String> {
    let nothing = BTreeMap::new();
    let written = files.manifest.get(&plan.change.address).unwrap_or(&nothing);
    for (path, desired) in &set.files {
        let present = files.files.get(path).map(Present);
        let wanted = Wanted::of(path, desired, present)?;
        if set.on_drift != OnDrift::Repair && drifted(written.get(path), present) {
            let drift = wanted.compare(present, Written::of(written, path), live)?;
            if set.on_drift == OnDrift::Keep {
                plan.change.ignored.extend(drift);
            } else if !drift.is_empty() {
                plan.refusals.push(refused_drift(path, &plan.change));
                plan.change.attributes.extend(drift);
            }
        } else if let Some(refusal) = wanted.refusal(present, &plan.change) {
            plan.refusals.push(refusal);
        } else {
            let mut differs = wanted.compare(present, Written::of(written, path), live)?;
            if was_secret(files, path) {
                differs.iter_mut().for_each(hide);
            }
            plan.change.attributes.append(&mut differs);
        }
    }
    Ok(())
}

/// Refuses to write below what is no directory, unless some declaration makes it one.
fn refuse_parents(plan: &mut SetPlan, set: &FileSet, files: &GuestFiles, claimed: &BTreeSet<&GuestPath>) {
    let parents: BTreeSet<GuestPath> = set.files.keys().flat_map(GuestPath::ancestors).collect();
    for path in parents.iter().filter(|path| !claimed.contains(path)) {
        let Some(found) = files.files.get(path).map(|file| file.kind).filter(|kind| *kind != FileKind::Directory)
        else {
            continue;
        };
        plan.refusals.push(Refusal {
            address: plan.change.address.clone(),
            rule: Rule::FileInTheWay,
            message: format!("found a {} at `{path}`, expected a directory", file::kind_name(found)),
            help: "move it away in the guest, or sync to another path".into(),
            source: plan.change.source.clone(),
        });
    }
}

/// Whether a secret was written at a path, whatever is declared there now.
fn was_secret(files: &GuestFiles, path: &GuestPath) -> bool {
    files.manifest.iter().any(|(address, written)| address.kind() == "secret" && written.contains_key(path))
}

/// Shows neither text nor digest of what is there: somebody could find a short secret from its digest.
fn hide(attribute: &mut Attribute) {
    if matches!(attribute.before, Shown::Digest { .. } | Shown::Text(_)) {
        attribute.before = Shown::Secret { seal: None };
    }
}

/// Whether a file that we wrote is another one by now, or gone.
fn drifted(written: Option<&WrittenFile>, present: Option<Present<'_>>) -> bool {
    let digest = written.and_then(|written| written.digest.as_ref());
    digest.is_some_and(|digest| present.and_then(|found| found.0.digest.as_ref()) != Some(digest))
}

fn refused_drift(path: &GuestPath, change: &Change) -> Refusal {
    Refusal {
        address: change.address.clone(),
        rule: Rule::Drifted,
        message: format!("`{path}` was changed in the guest since it was written"),
        help: "take the change over into the source, or undo it in the guest; `on-drift=\"repair\"` overwrites it"
            .into(),
        source: change.source.clone(),
    }
}

/// Files that left their source, when the set prunes. One that was changed in the guest is lost with it.
fn prune(plan: &mut SetPlan, set: &FileSet, files: &GuestFiles, claimed: &BTreeSet<&GuestPath>, live: Impact) {
    let Some(written) = files.manifest.get(&plan.change.address) else { return };
    if !set.prune || set.kind != FileSetKind::FileSync {
        return;
    }
    for (path, written) in written.iter().filter(|(path, _)| !claimed.contains(path)) {
        let (Some(digest), Some(found)) = (&written.digest, files.files.get(path)) else { continue };
        let impact = if found.digest.as_ref() == Some(digest) { live } else { Impact::DataLoss };
        plan.change.attributes.push(removal(path, Present(found), impact));
        plan.remove.push(path.clone());
    }
}

fn removal(path: &GuestPath, found: Present<'_>, impact: Impact) -> Attribute {
    Attribute {
        path: path.to_string(),
        aspect: Aspect::Content,
        before: file::shown(path, found),
        after: Shown::Absent,
        impact,
        cause: Cause::Pending,
    }
}

/// What the manifest says about a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Written<'a> {
    /// We never wrote it.
    Never,
    /// We made this directory: something below it is ours.
    Directory,
    /// We wrote it like this.
    Before(&'a WrittenFile),
}

impl<'a> Written<'a> {
    fn of(manifest: &'a BTreeMap<GuestPath, WrittenFile>, path: &GuestPath) -> Self {
        match manifest.get(path) {
            Some(written) => Self::Before(written),
            None if is_above(path, manifest) => Self::Directory,
            None => Self::Never,
        }
    }

    /// The content that we wrote.
    pub(super) fn content(self) -> Option<&'a Digest> {
        self.recorded().and_then(|written| written.digest.as_ref())
    }

    /// The permission bits that we set, if that was recorded.
    pub(super) fn mode(self) -> Option<u32> {
        self.recorded().and_then(|written| written.mode)
    }

    /// The owner that we set, if that was recorded.
    pub(super) fn owner(self) -> Option<(u32, u32)> {
        self.recorded().and_then(|written| written.owner)
    }

    fn recorded(self) -> Option<&'a WrittenFile> {
        if let Self::Before(written) = self { Some(written) } else { None }
    }
}

/// Whether any written file lies below this path.
fn is_above(path: &GuestPath, manifest: &BTreeMap<GuestPath, WrittenFile>) -> bool {
    let mut prefix = path.as_bytes().to_vec();
    if prefix.is_empty() {
        return !manifest.is_empty();
    }
    prefix.push(b'/');
    manifest
        .range(path.clone()..)
        .skip_while(|(below, _)| *below == path)
        .any(|(below, _)| below.as_bytes().starts_with(&prefix))
}

//! Disks that nodes of clusters have mounted: what differs, and the step that makes it right.

use std::collections::BTreeMap;

use super::order::{Draft, Drafted};
use super::select::Taken;
use super::verdict::{Facts, Found, Verdict, Wish, decide, difference};
use super::{Aspect, Attribute, Cause, Change, Impact, Op, Refusal, Rule, Shown};
use crate::resource::cluster::{MountStanding, NodeMountSpec, ObservedNodeMount};
use crate::resource::{Address, Declared, Desired, Observed, Reading, Resource};

/// What is planned of them.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) changes: Vec<Change>,
    pub(super) refusals: Vec<Refusal>,
    /// The steps that mount, by what they mount.
    pub(super) steps: BTreeMap<Address, Drafted>,
}

/// Plans every declared disk of a node. What is no longer declared stays as it is: a mount carries no mark of ours.
pub(super) fn plan(desired: &Desired, observed: &Observed, taken: &Taken<'_>, draft: &mut Draft) -> Planned {
    let mut planned = Planned::default();
    for (address, declared) in desired.resources.iter().filter(|(address, _)| taken.declared(address)) {
        if let Resource::NodeMount(spec) = &declared.resource {
            planned.mount((address, declared, spec), observed.mounts.get(address), draft);
        }
    }
    planned
}

impl Planned {
    fn mount(
        &mut self,
        (address, declared, spec): (&Address, &Declared, &NodeMountSpec),
        reading: Option<&Reading<ObservedNodeMount>>,
        draft: &mut Draft,
    ) {
        let mut change = Change::none(address, declared.source.as_ref());
        let found = match reading {
            Some(Reading::Present(seen)) => match seen.standing(spec) {
                MountStanding::Right => Found::Up,
                MountStanding::Lacks { mount, line } => {
                    change.attributes = lacking(spec, mount, line);
                    let op = Op::MountOnNode { mount: spec.clone() };
                    self.steps.insert(address.clone(), draft.step(vec![address.clone()], op));
                    if mount { Found::Absent } else { Found::Up }
                }
                MountStanding::Unplugged => {
                    change.note = Some(format!("no disk with `{}` is plugged in", spec.source()));
                    Found::Up
                }
                MountStanding::Refused(refusal) => {
                    let (message, help) = (refusal.found, refusal.help);
                    let (address, source) = (address.clone(), declared.source.clone());
                    self.refusals.push(Refusal { address, rule: Rule::HostInTheWay, message, help, source });
                    Found::Up
                }
            },
            Some(Reading::Unreadable(why)) => {
                change.note = Some(why.clone());
                Found::Unknown
            }
            Some(Reading::Absent) | None => {
                change.note = Some("it was not read".into());
                Found::Unknown
            }
        };
        let loss = Impact::None;
        let facts = Facts { wish: Wish::Declared, found, difference: difference(&change.attributes), loss };
        let Verdict { action, reason, impact } = decide(facts);
        (change.action, change.reason, change.impact) = (action, reason, impact);
        self.changes.push(change);
    }
}

/// What is not there yet. Nothing says what was applied, so that reality counts as what moved: a backup disk that is not mounted is
/// not to be overlooked.
fn lacking(spec: &NodeMountSpec, mount: bool, line: bool) -> Vec<Attribute> {
    let attribute = |path: &str, after: &str| Attribute {
        path: path.to_owned(),
        aspect: Aspect::Value,
        before: Shown::Absent,
        after: Shown::plain(after),
        impact: Impact::None,
        cause: Cause::Drift,
    };
    let line = line.then(|| attribute("fstab", &spec.fstab_fields().join(" ")));
    let mount = mount.then(|| [attribute("options", "nosuid,nodev"), attribute("source", &spec.source())]);
    line.into_iter().chain(mount.into_iter().flatten()).collect()
}

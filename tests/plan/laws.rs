//! What holds for every fleet and every world.

use std::collections::BTreeSet;

use proptest::prelude::*;
use regatta::plan::power::{self, Power};
use regatta::plan::{Action, Change, Goal, Op, Options, Plan, SavedPlan, plan};
use regatta::render::{Length, PlanView, Screen, graph_text, plan as plan_text, plan_json};
use regatta::resource::{Address, Desired, Observed, ObservedGuest, Reading, RunState};

use crate::cases::cases;
use crate::coverage;
use crate::fleets::{SECRET, sketch};
use crate::world::World;
use crate::worlds::{mishaps, strike};

/// What a fleet file says beside what should be there.
#[derive(Debug, Clone)]
struct Said {
    moved: bool,
    protect: Option<bool>,
    ignores: bool,
}

fn said() -> impl Strategy<Value = Said> {
    let protect = prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)];
    (any::<bool>(), protect, any::<bool>()).prop_map(|(moved, protect, ignores)| Said { moved, protect, ignores })
}

impl Said {
    /// The first guest that is new was called like the first that has gone; guests are protected, and may be stopped.
    fn of(&self, desired: &mut Desired, before: &Desired) {
        let guests = |fleet: &Desired| -> BTreeSet<String> {
            fleet.resources.keys().filter_map(|address| address.guest().map(str::to_owned)).collect()
        };
        let (old, new) = (guests(before), guests(desired));
        if let (true, Some(from), Some(to)) = (self.moved, old.difference(&new).next(), new.difference(&old).next()) {
            desired.moved.insert(to.clone(), vec![from.clone()]);
        }
        for (address, declared) in &mut desired.resources {
            declared.rules.protect = self.protect.filter(|_| address.kind() == "vm");
            declared.rules.ignore_drift = self.ignores.then(|| "state".into()).into_iter().collect();
        }
    }
}

/// The plan that makes the world match.
fn matching(desired: &Desired, observed: &Observed) -> Plan {
    plan(desired, observed, &Options::default())
}

/// A world to which a fleet was applied.
fn applied(desired: &Desired) -> World {
    let mut world = World::empty(&desired.fleet);
    world.apply(&matching(desired, &world.observed));
    world
}

fn unreadable(plan: &Plan) -> BTreeSet<&Address> {
    let stuck = plan.changes.iter().filter(|change| change.action == Action::Unreadable);
    stuck.map(|change| &change.address).collect()
}

/// What is looked at when a network is there again.
fn waiting(plan: &Plan) -> BTreeSet<&Address> {
    let note = |change: &&Change| change.note.as_ref().is_some_and(|note| note.starts_with("it is looked at when"));
    plan.changes.iter().filter(note).map(|change| &change.address).collect()
}

fn human(plan: &Plan, width: usize) -> String {
    let view = PlanView { screen: Screen::plain(width), length: Length::Full, next: "regatta apply", links: None };
    plan_text(plan, view)
}

/// Everything that may be printed or stored.
fn outputs(plan: &Plan) -> Vec<String> {
    let saved = serde_json::to_string(plan).unwrap();
    vec![human(plan, 60), human(plan, 200), plan_json(plan).unwrap(), graph_text(&plan.graph), saved]
}

proptest! {
    #![proptest_config(cases(96))]

    /// LESSON 41: apply, then plan, is empty. From any fleet to any other, through any mishaps that can be read.
    #[test]
    fn apply_then_plan_is_empty(before in sketch(), after in sketch(), mishaps in mishaps(), said in said()) {
        let mut world = applied(&before.desired());
        mishaps.iter().for_each(|mishap| strike(&mut world.observed, mishap));
        let mut desired = after.desired();
        said.of(&mut desired, &before.desired());
        let first = matching(&desired, &world.observed);
        prop_assume!(first.refusals.is_empty());
        world.apply(&first);
        let second = matching(&desired, &world.observed);
        for change in &second.changes {
            prop_assert!(
                matches!(change.action, Action::None | Action::Unreadable),
                "{}\nthen\n{}", human(&first, 120), human(&second, 120)
            );
        }
        // What waited for a network may turn out to be unreadable, and nothing else.
        let (stuck, waited) = (unreadable(&first), waiting(&first));
        let still = unreadable(&second);
        prop_assert!(still.is_superset(&stuck) && still.iter().all(|one| stuck.contains(one) || waited.contains(one)));
        prop_assert!(second.graph.steps.is_empty(), "{}", graph_text(&second.graph));
    }

    /// Whatever state a fleet is in, what is asked of its guests is so afterwards, and nothing of the fleet file is applied on
    /// the way. LESSON 21: guests of which it is not known whether they run get no steps.
    #[test]
    fn power_is_as_asked_and_nothing_else_changes(before in sketch(), after in sketch(), mishaps in mishaps()) {
        let mut world = applied(&before.desired());
        mishaps.iter().for_each(|mishap| strike(&mut world.observed, mishap));
        let desired = after.desired();
        let everything = ["*".parse().unwrap()];
        for power in [Power::On, Power::Cycle, Power::Off, Power::Cycle] {
            if !power::obstacles(&desired, &world.observed, &everything, power).is_empty() {
                continue;
            }
            let was = world.observed.clone();
            let plan = power::power(&desired, &world.observed, &everything, power);
            world.apply(&plan);
            for (name, reading) in &world.observed.guests {
                let (Reading::Present(now), Some(Reading::Present(was))) = (reading, was.guests.get(name)) else { continue };
                let steps = plan.graph.steps.iter().filter(|step| step.addresses[0].guest() == Some(name)).count();
                let known = !matches!(was.state, RunState::Unknown(_)) && was.record.applied.disks.is_some();
                prop_assert!(known || steps == 0);
                let runs = matches!(now.state, RunState::Running(_));
                prop_assert!(!known || runs == (power != Power::Off), "{name} after {power:?}");
                prop_assert_eq!(&now.record.applied.disks, &was.record.applied.disks);
                let applied = was.record.applied.started.as_ref().or(was.record.applied.disks.as_ref());
                prop_assert!(now.record.applied.started.is_none() || now.record.applied.started.as_ref() == applied);
                // Sessions end with their guest.
                let kept = |guest: &ObservedGuest| guest.files.present().map(|it| (it.files.clone(), it.manifest.clone()));
                prop_assert_eq!(kept(now), kept(was));
            }
        }
    }

    /// LESSONS 21 and 42: what cannot be read has no steps, whatever is asked.
    #[test]
    fn nothing_is_done_to_what_cannot_be_read(before in sketch(), after in sketch(), mishaps in mishaps(), goes in any::<bool>()) {
        let mut world = applied(&before.desired());
        mishaps.iter().for_each(|mishap| strike(&mut world.observed, mishap));
        let goal = if goes { Goal::Destroy } else { Goal::Match };
        let made = plan(&after.desired(), &world.observed, &Options { goal, ..Options::default() });
        for (name, reading) in &world.observed.guests {
            let known = matches!(reading, Reading::Present(guest) if !matches!(guest.state, RunState::Unknown(_)));
            let touched = made.graph.steps.iter().any(|step| op_guest(&step.op) == Some(name));
            prop_assert!(known || !touched, "{name}\n{}", graph_text(&made.graph));
        }
    }

    #[test]
    fn destroy_leaves_no_guest(before in sketch()) {
        let desired = before.desired();
        let mut world = applied(&desired);
        world.apply(&plan(&desired, &world.observed, &Options { goal: Goal::Destroy, ..Options::default() }));
        prop_assert!(world.observed.guests.is_empty());
        prop_assert!(world.observed.networks.is_empty());
    }

    /// A saved plan shows and does what the live one does, and holds as long as nothing moves.
    #[test]
    fn a_saved_plan_is_the_plan(before in sketch(), after in sketch(), mishaps in mishaps()) {
        let mut world = applied(&before.desired());
        mishaps.iter().for_each(|mishap| strike(&mut world.observed, mishap));
        let desired = after.desired();
        let live = matching(&desired, &world.observed);
        let saved = SavedPlan::new(live.clone(), &desired, &world.observed, "1", "SHA256:host");
        let read = SavedPlan::from_json(&saved.to_json().unwrap()).unwrap();
        prop_assert_eq!(outputs(read.plan()), outputs(&live));
        prop_assert_eq!(read.check(&desired, &world.observed, "1"), Ok(()));
        world.apply(read.plan());
        let moved = !live.graph.steps.is_empty();
        prop_assert_eq!(read.check(&desired, &world.observed, "1").is_err(), moved);
    }

    /// People and programs read the same, and nobody reads a secret or an escape sequence.
    #[test]
    fn outputs_agree_and_are_safe(before in sketch(), after in sketch(), mishaps in mishaps()) {
        let mut world = applied(&before.desired());
        mishaps.iter().for_each(|mishap| strike(&mut world.observed, mishap));
        let made = matching(&after.desired(), &world.observed);
        prop_assert_eq!(coverage::impossible(&made), Vec::new());
        for output in outputs(&made) {
            prop_assert!(!output.contains(SECRET), "{output}");
            prop_assert!(!output.contains('\x1b'), "{output}");
        }
        let json: serde_json::Value = serde_json::from_str(&plan_json(&made).unwrap()).unwrap();
        let text = human(&made, 200);
        let shown: Vec<String> = text.lines().filter(|line| !line.starts_with(' ')).map(str::to_owned).collect();
        let changes = json["changes"].as_array().unwrap();
        for (change, line) in changes.iter().zip(shown.iter().filter(|line| !line.is_empty())) {
            let word = |key: &str| change[key].as_str().unwrap();
            let unreadable = word("action") == "unreadable";
            let verdict = if unreadable { "unreadable".into() } else {
                format!("{} · {} · {}", word("action"), word("reason"), word("impact"))
            };
            prop_assert!(line.contains(&format!(" {}  {verdict}", word("address"))), "{line} is not {change}");
        }
        for width in [60, 200] {
            let text = human(&made, width);
            let widest = text.lines().map(unicode_width::UnicodeWidthStr::width).max().unwrap_or(0);
            prop_assert!(widest <= width, "{widest} columns of {width}\n{text}");
        }
    }
}

fn op_guest(op: &Op) -> Option<&String> {
    match op {
        Op::CreateClusterGuest { guest } | Op::UpdateClusterGuest { guest } | Op::SetOnNode { guest } => {
            Some(&guest.name)
        }
        Op::StartClusterGuest { guest, .. }
        | Op::RestartClusterGuest { guest, .. }
        | Op::StopClusterGuest { guest, .. }
        | Op::SnapshotClusterGuest { guest, .. }
        | Op::RollBackClusterGuest { guest, .. }
        | Op::DeleteClusterSnapshot { guest, .. }
        | Op::DestroyClusterGuest { guest, .. } => Some(guest),
        Op::BuildImage { .. } | Op::BuildKernel { .. } | Op::MountOnNode { .. } => None,
        Op::EnsureNetwork { .. } | Op::DestroyNetwork { .. } => None,
        Op::RenameGuest { to, .. } => Some(to),
        Op::CreateGuest { vm }
        | Op::ReplaceRoot { vm }
        | Op::RestoreRoot { vm }
        | Op::FitDisks { vm }
        | Op::StartGuest { vm } => Some(&vm.name),
        Op::GrowWorkDisk { guest, .. }
        | Op::RemoveDisk { guest, .. }
        | Op::WriteFiles { guest, .. }
        | Op::EnsureSessions { guest, .. }
        | Op::AwaitReady { guest }
        | Op::StopGuest { guest }
        | Op::DestroyGuest { guest }
        | Op::ProtectGuest { guest, .. }
        | Op::AutostartGuest { guest, .. }
        | Op::SnapshotGuest { guest, .. }
        | Op::RestoreSnapshot { guest, .. }
        | Op::DeleteSnapshot { guest, .. }
        | Op::ForgetGuest { guest }
        | Op::AdoptGuest { guest, .. } => Some(guest),
    }
}

//! A plan does not depend on the order in which things are declared.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use proptest::prelude::*;
use regatta::config::{self, LoadError, Loader};
use regatta::plan::{Options, Plan, plan};
use regatta::render::{graph_text, plan_json};
use regatta::resource::{self, Desired, Digest, FileKind, GuestPath, HostEntry, HostInput, HostPath, HostTree, Inputs};

use crate::cases::cases;
use crate::fleets::{Sketch, sketch};
use crate::world::World;
use crate::worlds::{mishaps, strike};

/// One fleet file in memory.
struct Memory(String);

impl Loader for Memory {
    fn read(&mut self, _: &Utf8Path) -> Result<String, LoadError> {
        Ok(self.0.clone())
    }

    fn list(&mut self, _: &Utf8Path) -> Result<Vec<String>, LoadError> {
        Err(LoadError::Missing)
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }
}

/// The nodes of a fleet file that declares about what the sketch does.
fn nodes(sketch: &Sketch) -> Vec<String> {
    let image = |number: u8, package: &str| {
        format!("image \"image-{number}\" {{ debootstrap suite=\"bookworm\" {{ package \"{package}\"; }}; }}\n")
    };
    let mut nodes = vec!["fleet \"demo\"\n".into(), image(0, "git"), image(1, "curl")];
    nodes.push("profile \"all\" { memory \"256MiB\"; tags \"everything\"; }\n".into());
    nodes.push("git-identity name=\"Ada\" email=\"ada@example.org\"\n".into());
    for (name, guest) in &sketch.guests {
        let mut block = vec![
            "use \"all\"".into(),
            format!("image \"image-{}\"", guest.image),
            format!("cpus {}", guest.cpus),
            format!("work-disk size=\"{}GiB\"", guest.work_disk_gib),
        ];
        block.extend(guest.port.map(|port| format!("forward host={port} guest=80")));
        let prune = guest.prune;
        block.extend(guest.syncs.keys().map(|to| format!("file-sync \"~/{to}\" to=\"~/{to}\" prune=#{prune}")));
        nodes.push(format!("vm \"{name}\" {{ {}; }}\n", block.join("; ")));
    }
    nodes
}

fn desired(nodes: &[String]) -> Desired {
    let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "demo", &mut Memory(nodes.concat()));
    let fleet = fleet.unwrap();
    let requests = resource::requests(&fleet);
    let paths = requests.paths.into_iter().map(|path| (path.clone(), tree(&path))).collect();
    let inputs = Inputs { paths, own_keys: vec!["ssh-ed25519 AAAA regatta".into()], ..Inputs::default() };
    resource::lower(&fleet, &sources, &inputs).unwrap().desired
}

/// A directory with one file, which says where it is from.
fn tree(path: &HostPath) -> HostInput {
    let text = format!("from {}\n", path.written);
    let directory = HostEntry { kind: FileKind::Directory, mode: 0o755, size: 0, digest: None, text: None };
    let file = HostEntry {
        kind: FileKind::File,
        mode: 0o644,
        size: text.len() as u64,
        digest: Some(Digest::of(text.as_bytes())),
        text: Some(text),
    };
    let entries = BTreeMap::from([(GuestPath::root(), directory), (GuestPath::new("a").unwrap(), file)]);
    HostInput::Tree(HostTree { root: Utf8PathBuf::from("/home/ada"), entries, skipped: Vec::new() })
}

/// Lines move with the nodes; everything else stays.
fn without_places(mut plan: Plan) -> Plan {
    plan.changes.iter_mut().for_each(|change| change.source = None);
    plan.refusals.iter_mut().for_each(|refusal| refusal.source = None);
    plan
}

/// Fleets, and the nodes of one of them in any order.
fn shuffled() -> impl Strategy<Value = (Sketch, Vec<String>, Vec<String>)> {
    (sketch(), sketch()).prop_flat_map(|(before, after)| {
        let nodes = nodes(&after);
        (Just(before), Just(nodes.clone()), Just(nodes).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn declarations_in_any_order_give_one_plan((before, declared, shuffled) in shuffled(), mishaps in mishaps()) {
        let mut world = World::empty("demo");
        world.apply(&plan(&desired(&nodes(&before)), &world.observed, &Options::default()));
        mishaps.iter().for_each(|mishap| strike(&mut world.observed, mishap));
        let plans = [declared, shuffled].map(|nodes| {
            without_places(plan(&desired(&nodes), &world.observed, &Options::default()))
        });
        let [first, second] = &plans;
        prop_assert_eq!(plan_json(first).unwrap(), plan_json(second).unwrap());
        prop_assert_eq!(graph_text(&first.graph), graph_text(&second.graph));
        prop_assert_eq!(first, second);
    }
}

//! Golden cases of plans. A case directory holds:
//!
//! | file | what |
//! |---|---|
//! | `fleet.kdl` | what is planned |
//! | `applied.kdl` | the fleet that was applied before; without it the world is empty |
//! | `home/` | the user's home; `applied-home/` was it when `applied.kdl` was applied |
//! | `world.json` | what happened since, as a list of [`Event`]s |
//! | `options.json` | [`Asked`] |
//! | `firecracker.json` | why Firecracker runs guests here; without it nobody looked |
//!
//! and the outputs `expected.txt` (100 columns), `expected.60.txt` where asked for, `expected.json`, `expected.graph.txt`,
//! and the graph as a picture and as data where asked for; what pipelines read where asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use regatta::config::{self, LoadError, Loader, Secret, SecretSource};
use regatta::plan::{Goal, Mute, Options, Owner, Plan, Selection, adopt, drift, plan};
use regatta::render::{
    Length, PlanView, Screen, drift as drift_text, drift_json, drift_junit, drift_markdown, drift_prometheus,
    gitlab_report, graph_dot, graph_json, graph_mermaid, graph_text, plan as plan_text, plan_json, plan_junit,
    plan_markdown,
};
use regatta::resource::{
    self, Address, Desired, Digest, FileKind, Firecracker, GuestPath, HostEntry, HostInput, HostPath, HostTree,
    Hypervisors, Inputs, Observed, ObservedGuest, Reading, SecretContent, SecretInput, SecretRef, Stray,
};
use serde::Deserialize;

use crate::events::Event;
use crate::golden::Outputs;
use crate::world::{ORIGIN, World};

/// How the plan is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Asked {
    destroy: bool,
    only: Vec<String>,
    exclude: Vec<String>,
    replace: Vec<String>,
    forget: BTreeSet<String>,
    adopt: bool,
    taken: BTreeSet<String>,
    full: bool,
    narrow: bool,
    pictures: bool,
    pipeline: bool,
    mute: Vec<String>,
}

impl Asked {
    fn options(&self) -> Options {
        let patterns = |texts: &[String]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Options {
            goal: match () {
                () if self.destroy => Goal::Destroy,
                () if !self.forget.is_empty() => Goal::Forget(self.forget.clone()),
                () => Goal::Match,
            },
            selection: Selection { only: patterns(&self.only), exclude: patterns(&self.exclude) },
            replace: self.replace.iter().map(|guest| Address::vm(guest)).collect(),
        }
    }
}

/// Makes the outputs of one case.
pub fn outputs(case: &Path) -> Outputs {
    let asked: Asked = json(case, "options.json").unwrap_or_default();
    let made = made(case, &asked);
    let length = if asked.full { Length::Full } else { Length::Short };
    let text = |width| {
        let screen = Screen::plain(width);
        plan_text(&made, PlanView { screen, length, next: "regatta apply", links: None })
    };
    let mut outputs = BTreeMap::from([
        ("expected.txt".to_owned(), text(100)),
        ("expected.json".to_owned(), plan_json(&made).unwrap()),
        ("expected.graph.txt".to_owned(), graph_text(&made.graph)),
    ]);
    if asked.pictures {
        outputs.insert("expected.dot".into(), graph_dot(&made.graph));
        outputs.insert("expected.mmd".into(), graph_mermaid(&made.graph));
        outputs.insert("expected.graph.json".into(), graph_json(&made.fleet, &made.graph).unwrap());
    }
    if asked.pipeline {
        outputs.extend(pipeline(&made, &asked));
    }
    if asked.narrow {
        outputs.insert("expected.60.txt".into(), text(60));
    }
    outputs
}

/// What a pipeline reads of a plan, and of the drift in it.
fn pipeline(made: &Plan, asked: &Asked) -> Outputs {
    let mutes: Vec<Mute> = asked.mute.iter().map(|mute| mute.parse().unwrap()).collect();
    let drift = drift(made, &mutes);
    let outputs = [
        ("expected.md", plan_markdown(made)),
        ("expected.junit.xml", plan_junit(made)),
        ("expected.gitlab.json", gitlab_report(made).unwrap()),
        ("expected.drift.txt", drift_text(&drift, Screen::plain(80))),
        ("expected.drift.json", drift_json(&drift).unwrap()),
        ("expected.drift.md", drift_markdown(&drift)),
        ("expected.drift.junit.xml", drift_junit(&drift)),
        ("expected.drift.prom", drift_prometheus(&drift, 1_795_000_000)),
    ];
    outputs.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
}

fn made(case: &Path, asked: &Asked) -> Plan {
    let desired = desired(case, "fleet.kdl", "home");
    let mut world = World::empty(&desired.fleet);
    if case.join("applied.kdl").exists() {
        let home = if case.join("applied-home").exists() { "applied-home" } else { "home" };
        let applied = self::desired(case, "applied.kdl", home);
        world.apply(&plan(&applied, &world.observed, &Options::default()));
    }
    let events: Vec<Event> = json(case, "world.json").unwrap_or_default();
    events.iter().for_each(|event| event.happen(&mut world));
    if asked.adopt {
        return adopted(&desired.fleet, world.observed, &asked.taken);
    }
    plan(&desired, &world.observed, &asked.options())
}

/// What adopting everything there is would do.
fn adopted(fleet: &str, observed: Observed, taken: &BTreeSet<String>) -> Plan {
    let guests = format!("fleets/{fleet}/vms");
    let stray = |(name, guest): (String, Reading<ObservedGuest>)| {
        let from = guest.present().map_or(fleet, |guest| &guest.record.fleet);
        let at = format!("fleets/{from}/vms/{name}");
        (name, Stray { at, guest })
    };
    let strays = observed.guests.into_iter().map(stray).collect();
    adopt(&Owner { fleet, origin: ORIGIN, guests: &guests, taken }, &strays)
}

fn json<T: for<'a> Deserialize<'a>>(case: &Path, name: &str) -> Option<T> {
    let text = fs::read_to_string(case.join(name)).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", case.join(name).display())))
}

fn desired(case: &Path, file: &str, home: &str) -> Desired {
    let (sources, fleet) = config::load(Utf8Path::new(file), "golden", &mut CaseFiles(case));
    let fleet = fleet.unwrap_or_else(|wrong| panic!("{}: {wrong:#?}", case.display()));
    let requests = resource::requests(&fleet);
    let paths = requests.paths.into_iter().map(|path| (path.clone(), host_path(&case.join(home), &path))).collect();
    let git_identity = requests.git_identity.then(|| ("Ada".to_owned(), "ada@example.org".to_owned()));
    let secrets = requests.secrets.into_iter().map(|secret| (secret.clone(), secret_input(&secret))).collect();
    // What a machine on which Firecracker runs says of itself.
    let firecracker = json(case, "firecracker.json").map_or(Firecracker::NotAsked, Firecracker::Runs);
    let hypervisors = Hypervisors { firecracker, ..Hypervisors::default() };
    let inputs =
        Inputs { paths, secrets, git_identity, own_keys: vec![OWN_KEY.into()], hypervisors, ..Inputs::default() };
    resource::lower(&fleet, &sources, &inputs).unwrap_or_else(|wrong| panic!("{}: {wrong:#?}", case.display())).desired
}

/// A secret of a case is what its variable is called; one that is not fetched has no digests.
fn secret_input(secret: &Secret) -> SecretInput {
    let SecretSource::Variable(name) = &secret.source else { panic!("{secret:?}") };
    let fetched = name != "NOT_FETCHED";
    SecretInput::Known(SecretContent {
        from: SecretRef::Variable(name.clone()),
        seal: fetched.then(|| Digest::of(format!("sealed {name}").as_bytes())),
        digest: fetched.then(|| Digest::of(name.as_bytes())),
    })
}

const OWN_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPAWkGqOaVvQIIkDO1yPYmUDh2YmzfvUm3xkZ4GUZzx regatta";

/// The files of a case; its fleet files import nothing but shipped modules.
struct CaseFiles<'a>(&'a Path);

impl Loader for CaseFiles<'_> {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        fs::read_to_string(self.0.join(path)).map_err(|_| LoadError::Missing)
    }

    fn list(&mut self, _: &Utf8Path) -> Result<Vec<String>, LoadError> {
        Err(LoadError::Missing)
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }
}

fn host_path(home: &Path, asked: &HostPath) -> HostInput {
    let below = asked.written.strip_prefix("~/").unwrap();
    let mut entries = BTreeMap::new();
    if !home.join(below).exists() {
        return HostInput::Missing;
    }
    collect(&home.join(below), &GuestPath::root(), &mut entries);
    HostInput::Tree(HostTree { root: Utf8PathBuf::from("/home/ada").join(below), entries, skipped: Vec::new() })
}

/// Git keeps no permissions but one: files are 0644, executable ones 0755.
fn collect(path: &Path, below: &GuestPath, entries: &mut BTreeMap<GuestPath, HostEntry>) {
    if path.is_dir() {
        let entry = HostEntry { kind: FileKind::Directory, mode: 0o755, size: 0, digest: None, text: None };
        entries.insert(below.clone(), entry);
        for child in fs::read_dir(path).unwrap().map(Result::unwrap) {
            collect(&child.path(), &below.join(child.file_name().as_encoded_bytes()).unwrap(), entries);
        }
        return;
    }
    let bytes = fs::read(path).unwrap();
    let executable = fs::metadata(path).unwrap().permissions().mode() & 0o100 != 0;
    let entry = HostEntry {
        kind: FileKind::File,
        mode: if executable { 0o755 } else { 0o644 },
        size: bytes.len() as u64,
        digest: Some(Digest::of(&bytes)),
        text: String::from_utf8(bytes).ok(),
    };
    entries.insert(below.clone(), entry);
}

//! The configuration language from outside: fleet files in, mistakes or resources out, compared whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a case that cannot be read is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use common::golden;
use regatta::config::{self, LoadError, Loader, Secret, SecretSource};
use regatta::render::{self, Colour, Screen};
use regatta::resource::{
    self, Digest, FileKind, GuestPath, HostEntry, HostInput, HostPath, HostTree, Inputs, Lowered, Resource,
    SecretContent, SecretInput, SecretRef,
};
use regatta::syntax::{Diagnostic, Severity, SourceMap};

/// Files of one case directory; paths are relative to it.
struct CaseLoader<'a>(&'a Path);

impl Loader for CaseLoader<'_> {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        match fs::read_to_string(self.0.join(path)) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(LoadError::Missing),
            Err(error) => Err(LoadError::Unreadable(error.kind().to_string())),
        }
    }

    fn list(&mut self, directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        let entries = fs::read_dir(self.0.join(directory)).map_err(|_| LoadError::Missing)?;
        Ok(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        (name == "FLEET_TEST").then(|| "from the environment".into())
    }
}

fn load(case: &Path) -> (SourceMap, Result<config::Fleet, Vec<Diagnostic>>) {
    config::load(Utf8Path::new("fleet.kdl"), "golden", &mut CaseLoader(case))
}

/// Both forms of the diagnostics of a run: what people see without colour, and JSON.
fn shown_both(sources: &SourceMap, found: &[Diagnostic]) -> golden::Outputs {
    let screen = Screen { width: 100, colour: Colour::Never };
    golden::Outputs::from([
        ("expected.txt".to_owned(), render::diagnostics(found, sources, screen)),
        ("expected.json".to_owned(), render::diagnostics_json(found, sources).unwrap()),
    ])
}

/// A diagnostic as lines of text, for messages of failed tests and warnings.
fn plain(sources: &SourceMap, diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
        writeln!(text, "{severity} {}: {}", diagnostic.code, diagnostic.message).unwrap();
        for label in &diagnostic.labels {
            let marked = sources.text(label.span).lines().next().unwrap_or_default().to_owned();
            writeln!(text, "  {} `{marked}`: {}", sources.source_ref(label.span), label.text).unwrap();
        }
        if let Some(help) = &diagnostic.help {
            writeln!(text, "  help: {help}").unwrap();
        }
    }
    text
}

/// The case's `host/` directory as the user's home.
fn inputs(case: &Path, fleet: &config::Fleet) -> Inputs {
    let requests = resource::requests(fleet);
    let paths = requests.paths.into_iter().map(|path| {
        let read = host_input(case, &path);
        (path, read)
    });
    let secrets = requests.secrets.into_iter().map(|secret| (secret.clone(), secret_input(&secret))).collect();
    let git_identity = requests.git_identity.then(|| fs::read_to_string(case.join("host/git")).ok()).flatten();
    let git_identity = git_identity.and_then(|text| {
        let (name, email) = text.trim().split_once('\n')?;
        Some((name.to_owned(), email.to_owned()))
    });
    Inputs { paths: paths.collect(), secrets, git_identity, own_keys: vec![OWN_KEY.into()], ..Inputs::default() }
}

/// A secret that is there for everybody whose variable is not called `MISSING`.
fn secret_input(secret: &Secret) -> SecretInput {
    let from = match &secret.source {
        SecretSource::Variable(name) if name == "MISSING" => {
            return SecretInput::Refused("the environment has no `MISSING`".into());
        }
        SecretSource::Variable(name) => SecretRef::Variable(name.clone()),
        SecretSource::File(path) => SecretRef::File { path: path.into(), allowed: Vec::new() },
        SecretSource::Command { program, arguments } => {
            SecretRef::Command { program: program.clone(), arguments: arguments.clone(), directory: "/fleet".into() }
        }
    };
    let (seal, digest) = (Some(Digest::of(b"sealed")), Some(Digest::of(b"secret")));
    SecretInput::Known(SecretContent { from, seal, digest })
}

const OWN_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPAWkGqOaVvQIIkDO1yPYmUDh2YmzfvUm3xkZ4GUZzx regatta";

fn host_input(case: &Path, path: &HostPath) -> HostInput {
    let below = path.written.strip_prefix("~/").map_or_else(|| case.join(&path.written), |p| case.join("host").join(p));
    if path.written.ends_with("forbidden") {
        return HostInput::Refused("it is outside of the home directory".into());
    }
    if !below.exists() {
        return HostInput::Missing;
    }
    let mut entries = BTreeMap::new();
    collect(&below, &GuestPath::root(), &mut entries);
    HostInput::Tree(HostTree {
        root: Utf8PathBuf::from("/home/user").join(path.written.trim_start_matches("~/")),
        entries,
        skipped: Vec::new(),
    })
}

fn collect(path: &PathBuf, below: &GuestPath, entries: &mut BTreeMap<GuestPath, HostEntry>) {
    if path.is_dir() {
        let entry = HostEntry { kind: FileKind::Directory, mode: 0o700, size: 0, digest: None, text: None };
        entries.insert(below.clone(), entry);
        for child in fs::read_dir(path).unwrap() {
            let child = child.unwrap();
            let name = child.file_name().into_string().unwrap();
            collect(&child.path(), &below.join(name.as_bytes()).unwrap(), entries);
        }
        return;
    }
    let text = fs::read_to_string(path).unwrap();
    let (size, digest) = (text.len() as u64, Some(Digest::of(text.as_bytes())));
    let mode = if text.starts_with("#!") { 0o4755 } else { 0o640 };
    entries.insert(below.clone(), HostEntry { kind: FileKind::File, mode, size, digest, text: Some(text) });
}

/// Resources as lines and JSON: addresses, places, edges and specifications.
fn shown(lowered: &Lowered) -> String {
    let mut text = format!("fleet {}\n", lowered.desired.fleet);
    for (address, declared) in &lowered.desired.resources {
        let spec = match &declared.resource {
            Resource::Image(spec) => serde_json::to_string_pretty(spec),
            Resource::Kernel(spec) => serde_json::to_string_pretty(spec),
            Resource::Network(spec) => serde_json::to_string_pretty(spec),
            Resource::Vm(spec) => serde_json::to_string_pretty(spec),
            Resource::Files(spec) => serde_json::to_string_pretty(spec),
            Resource::Cluster(spec) => serde_json::to_string_pretty(spec),
            Resource::ClusterGuest(spec) => serde_json::to_string_pretty(spec),
            Resource::NodeMount(spec) => serde_json::to_string_pretty(spec),
        };
        let source = declared.source.as_ref().map(ToString::to_string).unwrap_or_default();
        let needs: Vec<String> = declared.needs.iter().map(ToString::to_string).collect();
        writeln!(text, "\n{address} at {source} needs [{}]\n{}", needs.join(", "), spec.unwrap()).unwrap();
    }
    text
}

fn expected(text: String) -> golden::Outputs {
    golden::Outputs::from([("expected.txt".to_owned(), text)])
}

/// Every mistake of every file, in one run.
#[test]
fn diagnostics() {
    golden::check("diagnostics", |case| {
        let (sources, result) = load(case);
        let found = match result {
            Err(found) => found,
            Ok(fleet) => {
                let inputs = inputs(case, &fleet);
                resource::lower(&fleet, &sources, &inputs).map_or_else(|errors| errors, |lowered| lowered.warnings)
            }
        };
        assert!(!found.is_empty(), "{} has no mistake", case.display());
        shown_both(&sources, &found)
    });
}

/// What good files mean.
#[test]
fn resources() {
    golden::check("config", |case| {
        let (sources, result) = load(case);
        let fleet = result.unwrap_or_else(|found| panic!("{}:\n{}", case.display(), plain(&sources, &found)));
        let inputs = inputs(case, &fleet);
        let lowered = resource::lower(&fleet, &sources, &inputs);
        let lowered = lowered.unwrap_or_else(|found| panic!("{}:\n{}", case.display(), plain(&sources, &found)));
        expected(shown(&lowered) + "\n" + &plain(&sources, &lowered.warnings))
    });
}

/// Where every value of every guest comes from.
#[test]
fn explanations() {
    golden::check("explain", |case| {
        let (sources, result) = load(case);
        let fleet = result.unwrap_or_else(|found| panic!("{}:\n{}", case.display(), plain(&sources, &found)));
        let vms = fleet.vms.keys().map(|name| format!("vm.{name}"));
        let addresses = vms.chain(fleet.images.keys().map(|name| format!("image.{name}")));
        let addresses = addresses.chain(["fleet".to_owned()]);
        let explained = addresses.map(|address| config::explain(&fleet, &sources, &BTreeMap::new(), &address).unwrap());
        let explained = explained.map(|explanation| explanation.to_string());
        expected(explained.collect::<Vec<_>>().join("\n"))
    });
}

/// The files of a case, with variables of its environment.
struct Staged<'a>(CaseLoader<'a>, &'a [(&'a str, &'a str)]);

impl Loader for Staged<'_> {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        self.0.read(path)
    }

    fn list(&mut self, directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        self.0.list(directory)
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        self.1.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }
}

/// The larger example, on every stage that it knows.
#[test]
fn the_example_of_a_team_is_right() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/team");
    for (variables, cpus) in [(&[][..], 1), (&[("SHOP_STAGE", "production")][..], 4)] {
        let mut loader = Staged(CaseLoader(&directory), variables);
        let (sources, fleet) = config::load(Utf8Path::new("fleet.kdl"), "golden", &mut loader);
        let fleet = fleet.unwrap_or_else(|found| panic!("{}", plain(&sources, &found)));
        let names = ["ada", "db", "grace", "web-north-1", "web-north-2", "web-south-1", "web-south-2"];
        assert_eq!(fleet.vms.keys().collect::<Vec<_>>(), names);
        assert_eq!(fleet.vms["db"].cpus.value, cpus);
        assert_eq!(fleet.vms["ada"].memory.value, config::ByteSize::gib(4));
        let lowered = resource::lower(&fleet, &sources, &inputs(&directory, &fleet));
        let lowered = lowered.unwrap_or_else(|found| panic!("{}", plain(&sources, &found)));
        let warnings: Vec<_> = lowered.warnings.iter().map(|warning| warning.code).collect();
        assert!(warnings.iter().all(|code| matches!(*code, "host::missing" | "host::no-git-identity")), "{warnings:?}");
    }
}

/// The example in the repository is right as it stands, for somebody without keys and without a git identity too.
#[test]
fn the_example_is_right() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let (sources, result) = load(&directory);
    let fleet = result.unwrap_or_else(|found| panic!("{}", plain(&sources, &found)));
    let lowered = resource::lower(&fleet, &sources, &inputs(&directory, &fleet)).unwrap();
    assert_eq!(fleet.vms.keys().collect::<Vec<_>>(), ["web-1", "web-2"]);
    assert!(
        lowered
            .warnings
            .iter()
            .all(|w| matches!(w.code, "host::missing" | "host::no-git-identity" | "host::special-bits"))
    );
}

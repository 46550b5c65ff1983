//! Reads what a fleet names on the host: key files, synced trees and the user's git identity.

use std::collections::BTreeSet;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::filter::Entry;
use crate::config::{self, Fleet, Secret};
use crate::driver::secrets;
use crate::effect::paths;
use crate::effect::walk::{self, EntryKind, Limits, Manner, Named, Tree, WalkError};
use crate::effect::{Command, CommandError, DigestCache, Run, SealKey, Status};
use crate::exec::Failure;
use crate::resource::{
    self, Digest, FileKind, GuestPath, HostEntry, HostInput, HostPath, HostTree, Inputs, SecretContent, SecretInput,
};
use crate::syntax::{SourceId, SourceMap};

/// The user whose files a fleet may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Home directory, absolute: `~`.
    pub home: Utf8PathBuf,
    /// The caller's `XDG_CONFIG_HOME` and `GIT_CONFIG_GLOBAL`, as far as they are set: they say where git's global
    /// configuration is.
    pub git_environment: Vec<(String, String)>,
}

/// What is done about the secrets of a fleet.
#[derive(Debug, Clone)]
pub enum Secrets {
    /// They are fetched, for their digests.
    Fetch(SealKey),
    /// They are left alone: what was written last is taken to be right.
    Leave,
}

/// Reads everything the fleet names. What is missing or must not be read is reported as such in [`Inputs`]: the layer
/// above knows the place in the fleet file that asked for it. What `digests` knows is not read again.
///
/// # Errors
/// When git cannot be asked for the identity that is wanted from it.
pub async fn read(
    fleet: &Fleet,
    sources: &SourceMap,
    user: &User,
    run: &dyn Run,
    access: &Secrets,
    digests: &Arc<DigestCache>,
) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::default();
    let requests = resource::requests(fleet);
    for path in requests.paths {
        let input = read_path(&path, sources, &user.home, digests.clone()).await;
        inputs.paths.insert(path, input);
    }
    for secret in requests.secrets {
        let input = read_secret(&secret, sources, &user.home, run, access).await;
        inputs.secrets.insert(secret, input);
    }
    if requests.git_identity {
        inputs.git_identity = git_identity(user, run).await.map_err(|error| {
            Failure::permanent(error.to_string()).context("cannot read the git identity of this user")
        })?;
    }
    Ok(inputs)
}

async fn read_secret(
    secret: &Secret,
    sources: &SourceMap,
    home: &Utf8Path,
    run: &dyn Run,
    access: &Secrets,
) -> SecretInput {
    let beside = beside(sources, secret.declared_in);
    let directory = paths::canonical(&beside).unwrap_or(beside);
    match (secrets::located(secret, &directory, home), access) {
        (Err(reason), _) => SecretInput::Refused(reason),
        (Ok(from), Secrets::Fetch(key)) => secrets::input(from, key, run).await,
        (Ok(from), Secrets::Leave) => SecretInput::Known(SecretContent { from, seal: None, digest: None }),
    }
}

/// The directory that a fleet file is in.
fn beside(sources: &SourceMap, file: SourceId) -> Utf8PathBuf {
    match sources.file(file).path.parent() {
        Some(dir) if !dir.as_str().is_empty() => dir.to_owned(),
        _ => Utf8PathBuf::from("."),
    }
}

async fn read_path(path: &HostPath, sources: &SourceMap, home: &Utf8Path, digests: Arc<DigestCache>) -> HostInput {
    let beside = beside(sources, path.declared_in);
    let Some(named) = resolve(&path.written, &beside, home) else {
        return HostInput::Refused(format!(
            "found `{}`, expected `~/…`: other users' homes are not read",
            path.written
        ));
    };
    let allowed = [home.to_owned(), beside];
    let (include, exclude) = (path.include.clone(), path.exclude.clone());
    let links = match path.links {
        config::Links::Skip => walk::Links::Skip,
        config::Links::Keep => walk::Links::Keep,
    };
    let walked = tokio::task::spawn_blocking(move || {
        let excludes = |below: &[u8], is: Named| match is {
            Named::Directory => exclude.excludes(below, Entry::Directory),
            Named::Other => exclude.excludes(below, Entry::File) || !include.is_empty() && !include.takes(below),
        };
        let manner = Manner { excludes: &excludes, links, digests: &digests };
        let mut tree = walk::walk_as(&named, &allowed, &Limits::default(), &manner)?;
        if !include.is_empty() {
            drop_empty_directories(&mut tree);
        }
        Ok(tree)
    })
    .await;
    match walked {
        Ok(Ok(tree)) => host_tree(tree).map_or_else(HostInput::Refused, HostInput::Tree),
        Ok(Err(WalkError::Missing(_))) => HostInput::Missing,
        Ok(Err(refused)) => HostInput::Refused(refused.to_string()),
        Err(stopped) => HostInput::Refused(format!("reading it was stopped: {stopped}")),
    }
}

/// `~` and `~/…` are the home, relative paths start beside the declaring file; `None` for `~somebody`.
pub(super) fn resolve(written: &str, beside: &Utf8Path, home: &Utf8Path) -> Option<Utf8PathBuf> {
    match written.strip_prefix('~') {
        Some("") => Some(home.to_owned()),
        Some(rest) => rest.strip_prefix('/').map(|below| home.join(below.trim_start_matches('/'))),
        None => Some(beside.join(written)),
    }
}

/// Directories with nothing in them that was meant were not meant either; the root was named.
fn drop_empty_directories(tree: &mut Tree) {
    let files = tree.entries.iter().filter(|entry| entry.kind != EntryKind::Directory);
    let ancestors = files.flat_map(|entry| {
        let ends = entry.path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        ends.map(|at| entry.path[..at].to_vec()).collect::<Vec<_>>()
    });
    let above: BTreeSet<Vec<u8>> = ancestors.collect();
    tree.entries
        .retain(|entry| entry.kind != EntryKind::Directory || entry.path.is_empty() || above.contains(&entry.path));
}

fn host_tree(tree: Tree) -> Result<HostTree, String> {
    let entries = tree.entries.into_iter().map(|entry| {
        let (kind, size, digest, text) = match entry.kind {
            EntryKind::Directory => (FileKind::Directory, 0, None, None),
            EntryKind::Link { target } => (FileKind::Symlink, 0, None, Some(target)),
            EntryKind::File { size, sha256, text } => (FileKind::File, size, Some(Digest::from_hash(&sha256)), text),
        };
        Ok((GuestPath::new(entry.path)?, HostEntry { kind, mode: entry.mode, size, digest, text }))
    });
    let skipped = tree.skipped.into_iter().map(|(path, why)| Ok((GuestPath::new(path)?, why)));
    Ok(HostTree {
        root: tree.root,
        entries: entries.collect::<Result<_, String>>()?,
        skipped: skipped.collect::<Result<_, String>>()?,
    })
}

/// `user.name` and `user.email` of the global configuration and what it includes, and of nothing else.
async fn git_identity(user: &User, run: &dyn Run) -> Result<Option<(String, String)>, CommandError> {
    let name = git_value("user.name", user, run).await?;
    let email = git_value("user.email", user, run).await?;
    Ok(name.zip(email))
}

async fn git_value(key: &str, user: &User, run: &dyn Run) -> Result<Option<String>, CommandError> {
    // In `/`: no repository of the working directory may have a say.
    let mut git = Command::new("git")
        .args(["config", "--global", "--includes", "--null", "--get", key])
        .cwd("/")
        .env("HOME", user.home.as_str());
    for (name, value) in &user.git_environment {
        git = git.env(name, value);
    }
    let output = match run.run(&git).await {
        // Without git there is no configuration of git.
        Err(CommandError::Missing { .. }) => return Ok(None),
        outcome => outcome?,
    };
    match output.status {
        Status::Code(0) => {
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(Some(text.trim_end_matches('\0').to_owned()).filter(|value| !value.trim().is_empty()))
        }
        // git-config(1): 1 is «the section or key is invalid», which is how a missing key is told.
        Status::Code(1) => Ok(None),
        _ => Err(CommandError::Failed { command: git.to_string(), output }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::filter::Filter;
    use crate::config::{Accelerator, AuthorizedKey, ByteSize, FileSync, GitIdentity, Machine, Setting, Vm};
    use crate::effect::CommandRunner;
    use crate::syntax::{SourceId, Span, Spanned};

    struct World {
        _guard: tempfile::TempDir,
        root: Utf8PathBuf,
        sources: SourceMap,
        fleet_file: SourceId,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        std::fs::create_dir_all(root.join("home")).unwrap();
        std::fs::create_dir_all(root.join("fleet")).unwrap();
        let mut sources = SourceMap::default();
        let fleet_file = sources.add(root.join("fleet/fleet.kdl"), String::new(), None);
        World { _guard: dir, root, sources, fleet_file }
    }

    impl World {
        fn spanned<T>(&self, value: T) -> Spanned<T> {
            Spanned::new(value, Span { source: self.fleet_file, start: 0, end: 0 })
        }

        fn fleet(&self, from: &[&str], keys: &[&str], git: Option<GitIdentity>) -> Fleet {
            let sync = |from: &&str| {
                self.spanned(FileSync {
                    from: (*from).to_owned(),
                    declared_in: self.fleet_file,
                    to: self.spanned("~/x".to_owned()),
                    mode: None,
                    prune: Setting::default_value(false),
                    dir_mode: None,
                    owner: (0, 0),
                    include: Filter::default(),
                    exclude: Filter::default(),
                    links: config::Links::Skip,
                    on_drift: config::OnDrift::Repair,
                })
            };
            let vm = Vm {
                name: "web".into(),
                span: self.spanned(()).span,
                cpus: Setting::default_value(1),
                memory: Setting::default_value(ByteSize::mib(256)),
                image: self.spanned("bookworm".into()),
                kernel: None,
                network: None,
                address: None,
                mac: None,
                attachment: None,
                forwards: vec![],
                work_disk: Setting::default_value(ByteSize::gib(1)),
                disks: Vec::new(),
                accel: Setting::default_value(Accelerator::Auto),
                machine: Setting::default_value(Machine::Microvm),
                jailer: None,
                authorized_keys: keys.iter().map(|key| self.spanned(AuthorizedKey::File((*key).into()))).collect(),
                git_identity: git.map(|git| self.spanned(git)),
                file_syncs: from.iter().map(sync).collect(),
                files: vec![],
                sessions: vec![],
                after: vec![],
                tags: vec![],
                autostart: Setting::default_value(false),
                protect: None,
                ignore_drift: vec![],
            };
            Fleet {
                name: Setting::default_value("test".into()),
                owner: None,
                parallelism: None,
                policy: None,
                images: BTreeMap::new(),
                kernels: BTreeMap::new(),
                networks: BTreeMap::new(),
                clusters: BTreeMap::new(),
                containers: BTreeMap::new(),
                cluster_vms: BTreeMap::new(),
                vms: BTreeMap::from([("web".to_owned(), vm)]),
                moved: BTreeMap::new(),
                forget: vec![],
                provenance: config::Provenance::default(),
            }
        }

        async fn read(&self, fleet: &Fleet) -> Inputs {
            let user = User { home: self.root.join("home"), git_environment: vec![] };
            read(fleet, &self.sources, &user, &CommandRunner, &Secrets::Leave, &Arc::default()).await.unwrap()
        }

        fn at(&self, written: &str) -> HostPath {
            HostPath {
                written: written.into(),
                declared_in: self.fleet_file,
                include: Filter::default(),
                exclude: Filter::default(),
                links: config::Links::Skip,
            }
        }
    }

    fn file(text: &str) -> HostEntry {
        let digest = Some(Digest::of(text.as_bytes()));
        HostEntry { kind: FileKind::File, mode: 0o644, size: text.len() as u64, digest, text: Some(text.into()) }
    }

    #[tokio::test]
    async fn paths_start_at_home_or_beside_the_fleet_file() {
        let world = world();
        std::fs::write(world.root.join("home/key.pub"), "K").unwrap();
        std::fs::write(world.root.join("fleet/vimrc"), "v").unwrap();
        let fleet = world.fleet(&["vimrc", "~/gone", "~bob/x"], &["~/key.pub"], None);
        let single = |root: &str, text| {
            HostInput::Tree(HostTree {
                root: world.root.join(root),
                entries: BTreeMap::from([(GuestPath::root(), file(text))]),
                skipped: vec![],
            })
        };
        let expected = Inputs {
            paths: BTreeMap::from([
                (world.at("vimrc"), single("fleet/vimrc", "v")),
                (world.at("~/key.pub"), single("home/key.pub", "K")),
                (world.at("~/gone"), HostInput::Missing),
                (
                    world.at("~bob/x"),
                    HostInput::Refused("found `~bob/x`, expected `~/…`: other users' homes are not read".into()),
                ),
            ]),
            ..Inputs::default()
        };
        assert_eq!(world.read(&fleet).await, expected);
    }

    #[tokio::test]
    async fn what_is_excluded_is_left_out() {
        let world = world();
        std::fs::create_dir_all(world.root.join("home/t/.git")).unwrap();
        for name in ["t/.git/config", "t/a.swp", "t/keep.swp", "t/b"] {
            std::fs::write(world.root.join("home").join(name), "x").unwrap();
        }
        let mut fleet = world.fleet(&["~/t"], &[], None);
        let exclude = Filter::new([".git/", "*.swp", "!keep.swp"]).unwrap();
        fleet.vms.get_mut("web").unwrap().file_syncs[0].value.exclude = exclude.clone();
        let found = world.read(&fleet).await;
        let HostInput::Tree(tree) = &found.paths[&HostPath { exclude, ..world.at("~/t") }] else { panic!("{found:?}") };
        let names: Vec<String> = tree.entries.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["~", "~/b", "~/keep.swp"]);
    }

    #[tokio::test]
    async fn only_what_is_included_is_read() {
        let world = world();
        for name in ["t/lua/a/x", "t/b/c/y.vim", "t/b/z", "t/empty/gone"] {
            let path = world.root.join("home").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let mut fleet = world.fleet(&["~/t"], &[], None);
        let include = Filter::new(["lua/", "*.vim"]).unwrap();
        fleet.vms.get_mut("web").unwrap().file_syncs[0].value.include = include.clone();
        let found = world.read(&fleet).await;
        let HostInput::Tree(tree) = &found.paths[&HostPath { include, ..world.at("~/t") }] else { panic!("{found:?}") };
        let names: Vec<String> = tree.entries.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["~", "~/b", "~/b/c", "~/b/c/y.vim", "~/lua", "~/lua/a", "~/lua/a/x"]);
    }

    /// LESSON 12.
    #[tokio::test]
    async fn a_named_link_out_of_home_is_refused() {
        let world = world();
        std::fs::write(world.root.join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../secret", world.root.join("home/link")).unwrap();
        let fleet = world.fleet(&["~/link"], &[], None);
        let found = world.read(&fleet).await;
        let HostInput::Refused(why) = &found.paths[&world.at("~/link")] else { panic!("{found:?}") };
        assert!(why.contains("leads through a symbolic link"), "{why}");
    }

    /// LESSON 15: global means global, and a half identity is none.
    #[tokio::test]
    async fn the_git_identity_is_the_global_one_or_none() {
        let world = world();
        let fleet = world.fleet(&[], &[], Some(GitIdentity::Host));
        assert_eq!(world.read(&fleet).await.git_identity, None);
        let config = world.root.join("home/.gitconfig");
        std::fs::write(&config, "[user]\nname = Ann\n").unwrap();
        assert_eq!(world.read(&fleet).await.git_identity, None);
        std::fs::write(&config, "[user]\nname = Ann\n[include]\npath = more\n").unwrap();
        std::fs::write(world.root.join("home/more"), "[user]\nemail = ann@example.org\n").unwrap();
        assert_eq!(world.read(&fleet).await.git_identity, Some(("Ann".into(), "ann@example.org".into())));
        assert_eq!(world.read(&world.fleet(&[], &[], None)).await.git_identity, None);
        std::fs::write(&config, "[user\n").unwrap();
        let user = User { home: world.root.join("home"), git_environment: vec![] };
        let failure =
            read(&fleet, &world.sources, &user, &CommandRunner, &Secrets::Leave, &Arc::default()).await.unwrap_err();
        assert_eq!(failure.causes[0], "cannot read the git identity of this user");
    }
}

//! Secrets: fetched right before they are needed, for as long as that takes, and never part of what is printed or stored.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::config::{Secret, SecretSource};
use crate::driver::state::StateDir;
use crate::effect::{Command, Environment, Run, SealKey, files, walk};
use crate::exec::Failure;
use crate::resource::{Address, Content, Digest, FileSet, SecretContent, SecretInput, SecretRef};

/// Bytes of one secret.
const SIZE_LIMIT: u64 = 64 << 10;

/// How long a program may take for one.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// Where services keep secrets of this boot, often behind links: `/run/secrets`, `/run/credentials`, `/run/user`.
const RUNTIME_DIRECTORY: &str = "/run";

/// A key file is short.
const KEY_LIMIT: u64 = 16 << 10;

/// What was fetched. Not printed, not even by `{:?}`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// The secret itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

/// A secret, and how it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// How.
    pub from: SecretRef,
    /// What.
    pub bytes: SecretBytes,
}

/// The key for seals of this machine, derived from regatta's own private key.
///
/// # Errors
/// When that key cannot be read.
pub fn seal_key(state: &StateDir) -> Result<SealKey, Failure> {
    let path = state.identity();
    match files::read_bounded(&path, KEY_LIMIT)? {
        Some(pem) => Ok(SealKey::derive(&pem)),
        None => Err(Failure::permanent(format!("found no key at `{path}`"))),
    }
}

/// How a declared secret is fetched on this machine. `directory` is that of the file that declares it.
///
/// # Errors
/// When it names another user's home.
pub fn located(secret: &Secret, directory: &Utf8Path, home: &Utf8Path) -> Result<SecretRef, String> {
    let at_home = |text: &str| match text.strip_prefix("~/") {
        Some(below) => home.join(below.trim_start_matches('/')).into_string(),
        None => text.to_owned(),
    };
    match &secret.source {
        SecretSource::Variable(name) => Ok(SecretRef::Variable(name.clone())),
        SecretSource::File(path) | SecretSource::Command { program: path, .. }
            if path.starts_with('~') && !path.starts_with("~/") =>
        {
            Err(format!("found `{path}`, expected `~/…`: other users' homes are not read"))
        }
        SecretSource::File(path) => Ok(SecretRef::File {
            path: directory.join(at_home(path)),
            allowed: vec![home.to_owned(), directory.to_owned(), RUNTIME_DIRECTORY.into()],
        }),
        SecretSource::Command { program, arguments } => Ok(SecretRef::Command {
            // A path with a directory in it starts beside the fleet file; a mere name is looked for on `PATH`.
            program: match at_home(program) {
                path if path.contains('/') => directory.join(path).into_string(),
                name => name,
            },
            arguments: arguments.iter().map(|argument| at_home(argument)).collect(),
            directory: directory.to_owned(),
        }),
    }
}

/// Fetches a secret for its digests.
pub async fn input(from: SecretRef, key: &SealKey, run: &dyn Run) -> SecretInput {
    match fetch(&from, run).await {
        Ok(bytes) => SecretInput::Known(SecretContent {
            seal: Some(Digest::from_hash(&key.seal(bytes.expose()))),
            digest: Some(Digest::of(bytes.expose())),
            from,
        }),
        Err(reason) => SecretInput::Refused(reason),
    }
}

/// Fetches the secrets that some sets of files name, each once, as long as they are what was planned.
///
/// # Errors
/// The first one that cannot be fetched, or is another one by now.
pub async fn for_sets(sets: &[(Address, FileSet)], key: &SealKey, run: &dyn Run) -> Result<Vec<Fetched>, Failure> {
    let mut fetched = Vec::new();
    let mut asked = BTreeSet::new();
    for (path, file) in sets.iter().flat_map(|(_, set)| &set.files) {
        let Content::Secret(secret) = &file.content else { continue };
        let SecretContent { from, seal, .. } = &**secret;
        if !asked.insert(from) {
            continue;
        }
        let bytes = fetch(from, run)
            .await
            .map_err(|reason| Failure::permanent(reason).context(format!("cannot fetch the secret of `{path}`")))?;
        if seal.as_ref() != Some(&Digest::from_hash(&key.seal(bytes.expose()))) {
            let changed = format!("the secret of `{path}` changed since the plan was made");
            return Err(Failure::permanent(changed).hint("plan again"));
        }
        fetched.push(Fetched { from: from.clone(), bytes });
    }
    Ok(fetched)
}

/// Fetches one secret.
///
/// # Errors
/// Why it cannot be had, without anything of it.
async fn fetch(from: &SecretRef, run: &dyn Run) -> Result<SecretBytes, String> {
    let bytes = match from {
        SecretRef::Variable(name) => Environment::variable(name)
            .ok_or_else(|| format!("the environment has no `{name}`, or it is no UTF-8"))?
            .into_bytes(),
        SecretRef::File { path, allowed } => read(path.clone(), allowed.clone()).await?,
        SecretRef::Command { program, arguments, directory } => {
            let command = Command::new(program)
                .args(arguments)
                .cwd(directory)
                .with_callers_environment()
                .deadline(COMMAND_DEADLINE);
            run.run_ok(&command).await.map_err(|error| error.to_string())?.stdout
        }
    };
    match bytes.len() as u64 {
        0 => Err(format!("{from} is empty")),
        size if size > SIZE_LIMIT => Err(format!("{from} has more than {SIZE_LIMIT} bytes")),
        _ => Ok(SecretBytes(bytes)),
    }
}

async fn read(path: Utf8PathBuf, allowed: Vec<Utf8PathBuf>) -> Result<Vec<u8>, String> {
    let reading = tokio::task::spawn_blocking(move || walk::read_file(&path, &allowed, SIZE_LIMIT));
    match reading.await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(stopped) => Err(format!("reading it was stopped: {stopped}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::CommandRunner;

    fn command(script: &str) -> SecretRef {
        SecretRef::Command { program: "sh".into(), arguments: vec!["-c".into(), script.into()], directory: "/".into() }
    }

    async fn fetched(from: &SecretRef) -> Result<Vec<u8>, String> {
        fetch(from, &CommandRunner).await.map(|bytes| bytes.expose().to_vec())
    }

    #[tokio::test]
    async fn programs_and_files_give_every_byte() {
        assert_eq!(fetched(&command("printf 'a\\n\\377'; pwd >&2")).await, Ok(b"a\n\xff".to_vec()));
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().canonicalize().unwrap()).unwrap();
        std::fs::write(root.join("token"), "t\n").unwrap();
        std::os::unix::fs::symlink("token", root.join("link")).unwrap();
        let file = |name: &str, allowed: &Utf8Path| SecretRef::File {
            path: root.join(name),
            allowed: vec![allowed.to_owned()],
        };
        assert_eq!(fetched(&file("token", &root)).await, Ok(b"t\n".to_vec()));
        assert_eq!(fetched(&file("link", &root)).await, Ok(b"t\n".to_vec()));
        // LESSON 12.
        let outside = fetched(&file("link", &root.join("elsewhere"))).await.unwrap_err();
        assert!(outside.contains("leads through a symbolic link"), "{outside}");
        assert!(fetched(&file("gone", &root)).await.unwrap_err().ends_with("does not exist"));
        assert!(fetched(&file(".", &root)).await.unwrap_err().ends_with("it is no regular file"));
    }

    #[tokio::test]
    async fn what_is_no_secret_is_refused_without_saying_what_it_is() {
        let reasons = [
            ("true", "the output of `sh` is empty"),
            ("head -c 70000 /dev/zero", "the output of `sh` has more than 65536 bytes"),
            (
                "echo hunter2; echo sorry >&2; exit 3",
                "`sh -c 'echo hunter2; echo sorry >&2; exit 3'` exited with 3: sorry",
            ),
        ];
        for (script, reason) in reasons {
            assert_eq!(fetched(&command(script)).await, Err(reason.to_owned()));
        }
        let missing = SecretRef::Variable("REGATTA_TEST_NO_SUCH_VARIABLE".into());
        assert!(fetched(&missing).await.unwrap_err().starts_with("the environment has no `REGATTA_TEST_NO"));
    }

    #[test]
    fn places_are_absolute_and_arguments_with_a_tilde_start_at_home() {
        let declared_in = crate::syntax::SourceMap::default().add("fleet.kdl", String::new(), None);
        let secret = |source| Secret { source, declared_in };
        let located = |source| located(&secret(source), Utf8Path::new("/fleet"), Utf8Path::new("/home/ann"));
        let command = |program: &str| SecretSource::Command {
            program: program.into(),
            arguments: vec!["-i".into(), "~/key".into(), "a~/b".into()],
        };
        let expected = |program: &str| SecretRef::Command {
            program: program.into(),
            arguments: vec!["-i".into(), "/home/ann/key".into(), "a~/b".into()],
            directory: "/fleet".into(),
        };
        assert_eq!(located(command("age")), Ok(expected("age")));
        assert_eq!(located(command("./bin/get")), Ok(expected("/fleet/./bin/get")));
        assert_eq!(located(command("~/bin/get")), Ok(expected("/home/ann/bin/get")));
        assert!(located(command("~bob/get")).is_err());
        let Ok(SecretRef::File { path, .. }) = located(SecretSource::File("token".into())) else { panic!() };
        assert_eq!(path, "/fleet/token");
    }

    /// What was planned is what is written, or nothing is.
    #[tokio::test]
    async fn another_secret_than_the_planned_one_is_refused() {
        let key = SealKey::derive(b"key");
        let from = command("echo one");
        let SecretInput::Known(content) = input(from.clone(), &key, &CommandRunner).await else { panic!() };
        let content = Box::new(content);
        let file =
            |content| crate::resource::DesiredFile { content: Content::Secret(content), mode: 0o600, owner: (0, 0) };
        let set = |content| FileSet {
            guest: "web".into(),
            kind: crate::resource::FileSetKind::Secret,
            files: [(crate::resource::GuestPath::new("x").unwrap(), file(content))].into(),
            prune: false,
            on_drift: crate::config::OnDrift::Repair,
        };
        let sets = |content| vec![(Address::secret("web", "~/x"), set(content))];
        let fetched = for_sets(&sets(content.clone()), &key, &CommandRunner).await.unwrap();
        assert_eq!(fetched[0].bytes.expose(), b"one\n");
        assert_eq!(format!("{:?}", fetched[0].bytes), "SecretBytes(…)");
        let moved = SecretContent { from: command("echo two"), ..*content };
        let refused = for_sets(&sets(moved.into()), &key, &CommandRunner).await.unwrap_err();
        assert_eq!(refused.causes, ["the secret of `~/x` changed since the plan was made"]);
    }
}

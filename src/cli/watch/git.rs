//! What the agent asks of git: by arguments, with deadlines, and without anything that a repository could bring along to be run.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::error::CliError;
use crate::cli::policy::Trust;
use crate::effect::{Command, CommandRunner, Run as _, files, paths};

/// Fetching takes as long as the network does.
const FETCH_DEADLINE: Duration = Duration::from_secs(300);

/// Everything else works on this machine's files.
const LOCAL_DEADLINE: Duration = Duration::from_secs(60);

/// The name that the fetched commit has in the checkout.
const HEAD: &str = "refs/regatta/head";

/// A repository, and the checkout of what was fetched of it.
pub(super) struct Checkout {
    repository: String,
    reference: String,
    transport: &'static str,
    tree: Utf8PathBuf,
}

impl Checkout {
    /// A checkout at this place, which is made as needed.
    ///
    /// # Errors
    /// When the repository or the reference could be taken for something else by git.
    pub(super) fn new(repository: &str, reference: &str, tree: Utf8PathBuf) -> Result<Self, CliError> {
        let plain = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_control);
        let named = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if !plain(reference) || !reference.chars().all(named) || reference.contains("..") {
            return Err(CliError::failure(format!("found the reference `{reference}`, expected a branch or a tag")));
        }
        let transport = transport(repository).filter(|_| plain(repository)).ok_or_else(|| {
            let error = CliError::failure("found a repository that is not understood");
            error.hint("expected a directory, `https://…`, `ssh://…` or `user@host:path`")
        })?;
        let repository = match transport {
            "file" => paths::canonical(Utf8Path::new(repository.trim_start_matches("file://")))?.into_string(),
            _ => repository.to_owned(),
        };
        Ok(Self { repository, reference: reference.to_owned(), transport, tree })
    }

    /// Where the files are.
    pub(super) fn tree(&self) -> &Utf8Path {
        &self.tree
    }

    /// Fetches, and says which commit the reference is now. Nothing is checked out.
    pub(super) async fn fetch(&self) -> Result<String, CliError> {
        files::private_dir(&self.tree)?;
        if !paths::exists(&self.tree.join(".git"))? {
            self.git(&["init", "--quiet"], LOCAL_DEADLINE).await?;
        }
        let refspec = format!("+{}:{HEAD}", self.reference);
        let fetch =
            ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--force", "--", &self.repository, &refspec];
        self.git(&fetch, FETCH_DEADLINE).await?;
        let commit = self.git(&["rev-parse", "--verify", &format!("{HEAD}^{{commit}}")], LOCAL_DEADLINE).await?;
        Ok(commit.trim().to_owned())
    }

    /// Whether a signer signed a commit.
    pub(super) async fn verify(&self, commit: &str, trusted: &Trust) -> Result<(), CliError> {
        let signers = format!("gpg.ssh.allowedSignersFile={}", trusted.signers);
        let revoked = trusted.revoked.as_ref().map(|path| format!("gpg.ssh.revocationFile={path}"));
        let mut arguments = vec!["-c", "gpg.ssh.program=ssh-keygen", "-c", &signers];
        if let Some(revoked) = &revoked {
            arguments.extend(["-c", revoked]);
        }
        // Signatures of other kinds are looked up elsewhere, where the policy has no say.
        arguments.extend([
            "-c",
            "gpg.program=false",
            "-c",
            "gpg.openpgp.program=false",
            "-c",
            "gpg.x509.program=false",
        ]);
        arguments.extend(["verify-commit", commit]);
        self.git(&arguments, LOCAL_DEADLINE).await.map(drop).map_err(|error| {
            let refused = CliError::refused(format!("commit {commit} is not signed by anybody who is trusted"));
            error.causes.into_iter().fold(refused, CliError::cause)
        })
    }

    /// Makes the files those of a commit. Links become files with their targets' names in them: none leads out.
    pub(super) async fn check_out(&self, commit: &str) -> Result<(), CliError> {
        self.git(&["-c", "core.symlinks=false", "checkout", "--quiet", "--force", "--detach", commit], LOCAL_DEADLINE)
            .await?;
        self.git(&["clean", "--quiet", "-ffdx"], LOCAL_DEADLINE).await.map(drop)
    }

    async fn git(&self, arguments: &[&str], deadline: Duration) -> Result<String, CliError> {
        let allow = format!("protocol.{}.allow=always", self.transport);
        let command = Command::new("git")
            .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never"])
            .args(["-c", &allow, "-c", "gc.auto=0"])
            .args(arguments.iter().copied())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .cwd(&self.tree)
            .deadline(deadline);
        let what = arguments.iter().find(|it| !it.starts_with('-') && !it.contains('=')).copied().unwrap_or("git");
        let failed = |cause: String| CliError::failure(format!("`git {what}` failed")).cause(cause);
        let output = CommandRunner.run(&command).await.map_err(|error| failed(error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(|c: char| c.is_control() && c != '\n', " ");
        match output.success() {
            true => Ok(text(&output.stdout)),
            false => Err(failed(text(&output.stderr).replace('\n', " ").trim().to_owned())),
        }
    }
}

/// Which of git's transports a repository needs. No other is let in, whatever a repository says of submodules and alternates.
fn transport(repository: &str) -> Option<&'static str> {
    match repository.split_once("://") {
        Some(("https", _)) => Some("https"),
        Some(("ssh", _)) => Some("ssh"),
        Some(("file", path)) if path.starts_with('/') => Some("file"),
        Some(_) => None,
        // `ext::sh -c …` and the like run programs.
        None if repository.contains("::") => None,
        None if repository.starts_with(['/', '.']) => Some("file"),
        None => repository.split_once(':').filter(|(host, _)| !host.contains('/')).map(|_| "ssh"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_transports_that_run_nothing_are_let_in() {
        for (repository, expected) in [
            ("https://example.org/fleet.git", Some("https")),
            ("ssh://git@example.org/fleet", Some("ssh")),
            ("git@example.org:fleet.git", Some("ssh")),
            ("/srv/fleet.git", Some("file")),
            ("./fleet", Some("file")),
            ("file:///srv/fleet.git", Some("file")),
            ("ext::sh -c id", None),
            ("http://example.org/fleet", None),
            ("git://example.org/fleet", None),
            ("fd::17", None),
        ] {
            assert_eq!(transport(repository), expected, "{repository}");
        }
        for (repository, reference) in
            [("--upload-pack=id", "main"), ("/", "-x"), ("/", "a:b"), ("/", "a..b"), ("/", "")]
        {
            assert!(Checkout::new(repository, reference, "/nowhere".into()).is_err(), "{repository} {reference}");
        }
    }
}

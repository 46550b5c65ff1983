//! Setting what only root may: look, set one thing, look again, until nothing is left.

use std::time::Duration;

use tokio::time::sleep;

use super::Nodes;
use super::road::Road;
use crate::driver::privilege::set_on_node;
use crate::effect::{Command, Output, Run};
use crate::exec::{Failure, Progress};
use crate::resource::cluster::{Act, ClusterGuestSpec};

/// Commands before it is given up: more than a guest has fields for root.
const ROUNDS: usize = 64;

/// So often one thing is tried that then is not as it was set.
const REPEATS: usize = 3;

/// Waits for a lock of Proxmox's: 2 s, then twice as long each time, a minute in all.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const WAITS: u32 = 5;

impl Nodes {
    /// Brings what only root may set of a guest to what is declared.
    ///
    /// # Errors
    /// Its node cannot be had, sudo refuses, or Proxmox does; what was set before stays.
    pub(super) async fn set(&self, spec: &ClusterGuestSpec, progress: &dyn Progress) -> Result<(), Failure> {
        let (mut road, mut last, mut repeated): (Option<(String, Road)>, Option<Act>, usize) = (None, None, 0);
        for _ in 0..ROUNDS {
            let left = self.clusters.for_root(spec).await?;
            let Some(act) = left.acts.into_iter().next() else { return Ok(()) };
            repeated = if last.as_ref() == Some(&act) { repeated + 1 } else { 0 };
            if repeated > REPEATS {
                let message = format!("guest `{}` does not keep what root sets: {}", spec.name, said(&act));
                return Err(Failure::permanent(message));
            }
            let there = match road.take().filter(|(node, _)| *node == left.node) {
                Some(there) => there,
                None => (left.node.clone(), self.road(self.node(&spec.cluster, &left.node)?).await?),
            };
            let there = &road.insert(there).1;
            if let Act::Set { key, value } = &act
                && key.starts_with("mp")
            {
                stands_firm(&*there.run, value.split(',').next().unwrap_or_default()).await?;
            }
            progress.say(&format!("{} as root on `{}`", said(&act), left.node));
            let command = set_on_node(left.kind, left.vmid, &left.digest, &act)?;
            let output = patiently(there, &command, progress).await?;
            if !output.success() && !is_stale(&output) {
                let shown = command.to_string();
                return Err(crate::effect::CommandError::Failed { command: shown, output }.into());
            }
            last = Some(act);
        }
        Err(Failure::transient(format!("guest `{}` does not keep what root sets", spec.name)))
    }
}

fn said(act: &Act) -> String {
    match act {
        Act::Set { key, value } => format!("sets {key} to {value}"),
        Act::Delete { key } => format!("takes {key} away"),
        Act::Grow { disk, size } => format!("lets {disk} grow to {size}"),
    }
}

/// Runs a command, and again when somebody else holds the guest.
async fn patiently(
    there: &Road,
    command: &crate::driver::privilege::RootCommand,
    progress: &dyn Progress,
) -> Result<Output, Failure> {
    let mut wait = FIRST_WAIT;
    for _ in 0..WAITS {
        let output = there.root.run(command).await?;
        let said = String::from_utf8_lossy(&output.stderr).replace(char::is_control, " ");
        if output.success() || !(said.contains("got timeout") || said.contains("is locked")) {
            return Ok(output);
        }
        progress.say(&format!("waits: {}", said.trim()));
        sleep(wait).await;
        wait *= 2;
    }
    there.root.run(command).await
}

/// Whether the guest's configuration moved since it was read: nothing was changed.
fn is_stale(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    said.contains("detected modified configuration") || said.contains("checksum mismatch")
}

/// LESSON 33: whether nobody but root decides what a directory's name stands for. A link, or a parent that others may write
/// to, would let them hand the guest any other directory of the node.
async fn stands_firm(run: &dyn Run, path: &str) -> Result<(), Failure> {
    let above = path.match_indices('/').skip(1).map(|(at, _)| &path[..at]);
    let steps: Vec<&str> = ["/"].into_iter().chain(above).chain([path]).collect();
    // Numbers: the words for kinds of files are in the language of whoever logs in.
    let asked = Command::new("stat").args(["--format=%f:%u", "--"]).args(steps.iter().copied());
    let output = run.run(&asked).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let seen: Vec<&str> = text.lines().collect();
    if !output.success() || seen.len() != steps.len() {
        let said = String::from_utf8_lossy(&output.stderr).replace(char::is_control, " ");
        return Err(Failure::permanent(format!("cannot look at `{path}` on the node: {}", said.trim())));
    }
    for (step, seen) in steps.iter().zip(seen) {
        let read = |(mode, owner)| Some((u32::from_str_radix(mode, 16).ok()?, owner));
        let Some((mode, owner)) = seen.split_once(':').and_then(read) else {
            return Err(Failure::permanent(format!("cannot look at `{path}` on the node: stat(1) gave no mode")));
        };
        let is_firm = *step == path || owner == "0" && mode & 0o022 == 0;
        if kind(mode) != "directory" || !is_firm {
            let found = format!("found `{step}` as a {} of user {owner} with mode {:o}", kind(mode), mode & 0o7777);
            let failure = Failure::permanent(format!(
                "{found}, expected a directory that only root can put something else in the place of"
            ));
            return Err(failure.hint(
                "give it, and all directories above it, to root, and take away the right of others to write there",
            ));
        }
    }
    Ok(())
}

/// What a mode of stat(2) is of.
fn kind(mode: u32) -> &'static str {
    match mode & 0o170_000 {
        0o040_000 => "directory",
        0o120_000 => "symbolic link",
        0o100_000 => "file",
        _ => "device, pipe or socket",
    }
}

#[cfg(test)]
mod tests {
    use super::stands_firm;
    use crate::effect::CommandRunner;
    use crate::effect::testing::scratch;

    /// LESSON 33: what an ordinary user may put something else in the place of is handed to no guest.
    #[tokio::test]
    async fn a_directory_that_others_can_replace_is_refused() {
        let why =
            |path: String| async move { stands_firm(&CommandRunner, &path).await.map_err(|it| it.causes.join(": ")) };
        assert_eq!(why("/usr/share".into()).await, Ok(()));
        assert!(why("/nowhere/at/all".into()).await.unwrap_err().starts_with("cannot look at `/nowhere/at/all`"));
        let (_guard, dir) = scratch();
        // Below `/tmp`, which everybody may write to.
        assert!(why(dir.to_string()).await.unwrap_err().contains("expected a directory that only root"));
        assert!(why("/dev/null".into()).await.unwrap_err().contains("device, pipe or socket of user 0 with mode 666"));
    }
}

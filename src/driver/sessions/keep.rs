//! Bringing the sessions of a guest to what is declared, and seeing how they are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Ending, Input, Job, SessionError, SessionName, SessionStatus, Sessions, Why};
use crate::config::Stdin;
use crate::exec::{Failure, Progress};
use crate::resource::{ObservedSession, Reading, SessionSpec, SessionState, Standing};

/// How long one that goes may take to end when it is asked to, and once more when it is forced to.
const PATIENCE: Duration = Duration::from_secs(10);

/// The sessions of a guest, as plans see them.
pub(in crate::driver) async fn seen(sessions: &Sessions<'_>) -> Reading<BTreeMap<String, ObservedSession>> {
    match observe(sessions).await {
        Ok(found) => Reading::Present(found),
        Err(error) => Reading::Unreadable(format!("cannot list its sessions: {error}")),
    }
}

async fn observe(sessions: &Sessions<'_>) -> Result<BTreeMap<String, ObservedSession>, SessionError> {
    let found = sessions.list().await?.into_iter().map(|session| {
        let state = match session.status {
            SessionStatus::Starting | SessionStatus::Running | SessionStatus::Stopping => SessionState::Running,
            SessionStatus::Exited(code) => SessionState::Exited(code),
            SessionStatus::Failed(Why::Restarted) => SessionState::Failed("the guest was restarted".into()),
            SessionStatus::Failed(Why::NotReady) => SessionState::Failed("it was not ready in time".into()),
            SessionStatus::Failed(Why::Lost) => SessionState::Failed("it was killed, with its watcher".into()),
        };
        (session.name.to_string(), ObservedSession { state, declared: session.declared })
    });
    Ok(found.collect())
}

/// Ends and removes those of ours that go, and starts those declared ones that do not run as they should. `home` is what `~`
/// means. Doing it again does what is left.
///
/// # Errors
/// One was started by hand, lacks what it needs, or ends at once; the others are started all the same.
pub(in crate::driver) async fn keep(
    sessions: &Sessions<'_>,
    declared: &[SessionSpec],
    remove: &[String],
    home: &str,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let found = observe(sessions).await.map_err(|error| failure("the list", error))?;
    for name in remove.iter().filter(|name| found.get(*name).is_some_and(|session| session.declared.is_some())) {
        progress.say(&format!("ending session `{name}`"));
        end(sessions, name).await?;
    }
    let mut failures = Vec::new();
    for spec in declared {
        if let Err(failure) = bring(sessions, spec, found.get(&spec.name), home, progress).await {
            failures.push(failure);
        }
    }
    let later = observe(sessions).await.map_err(|error| failure("the list", error))?;
    for spec in declared {
        let (before, now) = (found.get(&spec.name), later.get(&spec.name));
        if spec.judge(before) != Standing::Foreign && spec.judge(now) == Standing::Ended && failures.is_empty() {
            let state = now.map(|now| now.state.to_string()).unwrap_or_default();
            let message = format!("session `{}` did not stay: {state}", spec.name);
            failures.push(Failure::permanent(message).hint("`regatta session logs` tells what it said"));
        }
    }
    failures.into_iter().next().map_or(Ok(()), Err)
}

async fn bring(
    sessions: &Sessions<'_>,
    spec: &SessionSpec,
    found: Option<&ObservedSession>,
    home: &str,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    match spec.judge(found) {
        Standing::Right => return Ok(()),
        Standing::Foreign => {
            let message = format!("found a session `{}` that was started by hand", spec.name);
            return Err(Failure::permanent(message).hint("end it and remove it, or declare another name"));
        }
        Standing::Outdated => {
            progress.say(&format!("ending session `{}`, which is declared otherwise now", spec.name));
            end(sessions, &spec.name).await?;
        }
        Standing::Missing | Standing::Ended => {}
    }
    progress.say(&format!("starting session `{}`", spec.name));
    let job = job(spec, home)?;
    sessions.start(&job).await.map_err(|error| failure(&spec.name, error))
}

/// Ends a session and forgets it.
async fn end(sessions: &Sessions<'_>, name: &str) -> Result<(), Failure> {
    let session: SessionName = name.parse().map_err(Failure::permanent)?;
    let ended = match sessions.stop(&session, Ending::Asked, PATIENCE).await {
        Err(SessionError::StillRunning(_)) => sessions.stop(&session, Ending::Forced, PATIENCE).await,
        ended => ended,
    };
    match ended {
        Ok(()) => {}
        Err(SessionError::Missing(_)) => return Ok(()),
        Err(error) => return Err(failure(name, error)),
    }
    match sessions.remove(&session).await {
        Ok(()) | Err(SessionError::Missing(_)) => Ok(()),
        Err(error) => Err(failure(name, error)),
    }
}

fn job(spec: &SessionSpec, home: &str) -> Result<Job, Failure> {
    let directory = spec.cwd.as_ref().map(|cwd| match cwd.strip_prefix('~') {
        Some(below) => format!("{home}{below}"),
        None => cwd.clone(),
    });
    Ok(Job {
        name: spec.name.parse().map_err(Failure::permanent)?,
        argv: spec.command.clone(),
        directory,
        variables: spec.env.clone(),
        input: match spec.stdin {
            Stdin::None => Input::None,
            Stdin::Pipe => Input::Pipe,
        },
        require: spec.require.clone(),
        declared: Some(spec.digest()),
    })
}

fn failure(name: &str, error: SessionError) -> Failure {
    let failure = match error {
        SessionError::Connection(error) => Failure::from(error),
        error => Failure::permanent(error.to_string()),
    };
    failure.context(format!("session `{name}`"))
}

//! Giving back what a step acquired, when the step fails.

use std::future::Future;
use std::pin::Pin;

use camino::{Utf8Path, Utf8PathBuf};

use crate::effect::paths;
use crate::exec::{Failure, FailureKind};

type GiveBack<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// What a step has acquired so far, oldest first. Each thing is noted **before** it is acquired (LESSON 22), so giving
/// back what is not there must succeed.
#[derive(Default)]
pub(super) struct Undo<'a> {
    acquired: Vec<(String, GiveBack<'a>)>,
}

impl<'a> Undo<'a> {
    /// Notes a thing that is about to be acquired, and how it is given back. `done` names that in a message:
    /// `remove the tap `rgt0``.
    pub(super) fn note(
        &mut self,
        done: impl Into<String>,
        give_back: impl Future<Output = Result<(), Failure>> + Send + 'a,
    ) {
        self.acquired.push((done.into(), Box::pin(give_back)));
    }

    /// Notes a file that is about to be made.
    pub(super) fn file(&mut self, path: &Utf8Path) {
        let path: Utf8PathBuf = path.to_owned();
        self.note(format!("remove `{path}`"), async move { Ok(paths::remove_if_there(&path)?) });
    }

    /// Ends the step. When it failed, everything it acquired is given back, the newest first, whatever goes wrong on the
    /// way; what could not be given back is part of the failure. When nobody knows what happened, nothing is touched:
    /// the next run looks before it decides.
    pub(super) async fn settle<T>(self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        let mut failure = match outcome {
            Err(failure) if failure.kind != FailureKind::Unknown => failure,
            outcome => return outcome,
        };
        for (done, give_back) in self.acquired.into_iter().rev() {
            if let Err(error) = give_back.await {
                failure.causes.push(format!("then could not {done}: {}", error.causes.join(": ")));
            }
        }
        Err(failure)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// LESSON 22: in reverse order, all of it, every error told.
    #[tokio::test]
    async fn a_failed_step_gives_everything_back_and_tells_what_it_could_not() {
        let order = Mutex::new(Vec::new());
        let give_back = |what: &'static str, outcome: Result<(), Failure>| {
            let order = &order;
            async move {
                order.lock().unwrap().push(what);
                outcome
            }
        };
        let mut undo = Undo::default();
        undo.note("remove the tap", give_back("tap", Err(Failure::permanent("busy").context("cannot run `ip`"))));
        undo.note("remove the disk", give_back("disk", Ok(())));
        undo.note("free the port", give_back("port", Err(Failure::permanent("gone"))));
        let failed = undo.settle(Err::<(), _>(Failure::transient("no answer"))).await.unwrap_err();

        assert_eq!(*order.lock().unwrap(), ["port", "disk", "tap"]);
        let expected = Failure {
            causes: vec![
                "no answer".into(),
                "then could not free the port: gone".into(),
                "then could not remove the tap: cannot run `ip`: busy".into(),
            ],
            ..Failure::transient("")
        };
        assert_eq!(failed, expected);
    }

    #[tokio::test]
    async fn success_and_an_unknown_outcome_touch_nothing() {
        let never = || async { panic!("given back") };
        let mut undo = Undo::default();
        undo.note("undo", never());
        assert_eq!(undo.settle(Ok(7)).await, Ok(7));
        let mut undo = Undo::default();
        undo.note("undo", never());
        let unknown = Failure::unknown("the connection was lost");
        assert_eq!(undo.settle(Err::<(), _>(unknown.clone())).await, Err(unknown));
    }
}

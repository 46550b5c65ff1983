//! The tasks of a run: they perform one step each, within its deadline, and hand back what came of it. They decide nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;

use super::cancel::{Cancel, CancelLevel};
use super::perform::{Failure, Perform, Progress, Task as Begun};
use crate::plan::{Step, StepId};

/// Words of running steps that are kept until the coordinator takes them; more are dropped, because they only tell how it
/// goes.
const PROGRESS_KEPT: usize = 256;

/// Characters of a step's words that are kept.
const PROGRESS_LENGTH: usize = 200;

/// What a task has to say.
#[derive(Debug)]
pub(super) enum Message {
    /// A step's words.
    Progress(StepId, String),
    /// What a step said is worth knowing.
    Noted(StepId, String),
    /// What a step began elsewhere.
    Begun(StepId, Begun),
    /// The wait before another attempt is over, or the run is being stopped.
    Waited(StepId),
    /// An attempt ended.
    Ended(StepId, Result<(), Failure>),
}

#[derive(Debug)]
enum Task {
    Waited,
    Ended(Result<(), Failure>),
}

/// Every task of one run. Dropping it aborts them.
#[derive(Debug)]
pub(super) struct Workers {
    tasks: JoinSet<Task>,
    steps: HashMap<Id, StepId>,
    words: mpsc::Receiver<Message>,
    speaker: mpsc::Sender<Message>,
    /// Never dropped, unlike words: as many as steps send requests that begin something.
    begun: mpsc::UnboundedReceiver<Message>,
    herald: mpsc::UnboundedSender<Message>,
}

impl Workers {
    pub(super) fn new() -> Self {
        let (speaker, words) = mpsc::channel(PROGRESS_KEPT);
        let (herald, begun) = mpsc::unbounded_channel();
        Self { tasks: JoinSet::new(), steps: HashMap::new(), words, speaker, begun, herald }
    }

    /// Performs a step. After its deadline it cannot be told what it did: it is dropped, and its failure is `unknown`
    /// (LESSON 39).
    pub(super) fn perform(&mut self, perform: Arc<dyn Perform>, step: Step) {
        let id = step.id;
        let mouth = Mouth { step: id, speaker: self.speaker.clone(), herald: self.herald.clone() };
        let task = self.tasks.spawn(async move {
            let limit = Duration::from_secs(step.deadline_s);
            Task::Ended(timeout(limit, perform.perform(&step, &mouth)).await.unwrap_or_else(|_| Err(overdue(limit))))
        });
        self.steps.insert(task.id(), id);
    }

    /// Waits before a step's next attempt, but not when the run is being stopped.
    pub(super) fn wait(&mut self, step: StepId, wait: Duration, cancel: Cancel) {
        let task = self.tasks.spawn(async move {
            // Either way the coordinator decides what comes next.
            let _ = timeout(wait, cancel.reached(CancelLevel::Finish)).await;
            Task::Waited
        });
        self.steps.insert(task.id(), step);
    }

    /// The next message; `None` when there are no tasks. Ends come before words: a talkative step holds nobody up.
    pub(super) async fn next(&mut self) -> Option<Message> {
        tokio::select! {
            biased;
            ended = self.tasks.join_next_with_id() => self.message(ended?),
            Some(begun) = self.begun.recv() => Some(begun),
            Some(words) = self.words.recv() => Some(words),
        }
    }

    /// What was said so far, without waiting: before a step's end is told, its words are.
    pub(super) fn words_so_far(&mut self) -> Vec<Message> {
        let begun = std::iter::from_fn(|| self.begun.try_recv().ok());
        let words = std::iter::from_fn(|| self.words.try_recv().ok());
        begun.chain(words.take(PROGRESS_KEPT)).collect()
    }

    /// What has ended already, without waiting.
    pub(super) fn try_next(&mut self) -> Option<Message> {
        let ended = self.tasks.try_join_next_with_id()?;
        self.message(ended)
    }

    fn message(&mut self, ended: Result<(Id, Task), JoinError>) -> Option<Message> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let step = self.steps.remove(&id)?;
        Some(match ended {
            Ok((_, Task::Waited)) => Message::Waited(step),
            Ok((_, Task::Ended(result))) => Message::Ended(step, result),
            Err(error) => Message::Ended(step, Err(lost(error))),
        })
    }

    /// Drops every task where it stands; each still gives its message.
    pub(super) fn abort(&mut self) {
        self.tasks.abort_all();
    }
}

fn overdue(limit: Duration) -> Failure {
    Failure::unknown(format!("it did not end within {} s", limit.as_secs()))
}

fn lost(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            Failure::unknown(format!("a bug in regatta: it panicked: {}", words.unwrap_or("without a word")))
        }
        Err(_) => Failure::unknown("it was aborted while it ran"),
    }
}

struct Mouth {
    step: StepId,
    speaker: mpsc::Sender<Message>,
    herald: mpsc::UnboundedSender<Message>,
}

impl Progress for Mouth {
    fn say(&self, text: &str) {
        // A full channel means that people are told more than they can read.
        let _ = self.speaker.try_send(Message::Progress(self.step, plain(text)));
    }

    fn note(&self, text: &str) {
        let _ = self.speaker.try_send(Message::Noted(self.step, plain(text)));
    }

    fn task(&self, task: Begun) {
        let task = Begun { on: plain(&task.on), name: plain(&task.name) };
        // The coordinator is gone only when the run is.
        let _ = self.herald.send(Message::Begun(self.step, task));
    }
}

/// One line, without what would move a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(PROGRESS_LENGTH).collect()
}

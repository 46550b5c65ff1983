//! The coordinator: one loop that owns the schedule, the journal and the events.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::audit::AuditFact;
use super::cancel::{Cancel, CancelLevel};
use super::claim::Limits;
use super::event::{Event, EventKind};
use super::gatekeeper::{Gatekeeper, Watch};
use super::journal::{Fact, Journal, between_ms};
use super::perform::{Failure, FailureKind, Perform, Task};
use super::report::{Report, StepOutcome, StepReport, StopCause};
use super::retry::Retry;
use super::schedule::{Fallout, Schedule};
use super::worker::{Message, Workers};
use crate::effect::Clock;
use crate::plan::gate::{Decision, Need};
use crate::plan::{Graph, StepId};
use crate::resource::Address;

/// After an abort, steps that do not even let themselves be dropped are given up after this long.
const ABORT_GRACE: Duration = Duration::from_secs(5);

/// Runs graphs.
pub struct Runner {
    /// What performs the steps.
    pub perform: Arc<dyn Perform>,
    /// The time of records and events.
    pub clock: Arc<dyn Clock>,
    /// How many steps run at once.
    pub limits: Limits,
    /// How failed steps are tried again.
    pub retry: Retry,
    /// How it is stopped.
    pub cancel: Cancel,
    /// What every step has to pass.
    pub gate: Gatekeeper,
}

impl Runner {
    /// Runs a graph to its end and reports on every step. Nothing that fails on the way ends it early: a failed step
    /// takes its descendants with it, a failed journal or a cancellation lets running steps finish.
    ///
    /// The journal is written, and synced, on the calling task; steps are performed on others.
    pub async fn run(&self, graph: &Graph, journal: Journal, emit: &mut dyn FnMut(&Event)) -> Report {
        let report = Report::new(journal.run(), journal.fleet(), graph, self.clock.now());
        let (schedule, stopped) = match Schedule::new(graph, &self.limits) {
            Ok(schedule) => (Some(schedule), None),
            Err(error) => (None, Some(StopCause::Malformed { message: error.to_string() })),
        };
        let mut coordinator = Coordinator {
            runner: self,
            graph,
            gate: self.gate.watch(journal.run()),
            journal,
            emit,
            report,
            workers: Workers::new(),
            retrying: vec![None; graph.steps.len()],
            batch: Batch::default(),
        };
        coordinator.begin();
        match schedule {
            Some(mut schedule) => {
                coordinator.screen(&mut schedule);
                coordinator.drive(&mut schedule).await;
            }
            None => coordinator.report.stopped = stopped,
        }
        coordinator.finish()
    }
}

/// What is recorded in one append, and what may happen once it is durable.
#[derive(Debug, Default)]
struct Batch {
    facts: Vec<Fact>,
    /// What the gate decided and what became of it: on disk before the facts are.
    audit: Vec<AuditFact>,
    events: Vec<EventKind>,
    /// Steps to perform: only if the append succeeds.
    starts: Vec<StepId>,
    /// Steps to try again after a wait.
    waits: Vec<(StepId, Duration)>,
}

struct Coordinator<'a> {
    runner: &'a Runner,
    graph: &'a Graph,
    gate: Watch,
    journal: Journal,
    emit: &'a mut dyn FnMut(&Event),
    report: Report,
    workers: Workers,
    /// By step: why its last attempt failed, while it waits for the next.
    retrying: Vec<Option<Failure>>,
    batch: Batch,
}

impl Coordinator<'_> {
    fn begin(&mut self) {
        let steps = u32::try_from(self.graph.steps.len()).unwrap_or(u32::MAX);
        let (run, fleet) = (self.report.run, self.report.fleet.clone());
        self.batch.audit.push(self.gate.begins(&fleet, self.graph));
        self.tell(EventKind::RunStarted { run, fleet, steps });
    }

    /// Settles what has to wait for somebody's agreement, before anything begins.
    fn screen(&mut self, schedule: &mut Schedule) {
        let held = self.gate.screen(self.graph, self.runner.clock.now());
        let fallout = schedule.hold(held.keys().copied());
        for (step, why) in held {
            if why.because == step {
                let decision = Decision::Held { need: why.need.clone() };
                self.batch.audit.push(self.gate.decision(&self.graph.steps[step.0 as usize], decision));
            }
            self.held(step, why.because, why.need);
        }
        let first = self.report.held().next().map(|(step, _)| step.step);
        if let Some(first) = first {
            self.spread(first, fallout);
        }
    }

    /// Enters a step that does not begin because somebody has to agree first.
    fn held(&mut self, step: StepId, because: StepId, need: Need) {
        self.settle(step, StepOutcome::Held { because, need: need.clone() });
        self.batch.facts.push(Fact::Held { step, because });
        let (address, op) = self.name_of(step);
        self.batch.events.push(EventKind::StepHeld { step, address, op, because, need });
    }

    async fn drive(&mut self, schedule: &mut Schedule) {
        let cancel = self.runner.cancel.clone();
        let mut seen = CancelLevel::None;
        loop {
            seen = self.heed(seen, schedule);
            self.start_ready(schedule);
            self.commit(schedule);
            tokio::select! {
                biased;
                () = cancel.reached(CancelLevel::Finish), if seen == CancelLevel::None => {}
                () = cancel.reached(CancelLevel::Abort), if seen == CancelLevel::Finish => {}
                message = self.workers.next() => match message {
                    Some(message) => self.receive(message, schedule),
                    None => return,
                },
                () = tokio::time::sleep(ABORT_GRACE), if seen == CancelLevel::Abort => {
                    return self.give_up(schedule);
                }
            }
        }
    }

    /// Does what has been asked for since the last look.
    fn heed(&mut self, seen: CancelLevel, schedule: &Schedule) -> CancelLevel {
        let level = self.runner.cancel.level();
        if level > seen {
            let aborts = level == CancelLevel::Abort;
            self.stop(if aborts { StopCause::Aborted } else { StopCause::Cancelled }, schedule);
            if aborts {
                self.workers.abort();
            }
        }
        level
    }

    /// Lets no further step start. A failed journal stays the cause, whatever is asked for later.
    fn stop(&mut self, cause: StopCause, schedule: &Schedule) {
        if !matches!(self.report.stopped, Some(StopCause::Journal { .. })) {
            let running = u32::try_from(schedule.running()).unwrap_or(u32::MAX);
            self.report.stopped = Some(cause.clone());
            self.tell(EventKind::Stopping { cause, running });
        }
    }

    fn start_ready(&mut self, schedule: &mut Schedule) {
        while self.report.stopped.is_none()
            && let Some(step) = schedule.start_next()
        {
            self.start(step, schedule);
        }
    }

    /// Asks the gate, and starts a step that may begin. One that may not any more (an approval can expire during a run) ends its lane
    /// as a failure would, so that what was begun is put back.
    fn start(&mut self, step: StepId, schedule: &mut Schedule) {
        let (decision, fact) = self.gate.ask(&self.graph.steps[step.0 as usize], self.runner.clock.now());
        self.batch.audit.push(fact);
        if let Decision::Held { need } = decision {
            self.retrying[step.0 as usize] = None;
            self.held(step, step, need);
            return self.spread(step, schedule.failed(step));
        }
        let attempt = self.report.steps[step.0 as usize].attempts + 1;
        self.batch.facts.push(Fact::Started { step, attempt });
        let (address, op) = self.name_of(step);
        self.batch.events.push(EventKind::StepStarted { step, address, op, attempt });
        self.batch.starts.push(step);
    }

    fn name_of(&self, step: StepId) -> (Option<Address>, String) {
        let report = &self.report.steps[step.0 as usize];
        (report.addresses.first().cloned(), report.op.clone())
    }

    /// Makes the batch durable, and only then does what it announces.
    fn commit(&mut self, schedule: &mut Schedule) {
        let Batch { facts, audit, events, starts, waits } = std::mem::take(&mut self.batch);
        if facts.is_empty() && audit.is_empty() {
            return;
        }
        let now = self.runner.clock.now();
        let audited = self.gate.record(now, &audit).map_err(|error| error.to_string());
        let recorded = audited.and_then(|()| self.journal.record(now, facts).map_err(|error| error.to_string()));
        match recorded {
            Ok(()) => {
                for step in starts {
                    self.begin_attempt(step, now);
                }
                for (step, wait) in waits {
                    self.workers.wait(step, wait, self.runner.cancel.clone());
                }
                events.into_iter().for_each(|event| self.tell_at(now, event));
            }
            Err(message) => {
                self.stop(StopCause::Journal { message }, schedule);
                let happened = |event: &EventKind| {
                    !matches!(event, EventKind::StepStarted { .. } | EventKind::StepRetrying { .. })
                };
                events.into_iter().filter(happened).for_each(|event| self.tell_at(now, event));
                self.settle_unstarted(&starts, schedule);
                for (step, _) in waits {
                    self.give_up_retry(step, schedule);
                }
                self.commit(schedule);
            }
        }
    }

    /// Steps that could not be recorded do not begin. Their slots are of no use any more: nothing starts after this.
    /// One that was to be tried again has failed.
    fn settle_unstarted(&mut self, starts: &[StepId], schedule: &mut Schedule) {
        for step in starts {
            if self.retrying[step.0 as usize].is_some() {
                self.give_up_retry(*step, schedule);
            }
        }
    }

    fn begin_attempt(&mut self, step: StepId, now: Timestamp) {
        let index = step.0 as usize;
        let report = &mut self.report.steps[index];
        report.attempts += 1;
        report.started.get_or_insert(now);
        self.retrying[index] = None;
        self.workers.perform(Arc::clone(&self.runner.perform), self.graph.steps[index].clone());
    }

    /// Takes a message, and every other end that is there already: they share one append.
    fn receive(&mut self, message: Message, schedule: &mut Schedule) {
        for words in self.workers.words_so_far() {
            self.take(words, schedule);
        }
        self.take(message, schedule);
        while let Some(more) = self.workers.try_next() {
            self.take(more, schedule);
        }
    }

    fn take(&mut self, message: Message, schedule: &mut Schedule) {
        match message {
            Message::Progress(step, text) => self.progress(step, text),
            Message::Noted(step, text) => self.noted(step, text),
            Message::Begun(step, task) => self.begun(step, task),
            Message::Waited(step) if self.report.stopped.is_some() => self.give_up_retry(step, schedule),
            Message::Waited(step) => self.start(step, schedule),
            // An abort ended the wait before it could say so.
            Message::Ended(step, _) if self.retrying[step.0 as usize].is_some() => self.give_up_retry(step, schedule),
            Message::Ended(step, Ok(())) => self.done(step, schedule),
            Message::Ended(step, Err(failure)) => self.failed(step, failure, schedule),
        }
    }

    /// Words that come after their step's end are late, and nobody wants them.
    fn progress(&mut self, step: StepId, text: String) {
        if self.report.steps[step.0 as usize].outcome == StepOutcome::NotStarted {
            self.tell(EventKind::StepProgress { step, text });
        }
    }

    /// What a step began elsewhere is recorded while the step runs; once it has ended, nobody has to wait for it any more.
    fn begun(&mut self, step: StepId, task: Task) {
        let index = step.0 as usize;
        if self.report.steps[index].outcome == StepOutcome::NotStarted && self.retrying[index].is_none() {
            self.batch.facts.push(Fact::Task { step, task });
        }
    }

    fn noted(&mut self, step: StepId, text: String) {
        self.report.steps[step.0 as usize].notes.push(text.clone());
        self.tell(EventKind::StepNoted { step, text });
    }

    fn done(&mut self, step: StepId, schedule: &mut Schedule) {
        let elapsed_ms = self.settle(step, StepOutcome::Done);
        self.batch.audit.push(self.gate.ended(step, "done"));
        self.batch.facts.push(Fact::Done { step });
        self.batch.events.push(EventKind::StepDone { step, elapsed_ms });
        self.spread(step, schedule.done(step));
    }

    fn failed(&mut self, step: StepId, failure: Failure, schedule: &mut Schedule) {
        let attempt = self.report.steps[step.0 as usize].attempts;
        match self.runner.retry.wait_after(attempt, &failure) {
            Some(wait) if self.report.stopped.is_none() => self.retry(step, attempt, failure, wait),
            _ => self.fail(step, failure, schedule),
        }
    }

    fn retry(&mut self, step: StepId, attempt: u32, failure: Failure, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.batch.facts.push(Fact::Retrying { step, failure: failure.clone() });
        self.batch.events.push(EventKind::StepRetrying { step, attempt, failure: failure.clone(), wait_ms });
        self.batch.waits.push((step, wait));
        self.retrying[step.0 as usize] = Some(failure);
    }

    /// A step that waits for its next attempt gets none.
    fn give_up_retry(&mut self, step: StepId, schedule: &mut Schedule) {
        let last = self.retrying[step.0 as usize].take();
        let failure = last.unwrap_or_else(|| Failure::unknown("it was aborted while it waited to be tried again"));
        self.fail(step, failure, schedule);
    }

    /// A step failed for good, and takes its descendants with it.
    fn fail(&mut self, step: StepId, failure: Failure, schedule: &mut Schedule) {
        let elapsed_ms = self.settle(step, StepOutcome::Failed { failure: failure.clone() });
        self.report.failures.push(step);
        let outcome = if failure.kind == FailureKind::Unknown { "unknown" } else { "failed" };
        self.batch.audit.push(self.gate.ended(step, outcome));
        self.batch.facts.push(match failure.kind {
            FailureKind::Unknown => Fact::Unknown { step, failure: failure.clone() },
            FailureKind::Transient | FailureKind::Permanent => Fact::Failed { step, failure: failure.clone() },
        });
        self.batch.events.push(EventKind::StepFailed { step, elapsed_ms, failure });
        self.spread(step, schedule.failed(step));
    }

    /// Enters what will not start because of how a step ended.
    fn spread(&mut self, because: StepId, fallout: Fallout) {
        for step in fallout.skipped {
            self.settle(step, StepOutcome::Skipped { because });
            self.batch.facts.push(Fact::Skipped { step, because });
            let (address, op) = self.name_of(step);
            self.batch.events.push(EventKind::StepSkipped { step, address, op, because });
        }
        for step in fallout.unneeded {
            self.settle(step, StepOutcome::Unneeded);
            self.batch.facts.push(Fact::Unneeded { step });
            self.batch.events.push(EventKind::StepUnneeded { step });
        }
    }

    /// Enters how a step ended in the report; returns how long it took, in milliseconds.
    fn settle(&mut self, step: StepId, outcome: StepOutcome) -> u64 {
        let now = self.runner.clock.now();
        let report: &mut StepReport = &mut self.report.steps[step.0 as usize];
        report.outcome = outcome;
        report.elapsed_ms = report.started.map_or(0, |started| between_ms(started, now));
        report.elapsed_ms
    }

    /// Steps that ignored an abort are left behind.
    fn give_up(&mut self, schedule: &mut Schedule) {
        let running = |step: &&StepReport| step.started.is_some() && step.outcome == StepOutcome::NotStarted;
        let left: Vec<StepId> = self.report.steps.iter().filter(running).map(|step| step.step).collect();
        for step in left {
            if self.retrying[step.0 as usize].is_some() {
                self.give_up_retry(step, schedule);
            } else {
                self.fail(step, Failure::unknown("it did not stop when it was aborted"), schedule);
            }
        }
        self.commit(schedule);
    }

    fn finish(mut self) -> Report {
        let now = self.runner.clock.now();
        self.report.note_reverted(self.graph);
        let outcome = self.report.outcome();
        self.batch.audit.push(self.gate.finished(outcome));
        let audited = self.gate.record(now, &self.batch.audit).map_err(|error| error.to_string());
        let recorded = self.journal.record(now, [Fact::Finished { outcome }]).map_err(|error| error.to_string());
        if let Err(message) = recorded.and(audited)
            && self.report.stopped.is_none()
        {
            self.report.stopped = Some(StopCause::Journal { message });
        }
        self.report.elapsed_ms = between_ms(self.report.started, now);
        let (outcome, elapsed_ms) = (self.report.outcome(), self.report.elapsed_ms);
        self.tell_at(now, EventKind::RunFinished { outcome, elapsed_ms });
        self.report
    }

    fn tell(&mut self, kind: EventKind) {
        let now = self.runner.clock.now();
        self.tell_at(now, kind);
    }

    fn tell_at(&mut self, at: Timestamp, kind: EventKind) {
        (self.emit)(&Event { at, kind });
    }
}

#[cfg(test)]
mod tests;

//! The gate's place in a run: what it is asked with, and where its answers go.

use std::sync::Arc;

use jiff::Timestamp;

use super::audit::{Audit, AuditFact};
use super::{Outcome, RunId};
use crate::plan::gate::{Caller, Decision, Grants, Policy, Provenance, digest_of, gate};
use crate::plan::{Graph, Step, StepId};

/// What every step of a run is judged by.
#[derive(Clone)]
pub struct Gatekeeper {
    /// Who started the run.
    pub caller: Caller,
    /// Who has to agree.
    pub policy: Policy,
    /// Who agreed to what.
    pub grants: Grants,
    /// Whose data there is.
    pub provenance: Provenance,
    /// Where decisions are written down.
    pub audit: Arc<dyn Audit>,
}

/// The gatekeeper of one run.
pub(super) struct Watch {
    keeper: Gatekeeper,
    run: RunId,
}

impl Gatekeeper {
    pub(super) fn watch(&self, run: RunId) -> Watch {
        Watch { keeper: self.clone(), run }
    }
}

impl Watch {
    /// What is known before anything is done.
    pub(super) fn screen(
        &self,
        graph: &Graph,
        now: Timestamp,
    ) -> std::collections::BTreeMap<StepId, crate::plan::gate::Held> {
        let Gatekeeper { policy, grants, provenance, .. } = &self.keeper;
        crate::plan::gate::screen(graph, provenance, policy, grants, now)
    }

    /// Asks the gate about a step that is about to begin, and takes note of it when it does.
    pub(super) fn ask(&mut self, step: &Step, now: Timestamp) -> (Decision, AuditFact) {
        let Gatekeeper { policy, grants, provenance, .. } = &mut self.keeper;
        let decision = gate(step, provenance, policy, grants, now);
        if matches!(decision, Decision::Allowed { .. }) {
            provenance.begins(&step.op);
        }
        let fact = self.decision(step, decision.clone());
        (decision, fact)
    }

    /// A decision as the audit log has it.
    pub(super) fn decision(&self, step: &Step, decision: Decision) -> AuditFact {
        AuditFact::Decision {
            run: self.run,
            step: step.id,
            addresses: step.addresses.clone(),
            operation: step.op.name().to_owned(),
            digest: digest_of(step),
            decision,
        }
    }

    pub(super) fn begins(&self, fleet: &str, graph: &Graph) -> AuditFact {
        AuditFact::Run {
            run: self.run,
            fleet: fleet.to_owned(),
            caller: self.keeper.caller,
            steps: u32::try_from(graph.steps.len()).unwrap_or(u32::MAX),
            agreements: self.keeper.grants.agreements().cloned().collect(),
        }
    }

    pub(super) fn ended(&self, step: StepId, outcome: &str) -> AuditFact {
        AuditFact::Mutation { run: self.run, step, outcome: outcome.to_owned() }
    }

    pub(super) const fn finished(&self, outcome: Outcome) -> AuditFact {
        AuditFact::Finished { run: self.run, outcome }
    }

    pub(super) fn record(&self, now: Timestamp, facts: &[AuditFact]) -> std::io::Result<()> {
        self.keeper.audit.append(now, facts)
    }
}

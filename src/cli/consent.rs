//! What whoever starts a run agrees to: asked at the terminal, or said on the command line.

use std::collections::BTreeMap;

use super::error::{CliError, Exit};
use super::output;
use crate::config::Demand;
use crate::effect::{Clock as _, SystemClock};
use crate::plan::gate::{Agreement, Caller, Grants, Loss, Policy, Provenance, screen};
use crate::plan::{Graph, Plan};
use crate::resource::Address;

/// What was said on the command line, and what to ask otherwise.
#[derive(Clone, Copy)]
pub(super) struct Consent<'a> {
    /// `--yes`.
    pub given: bool,
    /// `--yes-destroy`, as written.
    pub destroy: &'a [String],
    /// Asked on the terminal.
    pub question: &'static str,
}

impl Consent<'static> {
    /// Nobody is there: what loses nothing is done, and nothing is agreed to.
    pub(super) const fn by_nobody() -> Self {
        Self { given: false, destroy: &[], question: "" }
    }

    /// Nothing has to be asked: whoever typed the command has said what is done.
    pub(super) const fn by_command() -> Self {
        Self { given: true, destroy: &[], question: "" }
    }
}

/// What a run is judged by.
pub(super) struct Judged<'a> {
    pub plan: &'a Plan,
    pub provenance: &'a Provenance,
    pub policy: &'a Policy,
    pub caller: Caller,
}

/// Adds to the grants what is agreed to; `None` when somebody said no.
///
/// # Errors
/// When nobody is there to ask, or `--yes-destroy` names nothing of the plan.
pub(super) fn ask(judged: &Judged<'_>, consent: Consent<'_>, mut grants: Grants) -> Result<Option<Grants>, CliError> {
    for address in named(&judged.plan.graph, consent.destroy)? {
        grants.agree(Agreement::YesDestroy { address });
    }
    if judged.caller == Caller::Agent {
        return Ok(Some(grants));
    }
    if consent.given {
        grants.agree(Agreement::Yes);
    } else {
        let agreed = output::ask(consent.question).ok_or_else(|| {
            let error = CliError::failure("nobody is there to confirm: standard input is no terminal");
            error.hint("look at the plan, then pass --yes")
        })?;
        if !agreed {
            return Ok(None);
        }
        grants.agree(Agreement::Asked);
    }
    if judged.caller == Caller::Person && judged.policy.demand() <= Demand::Name {
        ask_names(judged, &mut grants);
    }
    Ok(Some(grants))
}

/// Asks for the name of each object that something would be lost of. One that is not typed is left alone.
fn ask_names(judged: &Judged<'_>, grants: &mut Grants) {
    for (address, loss) in lacking(judged, grants) {
        let name = address.guest().unwrap_or(address.as_str());
        let question = format!("`{address}` loses {}. Type `{name}` to agree:", loss.words());
        if output::answer(&question).is_some_and(|answer| answer == name || answer == address.as_str()) {
            grants.agree(Agreement::Typed { address });
        }
    }
}

/// Objects of held steps, and what would be lost of each.
fn lacking(judged: &Judged<'_>, grants: &Grants) -> BTreeMap<Address, Loss> {
    let Judged { plan, provenance, policy, .. } = judged;
    let held = screen(&plan.graph, provenance, policy, grants, SystemClock.now());
    let asking = held.iter().filter(|(step, held)| **step == held.because);
    let objects = asking.flat_map(|(step, held)| {
        let step = plan.graph.steps.get(step.0 as usize);
        step.into_iter().flat_map(|step| step.addresses.clone()).map(|address| (address, held.need.loss))
    });
    objects.collect()
}

/// The addresses that `--yes-destroy` names: as they are, or guests by their names.
fn named(graph: &Graph, written: &[String]) -> Result<Vec<Address>, CliError> {
    let known = || graph.steps.iter().flat_map(|step| &step.addresses);
    let find = |text: &String| {
        let is_it = |address: &&Address| {
            let whole = matches!(address.kind(), "vm" | "container");
            address.as_str() == text || (whole && address.guest() == Some(text.as_str()))
        };
        known().find(is_it).cloned().ok_or_else(|| {
            let error = CliError::failure(format!("`--yes-destroy {text}` names nothing that the plan is about"));
            CliError { exit: Exit::Usage, ..error }.hint("it takes an address of the plan, such as `vm.web-1`")
        })
    };
    written.iter().map(find).collect()
}

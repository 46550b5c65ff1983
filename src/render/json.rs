//! A plan for machines: the same as for people, as data. `schema/plan.schema.json` describes it.

use serde::Serialize;

use crate::plan::{Action, Attribute, Change, Impact, Plan, Reason, Refusal, Selected, Summary};
use crate::resource::Address;
use crate::syntax::SourceRef;

/// The version of the form below. It grows by new members; it changes only when a member changes its meaning.
pub const PLAN_FORMAT_VERSION: u32 = 1;

/// The outermost object.
#[derive(Serialize)]
struct PlanDocument<'a> {
    format_version: u32,
    fleet: &'a str,
    changes: Vec<ChangeDocument<'a>>,
    /// What drifted and is left so.
    ignored: Vec<Ignored<'a>>,
    refusals: &'a [Refusal],
    /// What a selection came to; `null` when all of the fleet was planned.
    selected: Option<&'a Selected>,
    impact: Impact,
    summary: Summary,
}

#[derive(Serialize)]
struct Ignored<'a> {
    address: &'a Address,
    attributes: &'a [Attribute],
}

/// One change. Resources that are right already are only counted.
#[derive(Serialize)]
struct ChangeDocument<'a> {
    address: &'a Address,
    kind: &'a str,
    action: Action,
    reason: Reason,
    impact: Impact,
    attributes: &'a [Attribute],
    source: Option<&'a SourceRef>,
    note: Option<&'a str>,
}

impl<'a> From<&'a Change> for ChangeDocument<'a> {
    fn from(change: &'a Change) -> Self {
        Self {
            address: &change.address,
            kind: change.address.kind(),
            action: change.action,
            reason: change.reason,
            impact: change.impact,
            attributes: &change.attributes,
            source: change.source.as_ref(),
            note: change.note.as_deref(),
        }
    }
}

/// The plan as indented JSON with a line break at the end.
///
/// # Errors
/// Never for plans made by this program: every map key in them is text.
pub fn plan_json(plan: &Plan) -> serde_json::Result<String> {
    let document = PlanDocument {
        format_version: PLAN_FORMAT_VERSION,
        fleet: &plan.fleet,
        changes: plan.changes.iter().filter(|change| change.action != Action::None).map(Into::into).collect(),
        ignored: plan.changes.iter().filter(|change| !change.ignored.is_empty()).map(ignored).collect(),
        refusals: &plan.refusals,
        selected: plan.selected.as_ref(),
        impact: plan.impact(),
        summary: plan.summary(),
    };
    serde_json::to_string_pretty(&document).map(|text| text + "\n")
}

fn ignored(change: &Change) -> Ignored<'_> {
    Ignored { address: &change.address, attributes: &change.ignored }
}

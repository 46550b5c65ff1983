//! A plan as a file: what was shown, bound to what it was made from.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::gate::{Caller, Grants, Policy, Provenance, screen};
use super::{Plan, StepId, fingerprint};
use crate::resource::{Desired, Digest, Observed};

/// The version of the form below. A plan of another version is refused, not guessed at.
pub const SAVED_PLAN_FORMAT_VERSION: u32 = 2;

/// A plan that was saved, or is about to be. It holds no secret: contents that look like credentials are digests in
/// every plan, and host files are named, not stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    format_version: u32,
    seal: Digest,
    body: Body,
}

/// What the seal covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    tool_version: String,
    desired: Digest,
    observed: Digest,
    /// The host it is for: the fingerprint of regatta's own key there.
    host: String,
    /// Steps that may lose data, as far as was known when it was made. What is asked of them is decided when it is applied.
    destructive: Vec<StepId>,
    plan: Plan,
}

/// Why a saved plan is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// It is no saved plan, or a torn one.
    Unreadable(String),
    /// It has another form.
    Format(u32),
    /// Somebody changed it.
    Tampered,
    /// Another version of the program made it.
    Tool {
        /// That version.
        made_by: String,
    },
    /// It is for another fleet.
    Fleet {
        /// That fleet.
        made_for: String,
    },
    /// The fleet file, or a host file that it names, changed since.
    Desired,
    /// The world moved since.
    Observed,
}

impl SavedPlan {
    /// Binds a plan to what it was made from.
    pub fn new(plan: Plan, desired: &Desired, observed: &Observed, tool_version: &str, host: &str) -> Self {
        let body = Body {
            host: host.to_owned(),
            destructive: destructive(&plan, observed),
            tool_version: tool_version.into(),
            desired: fingerprint::desired(desired),
            observed: seen(&plan, observed),
            plan,
        };
        Self { format_version: SAVED_PLAN_FORMAT_VERSION, seal: fingerprint::digest(&body), body }
    }

    /// Reads what [`SavedPlan::to_json`] wrote.
    ///
    /// # Errors
    /// It is no saved plan, has another form, or was changed.
    pub fn from_json(text: &str) -> Result<Self, Stale> {
        /// The one member that every version has.
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let unreadable = |error: serde_json::Error| Stale::Unreadable(error.to_string());
        let Version { format_version } = serde_json::from_str(text).map_err(unreadable)?;
        if format_version != SAVED_PLAN_FORMAT_VERSION {
            return Err(Stale::Format(format_version));
        }
        let saved: Self = serde_json::from_str(text).map_err(unreadable)?;
        if fingerprint::digest(&saved.body) != saved.seal {
            return Err(Stale::Tampered);
        }
        Ok(saved)
    }

    /// As JSON with a line break at the end.
    ///
    /// # Errors
    /// Never for plans made by this program: every map key in them is text.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// What stands for all of it: approvals name it.
    pub const fn seal(&self) -> &Digest {
        &self.seal
    }

    /// The host it is for: the fingerprint of regatta's own key there.
    pub fn host(&self) -> &str {
        &self.body.host
    }

    /// Steps that may lose data.
    pub fn destructive(&self) -> &[StepId] {
        &self.body.destructive
    }

    /// The plan: showing it prints what the live plan printed.
    pub const fn plan(&self) -> &Plan {
        &self.body.plan
    }

    /// Compares with what is declared and seen now.
    ///
    /// # Errors
    /// Everything that differs.
    pub fn check(&self, desired: &Desired, observed: &Observed, tool_version: &str) -> Result<(), Vec<Stale>> {
        let Body { tool_version: made_by, desired: declared, observed: then, plan, .. } = &self.body;
        if plan.fleet != desired.fleet {
            return Err(vec![Stale::Fleet { made_for: plan.fleet.clone() }]);
        }
        let differences = [
            (made_by != tool_version).then(|| Stale::Tool { made_by: made_by.clone() }),
            (*declared != fingerprint::desired(desired)).then_some(Stale::Desired),
            (*then != seen(plan, observed)).then_some(Stale::Observed),
        ];
        let differences: Vec<Stale> = differences.into_iter().flatten().collect();
        if differences.is_empty() { Ok(()) } else { Err(differences) }
    }
}

/// Steps that may lose data, by what was seen.
fn destructive(plan: &Plan, observed: &Observed) -> Vec<StepId> {
    let provenance = Provenance::new(Arc::new(observed.clone()));
    let (policy, nobody) = (Policy::none(Caller::Agent), Grants::default());
    // No approval is looked at: the time does not matter.
    let held = screen(&plan.graph, &provenance, &policy, &nobody, jiff::Timestamp::UNIX_EPOCH);
    held.iter().filter(|(step, held)| **step == held.because).map(|(step, _)| *step).collect()
}

/// The digest of what a plan depends on: of the guests it names when it is about a part of the fleet, else of all.
fn seen(plan: &Plan, observed: &Observed) -> Digest {
    let named: BTreeSet<&str> = plan.changes.iter().filter_map(|change| change.address.guest()).collect();
    fingerprint::observed(observed, |guest| plan.selected.is_none() || named.contains(guest))
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "it is no saved plan: {why}"),
            Self::Format(found) => {
                write!(f, "found format version {found}, expected {SAVED_PLAN_FORMAT_VERSION}")
            }
            Self::Tampered => f.write_str("it was changed after it was saved: its seal does not match"),
            Self::Tool { made_by } => write!(f, "it was made by version {made_by} of this program"),
            Self::Fleet { made_for } => write!(f, "it was made for the fleet `{made_for}`"),
            Self::Desired => f.write_str("the fleet file, or a host file that it names, changed since it was made"),
            Self::Observed => f.write_str("the world moved since it was made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Options, plan};

    fn saved() -> (SavedPlan, Desired, Observed) {
        let desired = Desired { fleet: "shop".into(), ..Desired::default() };
        let observed = Observed::default();
        let plan = plan(&desired, &observed, &Options::default());
        (SavedPlan::new(plan, &desired, &observed, "1.0.0", "SHA256:host"), desired, observed)
    }

    #[test]
    fn what_was_saved_is_what_is_read() {
        let (saved, desired, observed) = saved();
        let read = SavedPlan::from_json(&saved.to_json().unwrap());
        assert_eq!(read.as_ref(), Ok(&saved));
        assert_eq!(read.unwrap().check(&desired, &observed, "1.0.0"), Ok(()));
    }

    /// LESSON 45: whatever differs is named.
    #[test]
    fn a_plan_is_refused_with_every_reason() {
        let (saved, desired, mut observed) = saved();
        observed.guests.insert("web".into(), crate::resource::Reading::Unreadable("torn".into()));
        assert_eq!(
            saved.check(&desired, &observed, "1.0.1"),
            Err(vec![Stale::Tool { made_by: "1.0.0".into() }, Stale::Observed])
        );
        let other = Desired { fleet: "bakery".into(), ..desired };
        assert_eq!(saved.check(&other, &observed, "1.0.0"), Err(vec![Stale::Fleet { made_for: "shop".into() }]));
    }

    #[test]
    fn an_edited_or_torn_file_is_refused() {
        let text = saved().0.to_json().unwrap();
        let edited = text.replace("1.0.0", "1.0.1");
        assert_eq!(SavedPlan::from_json(&edited), Err(Stale::Tampered));
        assert_eq!(
            SavedPlan::from_json(&text.replace("\"format_version\":2", "\"format_version\":3")),
            Err(Stale::Format(3))
        );
        assert!(matches!(SavedPlan::from_json(&text[..text.len() / 2]), Err(Stale::Unreadable(_))));
    }
}

//! Who has to agree: the policies of the host, of whoever started the run and of the fleet, merged so that none weakens another.

use crate::config::{self, Benign, Commits, Demand};
use crate::plan::{Pattern, Step};
use crate::resource::Address;
use std::collections::BTreeSet;

/// Who starts a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// Somebody at a terminal.
    Person,
    /// A script, a pipeline, a timer.
    Pipeline,
    /// `regatta watch`: nobody is there to agree.
    Agent,
}

/// What a principal may approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Who has it.
    pub principals: Vec<String>,
    /// On which resources; on all when there is none.
    pub on: Vec<Pattern>,
    /// Which operations; all when there is none.
    pub operations: Vec<String>,
    /// It approves no step: its keys are kept for replacing those of the others.
    pub is_recovery: bool,
}

/// A policy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy says `on=\"{pattern}\"`: {why}")]
pub struct PolicyError {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

/// What is in force for one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    demand: Demand,
    benign: Benign,
    commits: Commits,
    lifetime_hours: Option<u32>,
    thresholds: Vec<(Option<Pattern>, usize)>,
    roles: Vec<Role>,
}

impl Policy {
    /// Merges policies, the one that counts most first: the host's, a named one, the fleet's. Roles are those of the first that has
    /// some; everything else becomes stricter with each.
    ///
    /// # Errors
    /// A pattern that names nothing there can be: a rule that never applies would be a hole.
    pub fn merge(policies: &[&config::Policy], caller: Caller) -> Result<Self, PolicyError> {
        // The agent does not let the repository decide whom it believes.
        let trusted = if caller == Caller::Agent { Trusted::WithoutFleet } else { Trusted::All };
        let roles = policies.iter().filter(|policy| trusted == Trusted::All || !policy.of_fleet);
        let roles = roles.map(|policy| &policy.roles).find(|roles| !roles.is_empty());
        let mut thresholds = Vec::new();
        for threshold in policies.iter().flat_map(|policy| &policy.thresholds) {
            let on = threshold.on.as_deref().map(pattern).transpose()?;
            thresholds.push((on, usize::try_from(threshold.count).unwrap_or(usize::MAX)));
        }
        let some = !policies.is_empty();
        let demands = policies.iter().map(|policy| match caller {
            Caller::Person => policy.people.unwrap_or(Demand::Name),
            Caller::Pipeline => policy.pipelines.unwrap_or(Demand::Approval),
            Caller::Agent => Demand::Approval,
        });
        let without = if caller == Caller::Agent { Demand::Approval } else { Demand::Agreement };
        Ok(Self {
            demand: if some { demands.max().unwrap_or(without) } else { without },
            benign: policies.iter().filter_map(|policy| policy.benign).max().unwrap_or_default(),
            commits: policies.iter().filter_map(|policy| policy.commits).max().unwrap_or_default(),
            lifetime_hours: policies.iter().filter_map(|policy| policy.lifetime_hours).min(),
            thresholds,
            roles: roles.into_iter().flatten().map(role).collect::<Result<_, _>>()?,
        })
    }

    /// What holds where no policy says anything.
    pub fn none(caller: Caller) -> Self {
        let demand = if caller == Caller::Agent { Demand::Approval } else { Demand::Agreement };
        Self {
            demand,
            benign: Benign::default(),
            commits: Commits::default(),
            lifetime_hours: None,
            thresholds: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// What destructive steps need.
    pub const fn demand(&self) -> Demand {
        self.demand
    }

    /// What becomes of the rest while something is held.
    pub const fn benign(&self) -> Benign {
        self.benign
    }

    /// Which commits the agent believes.
    pub const fn commits(&self) -> Commits {
        self.commits
    }

    /// The longest that an approval may be in force.
    pub const fn lifetime_hours(&self) -> Option<u32> {
        self.lifetime_hours
    }

    /// How many people have to approve a step: at least one.
    pub(super) fn threshold(&self, step: &Step) -> usize {
        let applies = |on: &Option<Pattern>| on.as_ref().is_none_or(|on| step.addresses.iter().any(|it| names(on, it)));
        self.thresholds.iter().filter(|(on, _)| applies(on)).map(|(_, count)| *count).max().unwrap_or(1).max(1)
    }

    /// How many people have to approve a rotation of signers: at least one.
    pub(super) fn rotation_threshold(&self) -> usize {
        let applies = |on: &Option<Pattern>| on.as_ref().is_none_or(|on| names(on, &Address::signers()));
        self.thresholds.iter().filter(|(on, _)| applies(on)).map(|(_, count)| *count).max().unwrap_or(1).max(1)
    }

    /// Whether a principal may approve a rotation of signers: those of recovery roles where there are some, else those whose role
    /// names the operation, and everybody where nobody has a role.
    pub fn may_rotate(&self, principal: &str) -> bool {
        let has = |role: &Role| role.principals.iter().any(|it| it == principal);
        if self.roles.iter().any(|role| role.is_recovery) {
            return self.roles.iter().any(|role| role.is_recovery && has(role));
        }
        let names_it = |role: &Role| role.operations.iter().any(|it| it == super::rotation::ROTATE);
        self.roles.is_empty() || self.roles.iter().any(|role| has(role) && names_it(role))
    }

    /// Whether a principal may approve a step.
    pub(super) fn may_approve(&self, principal: &str, step: &Step) -> bool {
        let has = |role: &&Role| role.principals.iter().any(|it| it == principal);
        if self.roles.iter().filter(has).any(|role| role.is_recovery) {
            return false;
        }
        let ordinary = || self.roles.iter().filter(|role| !role.is_recovery);
        let covers = |role: &Role| {
            let operation = role.operations.is_empty() || role.operations.iter().any(|it| it == step.op.name());
            operation && (role.on.is_empty() || step.addresses.iter().all(|it| role.on.iter().any(|on| names(on, it))))
        };
        ordinary().next().is_none() || ordinary().filter(has).any(covers)
    }
}

#[derive(PartialEq, Eq)]
enum Trusted {
    All,
    WithoutFleet,
}

fn names(pattern: &Pattern, address: &Address) -> bool {
    // Groups are what the fleet file says of a guest: a rule of policy must not depend on that.
    pattern.matches(address, &BTreeSet::new())
}

fn pattern(text: &str) -> Result<Pattern, PolicyError> {
    let wrong = |why: String| PolicyError { pattern: text.to_owned(), why };
    if text.starts_with("tag:") {
        return Err(wrong("found a group, expected addresses: groups are what the fleet file says".into()));
    }
    text.parse().map_err(wrong)
}

fn role(role: &config::Role) -> Result<Role, PolicyError> {
    Ok(Role {
        name: role.name.clone(),
        principals: role.principals.clone(),
        on: role.on.iter().map(|on| pattern(on)).collect::<Result<_, _>>()?,
        operations: role.operations.clone(),
        is_recovery: role.is_recovery,
    })
}

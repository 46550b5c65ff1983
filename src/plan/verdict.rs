//! The one table that decides: desired × found × effect → action, reason, impact. Total: a new kind of resource brings
//! its facts here and gets its verdict from the same rows as every other.

use super::{Action, Attribute, Cause, Impact, Reason};

/// What the fleet file, or the command, says about a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// It is declared.
    Declared,
    /// It is not.
    Undeclared,
    /// Its removal was asked for, declared or not.
    Removal,
    /// It is to be let go of.
    Release,
    /// It is to become one of this fleet's.
    Adoption,
}

/// What was found of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Certainly nothing.
    Absent,
    /// The beginning of something whose creation was interrupted.
    Unfinished,
    /// It is there, and it is not running although its kind should.
    Down,
    /// It is there.
    Up,
    /// It cannot be told: nothing may be concluded (LESSONS 21, 42).
    Unknown,
}

/// What a verdict is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// What is wished.
    pub(super) wish: Wish,
    /// What was found.
    pub(super) found: Found,
    /// The worst effect among the attributes that differ, and who moved; `None` when nothing differs.
    pub(super) difference: Option<(Impact, Cause)>,
    /// What removing such a resource costs.
    pub(super) loss: Impact,
}

/// What is done, why, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) action: Action,
    pub(super) reason: Reason,
    pub(super) impact: Impact,
}

/// The worst effect of differing attributes, and who moved.
pub(super) fn difference(attributes: &[Attribute]) -> Option<(Impact, Cause)> {
    attributes
        .iter()
        .map(|attribute| (attribute.impact, attribute.cause))
        .reduce(|(impact, cause), (other, moved)| (impact.max(other), cause.and(moved)))
}

/// Decides.
pub(super) const fn decide(facts: Facts) -> Verdict {
    use Found::{Absent, Down, Unfinished, Unknown, Up};
    use Wish::{Adoption, Declared, Release, Removal, Undeclared};
    let (action, reason, impact) = match (facts.wish, facts.found, facts.difference) {
        (_, Unknown, _) => (Action::Unreadable, Reason::Unreadable, Impact::None),

        (Declared, Absent, None) => (Action::Create, Reason::Missing, Impact::None),
        (Declared, Absent, Some((impact, _))) => (Action::Create, Reason::Missing, impact),
        (Declared, Unfinished, _) => (Action::Create, Reason::Unfinished, Impact::None),
        (Declared, Up, None) => (Action::None, Reason::UpToDate, Impact::None),
        (Declared, Down, None) => (Action::Update, Reason::Stopped, Impact::None),
        (Declared, Up | Down, Some((Impact::Recreate, cause))) => (Action::Replace, moved(cause), Impact::Recreate),
        (Declared, Up | Down, Some((impact, cause))) => (Action::Update, moved(cause), impact),

        (Release, Unfinished | Up | Down, _) => (Action::Forget, Reason::Requested, Impact::None),
        (Adoption, Unfinished | Up | Down, Some(_)) => (Action::Adopt, Reason::Requested, Impact::None),
        (Adoption, _, _) => (Action::None, Reason::UpToDate, Impact::None),

        (Undeclared | Removal | Release, Absent, _) => (Action::None, Reason::UpToDate, Impact::None),
        (Undeclared, Unfinished | Up | Down, _) => (Action::Destroy, Reason::NotDeclared, facts.loss),
        (Removal, Unfinished | Up | Down, _) => (Action::Destroy, Reason::Requested, facts.loss),
    };
    Verdict { action, reason, impact }
}

const fn moved(cause: Cause) -> Reason {
    match cause {
        Cause::Pending => Reason::Pending,
        Cause::Drift => Reason::Drift,
        Cause::Both => Reason::PendingAndDrift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISHES: [Wish; 5] = [Wish::Declared, Wish::Undeclared, Wish::Removal, Wish::Release, Wish::Adoption];
    const EFFECTS: [Impact; 6] =
        [Impact::None, Impact::Live, Impact::Restart, Impact::Recreate, Impact::Connectivity, Impact::DataLoss];

    fn facts(wish: Wish, found: Found, difference: Option<(Impact, Cause)>) -> Facts {
        Facts { wish, found, difference, loss: Impact::DataLoss }
    }

    /// LESSONS 21 and 42: whatever is wished and whatever differs, the unknown is left alone.
    #[test]
    fn the_unknown_is_never_touched() {
        let nothing = Verdict { action: Action::Unreadable, reason: Reason::Unreadable, impact: Impact::None };
        for wish in WISHES {
            assert_eq!(decide(facts(wish, Found::Unknown, None)), nothing);
            for effect in EFFECTS {
                assert_eq!(decide(facts(wish, Found::Unknown, Some((effect, Cause::Both)))), nothing);
            }
        }
    }

    #[test]
    fn only_what_is_not_wished_is_removed() {
        for found in [Found::Absent, Found::Unfinished, Found::Down, Found::Up] {
            assert_ne!(decide(facts(Wish::Declared, found, None)).action, Action::Destroy, "{found:?}");
            let removed = decide(facts(Wish::Removal, found, None)).action;
            assert_eq!(removed == Action::Destroy, found != Found::Absent, "{found:?}");
        }
    }

    #[test]
    fn a_change_of_mark_costs_nothing() {
        for found in [Found::Unfinished, Found::Down, Found::Up] {
            for (wish, action) in [(Wish::Release, Action::Forget), (Wish::Adoption, Action::Adopt)] {
                let verdict = decide(facts(wish, found, Some((Impact::None, Cause::Pending))));
                assert_eq!(verdict, Verdict { action, reason: Reason::Requested, impact: Impact::None }, "{found:?}");
            }
            assert_eq!(decide(facts(Wish::Adoption, found, None)).action, Action::None, "it is ours already");
        }
    }

    #[test]
    fn an_effect_is_never_made_smaller() {
        for found in [Found::Down, Found::Up] {
            for effect in EFFECTS {
                let verdict = decide(facts(Wish::Declared, found, Some((effect, Cause::Pending))));
                assert_eq!(verdict.impact, effect);
                assert_eq!(verdict.action == Action::Replace, effect == Impact::Recreate);
            }
        }
    }
}

//! The words and glyphs of a plan. They are those of the JSON form, so that what people read can be searched for in
//! what machines read.

use super::screen::Tone;
use crate::plan::{Action, Aspect, Cause, Impact, Reason, Rule};

/// A number of things: `1 change`, `2 changes`.
pub(super) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// `1 resource is`, `2 resources are`.
pub(super) fn are(number: usize, one: &str) -> String {
    format!("{} {}", count(number, one), if number == 1 { "is" } else { "are" })
}

/// The sign before a change.
pub(super) const fn glyph(action: Action) -> &'static str {
    match action {
        Action::None => " ",
        Action::Create => "+",
        Action::Update => "~",
        Action::Replace => "-/+",
        Action::Destroy => "-",
        Action::Adopt => "<",
        Action::Forget => ">",
        Action::Unreadable => "?",
    }
}

/// The tone of a change.
pub(super) const fn tone(action: Action) -> Tone {
    match action {
        Action::None => Tone::Quiet,
        Action::Create => Tone::Added,
        Action::Update | Action::Adopt | Action::Forget => Tone::Changed,
        Action::Replace | Action::Destroy => Tone::Removed,
        Action::Unreadable => Tone::Alarm,
    }
}

/// An action.
pub(super) const fn action(action: Action) -> &'static str {
    match action {
        Action::None => "none",
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace => "replace",
        Action::Destroy => "destroy",
        Action::Adopt => "adopt",
        Action::Forget => "forget",
        Action::Unreadable => "unreadable",
    }
}

/// A reason.
pub(super) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::UpToDate => "up-to-date",
        Reason::Missing => "missing",
        Reason::Pending => "pending",
        Reason::Drift => "drift",
        Reason::PendingAndDrift => "pending-and-drift",
        Reason::NotDeclared => "not-declared",
        Reason::Unfinished => "unfinished",
        Reason::Stopped => "stopped",
        Reason::Dependency => "dependency",
        Reason::Requested => "requested",
        Reason::Renamed => "renamed",
        Reason::Unreadable => "unreadable",
    }
}

/// An impact.
pub(super) const fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::None => "none",
        Impact::Live => "live",
        Impact::Restart => "restart",
        Impact::Recreate => "recreate",
        Impact::Connectivity => "connectivity",
        Impact::DataLoss => "data-loss",
    }
}

/// The tone of an impact.
pub(super) const fn impact_tone(impact: Impact) -> Tone {
    match impact {
        Impact::None | Impact::Live => Tone::Quiet,
        Impact::Restart | Impact::Recreate => Tone::Changed,
        Impact::Connectivity | Impact::DataLoss => Tone::Alarm,
    }
}

/// A cause.
pub(super) const fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Pending => "pending",
        Cause::Drift => "drift",
        Cause::Both => "both",
    }
}

/// An aspect.
pub(super) const fn aspect(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Value => "value",
        Aspect::Kind => "kind",
        Aspect::Content => "content",
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
    }
}

/// A rule.
pub(super) const fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::WorkDiskShrinks => "work-disk-shrinks",
        Rule::NameTaken => "name-taken",
        Rule::DiskStays => "disk-stays",
        Rule::NotOurs => "not-ours",
        Rule::Protected => "protected",
        Rule::Drifted => "drifted",
        Rule::DirectoryInTheWay => "directory-in-the-way",
        Rule::FileInTheWay => "file-in-the-way",
        Rule::MadeOtherwise => "made-otherwise",
        Rule::HostInTheWay => "host-in-the-way",
        Rule::NeedsRoot => "needs-root",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: impl serde::Serialize) -> String {
        serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
    }

    #[test]
    fn words_are_those_of_the_json_form() {
        for value in [
            Action::None,
            Action::Create,
            Action::Update,
            Action::Replace,
            Action::Destroy,
            Action::Adopt,
            Action::Forget,
            Action::Unreadable,
        ] {
            assert_eq!(json(value), action(value));
        }
        for value in
            [Reason::UpToDate, Reason::PendingAndDrift, Reason::NotDeclared, Reason::Unfinished, Reason::Renamed]
        {
            assert_eq!(json(value), reason(value));
        }
        for value in [Impact::None, Impact::Recreate, Impact::Connectivity, Impact::DataLoss] {
            assert_eq!(json(value), impact(value));
        }
        for value in [
            Rule::WorkDiskShrinks,
            Rule::NameTaken,
            Rule::DiskStays,
            Rule::NotOurs,
            Rule::Protected,
            Rule::Drifted,
            Rule::DirectoryInTheWay,
            Rule::FileInTheWay,
            Rule::MadeOtherwise,
            Rule::HostInTheWay,
            Rule::NeedsRoot,
        ] {
            assert_eq!(json(value), rule(value));
        }
        assert_eq!(json(Cause::Both), cause(Cause::Both));
        assert_eq!(json(Aspect::Content), aspect(Aspect::Content));
    }
}

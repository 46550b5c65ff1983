//! Profiles, each merged with those it uses.

use std::collections::BTreeMap;

use super::node::profile::Profile;
use super::problems::Problems;
use super::settings::Settings;
use crate::syntax::{Diagnostic, Span, Spanned, shown};

/// All profiles of a fleet, merged when first asked for.
pub(super) struct Profiles {
    declared: BTreeMap<String, Profile>,
    merged: BTreeMap<String, Settings>,
}

/// Profiles being merged, outermost first: where each is used.
type Path = Vec<Spanned<String>>;

impl Profiles {
    /// Takes the declared profiles and reports what is wrong with their `use` nodes, used by a guest or not.
    pub(super) fn new(declared: BTreeMap<String, Profile>, problems: &mut Problems) -> Self {
        let mut profiles = Self { declared, merged: BTreeMap::new() };
        let names: Vec<String> = profiles.declared.keys().cloned().collect();
        for name in names {
            profiles.merge(&name, &mut Vec::new(), problems);
        }
        profiles
    }

    /// A block's settings on top of the profiles it uses.
    pub(super) fn apply(&self, own: Settings, uses: &[Spanned<String>], problems: &mut Problems) -> Settings {
        let mut used = Vec::new();
        for name in uses {
            match self.merged.get(&name.value) {
                Some(settings) => used.push(settings),
                None if self.declared.contains_key(&name.value) => {}
                None => problems.missing("profile", name),
            }
        }
        own.over(&used, problems)
    }

    /// Whether nothing was wrong with any profile.
    pub(super) fn sound(&self) -> bool {
        self.declared.values().all(|profile| profile.sound)
    }

    /// Merges one profile and those it uses. The recursion ends at a profile that is on the path already.
    fn merge(&mut self, name: &str, path: &mut Path, problems: &mut Problems) {
        if self.merged.contains_key(name) {
            return;
        }
        let Some(profile) = self.declared.get(name) else { return };
        let uses = profile.uses.clone();
        for used in &uses {
            if path.iter().any(|step| step.value == used.value) || used.value == name {
                problems.push(cycle(used, path, name));
                continue;
            }
            path.push(Spanned::new(name.to_owned(), used.span));
            self.merge(&used.value, path, problems);
            path.pop();
        }
        if let Some(profile) = self.declared.get(name) {
            let uses: Vec<_> =
                uses.into_iter().filter(|used| !path.iter().any(|step| step.value == used.value)).collect();
            let merged = self.apply(profile.own.clone(), &uses, problems);
            self.merged.insert(name.to_owned(), merged);
        }
    }
}

/// The cycle that `closing` closes: the path of `use` nodes from the first profile back to it.
fn cycle(closing: &Spanned<String>, path: &Path, last: &str) -> Diagnostic {
    let start = path.iter().position(|step| step.value == closing.value).unwrap_or(path.len());
    let steps: Vec<(&str, Span)> = path[start..].iter().map(|step| (step.value.as_str(), step.span)).collect();
    let names: Vec<String> =
        steps.iter().map(|(name, _)| *name).chain([last, &closing.value]).map(|n| format!("`{}`", shown(n))).collect();
    let message = format!("profiles use each other in a circle: {}", names.join(" → "));
    let label = format!("`{}` uses `{}`", shown(last), shown(&closing.value));
    let mut problem = Diagnostic::error("config::profile-cycle", message, closing.span, label);
    for (name, span) in steps {
        problem = problem.also(span, format!("in `{}`", shown(name)));
    }
    problem.help("take one of these `use` nodes out")
}

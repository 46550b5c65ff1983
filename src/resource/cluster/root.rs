//! What Proxmox lets no API token do, not even one of root's: its rule is that the user is `root@pam` itself, and with a
//! token that is `root@pam!NAME`.

use super::{ClusterGuestSpec, Difference, Value};

/// Whether only root may change this value from one to the other.
pub fn is_needed(spec: &ClusterGuestSpec, path: &str, before: Option<&Value>, after: Option<&Value>) -> bool {
    match path.split(' ').next().unwrap_or_default() {
        // A token may switch `nesting` of an unprivileged container, as long as every other feature keeps its value.
        "features" => spec.unprivileged == Some(false) || but_nesting(before) != but_nesting(after),
        // Whoever takes a directory away opens nothing.
        "bind" => after.is_some(),
        "device" | "hook-script" => true,
        _ => false,
    }
}

impl Difference {
    /// Whether only root may make it.
    pub fn needs_root(&self, spec: &ClusterGuestSpec) -> bool {
        is_needed(spec, &self.path, self.before.as_ref(), self.after.as_ref())
    }
}

fn but_nesting(value: Option<&Value>) -> Vec<(&str, &str)> {
    let features = value.and_then(Value::as_properties).into_iter().flat_map(super::Properties::iter);
    features.filter(|(name, _)| *name != "nesting").collect()
}

//! What Proxmox's firewall lets through to a guest, as it is declared.

/// `firewall …`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// Its options by Proxmox's names, as Proxmox writes them.
    pub options: Vec<(&'static str, String)>,
    /// Its rules, the first that fits decides. Whoever declares one declares all of them.
    pub rules: Vec<FirewallRule>,
}

/// `rule DIRECTION ACTION …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirewallRule {
    /// `in`, `out`, or `group`.
    pub direction: String,
    /// `ACCEPT`, `DROP` or `REJECT`; the name of a group of rules.
    pub action: String,
    /// Whether it counts.
    pub enabled: bool,
    /// What it fits, by Proxmox's names.
    pub fits: Vec<(&'static str, String)>,
}

//! Whether we may do what a network needs.

use std::collections::BTreeSet;

use super::ensure::plugged;
use super::{Networks, observe};
use crate::driver::privilege::{self, RootCommand};
use crate::effect::process;
use crate::exec::Failure;
use crate::resource::{BridgeSpec, LinkName, Obstacle, Resolving};

/// How the rules get to where they are in force.
pub(in crate::driver) const INSTALL_RULES: &str =
    "as root: `regatta sudoers --user USER | install -m 0440 /dev/stdin /etc/sudoers.d/regatta`";

impl Networks {
    /// Every command that a network may need, for guests of one user.
    ///
    /// # Errors
    /// When the host's interfaces cannot be read.
    pub async fn commands(&self, spec: &BridgeSpec, user: u32) -> Result<Vec<RootCommand>, Failure> {
        let left = self.left(spec).await?;
        let mut commands = privilege::needed(spec, &self.blank_mark(&spec.name), user, &left)?;
        if self.resolving(&spec.bridge, None) != Resolving::Off {
            commands.push(privilege::stop_resolver(&spec.bridge)?);
        }
        Ok(commands)
    }

    /// What removes the networks of this fleet that are there and not declared any more.
    ///
    /// # Errors
    /// When the host's interfaces cannot be read.
    pub async fn commands_to_remove_others(&self, declared: &BTreeSet<&str>) -> Result<Vec<RootCommand>, Failure> {
        let links = self.links().await?;
        let mut commands = Vec::new();
        for link in links.iter().filter(|link| link.is_bridge()) {
            let Some(mark) = observe::mark(link).filter(|mark| self.is_ours(mark)) else { continue };
            let Ok(bridge) = LinkName::try_from(link.ifname.clone()) else { continue };
            if declared.contains(mark.network.as_str()) {
                continue;
            }
            commands.extend([privilege::list_rules(&bridge)?, privilege::delete_table(&bridge)?]);
            for leaving in plugged(&links, &bridge).iter().chain([&bridge]) {
                commands.push(privilege::delete_link(leaving)?);
            }
            if self.resolving(&bridge, None) != Resolving::Off {
                commands.push(privilege::stop_resolver(&bridge)?);
            }
        }
        Ok(commands)
    }

    /// Those of them that sudo does not allow us.
    ///
    /// # Errors
    /// When sudo is not installed, or the host's interfaces cannot be read.
    pub async fn not_allowed(&self, spec: &BridgeSpec) -> Result<Vec<RootCommand>, Failure> {
        let commands = self.commands(spec, process::user_id()).await?;
        let missing = privilege::missing(&*self.run, &commands).await?;
        Ok(missing.into_iter().cloned().collect())
    }

    /// What would stop the first step: asked of two commands only, because a plan must be quick. The first is needed by
    /// every network, the second changes with the fleet file.
    pub(super) async fn sudo_obstacle(&self, spec: &BridgeSpec) -> Result<Option<Obstacle>, Failure> {
        if process::user_id() == 0 {
            return Ok(None);
        }
        let mut asked = vec![privilege::add_bridge(&spec.bridge)?, privilege::replace_rules(spec)?];
        if spec.dns || spec.dhcp {
            asked.push(privilege::start_resolver(&self.fleet, spec)?);
        }
        let message = match privilege::missing(&*self.run, &asked).await {
            Ok(missing) if missing.is_empty() => return Ok(None),
            Ok(_) => "making it needs root, and sudo does not allow it".to_owned(),
            Err(failure) => format!("making it needs root: {}", failure.causes.join(": ")),
        };
        Ok(Some(Obstacle { message, help: INSTALL_RULES.into() }))
    }
}

//! Which guests a command works in, and how they are logged in to: those of this machine and those of clusters alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::args::Global;
use super::error::{CliError, Exit};
use super::session::{self, Loaded};
use crate::driver::microvm::{Guests, Login};
use crate::driver::{Door, Insides, StateDir};
use crate::effect::{Connect, Environment};
use crate::exec::Failure;
use crate::plan::Pattern;
use crate::resource::cluster::{GuestKind, Reach, Via};
use crate::resource::{self, Address};

/// The guests of a fleet, and the ways into them.
pub(super) struct Ways {
    /// The fleet file.
    pub(super) loaded: Loaded,
    /// Where files are.
    pub(super) state: StateDir,
    guests: Guests,
    insides: Arc<Insides>,
    reaches: BTreeMap<String, Reach>,
}

impl Ways {
    /// Reads the fleet file. No cluster is asked before a guest of it is meant.
    pub(super) fn open(global: &Global) -> Result<Self, CliError> {
        let environment = Environment::read().map_err(CliError::failure)?;
        let loaded = session::load(global, &environment)?;
        let state = session::state_dir(global, &environment)?;
        let guests = session::guests(&loaded, state.clone());
        let clusters = Arc::new(session::clusters(&loaded, &environment));
        let reaches = resource::reaches(&loaded.fleet);
        let insides = session::insides(&loaded.fleet.name.value, Arc::clone(&clusters), state.clone(), &environment);
        let insides = Arc::new(match reaches.values().any(|reach| reach.via == Via::Node) {
            true => {
                let nodes = session::nodes_on_the_way(global, &loaded, &clusters, &state, &environment)?;
                insides.by_way_of(Arc::new(nodes))
            }
            false => insides,
        });
        Ok(Self { loaded, state, guests, insides, reaches })
    }

    /// The guests that these patterns name, declared ones and those that are only there.
    ///
    /// # Errors
    /// A pattern that names none: a mistyped one must not look like a command that had nothing to do.
    pub(super) fn selected(&self, patterns: &[Pattern]) -> Result<BTreeSet<String>, CliError> {
        let known = self.known()?;
        let mut selected = BTreeSet::new();
        for pattern in patterns {
            let named = known.iter().filter(|(address, tags)| pattern.matches(address, tags));
            let named: Vec<&str> = named.filter_map(|(address, _)| address.guest()).collect();
            if named.is_empty() {
                let error = CliError::failure(format!("no guest is named `{pattern}`"));
                return Err(CliError { exit: Exit::Usage, ..error }.hint(self.names()));
            }
            selected.extend(named.into_iter().map(str::to_owned));
        }
        Ok(selected)
    }

    /// Guests by address, with their tags.
    fn known(&self) -> Result<BTreeMap<Address, BTreeSet<String>>, CliError> {
        let fleet = &self.loaded.fleet;
        let mut known: BTreeMap<Address, BTreeSet<String>> =
            self.guests.names()?.into_iter().map(|name| (Address::vm(&name), BTreeSet::new())).collect();
        let here = fleet.vms.values().map(|vm| (Address::vm(&vm.name), &vm.tags));
        let containers = fleet.containers.values().map(|guest| (GuestKind::Container, &guest.guest));
        let vms = fleet.cluster_vms.values().map(|guest| (GuestKind::Vm, &guest.guest));
        let on_clusters =
            containers.chain(vms).map(|(kind, guest)| (Address::on_cluster(kind, &guest.name), &guest.tags));
        for (address, tags) in here.chain(on_clusters) {
            known.insert(address, tags.iter().map(|tag| tag.value.clone()).collect());
        }
        Ok(known)
    }

    /// Names of all guests of this machine, and of those that are declared on clusters.
    pub(super) fn all(&self) -> Result<BTreeSet<String>, CliError> {
        Ok(self.guests.names()?.into_iter().chain(self.reaches.keys().cloned()).collect())
    }

    /// How to log in to one running guest.
    ///
    /// # Errors
    /// When there is no such guest, or it is stopped, or nobody vouches for its host key.
    pub(super) async fn login(&self, guest: &str) -> Result<Login, CliError> {
        let fleet = &self.loaded.fleet;
        let found = match self.reaches.get(guest) {
            Some(reach) => self.insides.login(reach).await,
            None => self.guests.login(guest),
        };
        found.map_err(|failure| {
            let has_hint = failure.hint.is_some();
            let error = CliError::from(failure);
            match (has_hint, fleet.vms.contains_key(guest) || self.reaches.contains_key(guest)) {
                (true, _) => error,
                (false, true) => error.hint("`regatta apply` makes and starts it"),
                (false, false) => error.hint(self.names()),
            }
        })
    }

    /// The way into one running guest: programs of this machine need no other than [`Ways::login`], everything else goes here.
    ///
    /// # Errors
    /// As [`Ways::login`].
    pub(super) async fn door(&self, guest: &str) -> Result<Door, CliError> {
        match self.reaches.get(guest).filter(|reach| reach.via == Via::Node) {
            Some(reach) => Ok(Door::Node(Arc::clone(&self.insides), reach.clone())),
            None => Ok(Door::Ssh(Arc::clone(self.connect()), self.login(guest).await?.target)),
        }
    }

    /// The same of each of these guests, as [`Ways::logins`].
    pub(super) async fn doors(&self, guests: &BTreeSet<String>) -> BTreeMap<String, Result<Door, Failure>> {
        let by_node = |guest: &&String| self.reaches.get(*guest).is_some_and(|reach| reach.via == Via::Node);
        let (nodes, servers): (BTreeSet<&String>, BTreeSet<&String>) = guests.iter().partition(by_node);
        let logins = self.logins(&servers.into_iter().cloned().collect()).await;
        let connect = |login: Login| Door::Ssh(Arc::clone(self.connect()), login.target);
        let mut doors: BTreeMap<_, _> = logins.into_iter().map(|(name, login)| (name, login.map(connect))).collect();
        let mut asked = JoinSet::new();
        for reach in nodes.into_iter().filter_map(|name| self.reaches.get(name)) {
            let (insides, reach) = (Arc::clone(&self.insides), reach.clone());
            asked.spawn(async move {
                let found = insides.can_be_entered(&reach).await;
                (reach.guest.clone(), found.map(|()| Door::Node(insides, reach)))
            });
        }
        doors.extend(asked.join_all().await);
        doors
    }

    /// How to log in to each of these guests. Clusters are asked about all of theirs at the same time.
    pub(super) async fn logins(&self, guests: &BTreeSet<String>) -> BTreeMap<String, Result<Login, Failure>> {
        let mut asked = JoinSet::new();
        let mut logins = BTreeMap::new();
        for name in guests {
            match self.reaches.get(name).cloned() {
                None => drop(logins.insert(name.clone(), self.guests.login(name))),
                Some(reach) => {
                    let insides = Arc::clone(&self.insides);
                    asked.spawn(async move { (reach.guest.clone(), insides.login(&reach).await) });
                }
            }
        }
        logins.extend(asked.join_all().await);
        logins
    }

    /// The guests of this machine.
    pub(super) const fn here(&self) -> &Guests {
        &self.guests
    }

    /// The ways into guests of clusters.
    pub(super) const fn insides(&self) -> &Arc<Insides> {
        &self.insides
    }

    /// What is declared of them, by guest.
    pub(super) const fn reaches(&self) -> &BTreeMap<String, Reach> {
        &self.reaches
    }

    /// Makes connections.
    pub(super) fn connect(&self) -> &Arc<dyn Connect> {
        self.guests.connect()
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.loaded.fleet.vms.keys().chain(self.reaches.keys()).map(String::as_str).collect();
        format!("the fleet has {}", if names.is_empty() { "no guests".into() } else { names.join(", ") })
    }
}

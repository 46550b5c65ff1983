//! `regatta ssh-config`: plain `ssh`, `scp`, `rsync` and editors know the guests by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use tokio::task::JoinSet;

use super::args::{Global, SshConfigArgs};
use super::error::{CliError, Exit};
use super::session::Session;
use super::ways::Ways;
use super::{lock, output};
use crate::driver::Insides;
use crate::driver::microvm::{Guests, Login};
use crate::effect::{Environment, SshAlias, files, paths, ssh_config, with_include, without_include};
use crate::resource::Resource;
use crate::resource::cluster::Reach;

/// A configuration of `ssh` is short.
const CONFIG_LIMIT: u64 = 4 << 20;

/// Another regatta that changes it is done soon.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// Prints the guests' configuration, or includes it from the user's, or takes it out of there.
pub(super) async fn run(global: &Global, args: &SshConfigArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let ways = Ways::open(global)?;
    let (state, fleet) = (&ways.state, &ways.loaded.fleet.name.value);
    let (on_clusters, failed) = on_clusters(ways.insides(), ways.reaches().values()).await;
    failed.iter().for_each(|why| output::talk(&format!("left out: {why}\n")));
    let text = fragment(ways.here(), on_clusters, fleet)?;
    if !args.install && !args.uninstall {
        output::data(&text);
        return Ok(Exit::Success);
    }
    let file = state.ssh_config(fleet);
    let config = users_config(&environment, args)?;
    let _one_at_a_time = lock::take(&state.ssh_config_lock(), "regatta ssh-config", LOCK_DEADLINE).await?;
    if args.install {
        install(&config, &file, &text)?;
        output::talk(&format!("`{config}` includes `{file}`: guests are known as NAME.{fleet}\n"));
    } else {
        uninstall(&config, &file)?;
        output::talk(&format!("`{config}` does not include `{file}`\n"));
    }
    Ok(Exit::Success)
}

/// Writes the configuration again where it was installed: guests came or went.
pub(super) async fn refresh(session: &Session) -> Result<(), CliError> {
    let file = session.state().ssh_config(session.fleet());
    if paths::exists(&file)? {
        let reaches = session.desired().resources.values().filter_map(|declared| match &declared.resource {
            Resource::ClusterGuest(spec) => Some(&spec.reach),
            _ => None,
        });
        let (on_clusters, _) = on_clusters(&session.insides(), reaches).await;
        files::write_atomic(&file, fragment(&session.guests(), on_clusters, session.fleet())?.as_bytes())?;
    }
    Ok(())
}

/// The guests of clusters that run, and why the others are left out.
async fn on_clusters(
    insides: &Arc<Insides>,
    reaches: impl Iterator<Item = &Reach>,
) -> (BTreeMap<String, Login>, Vec<String>) {
    let mut asked = JoinSet::new();
    for reach in reaches.cloned() {
        let insides = Arc::clone(insides);
        asked.spawn(async move { (reach.guest.clone(), insides.login(&reach).await) });
    }
    let (mut logins, mut failed) = (BTreeMap::new(), Vec::new());
    for (name, login) in asked.join_all().await {
        match login {
            Ok(login) => drop(logins.insert(name, login)),
            Err(failure) => failed.push(format!("{name}: {}", failure.causes.join(": "))),
        }
    }
    failed.sort();
    (logins, failed)
}

/// Guests are `NAME.FLEET`: their bare names may well be those of other hosts.
fn fragment(guests: &Guests, on_clusters: BTreeMap<String, Login>, fleet: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let logins: BTreeMap<String, Login> = guests.logins()?.into_iter().chain(on_clusters).collect();
    for (name, Login { target, known_hosts }) in logins {
        let name = format!("{name}.{fleet}");
        text += &ssh_config(&[SshAlias { names: &[&name], target: &target, known_hosts: &known_hosts }])?;
    }
    Ok(text)
}

fn users_config(environment: &Environment, args: &SshConfigArgs) -> Result<Utf8PathBuf, CliError> {
    match (&args.config, &environment.home) {
        (Some(path), _) => Ok(environment.cwd.join(path)),
        (None, Some(home)) => Ok(home.join(".ssh/config")),
        (None, None) => Err(CliError::failure("found no home directory: HOME is not set").hint("pass --config FILE")),
    }
}

/// What is included first: a configuration that includes a missing file is no mistake to `ssh`, but looks like one.
fn install(config: &Utf8Path, file: &Utf8Path, text: &str) -> Result<(), CliError> {
    if let Some(directory) = file.parent() {
        files::private_dir(directory)?;
    }
    files::write_atomic(file, text.as_bytes())?;
    match read(config)? {
        Some(users) => Ok(files::rewrite(config, &with_include(&users, file)?)?),
        None => {
            if let Some(directory) = config.parent().filter(|directory| !directory.exists()) {
                files::private_dir(directory)?;
            }
            Ok(files::write_atomic(config, &with_include(b"", file)?)?)
        }
    }
}

fn uninstall(config: &Utf8Path, file: &Utf8Path) -> Result<(), CliError> {
    if let Some(users) = read(config)? {
        let rest = without_include(&users, file)?;
        if rest != users {
            files::rewrite(config, &rest)?;
        }
    }
    Ok(paths::remove_if_there(file)?)
}

/// The user's configuration, which may be a link into a collection of such files; `None` when there is none.
fn read(config: &Utf8Path) -> Result<Option<Vec<u8>>, CliError> {
    if !paths::exists(config)? {
        return Ok(None);
    }
    Ok(files::read_bounded(&paths::canonical(config)?, CONFIG_LIMIT)?)
}

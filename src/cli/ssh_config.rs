//! `regatta ssh-config`: plain `ssh`, `scp`, `rsync` and editors know the guests by name.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::args::{Global, SshConfigArgs};
use super::error::{CliError, Exit};
use super::{lock, output, session};
use crate::driver::StateDir;
use crate::driver::microvm::{Guests, Login};
use crate::effect::{Environment, SshAlias, files, paths, ssh_config, with_include, without_include};

/// A configuration of `ssh` is short.
const CONFIG_LIMIT: u64 = 4 << 20;

/// Another regatta that changes it is done soon.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);

/// Prints the guests' configuration, or includes it from the user's, or takes it out of there.
pub(super) async fn run(global: &Global, args: &SshConfigArgs) -> Result<Exit, CliError> {
    let environment = Environment::read().map_err(CliError::failure)?;
    let loaded = session::load(global, &environment)?;
    let (state, fleet) = (session::state_dir(global, &environment)?, &loaded.fleet.name.value);
    let text = fragment(&session::guests(&loaded, state.clone()), fleet)?;
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
pub(super) fn refresh(state: &StateDir, guests: &Guests, fleet: &str) -> Result<(), CliError> {
    let file = state.ssh_config(fleet);
    if paths::exists(&file)? {
        files::write_atomic(&file, fragment(guests, fleet)?.as_bytes())?;
    }
    Ok(())
}

/// Guests are `NAME.FLEET`: their bare names may well be those of other hosts.
fn fragment(guests: &Guests, fleet: &str) -> Result<String, CliError> {
    let mut text = String::new();
    for (name, Login { target, known_hosts }) in guests.logins()? {
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

//! Logins to registries, from where container tools keep them.
//!
//! Looked for in this order: `REGISTRY_AUTH_FILE`, `$XDG_RUNTIME_DIR/containers/auth.json`, `$DOCKER_CONFIG/config.json`,
//! `~/.docker/config.json`. A file says for each registry `auths` (base 64 of `user:password`), or which program to ask
//! (`credHelpers`, `credsStore`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use camino::Utf8PathBuf;
use serde::Deserialize;

use crate::effect::base64;
use crate::effect::files::read_bounded;
use crate::effect::{Command, Environment, Run};
use crate::exec::Failure;

/// Such files are short.
const FILE_LIMIT: u64 = 1 << 20;

/// A helper may ask a key ring, not a person.
const HELPER_DEADLINE: Duration = Duration::from_secs(20);

/// What Docker Hub is called in these files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A user's login. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    user: String,
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// The value of an `Authorization` header.
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", base64::encode(format!("{}:{}", self.user, self.password).as_bytes()))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Auth>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

/// What a helper program prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// The login for a registry, if the user has one.
///
/// # Errors
/// When a file is there and cannot be used, or a helper program fails.
pub(super) async fn find(run: &dyn Run, registry: &str) -> Result<Option<Credentials>, Failure> {
    for path in places() {
        let Some(text) = read_bounded(&path, FILE_LIMIT)? else { continue };
        // serde's words could repeat a secret.
        let config: Config = serde_json::from_slice(&text)
            .map_err(|error| Failure::permanent(format!("`{path}` is no JSON, line {}", error.line())))?;
        let found = match helper(&config, registry) {
            Some((program, server)) => ask(run, program, server).await?,
            None => stored(&config, registry).map_err(|why| Failure::permanent(format!("`{path}`: {why}")))?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn places() -> Vec<Utf8PathBuf> {
    let variable = |name: &str, below: &str| {
        let root = Environment::variable(name).filter(|value| !value.is_empty())?;
        Some(Utf8PathBuf::from(root).join(below))
    };
    [
        Environment::variable("REGISTRY_AUTH_FILE").map(Utf8PathBuf::from),
        variable("XDG_RUNTIME_DIR", "containers/auth.json"),
        variable("DOCKER_CONFIG", "config.json").or_else(|| variable("HOME", ".docker/config.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The names under which a registry may stand in a file.
fn names(registry: &str) -> Vec<String> {
    let hub = (registry == "docker.io").then(|| DOCKER_HUB.to_owned());
    hub.into_iter().chain([registry.to_owned(), format!("https://{registry}")]).collect()
}

fn helper<'a>(config: &'a Config, registry: &str) -> Option<(&'a str, String)> {
    let names = names(registry);
    let own = names.iter().find_map(|name| Some((config.cred_helpers.get(name)?.as_str(), name.clone())));
    own.or_else(|| Some((config.creds_store.as_deref()?, names.first()?.clone())))
}

fn stored(config: &Config, registry: &str) -> Result<Option<Credentials>, String> {
    let Some(auth) = names(registry).iter().find_map(|name| config.auths.get(name)?.auth.clone()) else {
        return Ok(None);
    };
    let pair = base64::decode(&auth).and_then(|bytes| String::from_utf8(bytes).ok());
    match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) => Ok(Some(Credentials { user: user.to_owned(), password: password.to_owned() })),
        None => Err(format!("the login for `{registry}` is not base 64 of `user:password`")),
    }
}

/// Asks `docker-credential-NAME get`, as docker does: the server on its input, JSON on its output.
async fn ask(run: &dyn Run, program: &str, server: String) -> Result<Option<Credentials>, Failure> {
    if !program.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(Failure::permanent("found a credential helper whose name is no word, expected such as `pass`"));
    }
    let program = format!("docker-credential-{program}");
    let command = Command::new(&program).arg("get").stdin(server.into_bytes()).deadline(HELPER_DEADLINE);
    let output = run.run(&command).await?;
    if output.status != crate::effect::Status::Code(0) {
        // Helpers say on their output that they know nothing.
        return match String::from_utf8_lossy(&output.stdout).contains("credentials not found") {
            true => Ok(None),
            false => Err(Failure::permanent(format!("`{program} get` failed")).hint("log in to the registry again")),
        };
    }
    let helped: Helped = serde_json::from_slice(&output.stdout)
        .map_err(|_| Failure::permanent(format!("`{program} get` printed something else than a login")))?;
    Ok(Some(Credentials { user: helped.username, password: helped.secret }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn logins_are_found_under_each_name_of_a_registry() {
        let text = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6c2VjOnJldA=="}, "a.example": {"auth": "eA=="},
            "b.example:5000": {}}, "credHelpers": {"c.example": "pass"}}"#;
        let config = config(text);
        let me = Credentials { user: "me".into(), password: "sec:ret".into() };
        assert_eq!(stored(&config, "docker.io"), Ok(Some(me.clone())));
        assert_eq!(me.basic(), "Basic bWU6c2VjOnJldA==");
        assert_eq!(format!("{me:?}{config:?}").matches("bWU6").count(), 0);
        let wrong = "the login for `a.example` is not base 64 of `user:password`";
        assert_eq!(stored(&config, "a.example"), Err(wrong.to_owned()));
        assert_eq!(stored(&config, "b.example:5000"), Ok(None));
        assert_eq!(helper(&config, "c.example"), Some(("pass", "c.example".to_owned())));
        assert_eq!(helper(&config, "docker.io"), None);
        let store = config_with_store();
        assert_eq!(helper(&store, "docker.io"), Some(("desktop", DOCKER_HUB.to_owned())));
    }

    fn config_with_store() -> Config {
        config(r#"{"credsStore": "desktop"}"#)
    }
}

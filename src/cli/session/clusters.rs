//! The clusters of a fleet, with the certificates they are held against and the tokens they are asked with.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use camino::{Utf8Path, Utf8PathBuf};

use super::Loaded;
use crate::config::{Cluster as Declared, ClusterTrust, TokenSource};
use crate::driver::proxmox::{Cluster, Clusters, Open, Pace, Servers, Token};
use crate::effect::http::{Endpoint, Trust};
use crate::effect::{Command, CommandRunner, Environment, Run as _, files};
use crate::exec::Failure;

/// A token has some hundred bytes.
const TOKEN_LIMIT: u64 = 4 << 10;

/// A command that prints a token may ask a server for it.
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// The fleet's clusters. Nothing is read and no command runs before one of them is needed.
pub(in crate::cli) fn clusters(loaded: &Loaded, environment: &Environment) -> Clusters {
    let opening = |declared: &Declared| {
        let beside = beside(loaded, declared, environment);
        let fleet = loaded.fleet.name.value.clone();
        let opening = Opening { declared: declared.clone(), beside, home: environment.home.clone(), fleet };
        (declared.name.clone(), Box::new(opening) as Box<dyn Open>)
    };
    Clusters::new(loaded.fleet.clusters.values().map(opening))
}

/// The directory of the file that declares a cluster.
fn beside(loaded: &Loaded, declared: &Declared, environment: &Environment) -> Utf8PathBuf {
    let file = &loaded.sources.file(declared.declared_in).path;
    environment.cwd.join(file.parent().unwrap_or_else(|| Utf8Path::new("")))
}

struct Opening {
    declared: Declared,
    beside: Utf8PathBuf,
    home: Option<Utf8PathBuf>,
    fleet: String,
}

#[async_trait]
impl Open for Opening {
    async fn open(&self) -> Result<Cluster, Failure> {
        let declared = &self.declared;
        let trust = self.trust()?;
        let endpoints: Result<Vec<Endpoint>, Failure> =
            declared.endpoints.iter().map(|url| endpoint(&url.value, &trust)).collect();
        let servers = Servers::new(endpoints?, self.token().await?);
        let cluster = Cluster::new(&declared.name, &self.fleet, Arc::new(servers), Pace::default());
        let cluster = cluster.at_home(self.home.clone());
        Ok(if declared.trust == ClusterTrust::Nothing { cluster.unverified() } else { cluster })
    }
}

impl Opening {
    fn trust(&self) -> Result<Trust, Failure> {
        Ok(match &self.declared.trust {
            ClusterTrust::System => Trust::System,
            ClusterTrust::Nothing => Trust::Unchecked,
            ClusterTrust::Authority { file } => Trust::CaFile(self.path(file)?),
            ClusterTrust::Fingerprints { accepted } => {
                let parsed: Result<Vec<_>, String> = accepted.iter().map(|text| text.parse()).collect();
                Trust::PinnedAny(parsed.map_err(Failure::permanent)?)
            }
        })
    }

    async fn token(&self) -> Result<Token, Failure> {
        let (text, from) = match &self.declared.token.value {
            TokenSource::Variable { name } => {
                let missing = || {
                    let hint = format!("set it to the token, `USER@REALM!NAME=SECRET`: `export {name}=…`");
                    Failure::permanent(format!("found no variable `{name}` in the environment")).hint(hint)
                };
                (Environment::variable(name).ok_or_else(missing)?, format!("the variable `{name}`"))
            }
            TokenSource::File { path } => {
                let path = self.path(path)?;
                let bytes = files::read_secret(&path, TOKEN_LIMIT)?;
                let bytes = bytes.ok_or_else(|| Failure::permanent(format!("found no file `{path}`")))?;
                (String::from_utf8_lossy(&bytes).into_owned(), format!("the file `{path}`"))
            }
            TokenSource::Command { argv } => (self.printed(argv).await?, format!("the output of `{}`", argv[0])),
        };
        Token::parse(&text).map_err(|why| Failure::permanent(format!("{from}: {why}")))
    }

    /// What a command prints. Its output is not repeated when it fails: it may be the token.
    async fn printed(&self, argv: &[String]) -> Result<String, Failure> {
        let command = Command::new(&argv[0]).args(argv[1..].to_vec()).cwd(&self.beside).deadline(COMMAND_DEADLINE);
        let output = CommandRunner.run(&command).await?;
        match output.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(Failure::permanent(format!("`{}` failed, and gave no token", argv[0]))),
        }
    }

    fn path(&self, written: &str) -> Result<Utf8PathBuf, Failure> {
        match written.strip_prefix("~/") {
            None => Ok(self.beside.join(written)),
            Some(below) => match &self.home {
                Some(home) => Ok(home.join(below)),
                None => Err(Failure::permanent("found no home directory: HOME is not set")),
            },
        }
    }
}

fn endpoint(url: &str, trust: &Trust) -> Result<Endpoint, Failure> {
    Endpoint::https(url, 8006, trust.clone()).map_err(|error| Failure::permanent(error.to_string()))
}

//! What the process was given by its surroundings: read once, passed on as a value.

use camino::Utf8PathBuf;

/// Paths of the user we run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `$HOME`; absolute.
    pub home: Option<Utf8PathBuf>,
    /// `$XDG_STATE_HOME`, or `$HOME/.local/state`; absolute.
    pub state_home: Option<Utf8PathBuf>,
    /// `XDG_CONFIG_HOME` and `GIT_CONFIG_GLOBAL`, as far as they are set: where git's global configuration is.
    pub git: Vec<(String, String)>,
    /// `$SSH_AUTH_SOCK`: the socket of the SSH agent; absolute.
    pub ssh_agent: Option<Utf8PathBuf>,
    /// The working directory.
    pub cwd: Utf8PathBuf,
}

impl Environment {
    /// Reads the process' environment. Relative values are ignored, as the XDG base directory specification asks.
    ///
    /// # Errors
    /// When there is no working directory, or its path is no UTF-8.
    pub fn read() -> Result<Self, String> {
        let absolute = |name: &str| std::env::var(name).ok().map(Utf8PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let state_home = absolute("XDG_STATE_HOME").or_else(|| home.as_ref().map(|home| home.join(".local/state")));
        let git = ["XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"]
            .into_iter()
            .filter_map(|name| Self::variable(name).map(|value| (name.to_owned(), value)))
            .collect();
        let cwd = std::env::current_dir().map_err(|cause| format!("there is no working directory: {cause}"))?;
        let cwd = Utf8PathBuf::from_path_buf(cwd).map_err(|path| format!("`{}` is no UTF-8 path", path.display()))?;
        let ssh_agent = absolute("SSH_AUTH_SOCK");
        Ok(Self { home, state_home, git, ssh_agent, cwd })
    }

    /// `$XDG_CONFIG_HOME`, or `$HOME/.config`.
    pub fn config_home(&self) -> Option<Utf8PathBuf> {
        let named =
            self.git.iter().find(|(name, _)| name == "XDG_CONFIG_HOME").map(|(_, path)| Utf8PathBuf::from(path));
        let named = named.filter(|path| path.is_absolute());
        named.or_else(|| self.home.as_ref().map(|home| home.join(".config")))
    }

    /// One variable, when it is set and UTF-8.
    pub fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

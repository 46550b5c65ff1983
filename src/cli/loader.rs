//! Reads the files that make up a configuration, for the pure layer that decodes them.

use camino::{Utf8Path, Utf8PathBuf};

use super::watch::Fence;

use crate::config::{LoadError, Loader};
use crate::effect::{Environment, files, paths};

/// The largest fleet file that is read: ten times what ten thousand guests take.
const SIZE_LIMIT: u64 = 128 << 20;

/// Files below the working directory, or absolute ones.
pub(super) struct FileLoader<'a> {
    environment: &'a Environment,
    fence: Option<&'a Fence>,
}

impl<'a> FileLoader<'a> {
    /// Relative paths start at the environment's working directory.
    pub(super) const fn new(environment: &'a Environment) -> Self {
        Self { environment, fence: None }
    }
}

impl<'a> FileLoader<'a> {
    /// Files inside of a fence, and no variables.
    pub(super) const fn fenced(environment: &'a Environment, fence: Option<&'a Fence>) -> Self {
        Self { environment, fence }
    }

    fn reach(&self, path: &Utf8Path) -> Result<Utf8PathBuf, LoadError> {
        let path = self.environment.cwd.join(path);
        match self.fence {
            Some(fence) if !fence.holds(&path) => Err(LoadError::Unreadable("it is outside of the repository".into())),
            _ => Ok(path),
        }
    }
}

impl Loader for FileLoader<'_> {
    fn read(&mut self, path: &Utf8Path) -> Result<String, LoadError> {
        let path = self.reach(path)?;
        // A configuration may well be a link into a checkout: only files of our own must not be links.
        let path = match paths::exists(&path) {
            Ok(true) => paths::canonical(&path).map_err(|error| LoadError::Unreadable(error.to_string()))?,
            Ok(false) => return Err(LoadError::Missing),
            Err(error) => return Err(LoadError::Unreadable(error.to_string())),
        };
        let bytes = files::read_bounded(&path, SIZE_LIMIT).map_err(|error| LoadError::Unreadable(error.to_string()))?;
        let bytes = bytes.ok_or(LoadError::Missing)?;
        String::from_utf8(bytes).map_err(|error| {
            LoadError::Unreadable(format!(
                "found a byte that is no UTF-8 at offset {}",
                error.utf8_error().valid_up_to()
            ))
        })
    }

    fn list(&mut self, directory: &Utf8Path) -> Result<Vec<String>, LoadError> {
        let directory = self.reach(directory)?;
        match paths::exists(&directory) {
            Ok(true) => {
                let names = paths::names_in(&directory).map_err(|error| LoadError::Unreadable(error.to_string()))?;
                Ok(names.into_iter().collect())
            }
            Ok(false) => Err(LoadError::Missing),
            Err(error) => Err(LoadError::Unreadable(error.to_string())),
        }
    }

    fn variable(&mut self, name: &str) -> Option<String> {
        let seen = self.fence.is_none_or(|fence| fence.commands);
        Environment::variable(name).filter(|_| seen)
    }
}

//! Which private key logs in to guests on clusters, and to their nodes.

use camino::{Utf8Path, Utf8PathBuf};

use super::StateDir;
use crate::exec::Failure;

/// The private key, as a fleet file names it: regatta's own when it names none.
///
/// # Errors
/// It is below `~/`, and nobody knows the home directory.
pub(super) fn key_file(path: Option<&str>, home: Option<&Utf8Path>, state: &StateDir) -> Result<Utf8PathBuf, Failure> {
    match path.map(|path| (path, path.strip_prefix("~/"))) {
        None => Ok(state.identity()),
        Some((path, None)) => Ok(path.into()),
        Some((_, Some(below))) => match home {
            Some(home) => Ok(home.join(below)),
            None => Err(Failure::permanent("found no home directory: HOME is not set")),
        },
    }
}

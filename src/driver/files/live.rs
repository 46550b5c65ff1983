//! The live road: reading and writing the files of a running guest over SSH.

use super::{Request, Wanted};
use crate::effect::Shell;
use crate::exec::Failure;
use crate::resource::{GuestFiles, Reading};

/// Reads what is wanted, and the manifest.
pub async fn read(_shell: &dyn Shell, _wanted: &Wanted) -> Reading<GuestFiles> {
    Reading::Unreadable("files of running guests cannot be read yet".into())
}

/// Brings the files to what is requested.
///
/// # Errors
/// Always, for now.
pub async fn write(_shell: &dyn Shell, _request: &Request<'_>) -> Result<(), Failure> {
    Err(Failure::permanent("files of running guests cannot be written yet"))
}

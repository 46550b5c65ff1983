//! Reading and writing the mark a guest carries.

use camino::Utf8Path;

use crate::effect::files;
use crate::exec::Failure;
use crate::resource::{Reading, Record};

/// The format this version writes, and the only one it reads.
pub(super) const FORMAT_VERSION: u32 = 1;

/// A record has a few hundred bytes; anything much larger is not one.
const SIZE_LIMIT: u64 = 64 << 10;

/// Reads a record. A directory without one is nobody's guest.
pub(super) fn read(path: &Utf8Path) -> Reading<Record> {
    let bytes = match files::read_bounded(path, SIZE_LIMIT) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Reading::Absent,
        Err(error) => return Reading::Unreadable(error.to_string()),
    };
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.format_version == FORMAT_VERSION => Reading::Present(record),
        Ok(record) => Reading::Unreadable(format!(
            "`{path}` has format {}, this version of regatta reads format {FORMAT_VERSION}",
            record.format_version
        )),
        Err(error) => Reading::Unreadable(format!("`{path}` is no record: {error}")),
    }
}

/// Writes a record: whole or not at all, on disk before this returns.
pub(super) fn write(path: &Utf8Path, record: &Record) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| Failure::permanent(format!("cannot encode the record of `{}`: {error}", record.name)))?;
    bytes.push(b'\n');
    files::write_atomic(path, &bytes).map_err(|error| Failure::permanent(error.to_string()))
}

//! Where in a guest a file may be put: below the work disk, and nowhere else (LESSON 13). A file put on the root disk
//! below the mount point would be shadowed, one outside of it would be lost with the next image.

use crate::syntax::shown;

/// The directory of the work disk that is ours.
const OURS: &str = ".regatta";

/// The part of a guest path below the work directory, without a leading or trailing slash; empty for the directory
/// itself.
///
/// # Errors
/// The path is somewhere else, has parts that are empty, `.` or `..`, or is in `.regatta`.
pub(crate) fn below_work_disk(path: &str) -> Result<&str, String> {
    let shown = shown(path);
    let below = ["~", "/root"]
        .iter()
        .find_map(|home| path.strip_prefix(home))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let Some(below) = below else {
        return Err(format!("found `{shown}`, expected a path below the work disk: `~`, `~/x`, `/root` or `/root/x`"));
    };
    let below = below.strip_prefix('/').unwrap_or(below);
    let below = below.strip_suffix('/').unwrap_or(below);
    if below.is_empty() {
        return Ok(below);
    }
    check_parts(below, &shown)?;
    if below.split('/').next() == Some(OURS) {
        return Err(format!(
            "found `{shown}`, expected a path outside of `~/{OURS}`: regatta keeps its own files there"
        ));
    }
    Ok(below)
}

/// Directories of a guest that have a file system of their own: what an image has there is hidden.
const COVERED: [&str; 5] = ["/root", "/proc", "/sys", "/dev", "/run"];

/// An absolute path in an image, as it is.
///
/// # Errors
/// The path is relative or the root itself, has parts that are empty, `.` or `..`, or is where guests see another file
/// system (LESSON 9).
pub(crate) fn image_path(path: &str) -> Result<&str, String> {
    let shown = shown(path);
    let Some(below) = path.strip_prefix('/').filter(|below| !below.is_empty()) else {
        return Err(format!("found `{shown}`, expected an absolute path in the image, such as `/etc/motd`"));
    };
    check_parts(below, &shown)?;
    let covered = |place: &&str| path.strip_prefix(*place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match COVERED.iter().find(|place| covered(place)) {
        Some(place) => {
            Err(format!("found `{shown}`, expected a path outside of `{place}`: guests see another file system there"))
        }
        None => Ok(path),
    }
}

/// Whether every part of a path is a name.
fn check_parts(path: &str, shown: &str) -> Result<(), String> {
    for part in path.split('/') {
        match part {
            "" | "." | ".." => {
                return Err(format!("found `{shown}`, expected a path without empty parts, `.` and `..`"));
            }
            _ if part.len() > 255 => {
                return Err(format!("found a name of {} bytes in `{shown}`, the limit is 255", part.len()));
            }
            _ if part.contains(char::is_control) => return Err(format!("found a control character in `{shown}`")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LESSON 9.
    #[test]
    fn files_of_images_are_where_guests_see_them() {
        for path in ["/etc/motd", "/etc/a b", "/rootx/y", "/usr/local/bin/x"] {
            assert_eq!(image_path(path), Ok(path));
        }
        for wrong in
            ["", "/", "etc/motd", "~/x", "/etc/", "/etc/../x", "/root/x", "/root", "/run/x", "/proc/x", "/etc/a\nb"]
        {
            assert!(image_path(wrong).is_err(), "{wrong} was accepted");
        }
    }

    /// LESSON 13.
    #[test]
    fn only_the_work_disk_can_be_named() {
        for (path, below) in [
            ("~", ""),
            ("~/", ""),
            ("/root", ""),
            ("~/a b/c", "a b/c"),
            ("/root/x/", "x"),
            ("~/.regattax", ".regattax"),
        ] {
            assert_eq!(below_work_disk(path), Ok(below), "{path}");
        }
        for wrong in [
            "",
            "/",
            "/etc/x",
            "~x",
            "/rootx",
            "x",
            "~/../etc",
            "~/a//b",
            "~/./a",
            "~/.regatta",
            "/root/.regatta/guest",
            "~/a\nb",
        ] {
            assert!(below_work_disk(wrong).is_err(), "{wrong} was accepted");
        }
    }
}

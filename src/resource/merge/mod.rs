//! Files that are partly ours: what is in them now and what we want become their new bytes, and nothing else in them
//! changes. Merging twice gives what merging once gave.

mod authorized_keys;
mod git_config;

pub use authorized_keys::authorized_keys;
pub use git_config::git_config;

use super::Content;

/// The new bytes of a file that is partly ours; `None` for content that replaces or makes a whole file.
///
/// # Errors
/// Inside: why what is in the file now cannot be merged with.
pub fn merged(content: &Content, current: &[u8]) -> Option<Result<Vec<u8>, String>> {
    match content {
        Content::AuthorizedKeys(keys) => Some(Ok(authorized_keys(current, keys))),
        Content::GitIdentity { name, email } => Some(git_config(current, name, email)),
        Content::Directory | Content::Host(_) | Content::Link(_) | Content::Text(_) | Content::Secret(_) => None,
    }
}

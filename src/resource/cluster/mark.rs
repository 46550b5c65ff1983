//! The mark that a Proxmox guest carries: a block in its description that says whose it is and what was last applied.
//!
//! The block is an HTML comment, which Proxmox's pages do not show; what else stands in the description is the user's.
//! A tag ([`tag`]) beside it makes our guests known in the one listing of a cluster, so that nobody else's configuration
//! has to be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Value;

/// What a block begins with.
pub const BEGIN: &str = "<!-- regatta ";
const END: &str = " -->";

/// What the block holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Format of the block: 1. A guest that carries none and is about to be taken over has 0, which is never written.
    #[serde(rename = "v")]
    pub version: u32,
    /// The fleet it belongs to.
    pub fleet: String,
    /// The guest's name in the fleet file.
    pub guest: String,
    /// Its number. A copy that somebody made of a guest carries the number of the original: it is not ours.
    pub vmid: u32,
    /// What it was made from.
    pub origin: String,
    /// What was last applied: canonical values by path.
    pub applied: BTreeMap<String, Value>,
    /// What was last applied to its notes; `None` when they were the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// The SSH host key that somebody vouched for (`regatta repin`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

impl Mark {
    /// What stands for the mark of a guest that carries none, and is about to be taken over.
    pub fn to_come(fleet: &str, guest: &str, vmid: u32) -> Self {
        Self {
            version: 0,
            fleet: fleet.to_owned(),
            guest: guest.to_owned(),
            vmid,
            origin: super::GuestOrigin::Existing.words(),
            applied: BTreeMap::new(),
            notes: None,
            host_key: None,
        }
    }

    /// Whether the guest carries it.
    pub const fn is_there(&self) -> bool {
        self.version != 0
    }
}

/// The format that is written, and the only one that is read.
pub const MARK_VERSION: u32 = 1;

/// A description taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What the user, or somebody else, wrote.
    pub notes: String,
    /// The block, when there is a whole one.
    pub mark: Option<Mark>,
}

/// Takes a description apart. A block that cannot be read stays part of the notes, and is nobody's mark.
pub fn read(description: &str) -> Description {
    let unmarked = || Description { notes: description.trim_matches('\n').to_owned(), mark: None };
    let Some((before, rest)) = description.split_once(BEGIN) else { return unmarked() };
    let Some((block, after)) = rest.split_once(END) else { return unmarked() };
    let Ok(mark) = serde_json::from_str::<Mark>(block) else { return unmarked() };
    if mark.version != MARK_VERSION {
        return unmarked();
    }
    let kept: Vec<&str> =
        [before, after].map(|part| part.trim_matches('\n')).into_iter().filter(|s| !s.is_empty()).collect();
    Description { notes: kept.join("\n"), mark: Some(mark) }
}

/// Puts a description together: the notes, then the block.
pub fn write(notes: &str, mark: &Mark) -> String {
    // A mark is maps, text and numbers: serialising it cannot fail. `>` would end the comment.
    let block = serde_json::to_string(mark).unwrap_or_default().replace('>', "\\u003e");
    let notes = notes.trim_matches('\n');
    let gap = if notes.is_empty() { "" } else { "\n\n" };
    format!("{notes}{gap}{BEGIN}{block}{END}")
}

/// The tag of a fleet's guests.
pub fn tag(fleet: &str) -> String {
    format!("regatta-{fleet}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        let applied = [("hostname".to_owned(), Value::Text("a --> b".into()))].into();
        Mark {
            version: MARK_VERSION,
            fleet: "shop".into(),
            guest: "web".into(),
            vmid: 101,
            origin: "t".into(),
            applied,
            notes: None,
            host_key: None,
        }
    }

    #[test]
    fn a_description_is_put_together_and_taken_apart() {
        for notes in ["", "two\nlines", "# Web\n\nCall *Ann*"] {
            let text = write(notes, &mark());
            let read = read(&format!("{text}\n"));
            assert_eq!(read, Description { notes: notes.into(), mark: Some(mark()) }, "{text}");
        }
    }

    #[test]
    fn what_somebody_writes_around_the_block_is_theirs() {
        let text = format!("{}\nbelow\n", write("above", &mark()));
        assert_eq!(read(&text), Description { notes: "above\nbelow".into(), mark: Some(mark()) });
    }

    #[test]
    fn a_torn_or_foreign_block_is_no_mark() {
        for text in ["<!-- regatta {\"v\":1} -->", "<!-- regatta {", "plain", "<!-- regatta {} -->\n"] {
            assert_eq!(read(text).mark, None, "{text}");
        }
        let other = write("", &Mark { version: 2, ..mark() });
        assert_eq!(read(&other).mark, None);
    }
}

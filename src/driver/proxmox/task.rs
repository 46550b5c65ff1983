//! Tasks: what they are called, and how they ended.
//!
//! ```text
//! running ──▶ stopped: OK                        done
//!        │             WARNINGS: n               done, with warnings
//!        │             unable to read tail …,
//!        │             unexpected status         unknown: its worker was killed
//!        │             anything else             failed, its log says why
//!        └──▶ deadline                           unknown: it goes on
//! ```

use crate::resource::cluster::percent;

/// A task's name: `UPID:pve1:0000017A:0003A5FB:6B026B5B:vzcreate:101:root@pam!ci:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upid {
    text: String,
    node: String,
    kind: String,
}

impl Upid {
    /// Reads a task's name; nothing when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let [tag, node, pid, pstart, start, kind, _id, user, end] = parts.as_slice() else { return None };
        let hex =
            |part: &str, least| part.len() >= least && part.len() <= 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
        let whole = *tag == "UPID" && !node.is_empty() && !kind.is_empty() && !user.is_empty() && end.is_empty();
        let numbers = hex(pid, 8) && hex(pstart, 8) && hex(start, 8);
        (whole && numbers).then(|| Self { text: text.to_owned(), node: (*node).to_owned(), kind: (*kind).to_owned() })
    }

    /// The node it runs on.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// What it does, such as `vzcreate`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// As part of a path.
    pub fn in_path(&self) -> String {
        percent::encode(&self.text)
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Ok,
    /// Well, with so many warnings.
    Warnings(u32),
    /// Badly, in these words.
    Failed(String),
    /// Nobody knows: its worker was killed before it could say.
    Unknown(String),
}

/// What servers say of a worker that was killed before it could tell.
const LOST: [&str; 3] = ["unable to read tail", "unexpected status", "unknown"];

impl Ended {
    /// Reads an exit status.
    pub fn of(status: &str) -> Self {
        let warnings = status.strip_prefix("WARNINGS: ").and_then(|count| count.parse().ok());
        match (status, warnings) {
            ("OK", _) => Self::Ok,
            (_, Some(count)) => Self::Warnings(count),
            // 8.4 and 9.2 say it differently.
            (text, None) if LOST.iter().any(|lost| text.starts_with(lost)) || text.is_empty() => {
                Self::Unknown(text.to_owned())
            }
            (text, None) => Self::Failed(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tasks_are_taken_apart() {
        let upid = Upid::parse("UPID:pve1:0000017A:0003A5FB:6B026B5B:vzcreate:101:root@pam!ci:").unwrap();
        assert_eq!((upid.node(), upid.kind()), ("pve1", "vzcreate"));
        assert_eq!(
            upid.in_path(),
            "UPID%3Apve1%3A0000017A%3A0003A5FB%3A6B026B5B%3Avzcreate%3A101%3Aroot%40pam%21ci%3A"
        );
        for id in ["", "102@local"] {
            assert!(Upid::parse(&format!("UPID:n:0000017A:123456789:6B026B5B:imgdel:{id}:u@pam:")).is_some(), "{id}");
        }
        for wrong in ["", "UPID:", "OK", "UPID:n:1:2:3:k:i:u:", "UPID:n:0000017A:0003A5FB:6B026B5B:k:i:u"] {
            assert_eq!(Upid::parse(wrong), None, "{wrong}");
        }
    }

    /// LESSON 39, PROXMOX A4.
    #[test]
    fn five_ways_to_end() {
        let table = [
            ("OK", Ended::Ok),
            ("WARNINGS: 1", Ended::Warnings(1)),
            ("received interrupt", Ended::Failed("received interrupt".into())),
            ("job errors", Ended::Failed("job errors".into())),
            ("unable to read tail (got 0 bytes)", Ended::Unknown("unable to read tail (got 0 bytes)".into())),
            ("unexpected status", Ended::Unknown("unexpected status".into())),
        ];
        for (status, ended) in table {
            assert_eq!(Ended::of(status), ended);
        }
    }
}

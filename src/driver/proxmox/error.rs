//! What can go wrong with a request, and what it means for a step.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::exec::Failure;

/// Why a request had no success.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// No server of the cluster could be reached; nothing was sent.
    #[error("no server of the cluster answers: {0}")]
    Unreachable(String),
    /// The server has another certificate than those that are accepted.
    #[error("{0}")]
    Untrusted(String),
    /// The token is not accepted. Servers do not say whether it is unknown, wrong or expired.
    #[error("the API token is not accepted: {0}")]
    Unauthorized(String),
    /// A privilege is missing, or only root may do it.
    #[error("{0}")]
    Forbidden(String),
    /// Parameters are refused.
    #[error("{0}")]
    Parameters(String),
    /// There is no such guest on that node.
    #[error("{0}")]
    Absent(String),
    /// The number is taken.
    #[error("{0}")]
    Taken(String),
    /// Another task holds the guest.
    #[error("{0}")]
    Locked(String),
    /// The configuration moved since it was read.
    #[error("{0}")]
    Stale(String),
    /// The cluster has no quorum: nothing can be written.
    #[error("{0}")]
    NoQuorum(String),
    /// The node does not answer the others.
    #[error("{0}")]
    NodeDown(String),
    /// It may have happened: the answer was lost, or the server itself got none.
    #[error("{0}")]
    Unknown(String),
    /// The server refuses for another reason.
    #[error("{0}")]
    Refused(String),
    /// What came is no answer of Proxmox.
    #[error("found {0}")]
    Garbled(String),
}

impl ApiError {
    /// Tells apart what a server says. The texts are Proxmox's own, measured on 8.4 and 9.2: there are no codes for
    /// most of them.
    pub fn of(status: u16, said: String, errors: &BTreeMap<String, String>) -> Self {
        let has = |part: &str| said.contains(part);
        match status {
            401 => Self::Unauthorized(said),
            403 => Self::Forbidden(said),
            595 => Self::NodeDown(format!("a node of the cluster could not be reached: {said}")),
            596..=599 => Self::Unknown(format!("the server got no answer of its own in time ({status} {said})")),
            400 if !errors.is_empty() => {
                let errors: Vec<String> = errors.iter().map(|(key, text)| format!("`{key}`: {text}")).collect();
                Self::Parameters(format!("{said} {}", errors.join("; ")))
            }
            400 => Self::Parameters(said),
            // Before locks: a lock of the whole cluster cannot be had without a quorum, and waiting for it is no help.
            _ if has("no quorum") => Self::NoQuorum(said),
            _ if has("already exists") => Self::Taken(said),
            _ if has("does not exist") => Self::Absent(said),
            _ if has("is locked") || has("got timeout") || has("can't lock file") || has("cfs-lock") => {
                Self::Locked(said)
            }
            _ if has("detected modified configuration") || has("checksum mismatch") => Self::Stale(said),
            _ if has("hostname lookup") || has("No route to host") => Self::NodeDown(said),
            // What is refused for a reason is refused with this one; any other is part of what there is to say.
            500 => Self::Refused(said),
            _ => Self::Refused(format!("{said} (status {status})")),
        }
    }

    /// Whether waiting a little and asking again helps: nothing happened, and what is in the way goes away.
    pub const fn is_in_the_way(&self) -> bool {
        matches!(self, Self::Locked(_))
    }

    /// What to do about it, where that is known.
    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Untrusted(_) => {
                "compare with `pvenode cert info` on the node, then correct `fingerprint` or `ca` in the fleet file"
            }
            Self::Unauthorized(_) => "check the token and its expiry date: `pveum user token list USER@REALM`",
            Self::Forbidden(said) if said.contains("root@pam") || said.contains("feature flags") => {
                "no API token may do this, not even one of root's: it is done as root on the node"
            }
            Self::Forbidden(_) => {
                "give the token this privilege; with privilege separation, its user and the token itself need it"
            }
            Self::NoQuorum(_) => "most nodes of the cluster must be online before anything can be changed",
            Self::NodeDown(_) => "bring the node back, or take it out of the fleet file",
            _ => return None,
        })
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let hint = error.hint();
        let failure = match &error {
            ApiError::Unreachable(_) | ApiError::Locked(_) => Self::transient(error.to_string()),
            ApiError::Unknown(_) => Self::unknown(error.to_string()),
            _ => Self::permanent(error.to_string()),
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PROXMOX A2: a status that means something by itself is kept.
    #[test]
    fn an_unusual_status_is_told() {
        let of = |status, said: &str| ApiError::of(status, said.to_owned(), &BTreeMap::new());
        assert_eq!(of(500, "unable to shrink disk size"), ApiError::Refused("unable to shrink disk size".into()));
        assert_eq!(of(501, "for data too large"), ApiError::Refused("for data too large (status 501)".into()));
        let unknown = "the server got no answer of its own in time (596 Connection timed out)";
        assert_eq!(of(596, "Connection timed out"), ApiError::Unknown(unknown.into()));
    }

    /// Words of `PVE::Cluster` and `pmxcfs` where most nodes are away, and of locks that somebody else holds.
    #[test]
    fn a_cluster_without_quorum_is_told_from_one_that_is_busy() {
        let of = |said: &str| ApiError::of(500, said.to_owned(), &BTreeMap::new());
        for said in [
            "cluster not ready - no quorum?",
            "cfs-lock 'file-user_cfg' error: no quorum!",
            "adding user failed: cfs-lock 'domain-ha' error: no quorum!",
        ] {
            assert_eq!(of(said), ApiError::NoQuorum(said.into()));
            assert!(!of(said).is_in_the_way());
        }
        let busy = "cfs-lock 'file-user_cfg' error: got lock request timeout";
        assert_eq!(of(busy), ApiError::Locked(busy.into()));
    }
}

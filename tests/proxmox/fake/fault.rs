//! What may go wrong with a request.

use std::collections::BTreeMap;

use regatta::driver::proxmox::exchange::{Call, Verb};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 401 with an empty body.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 400 with errors by parameter.
    BadParameter,
    /// 500: the guest is not there, although it is: it is just being moved to another node.
    Absent,
    /// 500: another task holds the guest.
    Locked,
    /// 500: the lock file is busy.
    GotTimeout,
    /// 500: no quorum.
    NoQuorum,
    /// 595: the node cannot be reached by the others.
    NodeDown,
    /// 596, and it was done all the same.
    GatewayTimeout,
    /// There is no connection.
    Unreachable,
    /// The connection broke, and nothing was done.
    LostBefore,
    /// The connection broke, and it was done.
    LostAfter,
    /// Somebody changed the guest a moment before.
    Moved,
    /// Somebody took the number a moment before.
    Raced,
    /// The task ends like this.
    TaskEnds(&'static str),
    /// 501: a body where none may be.
    NotImplemented,
}

/// Every fault.
pub(crate) const FAULTS: [Fault; 20] = [
    Fault::Unauthorized,
    Fault::Forbidden,
    Fault::BadParameter,
    Fault::Absent,
    Fault::Locked,
    Fault::GotTimeout,
    Fault::NoQuorum,
    Fault::NodeDown,
    Fault::GatewayTimeout,
    Fault::Unreachable,
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Moved,
    Fault::Raced,
    Fault::TaskEnds("WARNINGS: 1"),
    Fault::TaskEnds("received interrupt"),
    Fault::TaskEnds("unable to read tail (got 0 bytes)"),
    Fault::TaskEnds("unexpected status"),
    Fault::TaskEnds("job errors"),
    Fault::NotImplemented,
];

impl Fault {
    /// Status and reason of faults that are plain refusals.
    pub(crate) const fn refusal(self) -> Option<(u16, &'static str)> {
        Some(match self {
            Self::Unauthorized => (401, "Authentication failed!"),
            Self::Forbidden => (403, "Permission check failed (/vms/1000, VM.Config.Options)"),
            Self::BadParameter => (400, "Parameter verification failed."),
            Self::Absent => (500, "Configuration file 'nodes/pve1/lxc/1000.conf' does not exist"),
            Self::Locked => (500, "CT is locked (backup)"),
            Self::GotTimeout => (500, "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout"),
            Self::NoQuorum => (500, "cluster not ready - no quorum?"),
            Self::NodeDown => (595, "Connection refused"),
            Self::NotImplemented => (501, "Unexpected content for method 'DELETE'"),
            _ => return None,
        })
    }

    pub(crate) fn errors(self) -> BTreeMap<String, String> {
        match self {
            Self::BadParameter => [("memory".to_owned(), "type check ('integer') failed".to_owned())].into(),
            _ => BTreeMap::new(),
        }
    }
}

/// When something goes wrong.
#[derive(Debug, Clone)]
pub(crate) struct Strike {
    pub(crate) fault: Fault,
    pub(crate) at: When,
}

#[derive(Debug, Clone)]
pub(crate) enum When {
    /// At one request, counted from 0.
    Request(usize),
    /// At every request that writes.
    Writes,
    /// At every request.
    Always,
}

impl Strike {
    pub(crate) fn hits(&self, index: usize, call: &Call) -> bool {
        match self.at {
            When::Request(at) => index == at,
            When::Writes => !matches!(call.verb, Verb::Get),
            When::Always => true,
        }
    }
}

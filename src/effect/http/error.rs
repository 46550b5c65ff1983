//! Why there was no response, and whether the server may have seen the request all the same.

use std::time::Duration;

use thiserror::Error;

/// Why there was no response, or no whole one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HttpError {
    /// It is no request that can be sent.
    #[error("cannot make the request: {0}")]
    Request(String),
    /// There is no connection.
    #[error("cannot connect to `{to}`: {cause}")]
    Connect {
        /// The server.
        to: String,
        /// In the system's words.
        cause: String,
    },
    /// The server does not prove to be the one that is meant.
    #[error("`{to}` is not trusted: {cause}")]
    Trust {
        /// The server.
        to: String,
        /// What is wrong with its certificate, or with what it is held against.
        cause: String,
    },
    /// Something took too long.
    #[error("`{to}` took longer than {} s {doing}", after.as_secs_f32())]
    Deadline {
        /// The server.
        to: String,
        /// What was waited for, such as `to answer`.
        doing: &'static str,
        /// The deadline.
        after: Duration,
        /// Whether the request may have reached the server.
        sent: bool,
    },
    /// The connection broke, or what came over it is no HTTP.
    #[error("lost the connection to `{to}` {doing}: {cause}")]
    Lost {
        /// The server.
        to: String,
        /// When, such as `before it answered`.
        doing: &'static str,
        /// In the words of those who noticed.
        cause: String,
        /// Whether the request may have reached the server.
        sent: bool,
    },
    /// The response is longer than the caller wants to read.
    #[error("the response of `{to}` is longer than {limit} bytes")]
    TooLarge {
        /// The server.
        to: String,
        /// Bytes.
        limit: u64,
    },
    /// The server sends us where we do not go.
    #[error("`{from}` redirects {why}")]
    Redirect {
        /// The URL that was asked for.
        from: String,
        /// Where to, and why not.
        why: String,
    },
}

impl HttpError {
    /// Whether the server may have received the request, and acted on it.
    pub const fn may_have_arrived(&self) -> bool {
        match self {
            Self::Request(_) | Self::Connect { .. } | Self::Trust { .. } => false,
            Self::Deadline { sent, .. } | Self::Lost { sent, .. } => *sent,
            Self::TooLarge { .. } | Self::Redirect { .. } => true,
        }
    }

    /// Whether the same may succeed when it is tried again.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Deadline { .. } | Self::Lost { .. })
    }
}

/// An error with everything it comes from, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // hyper repeats its cause's words in its own.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    printable(&text)
}

/// What a server wrote, fit for a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

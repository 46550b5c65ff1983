//! One request and its answer: the only way in which this driver reaches a cluster.

use std::fmt;

use async_trait::async_trait;

use super::answer::Answer;
use super::error::ApiError;
use crate::resource::cluster::percent;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes something, or starts a task.
    Post,
    /// Changes something.
    Put,
    /// Removes something. Its parameters are part of the query: a body is refused.
    Delete,
}

impl Verb {
    /// As HTTP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A request. Its `Display` has no parameters: those may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub verb: Verb,
    /// Below `/api2/json`, its parts encoded.
    pub path: String,
    /// Parameters, not encoded.
    pub parameters: Vec<(String, String)>,
}

impl Call {
    /// A request without parameters.
    pub fn new(verb: Verb, path: impl Into<String>) -> Self {
        Self { verb, path: path.into(), parameters: Vec::new() }
    }

    /// With one more parameter.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.parameters.push((key.to_owned(), value.into()));
        self
    }

    /// All parameters, encoded: a `;` in a value would start another parameter.
    pub fn form(&self) -> String {
        let pair = |(key, value): &(String, String)| format!("{}={}", percent::encode(key), percent::encode(value));
        self.parameters.iter().map(pair).collect::<Vec<_>>().join("&")
    }

    /// Path and query.
    pub fn target(&self) -> String {
        let base = format!("/api2/json{}", self.path);
        match (self.verb, self.parameters.is_empty()) {
            (Verb::Get | Verb::Delete, false) => format!("{base}?{}", self.form()),
            _ => base,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.name(), percent::decode(&self.path))
    }
}

/// Sends requests to one cluster.
#[async_trait]
pub trait Exchange: Send + Sync {
    /// Sends one request, once.
    ///
    /// # Errors
    /// There was no answer: [`ApiError::Unreachable`] or [`ApiError::Untrusted`] when the request certainly did not
    /// arrive, else [`ApiError::Unknown`].
    async fn exchange(&self, call: &Call) -> Result<Answer, ApiError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_reads_and_removals_are_in_the_query() {
        let call = |verb| Call::new(verb, "/nodes/pve1/lxc/101").with("purge", "1").with("a;b", "c&d");
        assert_eq!(call(Verb::Delete).target(), "/api2/json/nodes/pve1/lxc/101?purge=1&a%3Bb=c%26d");
        assert_eq!(call(Verb::Put).target(), "/api2/json/nodes/pve1/lxc/101");
        assert_eq!(call(Verb::Put).form(), "purge=1&a%3Bb=c%26d");
    }
}

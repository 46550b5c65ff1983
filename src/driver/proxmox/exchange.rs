//! One request and its answer: the only way in which this driver reaches a cluster.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncRead;

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

    /// Sends a file with a request, once.
    ///
    /// # Errors
    /// As [`Self::exchange`].
    async fn upload(&self, call: &Call, file: Upload) -> Result<Answer, ApiError>;
}

/// A file that goes with a request, as the last part of a form of several.
pub struct Upload {
    /// What it is called there.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// Where they come from. Less of them breaks the request off.
    pub from: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// How long all of it may take.
    pub within: Duration,
}

/// What stands before the file and after it, in the form of RFC 7578. The boundary occurs in no file: it is random.
pub fn multipart(call: &Call, name: &str, boundary: &str) -> (Vec<u8>, Vec<u8>) {
    let field = |(key, value): &(String, String)| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n")
    };
    let fields: String = call.parameters.iter().map(field).collect();
    let file = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    ((fields + &file).into_bytes(), format!("\r\n--{boundary}--\r\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_last_part_of_a_form() {
        let call = Call::new(Verb::Post, "/x").with("content", "vztmpl").with("checksum", "00");
        let (before, after) = multipart(&call, "d.tar.zst", "b0");
        let form = [before, b"FILE".to_vec(), after].concat();
        let expected = "--b0\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\nvztmpl\r\n\
            --b0\r\nContent-Disposition: form-data; name=\"checksum\"\r\n\r\n00\r\n\
            --b0\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"d.tar.zst\"\r\n\
            Content-Type: application/octet-stream\r\n\r\nFILE\r\n--b0--\r\n";
        assert_eq!(String::from_utf8(form).unwrap(), expected);
    }

    #[test]
    fn parameters_of_reads_and_removals_are_in_the_query() {
        let call = |verb| Call::new(verb, "/nodes/pve1/lxc/101").with("purge", "1").with("a;b", "c&d");
        assert_eq!(call(Verb::Delete).target(), "/api2/json/nodes/pve1/lxc/101?purge=1&a%3Bb=c%26d");
        assert_eq!(call(Verb::Put).target(), "/api2/json/nodes/pve1/lxc/101");
        assert_eq!(call(Verb::Put).form(), "purge=1&a%3Bb=c%26d");
    }
}

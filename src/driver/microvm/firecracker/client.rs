//! Asking a Firecracker process, over its Unix socket.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::driver::microvm::vmm::Pace;
use crate::effect::http::{Connection, Deadlines, Endpoint, Method, Request, Response};

/// Every request is answered in milliseconds.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(5),
    first_byte: Duration::from_secs(10),
    idle: Duration::from_secs(5),
    total: Duration::from_secs(10),
};

/// Bytes of an answer: errors and descriptions are short.
const ANSWER_LIMIT: u64 = 64 << 10;

/// From one try to connect to the next.
const RETRY: Duration = Duration::from_millis(10);

/// `GET /`.
#[derive(Debug, Deserialize)]
struct InstanceInfo {
    state: InstanceState,
}

/// How far a microVM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum InstanceState {
    #[serde(rename = "Not started")]
    NotStarted,
    Running,
    Paused,
}

/// The answer to a refused request.
#[derive(Debug, Deserialize)]
struct Refused {
    fault_message: String,
}

/// The API of one process.
pub(super) struct Client {
    socket: Utf8PathBuf,
}

impl Client {
    /// The process that listens here.
    pub(super) fn new(socket: &Utf8Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The process that will listen here soon.
    ///
    /// # Errors
    /// When none does within the deadline.
    pub(super) async fn await_api(socket: &Utf8Path, deadline: Duration) -> Result<Self, String> {
        let (client, end) = (Self::new(socket), Instant::now() + deadline);
        loop {
            match client.send(Method::GET, "/", None).await {
                Ok(_) => return Ok(client),
                Err(why) if Instant::now() + RETRY >= end => {
                    return Err(format!("no API within {}s: {why}", deadline.as_secs()));
                }
                Err(_) => sleep(RETRY).await,
            }
        }
    }

    /// `PUT`s something.
    ///
    /// # Errors
    /// When it is refused, in Firecracker's words.
    pub(super) async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), String> {
        self.put_json(path, serde_json::to_value(body).map_err(|error| error.to_string())?).await
    }

    /// As [`Client::put`], of something that is answered after so long a time.
    pub(super) async fn put_within(&self, path: &str, body: &impl Serialize, deadline: Duration) -> Result<(), String> {
        let body = serde_json::to_value(body).map_err(|error| error.to_string())?;
        let deadlines = Deadlines { first_byte: deadline, total: deadline, ..DEADLINES };
        self.send_within(Method::PUT, path, Some(body), deadlines).await.map(drop)
    }

    /// As [`Client::put`], of a value.
    pub(super) async fn put_json(&self, path: &str, body: Value) -> Result<(), String> {
        self.send(Method::PUT, path, Some(body)).await.map(drop)
    }

    /// `PATCH`es something.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub(super) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<(), String> {
        let body = serde_json::to_value(body).map_err(|error| error.to_string())?;
        self.send(Method::PATCH, path, Some(body)).await.map(drop)
    }

    /// Whether the microVM runs.
    ///
    /// # Errors
    /// When it was not started, or does not say.
    pub(super) async fn pace(&self) -> Result<Pace, String> {
        let text = self.send(Method::GET, "/", None).await?;
        let info: InstanceInfo = serde_json::from_slice(&text).map_err(|error| format!("`GET /`: {error}"))?;
        match info.state {
            InstanceState::Running => Ok(Pace::Running),
            InstanceState::Paused => Ok(Pace::Paused),
            InstanceState::NotStarted => Err("the microVM was not started".into()),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Vec<u8>, String> {
        self.send_within(method, path, body, DEADLINES).await
    }

    async fn send_within(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        deadlines: Deadlines,
    ) -> Result<Vec<u8>, String> {
        let endpoint = Endpoint::Unix { path: self.socket.clone() };
        let request = Request::new(method.clone(), path);
        let request = match body {
            Some(body) => request.body("application/json", body.to_string()),
            None => request,
        };
        let mut connection = Connection::open(&endpoint, deadlines).await.map_err(|error| error.to_string())?;
        let response: Response = connection.send(request).await.map_err(|error| error.to_string())?;
        let (status, success) = (response.status, response.status.is_success());
        let text = response.body.bytes(ANSWER_LIMIT).await.map_err(|error| error.to_string())?;
        if success {
            return Ok(text);
        }
        let why = serde_json::from_slice::<Refused>(&text)
            .map_or_else(|_| status.to_string(), |refused| refused.fault_message);
        let why: String = why.chars().filter(|c| !c.is_control()).take(240).collect();
        Err(format!("`{method} {path}`: {why}"))
    }
}

//! The real [`Exchange`]: HTTPS to the servers of one cluster, with connections that are used again.
//!
//! Proxmox closes a connection that is idle for 5 s, after 100 requests, and after every error. A connection that was
//! closed in the very moment it was used looks like a lost answer: so connections retire before that.

use std::io::Cursor;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::answer::Answer;
use super::error::ApiError;
use super::exchange::{Call, Exchange, Upload, Verb, multipart};
use crate::effect::http::{Connection, Deadlines, Endpoint, HttpError, Method, Payload, Request, Response};

/// A connection that was idle for longer is not used again; Proxmox's own limit is 5 s.
const IDLE: Duration = Duration::from_secs(3);

/// Requests per connection; Proxmox's own limit is 100.
const REQUESTS: u32 = 95;

/// Connections that are kept.
const KEPT: usize = 64;

/// Largest answer that is read: the listing of ten thousand guests has 6 MiB.
const ANSWER_LIMIT: u64 = 64 << 20;

/// Proxmox itself gives up after 30 s, with the status 596.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(8),
    first_byte: Duration::from_secs(60),
    idle: Duration::from_secs(30),
    total: Duration::from_secs(120),
};

/// An API token. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes `USER@REALM!NAME=SECRET`.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let token = text.trim();
        let parts = token.split_once('!').and_then(|(user, rest)| Some((user, rest.split_once('=')?)));
        match parts {
            Some((user, (name, secret)))
                if user.contains('@')
                    && !name.is_empty()
                    && !secret.is_empty()
                    && token.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Ok(Self(token.to_owned()))
            }
            _ => Err("found something else, expected a token such as `USER@REALM!NAME=SECRET`"),
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The servers of a cluster.
pub struct Servers {
    endpoints: Vec<Endpoint>,
    token: Token,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The server that answered last.
    first: usize,
    idle: Vec<Kept>,
}

struct Kept {
    server: usize,
    connection: Connection,
    requests: u32,
    since: Instant,
}

impl Servers {
    /// Servers that are tried in this order; at least one.
    pub fn new(endpoints: Vec<Endpoint>, token: Token) -> Self {
        Self { endpoints, token, state: Mutex::default() }
    }

    /// A connection that is ready, and the server to begin with where there is none.
    fn take(&self) -> (Option<Kept>, usize) {
        // The lock is held for a few instructions that do not fail.
        let Ok(mut state) = self.state.lock() else { return (None, 0) };
        let first = state.first;
        while let Some(kept) = state.idle.pop() {
            if kept.server == first && kept.since.elapsed() < IDLE && kept.requests < REQUESTS {
                return (Some(kept), first);
            }
        }
        (None, first)
    }

    fn keep(&self, kept: Kept) {
        if let Ok(mut state) = self.state.lock() {
            state.first = kept.server;
            if state.idle.len() < KEPT {
                state.idle.push(kept);
            }
        }
    }

    fn request(&self, call: &Call) -> Result<Request, HttpError> {
        let method = match call.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
        };
        let request =
            Request::new(method, call.target()).header("Authorization", &format!("PVEAPIToken={}", self.token.0))?;
        Ok(match call.verb {
            Verb::Post | Verb::Put => request.body("application/x-www-form-urlencoded", call.form()),
            Verb::Get | Verb::Delete => request,
        })
    }

    async fn open(&self, from: usize, deadlines: Deadlines) -> Result<Kept, ApiError> {
        let mut causes = Vec::new();
        for offset in 0..self.endpoints.len() {
            let server = (from + offset) % self.endpoints.len();
            match Connection::open(&self.endpoints[server], deadlines).await {
                Ok(connection) => return Ok(Kept { server, connection, requests: 0, since: Instant::now() }),
                // Whoever pretends to be one server may pretend to be the others: that is not passed over.
                Err(error @ HttpError::Trust { .. }) => return Err(ApiError::Untrusted(error.to_string())),
                Err(error) => causes.push(error.to_string()),
            }
        }
        Err(ApiError::Unreachable(causes.join("; ")))
    }
}

#[async_trait]
impl Exchange for Servers {
    async fn exchange(&self, call: &Call) -> Result<Answer, ApiError> {
        let (mut kept, first) = self.take();
        if let Some(found) = &mut kept
            && !found.connection.is_usable().await
        {
            kept = None;
        }
        let mut kept = match kept {
            Some(kept) => kept,
            None => self.open(first, DEADLINES).await?,
        };
        let request = self.request(call).map_err(|error| ApiError::Refused(error.to_string()))?;
        let (answer, closes) = answered(&mut kept.connection, request).await?;
        if answer.status < 400 && !closes {
            self.keep(Kept { requests: kept.requests + 1, since: Instant::now(), ..kept });
        }
        Ok(answer)
    }

    /// Over a connection of its own, which has as long as the file takes.
    async fn upload(&self, call: &Call, file: Upload) -> Result<Answer, ApiError> {
        let deadlines = Deadlines { first_byte: file.within, total: file.within, ..DEADLINES };
        let first = self.state.lock().map_or(0, |state| state.first);
        let boundary = uuid::Uuid::now_v7().simple().to_string();
        let (before, after) = multipart(call, &file.name, &boundary);
        let length = before.len() as u64 + file.length + after.len() as u64;
        let from = Cursor::new(before).chain(file.from.take(file.length)).chain(Cursor::new(after));
        let plain = Call { parameters: Vec::new(), ..call.clone() };
        let request = self
            .request(&plain)
            .and_then(|request| request.header("Content-Type", &format!("multipart/form-data; boundary={boundary}")));
        let request = request.map_err(|error| ApiError::Refused(error.to_string()))?;
        let mut kept = self.open(first, deadlines).await?;
        let request = request.payload(Payload::Stream { length, from: Box::new(from) });
        Ok(answered(&mut kept.connection, request).await?.0)
    }
}

/// Sends a request and reads its answer; whether the server closes the connection then.
async fn answered(connection: &mut Connection, request: Request) -> Result<(Answer, bool), ApiError> {
    let response = connection.send(request).await.map_err(|error| lost(&error))?;
    let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let Response { status, reason, body, .. } = response;
    let body = body.bytes(ANSWER_LIMIT).await.map_err(|error| lost(&error))?;
    Ok((Answer { status: status.as_u16(), reason, body }, closes))
}

fn lost(error: &HttpError) -> ApiError {
    if error.may_have_arrived() {
        ApiError::Unknown(error.to_string())
    } else {
        ApiError::Unreachable(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_checked_and_never_shown() {
        let token = Token::parse("ci@pve!regatta=0-1-2\n").unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        for wrong in ["", "ci@pve", "ci!x=1", "ci@pve!=1", "ci@pve!x=", "ci@pve!x=1\r\nX: y"] {
            assert!(Token::parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Connecting with `russh`: a trusted host key or nothing, our key, and a cause for every failure.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use russh::client::{self, Handle};
use russh::{Preferred, SshId, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::destination::{Destination, Trusted};
use super::exec::Session;
use super::login::{self, Door};
use super::trust::{HostKeyChecker, Notes};
use super::{Connect, ConnectError, Shell, SshTarget};

/// A silent server is asked whether it lives after this long.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// So many unanswered questions end the connection: a dead link is noticed after three times [`KEEPALIVE`].
const UNANSWERED: usize = 2;

/// What encrypts a connection, the quickest first: processors have instructions for AES, and OpenSSH checks and encrypts
/// with it in one pass. Servers without it get what the library prefers.
const CIPHERS: [cipher::Name; 5] =
    [cipher::AES_256_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_192_CTR, cipher::AES_128_CTR];

/// Connects over TCP.
#[derive(Debug, Clone, Copy)]
pub struct SshClient {
    keepalive: Duration,
}

impl Default for SshClient {
    fn default() -> Self {
        Self { keepalive: KEEPALIVE }
    }
}

#[async_trait]
impl Connect for SshClient {
    async fn connect(&self, target: &SshTarget, deadline: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        self.connect_to(&target.into(), deadline).await
    }
}

/// Until when, and how long that was from the start.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    end: Instant,
    after: Duration,
}

impl Deadline {
    async fn limit<T>(self, doing: &str, work: impl Future<Output = T>) -> Result<T, ConnectError> {
        let passed = |_| ConnectError::Deadline { after: self.after, doing: doing.to_owned() };
        timeout_at(self.end, work).await.map_err(passed)
    }
}

impl SshClient {
    #[cfg(test)]
    pub(super) const fn with_keepalive(keepalive: Duration) -> Self {
        Self { keepalive }
    }

    /// Connects and logs in within the deadline.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect_to(&self, to: &Destination, deadline: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        let deadline = Deadline { end: Instant::now() + deadline, after: deadline };
        Ok(Box::new(self.open(to, deadline).await?))
    }

    async fn open(&self, to: &Destination, deadline: Deadline) -> Result<Session, ConnectError> {
        let trusted = Trusted::prepare(&to.trust)?;
        let credentials = deadline.limit("reading our keys", login::prepare(&to.logins)).await??;
        let (via, (mut handle, notes)) = match &to.via {
            None => (None, self.agree(to, trusted, answering_server(to, deadline).await?, deadline).await?),
            Some(via) => {
                let on_the_way = |cause| ConnectError::Jump { host: place(via), cause: Box::new(cause) };
                // Boxed, because it is this function again.
                let via = Box::pin(self.open(via, deadline)).await.map_err(on_the_way)?;
                let stream =
                    deadline.limit("reaching it through the jump host", via.reach(&to.host, to.port)).await??;
                (Some(via), self.agree(to, trusted, stream, deadline).await?)
            }
        };
        let mut door = Door { handle: &mut handle, notes: &notes, user: &to.user };
        deadline.limit("logging in", door.log_in(credentials)).await??;
        Ok(Session::new(handle, via))
    }

    /// Agrees on keys with a server and makes sure that it is the right one.
    async fn agree(
        &self,
        to: &Destination,
        trusted: Trusted,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        deadline: Deadline,
    ) -> Result<(Handle<HostKeyChecker>, Notes), ConnectError> {
        let notes = Notes::default();
        let config = Arc::new(self.config(trusted.preferred(&to.host, to.port)));
        let checker = HostKeyChecker { host: to.host.clone(), port: to.port, trusted, notes: notes.clone() };
        let agreed = deadline.limit("agreeing on keys", client::connect_stream(config, stream, checker)).await?;
        match agreed {
            Ok(handle) => Ok((handle, notes)),
            Err(cause) => Err(notes.refusal().unwrap_or_else(|| handshake_failure(&cause, &notes))),
        }
    }

    fn config(&self, preferred: Preferred) -> client::Config {
        client::Config {
            client_id: SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-regatta_", env!("CARGO_PKG_VERSION")))),
            preferred: Preferred { cipher: Cow::Borrowed(&CIPHERS), ..preferred },
            keepalive_interval: Some(self.keepalive),
            keepalive_max: UNANSWERED,
            nodelay: true,
            ..client::Config::default()
        }
    }
}

fn place(of: &Destination) -> String {
    format!("{}:{}", of.host, of.port)
}

fn handshake_failure(cause: &russh::Error, notes: &Notes) -> ConnectError {
    match cause {
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_) => {
            ConnectError::NotUp(format!("the server hung up while agreeing on keys: {}", notes.with_goodbye(cause)))
        }
        _ => ConnectError::Protocol(cause.to_string()),
    }
}

/// Connects and waits for the first byte of the server's greeting.
///
/// A listening port is no server: QEMU's user network accepts connections before the guest is up, and says nothing.
async fn answering_server(to: &Destination, deadline: Deadline) -> Result<TcpStream, ConnectError> {
    let (place, waited) = (place(to), deadline.after.as_secs());
    let not_up = |what: String| ConnectError::NotUp(format!("{place} {what}"));
    let stream = match timeout_at(deadline.end, TcpStream::connect((to.host.as_str(), to.port))).await {
        Err(_) => return Err(not_up(format!("did not accept a connection within {waited}s"))),
        Ok(Err(cause)) => return Err(not_up(format!("cannot be connected to: {cause}"))),
        Ok(Ok(stream)) => stream,
    };
    match timeout_at(deadline.end, stream.peek(&mut [0])).await {
        Err(_) => Err(not_up(format!("accepted the connection and said nothing within {waited}s"))),
        Ok(Err(cause)) => Err(not_up(format!("dropped the connection: {cause}"))),
        Ok(Ok(0)) => Err(not_up("closed the connection without a greeting".to_owned())),
        Ok(Ok(_)) => Ok(stream),
    }
}

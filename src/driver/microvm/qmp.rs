//! QEMU's machine protocol, as far as we need it: greeting, capabilities, one command, its answer.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Bytes of protocol read for one command, events included: far more than QEMU ever says.
const READ_LIMIT: u64 = 1 << 20;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum QmpError {
    /// The socket failed or closed.
    #[error("QEMU's control socket failed: {0}")]
    Io(#[from] std::io::Error),
    /// It said something that is no QMP.
    #[error("QEMU's control socket answered `{0}`, expected QMP")]
    Protocol(String),
    /// It refused.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// In QEMU's words.
        reason: String,
    },
    /// It said nothing.
    #[error("QEMU's control socket did not answer within {}s", .0.as_secs())]
    Deadline(Duration),
}

/// Sends one command over a fresh connection and returns its answer. `arguments` is an object, or null for none.
///
/// # Errors
/// See [`QmpError`]. After `quit` a closed connection is a success: QEMU may leave before it answers.
pub(super) async fn execute(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    command: &str,
    arguments: Value,
    deadline: Duration,
) -> Result<Value, QmpError> {
    match tokio::time::timeout(deadline, converse(stream, command, arguments)).await {
        Ok(Err(QmpError::Io(closed))) if command == "quit" && has_hung_up(&closed) => Ok(Value::Null),
        Ok(result) => result,
        Err(_) => Err(QmpError::Deadline(deadline)),
    }
}

fn has_hung_up(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    command: &str,
    arguments: Value,
) -> Result<Value, QmpError> {
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read.take(READ_LIMIT));
    let greeting = next_message(&mut lines).await?;
    if greeting.get("QMP").is_none() {
        return Err(QmpError::Protocol(shortened(&greeting.to_string())));
    }
    let mut answered = Value::Null;
    for (name, arguments) in [("qmp_capabilities", Value::Null), (command, arguments)] {
        let mut request = json!({ "execute": name });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        write.write_all(format!("{request}\n").as_bytes()).await?;
        answered = answer(&mut lines, name).await?;
    }
    Ok(answered)
}

/// Skips events until the answer to the last command.
async fn answer(lines: &mut (impl AsyncBufReadExt + Unpin), command: &str) -> Result<Value, QmpError> {
    loop {
        let message = next_message(lines).await?;
        if let Some(value) = message.get("return") {
            return Ok(value.clone());
        }
        if let Some(error) = message.get("error") {
            let reason = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(QmpError::Refused { command: command.into(), reason: shortened(reason) });
        }
    }
}

async fn next_message(lines: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Value, QmpError> {
    let mut line = String::new();
    if lines.read_line(&mut line).await? == 0 {
        return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
    }
    serde_json::from_str(&line).map_err(|_| QmpError::Protocol(shortened(&line)))
}

/// Enough to recognise, safe to print.
fn shortened(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays QEMU: says each line after the client has said one (the first at once).
    async fn against(lines: &'static [&'static str], command: &str) -> Result<Value, QmpError> {
        let (ours, theirs) = tokio::io::duplex(4096);
        let peer = tokio::spawn(async move {
            let (read, mut write) = tokio::io::split(theirs);
            let mut read = BufReader::new(read);
            for (index, line) in lines.iter().enumerate() {
                if index > 0 {
                    read.read_line(&mut String::new()).await.unwrap();
                }
                write.write_all(line.as_bytes()).await.unwrap();
            }
        });
        let result = execute(ours, command, Value::Null, Duration::from_secs(5)).await;
        peer.abort();
        result
    }

    const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";
    const DONE: &str = "{\"return\": {}}\n";

    #[tokio::test]
    async fn events_before_the_answer_are_skipped() {
        let result =
            against(&[GREETING, DONE, "{\"event\": \"POWERDOWN\"}\n{\"return\": {}}\n"], "system_powerdown").await;
        assert!(result.is_ok(), "{result:?}");
    }

    #[tokio::test]
    async fn refusals_garbage_and_hang_ups_are_told_apart() {
        let refused =
            against(&[GREETING, DONE, "{\"error\": {\"desc\": \"no \\u001b[31mway\"}}\n"], "stop").await.unwrap_err();
        assert_eq!(refused.to_string(), "QEMU refused `stop`: no [31mway");
        let garbage = against(&["SSH-2.0-x\n"], "stop").await.unwrap_err();
        assert_eq!(garbage.to_string(), "QEMU's control socket answered `SSH-2.0-x`, expected QMP");
        assert!(matches!(against(&[GREETING], "stop").await, Err(QmpError::Io(_) | QmpError::Deadline(_))));
    }

    #[tokio::test]
    async fn quit_may_close_the_connection_instead_of_answering() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let peer = tokio::spawn(async move {
            theirs.write_all(GREETING.as_bytes()).await.unwrap();
            theirs.write_all(DONE.as_bytes()).await.unwrap();
        });
        assert!(execute(ours, "quit", Value::Null, Duration::from_secs(5)).await.is_ok());
        peer.await.unwrap();
    }
}

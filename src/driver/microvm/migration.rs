//! A QEMU guest's memory, to a file and back: its live migration, with us at the other end.
//!
//! ```text
//! save   guest stands still ─ migrate ──▶ mem.sock ──▶ file
//! load   file ──▶ mem.sock ──▶ QEMU that was started with `-incoming defer`, and stands still
//! ```
//! QEMU opens no file for it (`file:` came with 8.2) and runs no program: `exec:` would take a line for a shell.

use std::io;
use std::time::Duration;

use camino::Utf8Path;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep};

use super::qemu::execute;
use super::vmm::Memory;
use crate::effect::{await_unix, files, listen_unix, paths};

/// Between two looks at how far QEMU is.
const POLL: Duration = Duration::from_millis(50);

/// As fast as it goes: QEMU's own limit is meant for networks.
const BYTES_PER_SECOND: u64 = 64 << 30;

/// Writes the memory of a guest that stands still.
///
/// # Errors
/// In QEMU's words, or the system's.
pub(super) async fn save(control: &Utf8Path, memory: &Memory) -> Result<(), String> {
    let listener =
        listen_unix(&memory.socket).map_err(|cause| format!("cannot listen on `{}`: {cause}", memory.socket))?;
    let file = files::create_private(&memory.file).map_err(|error| error.to_string())?;
    let take = async {
        let (mut stream, _) = listener.accept().await?;
        let mut file = tokio::fs::File::from_std(file);
        tokio::io::copy(&mut stream, &mut file).await?;
        // What is only in the page cache is not kept.
        file.sync_all().await
    };
    let give = async {
        execute(control, "migrate-set-parameters", json!({ "max-bandwidth": BYTES_PER_SECOND })).await?;
        execute(control, "migrate", json!({ "uri": format!("unix:{}", memory.socket) })).await?;
        completed(control, memory.deadline).await
    };
    let took = async {
        let took: io::Result<()> =
            tokio::time::timeout(memory.deadline, take).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        took.map_err(|cause| format!("cannot write `{}`: {cause}", memory.file))
    };
    // One that fails would leave the other waiting.
    let saved = tokio::try_join!(give, took).map(drop);
    paths::remove_if_there(&memory.socket).map_err(|error| error.to_string())?;
    saved
}

/// Hands a QEMU that waits for it the memory of its guest.
///
/// # Errors
/// In QEMU's words, or the system's. QEMU ends when it cannot use what it was handed.
pub(super) async fn load(control: &Utf8Path, memory: &Memory) -> Result<(), String> {
    execute(control, "migrate-incoming", json!({ "uri": format!("unix:{}", memory.socket) })).await?;
    let hand_over = async {
        let mut stream = await_unix(&memory.socket, memory.deadline).await?;
        let mut file = tokio::fs::File::open(&memory.file).await?;
        tokio::io::copy(&mut file, &mut stream).await?;
        stream.shutdown().await
    };
    let handed: io::Result<()> =
        tokio::time::timeout(memory.deadline, hand_over).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    handed.map_err(|cause| format!("cannot hand over `{}`: {cause}", memory.file))?;
    completed(control, memory.deadline).await
}

/// Waits until QEMU says that all of it went over.
async fn completed(control: &Utf8Path, deadline: Duration) -> Result<(), String> {
    let end = Instant::now() + deadline;
    loop {
        let answer = execute(control, "query-migrate", Value::Null).await?;
        let status = answer.get("status").and_then(Value::as_str).unwrap_or("none");
        match status {
            "completed" => return Ok(()),
            "failed" | "cancelled" => {
                let why = answer.get("error-desc").and_then(Value::as_str).unwrap_or("it does not say why");
                return Err(format!(
                    "QEMU gave up: {}",
                    why.chars().filter(|c| !c.is_control()).take(200).collect::<String>()
                ));
            }
            _ if Instant::now() >= end => return Err(format!("not done within {}s (`{status}`)", deadline.as_secs())),
            _ => sleep(POLL).await,
        }
    }
}

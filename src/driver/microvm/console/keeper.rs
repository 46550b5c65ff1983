//! The process that keeps a guest's console: reads what the guest says, from the first byte on, into a bounded log, and lets
//! people join in. It ends with the guest's VMM. When it dies the guest is not disturbed, and the next
//! `regatta console` starts another one.
//!
//! ```text
//! VMM ══ serial line ══▶ keeper ──▶ console.log, console.log.1
//!                         ▲   │
//!                         │   ▼
//!                        con.sock ◀──▶ regatta console (any number)
//! ```

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep};

use super::log::{BoundedLog, Paths};
use crate::effect::{await_unix, listen_unix, open_line};

/// Bytes of one of the two files that a console's output is kept in.
const LOG_LIMIT: u64 = 1 << 20;

/// Bytes passed on in one piece.
const PIECE: usize = 4096;

/// Pieces that a slow reader may be behind before it misses some.
const BEHIND: usize = 256;

/// How long the VMM may take to open its side.
const DEADLINE: Duration = Duration::from_secs(30);

/// From one look whether it did to the next.
const LOOK: Duration = Duration::from_millis(20);

/// The VMM's side of a serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A Unix socket that the VMM listens on.
    Socket(Utf8PathBuf),
    /// Two named pipes.
    Pipes {
        /// The VMM writes here.
        output: Utf8PathBuf,
        /// The VMM reads here.
        input: Utf8PathBuf,
    },
}

impl Line {
    /// The socket, where it is one.
    pub(in crate::driver::microvm) const fn socket(&self) -> Option<&Utf8PathBuf> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Pipes { .. } => None,
        }
    }
}

/// What is kept where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// What the guest says.
    pub line: Line,
    /// The log.
    pub log: Paths,
    /// Socket for those who join in.
    pub listen: Utf8PathBuf,
}

/// Keeps a console until its VMM ends.
///
/// # Errors
/// When the line, the log or the socket cannot be opened.
pub async fn keep(keeping: Keeping) -> std::io::Result<()> {
    let Keeping { line, log, listen } = keeping;
    let exchange = Exchange { log: BoundedLog::open(log, LOG_LIMIT)?, said: broadcast::channel(BEHIND).0 };
    // Listens before the VMM is there: whoever starts that can tell by it that the console will be kept.
    let joining = listen_unix(&listen)?;
    match line {
        Line::Socket(socket) => {
            let (output, input) = await_vmm(&socket, &listen).await?.into_split();
            exchange.run(output, input, joining, Instant::now()).await;
        }
        Line::Pipes { output, input } => {
            let (output, input) = open_line(&output, &input)?;
            exchange.run(output, input, joining, Instant::now() + DEADLINE).await;
        }
    }
    Ok(())
}

/// Waits for the VMM. Whoever started us takes our socket away when there will be none.
async fn await_vmm(socket: &Utf8Path, listen: &Utf8Path) -> std::io::Result<UnixStream> {
    let end = Instant::now() + DEADLINE;
    loop {
        match await_unix(socket, 10 * LOOK).await {
            Err(_) if Instant::now() < end && listen.exists() => {}
            outcome => return outcome,
        }
    }
}

/// Everybody who hears and says something.
struct Exchange {
    log: BoundedLog,
    said: broadcast::Sender<Vec<u8>>,
}

impl Exchange {
    /// Until the VMM's side ends. One that is silent and seems not to be there counts as not there yet until `patience`.
    async fn run(
        mut self,
        mut output: impl AsyncRead + Unpin,
        mut input: impl AsyncWrite + Unpin + Send + 'static,
        joining: tokio::net::UnixListener,
        patience: Instant,
    ) {
        let (typed, mut keys) = mpsc::channel::<Vec<u8>>(16);
        // A guest that does not read its line must not keep us from hearing it.
        tokio::spawn(async move {
            while let Some(bytes) = keys.recv().await {
                if input.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let (mut piece, mut silent) = (vec![0; PIECE], true);
        loop {
            tokio::select! {
                read = output.read(&mut piece) => match read {
                    Ok(0) if silent && Instant::now() < patience => sleep(LOOK).await,
                    Ok(0) | Err(_) => return,
                    Ok(length) => {
                        silent = false;
                        self.hear(&piece[..length]);
                    }
                },
                joined = joining.accept() => if let Ok((stream, _)) = joined {
                    tokio::spawn(join(stream, self.said.subscribe(), typed.clone()));
                },
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        // A full disk costs the log, not the console.
        let _ = self.log.append(bytes);
        // Nobody may be there to hear it.
        let _ = self.said.send(bytes.to_vec());
    }
}

/// Serves one who joined, until either side ends.
async fn join(stream: UnixStream, mut said: broadcast::Receiver<Vec<u8>>, typed: mpsc::Sender<Vec<u8>>) {
    let (mut read, mut write) = stream.into_split();
    let mut piece = vec![0; PIECE];
    loop {
        tokio::select! {
            heard = said.recv() => match heard {
                Ok(bytes) if write.write_all(&bytes).await.is_ok() => {}
                // Too slow: what was missed is in the log.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Ok(_) | Err(broadcast::error::RecvError::Closed) => return,
            },
            read = read.read(&mut piece) => match read {
                Ok(length) if length > 0 => {
                    if typed.send(piece[..length].to_vec()).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A console whose VMM is this test.
    struct Kept {
        dir: tempfile::TempDir,
        vmm: UnixStream,
        keeper: tokio::task::JoinHandle<std::io::Result<()>>,
    }

    impl Kept {
        async fn begin() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let at = |name: &str| Utf8PathBuf::from_path_buf(dir.path().join(name)).unwrap();
            let vmm = tokio::net::UnixListener::bind(at("tty.sock")).unwrap();
            let keeper = tokio::spawn(keep(Keeping {
                line: Line::Socket(at("tty.sock")),
                log: Paths { current: at("console.log"), previous: at("console.log.1") },
                listen: at("con.sock"),
            }));
            let (vmm, _) = vmm.accept().await.unwrap();
            Self { dir, vmm, keeper }
        }

        async fn join(&self) -> UnixStream {
            let path = Utf8PathBuf::from_path_buf(self.dir.path().join("con.sock")).unwrap();
            await_unix(&path, DEADLINE).await.unwrap()
        }

        /// Says something until the one who joined hears it: joining is not told to the guest.
        async fn is_heard_by(&mut self, other: &mut UnixStream) {
            let mut byte = [0; 1];
            loop {
                self.vmm.write_all(b".").await.unwrap();
                let heard = tokio::time::timeout(Duration::from_millis(20), other.read_exact(&mut byte)).await;
                if heard.is_ok() {
                    return;
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_said_is_kept_and_heard_and_what_is_typed_arrives() {
        let mut kept = Kept::begin().await;
        let (mut one, mut other) = (kept.join().await, kept.join().await);
        kept.is_heard_by(&mut one).await;
        kept.is_heard_by(&mut other).await;
        one.write_all(b"root\n").await.unwrap();
        let mut typed = [0; 5];
        kept.vmm.read_exact(&mut typed).await.unwrap();
        assert_eq!(&typed, b"root\n");
        // One who leaves, and one who never reads, disturb nobody.
        drop(one);
        let flood = vec![b'x'; 3 << 20];
        kept.vmm.write_all(&flood).await.unwrap();
        drop(kept.vmm);
        kept.keeper.await.unwrap().unwrap();
        let length = |name: &str| std::fs::metadata(kept.dir.path().join(name)).unwrap().len();
        assert!(length("console.log") + length("console.log.1") <= 2 * LOG_LIMIT);
    }
}

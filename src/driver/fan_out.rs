//! One command in several guests at the same time: each line of output with the guest it comes from, each ending kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::inside::Insides;
use crate::effect::{Connect, ConnectError, Shell, SshTarget, Status, Streams};
use crate::resource::cluster::Reach;

/// Bytes of a line after which it is passed on in pieces.
const LINE_LIMIT: u64 = 64 << 10;

/// Lines that wait for somebody who reads them, before the commands have to.
const LINES_WAITING: usize = 256;

/// How many guests at a time, and how long each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanOut {
    /// Guests at the same time; at least one.
    pub parallel: usize,
    /// For each login.
    pub connect: Duration,
    /// For each command.
    pub run: Duration,
}

/// A way into one guest.
#[derive(Clone)]
pub enum Door {
    /// Its SSH server.
    Ssh(Arc<dyn Connect>, SshTarget),
    /// Its node.
    Node(Arc<Insides>, Reach),
}

impl Door {
    /// Goes in.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(&self, within: Duration) -> Result<Box<dyn Shell>, ConnectError> {
        match self {
            Self::Ssh(connect, target) => connect.connect(target, within).await,
            Self::Node(insides, reach) => match tokio::time::timeout(within, insides.shell(reach, within)).await {
                Ok(entered) => entered.map_err(|failure| ConnectError::Node(failure.in_one_line())),
                Err(_) => {
                    Err(ConnectError::Deadline { after: within, doing: "going in by way of its node".to_owned() })
                }
            },
        }
    }
}

/// What is run in each guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// The command and its arguments.
    pub argv: Vec<String>,
    /// What each command reads from its standard input.
    pub stdin: Vec<u8>,
}

/// Which of its outputs a command wrote a line to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Standard output.
    Output,
    /// Standard error.
    ErrorOutput,
}

/// A line that a command wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The guest it ran in.
    pub guest: String,
    /// Where it was written.
    pub source: Source,
    /// As written, without its end: any bytes, and not fit for a terminal as they are.
    pub text: Vec<u8>,
}

/// How the command ended in each guest, or why it was not run to its end there.
pub type Endings = BTreeMap<String, Result<Status, ConnectError>>;

impl FanOut {
    /// Runs the command in all of these guests, and passes on each line when it is complete. A guest that cannot be
    /// reached does not keep the others from running. When this future is dropped, all connections are closed.
    pub async fn run(self, guests: &BTreeMap<String, Door>, errand: Errand, mut on_line: impl FnMut(Line)) -> Endings {
        let (lines, mut written) = mpsc::channel(LINES_WAITING);
        let (slots, errand) = (Arc::new(Semaphore::new(self.parallel.max(1))), Arc::new(errand));
        let mut running = JoinSet::new();
        for (guest, door) in guests {
            let one = One { guest: guest.clone(), door: door.clone(), limits: self };
            let (slots, errand, lines) = (slots.clone(), errand.clone(), lines.clone());
            running.spawn(async move {
                // Never closed, so that this waits for a slot and for nothing else.
                let _slot = slots.acquire_owned().await;
                let ending = one.run(&errand, &lines).await;
                (one.guest, ending)
            });
        }
        drop(lines);
        while let Some(line) = written.recv().await {
            on_line(line);
        }
        let given_up = || Err(ConnectError::Lost("the command ran: it was given up".to_owned()));
        let mut endings: Endings = guests.keys().map(|guest| (guest.clone(), given_up())).collect();
        while let Some(ended) = running.join_next().await {
            endings.extend(ended);
        }
        endings
    }
}

/// One guest's part.
struct One {
    guest: String,
    door: Door,
    limits: FanOut,
}

impl One {
    async fn run(&self, errand: &Errand, lines: &mpsc::Sender<Line>) -> Result<Status, ConnectError> {
        let shell = self.door.open(self.limits.connect).await?;
        let argv: Vec<&str> = errand.argv.iter().map(String::as_str).collect();
        let capacity = usize::try_from(LINE_LIMIT).unwrap_or(usize::MAX);
        let (mut stdout, output) = tokio::io::duplex(capacity);
        let (mut stderr, error_output) = tokio::io::duplex(capacity);
        let command = async move {
            let mut stdin = &errand.stdin[..];
            let streams = Streams { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr };
            // Both ends of the output are closed with this block, which ends the other two.
            shell.stream(&argv, streams, self.limits.run).await
        };
        let (ended, (), ()) = tokio::join!(
            command,
            self.pass_on(output, Source::Output, lines),
            self.pass_on(error_output, Source::ErrorOutput, lines),
        );
        ended
    }

    async fn pass_on(&self, stream: impl AsyncRead + Unpin, source: Source, lines: &mpsc::Sender<Line>) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut text = Vec::new();
            // A pipe in memory does not fail.
            if !matches!((&mut stream).take(LINE_LIMIT).read_until(b'\n', &mut text).await, Ok(read) if read > 0) {
                return;
            }
            if text.last() == Some(&b'\n') {
                text.pop();
            }
            if lines.send(Line { guest: self.guest.clone(), source, text }).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const LIMITS: FanOut = FanOut { parallel: 2, connect: Duration::from_secs(5), run: Duration::from_secs(5) };

    /// Guests that say what they were asked, and how many of them are asked at the same time at most.
    #[derive(Default)]
    struct Village {
        inside: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    struct House {
        port: u16,
        inside: Arc<AtomicUsize>,
    }

    impl Drop for House {
        fn drop(&mut self) {
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl Connect for Village {
        async fn connect(&self, target: &SshTarget, _: Duration) -> Result<Box<dyn Shell>, ConnectError> {
            if target.port == 0 {
                return Err(ConnectError::NotUp("nobody is there".to_owned()));
            }
            self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Ok(Box::new(House { port: target.port, inside: self.inside.clone() }))
        }
    }

    #[async_trait]
    impl Shell for House {
        async fn stream(&self, argv: &[&str], streams: Streams<'_>, _: Duration) -> Result<Status, ConnectError> {
            // In pieces, so that lines have to be put together.
            let mut heard = String::new();
            streams.stdin.read_to_string(&mut heard).await.unwrap();
            for piece in [
                argv.join(" ").as_bytes(),
                heard.as_bytes(),
                b" from ",
                self.port.to_string().as_bytes(),
                b"\n\nno end",
            ] {
                streams.stdout.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            streams.stderr.write_all(b"oh\n").await.unwrap();
            Ok(Status::Code(i32::from(self.port)))
        }
    }

    fn target(port: u16) -> SshTarget {
        let (host, user, host_key) = ("127.0.0.1".to_owned(), "root".to_owned(), String::new());
        SshTarget { host, port, user, host_key, identity: "/state/identity".into(), via: None }
    }

    fn guests(connect: &Arc<dyn Connect>, ports: &[u16]) -> BTreeMap<String, Door> {
        ports.iter().map(|port| (format!("web-{port}"), Door::Ssh(connect.clone(), target(*port)))).collect()
    }

    async fn run(connect: &Arc<dyn Connect>, ports: &[u16]) -> (Endings, Vec<Line>) {
        let mut lines = Vec::new();
        let errand = Errand { argv: vec!["say".to_owned(), "hi".to_owned()], stdin: b", all".to_vec() };
        let endings = LIMITS.run(&guests(connect, ports), errand, |line| lines.push(line)).await;
        lines.sort();
        (endings, lines)
    }

    #[tokio::test]
    async fn each_guest_has_its_lines_and_its_ending() {
        let connect: Arc<dyn Connect> = Arc::new(Village::default());
        let (endings, lines) = run(&connect, &[0, 1, 2]).await;
        let not_up = Err(ConnectError::NotUp("nobody is there".to_owned()));
        let ends = [("web-0", not_up), ("web-1", Ok(Status::Code(1))), ("web-2", Ok(Status::Code(2)))];
        assert_eq!(endings, ends.map(|(guest, ending)| (guest.to_owned(), ending)).into());
        let expected = ["web-1", "web-2"].iter().flat_map(|guest| {
            let line = |source, text: &str| Line { guest: (*guest).to_owned(), source, text: text.into() };
            let said = format!("say hi, all from {}", &guest[4..]);
            [
                line(Source::Output, ""),
                line(Source::Output, "no end"),
                line(Source::Output, &said),
                line(Source::ErrorOutput, "oh"),
            ]
        });
        assert_eq!(lines, expected.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn no_more_guests_at_a_time_than_asked() {
        let village = Village::default();
        let most = village.most.clone();
        let ports: Vec<u16> = (1..=20).collect();
        let (endings, lines) = run(&(Arc::new(village) as Arc<dyn Connect>), &ports).await;
        assert_eq!((endings.len(), lines.len(), most.load(Ordering::SeqCst)), (20, 80, 2));
    }

    /// Writes one long line.
    struct Flood;

    #[async_trait]
    impl Connect for Flood {
        async fn connect(&self, _: &SshTarget, _: Duration) -> Result<Box<dyn Shell>, ConnectError> {
            Ok(Box::new(Self))
        }
    }

    #[async_trait]
    impl Shell for Flood {
        async fn stream(&self, _: &[&str], streams: Streams<'_>, _: Duration) -> Result<Status, ConnectError> {
            streams.stdout.write_all(&vec![b'x'; 150_000]).await.unwrap();
            Ok(Status::Code(0))
        }
    }

    #[tokio::test]
    async fn a_line_without_end_comes_in_pieces() {
        let (endings, lines) = run(&(Arc::new(Flood) as Arc<dyn Connect>), &[1]).await;
        assert_eq!(endings.values().collect::<Vec<_>>(), [&Ok(Status::Code(0))]);
        assert_eq!(lines.iter().map(|line| line.text.len()).sum::<usize>(), 150_000);
        assert!(lines.iter().all(|line| line.text.len() <= 65_536));
    }
}

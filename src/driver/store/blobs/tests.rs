//! Downloads against a server that sends what a test wants.

use std::sync::Mutex;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::effect::http::{Client, Deadlines, Request, Trust};
use crate::exec::{FailureKind, Progress};

struct Silent;

impl Progress for Silent {
    fn say(&self, _: &str) {}
}

/// Answers each connection with the next of these, and hangs up; notes where it was asked to begin.
struct Server {
    port: u16,
    begun: Mutex<Vec<u64>>,
}

impl Server {
    async fn start(answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers: Vec<String> =
            answers.iter().map(|(head, body)| format!("HTTP/1.1 {head}\r\n\r\n{body}")).collect();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                // Requests are short: one piece has all of one.
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, begun: Mutex::default() }
    }
}

#[async_trait]
impl Source for Server {
    async fn open(&self, from: u64) -> Result<(u64, http::Body), Failure> {
        self.begun.lock().unwrap().push(from);
        let url = format!("http://127.0.0.1:{}/", self.port);
        let response = Client::new(Trust::System, Deadlines::DOWNLOAD).send(&url, Request::get("")).await?;
        Ok((if response.status.as_u16() == 206 { from } else { 0 }, response.body))
    }
}

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::try_from(dir.path().join("store")).unwrap();
    (dir, Store::new(root))
}

fn wanted(content: &str) -> Wanted {
    let size = Some(content.len() as u64);
    Wanted { name: "`it`".into(), digest: Digest::of(content.as_bytes()), size }
}

async fn fetch(store: &Store, wanted: &Wanted, server: &Server) -> Result<String, Failure> {
    let path = store.fetch(wanted, server, &Meter::new(&Silent, "it", None)).await?;
    Ok(fs::read_to_string(path).unwrap())
}

fn left(store: &Store, folder: &str) -> usize {
    fs::read_dir(store.root.join(folder)).unwrap().count()
}

#[tokio::test]
async fn what_is_there_is_not_fetched_again() {
    let (_dir, store) = store();
    let server = Server::start(&[("200 OK\r\ncontent-length: 5", "hello")]).await;
    assert_eq!(fetch(&store, &wanted("hello"), &server).await.as_deref(), Ok("hello"));
    assert_eq!(fetch(&store, &wanted("hello"), &server).await.as_deref(), Ok("hello"));
    assert_eq!((server.begun.lock().unwrap().clone(), left(&store, "partial")), (vec![0], 0));
}

/// LESSONS 28: everybody waits for one download, which is looked for again under the lock.
#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_download() {
    let (_dir, store) = store();
    let server = Server::start(&[("200 OK\r\ncontent-length: 5", "hello")]).await;
    let wanted = wanted("hello");
    let (one, other) = tokio::join!(fetch(&store, &wanted, &server), fetch(&store, &wanted, &server));
    assert_eq!((one.as_deref(), other.as_deref()), (Ok("hello"), Ok("hello")));
    assert_eq!(*server.begun.lock().unwrap(), [0]);
}

/// LESSONS 28: what is not what it should be never gets the name.
#[tokio::test]
async fn what_is_wrong_is_thrown_away() {
    for (head, body, why) in [
        ("200 OK\r\ncontent-length: 5", "hallo", "found the digest sha256:"),
        ("200 OK\r\ncontent-length: 9", "hello you", "it is longer than the 5 bytes that were announced"),
        ("200 OK\r\ncontent-length: 4", "hell", "found 4 bytes, expected 5"),
    ] {
        let (_dir, store) = store();
        let server = Server::start(&[(head, body)]).await;
        let failure = fetch(&store, &wanted("hello"), &server).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Permanent);
        let said = failure.causes.join(": ");
        assert!(said.starts_with("`it` is not what it should be: ") && said.contains(why), "{said}");
        assert_eq!((left(&store, "blobs"), left(&store, "partial")), (0, 0), "{why}");
    }
}

#[tokio::test]
async fn a_download_that_broke_is_continued_or_begun_anew_as_the_server_can() {
    for (head, body, begun) in
        [("206 Partial Content\r\ncontent-length: 2", "lo", [0, 3]), ("200 OK\r\ncontent-length: 5", "hello", [0, 3])]
    {
        let (_dir, store) = store();
        let server = Server::start(&[("200 OK\r\ncontent-length: 5", "hel"), (head, body)]).await;
        let broken = fetch(&store, &wanted("hello"), &server).await.unwrap_err();
        assert_eq!(broken.kind, FailureKind::Transient, "{broken:?}");
        assert_eq!((left(&store, "blobs"), left(&store, "partial")), (0, 1));
        assert_eq!(fetch(&store, &wanted("hello"), &server).await.as_deref(), Ok("hello"));
        assert_eq!((server.begun.lock().unwrap().clone(), left(&store, "partial")), (begun.to_vec(), 0));
    }
}

/// A part that somebody spoilt is found out when it is whole, and the next download begins anew.
#[tokio::test]
async fn a_spoilt_part_does_not_stay() {
    let (_dir, store) = store();
    let wanted = wanted("hello");
    let partial = store.root.join("partial").join(wanted.digest.as_str());
    fs::create_dir_all(partial.parent().unwrap()).unwrap();
    fs::write(&partial, "HEL").unwrap();
    let answers = [("206 Partial Content\r\ncontent-length: 2", "lo"), ("200 OK\r\ncontent-length: 5", "hello")];
    let server = Server::start(&answers).await;
    assert_eq!(fetch(&store, &wanted, &server).await.map_err(|failure| failure.kind), Err(FailureKind::Permanent));
    assert_eq!(fetch(&store, &wanted, &server).await.as_deref(), Ok("hello"));
    assert_eq!(*server.begun.lock().unwrap(), [3, 0]);
}

/// A blob that lost its end on disk is fetched again; one of unknown content gets the name of what it is.
#[tokio::test]
async fn a_blob_of_another_length_is_none() {
    let (_dir, store) = store();
    let answers = [("200 OK\r\ncontent-length: 5", "hello"), ("200 OK\r\ncontent-length: 5", "hello")];
    let server = Server::start(&answers).await;
    let (_, body) = server.open(0).await.unwrap();
    let digest = store.take(body, "it", &Meter::new(&Silent, "it", None)).await.unwrap();
    assert_eq!((&digest, left(&store, "partial")), (&wanted("hello").digest, 0));
    fs::write(store.blob_path(&digest), "he").unwrap();
    assert_eq!(fetch(&store, &wanted("hello"), &server).await.as_deref(), Ok("hello"));
}

//! The client against small servers that say what a test wants, byte by byte.

mod plain;
mod proxies;
mod redirects;
mod tls;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Connection, Deadlines, Endpoint, HttpError, Request, Response, Trust};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

/// Long enough for a busy machine.
pub(super) const PATIENT: Deadlines = Deadlines { connect: LONG, first_byte: LONG, idle: LONG, total: LONG };

/// Reads one request: its head, and as much body as that announces.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse::<usize>().unwrap() {
                return text.into_owned();
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => read.extend_from_slice(&piece[..count]),
            _ => return String::from_utf8_lossy(&read).into_owned(),
        }
    }
}

/// Answers the requests of one stream with these bytes, in turn, and hangs up. Gives the requests.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: Vec<String>) -> Vec<String> {
    let mut requests = Vec::new();
    for answer in answers {
        requests.push(read_request(&mut stream).await);
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    // A client that went away is no failure of the server.
    let _ = stream.shutdown().await;
    requests
}

/// A server on loopback that serves so many connections, each with its answers. Gives its port and its requests.
async fn serve(connections: Vec<Vec<String>>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answers in connections {
            let (stream, _) = listener.accept().await.unwrap();
            requests.extend(answer(stream, answers).await);
        }
        requests
    });
    (port, serving)
}

fn tcp(port: u16) -> Endpoint {
    Endpoint::Tcp { host: "127.0.0.1".to_owned(), port }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One request to a server that gives one answer.
async fn exchange(answer: &str, deadlines: Deadlines) -> Result<Response, HttpError> {
    let (port, _serving) = serve(vec![vec![answer.to_owned()]]).await;
    Connection::open(&tcp(port), deadlines).await?.send(Request::get("/")).await
}

async fn text(response: Response) -> String {
    String::from_utf8(response.body.bytes(1 << 20).await.unwrap()).unwrap()
}

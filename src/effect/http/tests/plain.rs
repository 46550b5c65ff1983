//! Over TCP, Unix sockets and other streams: what is sent, what is understood, and every way to fail.

use hyper::{Method, StatusCode};
use tokio::net::{TcpListener, UnixListener};

use super::super::{Payload, send};
use super::*;
use crate::effect::testing::scratch;

#[tokio::test]
async fn requests_share_a_connection_and_carry_their_length() {
    let answers = vec![ok("one"), "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), ok("three")];
    let (port, serving) = serve(vec![answers]).await;
    let mut connection = Connection::open(&tcp(port), PATIENT).await.unwrap();
    let first = connection.send(Request::get("/a?b=c").header("X-Token", "t").unwrap()).await.unwrap();
    assert_eq!(text(first).await, "one");
    let put = Request::new(Method::PUT, "/d").body("application/json", "{}");
    assert_eq!(connection.send(put).await.unwrap().status, StatusCode::NO_CONTENT);
    let streamed = Payload::Stream { length: 5, from: Box::new(&b"hello and more"[..]) };
    let post = Request::new(Method::POST, "/e").payload(streamed);
    assert_eq!(text(connection.send(post).await.unwrap()).await, "three");
    let head = format!("host: 127.0.0.1:{port}\r\nuser-agent: regatta/{}\r\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        serving.await.unwrap(),
        [
            format!("GET /a?b=c HTTP/1.1\r\nx-token: t\r\n{head}\r\n"),
            format!("PUT /d HTTP/1.1\r\ncontent-type: application/json\r\n{head}content-length: 2\r\n\r\n{{}}"),
            format!("POST /e HTTP/1.1\r\n{head}content-length: 5\r\n\r\nhello"),
        ]
    );
}

#[tokio::test]
async fn a_request_without_a_body_says_so_where_one_is_usual() {
    let (port, serving) = serve(vec![vec![ok("")]]).await;
    let post = Request::new(Method::POST, "/start").header("host", "pve").unwrap();
    Connection::open(&tcp(port), PATIENT).await.unwrap().send(post).await.unwrap();
    let agent = format!("user-agent: regatta/{}", env!("CARGO_PKG_VERSION"));
    let expected = format!("POST /start HTTP/1.1\r\nhost: pve\r\n{agent}\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(serving.await.unwrap(), [expected]);
}

#[tokio::test]
async fn the_reason_is_kept_and_harmless() {
    let response = exchange("HTTP/1.1 500 no\u{1b}[31m such VM\r\ncontent-length: 0\r\n\r\n", PATIENT).await;
    // hyper refuses control characters there; what it lets through is printable.
    assert!(response.is_err());
    let response = exchange("HTTP/1.1 500 no such VM\r\ncontent-length: 0\r\nx-a: b\r\n\r\n", PATIENT).await.unwrap();
    assert_eq!((response.status.as_u16(), response.reason.as_str()), (500, "no such VM"));
    assert_eq!((response.header("X-A"), response.header("x-b")), (Some("b"), None));
    let usual = exchange("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", PATIENT).await.unwrap();
    assert_eq!(usual.reason, "Not Found");
}

#[tokio::test]
async fn a_unix_socket_and_an_open_stream_will_do() {
    let (_guard, dir) = scratch();
    let path = dir.join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move { answer(listener.accept().await.unwrap().0, vec![ok("unix")]).await });
    let endpoint = Endpoint::Unix { path: path.clone() };
    let mut connection = Connection::open(&endpoint, PATIENT).await.unwrap();
    assert_eq!(text(connection.send(Request::get("/")).await.unwrap()).await, "unix");
    assert!(serving.await.unwrap()[0].contains("host: localhost\r\n"));
    assert!(!connection.is_usable().await);
    let refused = Connection::open(&endpoint, PATIENT).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("cannot connect to `{path}`: Connection refused (os error 111)"));

    let (ours, theirs) = tokio::io::duplex(4096);
    let serving = tokio::spawn(answer(theirs, vec![ok("duplex")]));
    assert_eq!(text(send(ours, "there", PATIENT, Request::get("/")).await.unwrap()).await, "duplex");
    assert!(serving.await.unwrap()[0].contains("host: there\r\n"));
}

#[tokio::test]
async fn a_body_has_a_limit_and_an_end() {
    let whole = exchange(&ok("12345"), PATIENT).await.unwrap().body.bytes(5).await;
    assert_eq!(whole.unwrap(), b"12345");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n";
    let error = exchange(chunked, PATIENT).await.unwrap().body.bytes(4).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: 4, .. }), "{error}");
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1234";
    let error = exchange(cut, PATIENT).await.unwrap().body.bytes(100).await.unwrap_err();
    assert!(matches!(error, HttpError::Lost { doing: "in the middle of its response", .. }), "{error}");
}

/// LESSONS 27: who did not listen, who did not answer and who stopped in the middle are different causes.
#[tokio::test]
async fn each_silence_has_its_deadline() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let said = |error: HttpError| (error.to_string(), error.may_have_arrived());
    // It listens, and never answers.
    let impatient = Deadlines { first_byte: SHORT, ..PATIENT };
    let silent = Connection::open(&tcp(port), impatient).await.unwrap().send(Request::get("/")).await.unwrap_err();
    assert_eq!(said(silent), (format!("`127.0.0.1:{port}` took longer than 0.2 s to answer"), true));
    // It does not even shake hands.
    let impatient = Deadlines { connect: SHORT, ..PATIENT };
    let trust = Trust::System;
    let tls = Endpoint::Tls { host: "127.0.0.1".to_owned(), port, trust };
    let silent = Connection::open(&tls, impatient).await.unwrap_err();
    assert_eq!(said(silent), (format!("`127.0.0.1:{port}` took longer than 0.2 s to connect"), false));

    let (ours, theirs) = tokio::io::duplex(4096);
    let stalls = Deadlines { idle: SHORT, ..PATIENT };
    let stalled = stall(theirs);
    let body = send(ours, "there", stalls, Request::get("/")).await.unwrap().body;
    assert_eq!(said(body.bytes(100).await.unwrap_err()).0, "`there` took longer than 0.2 s to send any more");
    drop(stalled.await);

    let (ours, theirs) = tokio::io::duplex(4096);
    let stalls = Deadlines { total: SHORT, ..PATIENT };
    let stalled = stall(theirs);
    let body = send(ours, "there", stalls, Request::get("/")).await.unwrap().body;
    assert_eq!(said(body.bytes(100).await.unwrap_err()).0, "`there` took longer than 0.2 s to send it all");
    drop(stalled.await);
}

/// Begins to answer, and keeps the connection.
fn stall(mut stream: tokio::io::DuplexStream) -> JoinHandle<tokio::io::DuplexStream> {
    tokio::spawn(async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1").await.unwrap();
        stream
    })
}

#[tokio::test]
async fn a_server_that_hangs_up_or_speaks_something_else() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let serving = tokio::spawn(answer(theirs, vec![String::new()]));
    let error = send(ours, "there", PATIENT, Request::get("/")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "lost the connection to `there` before it answered: connection closed before message completed"
    );
    assert!(error.may_have_arrived() && error.is_transient());
    serving.await.unwrap();
    let error = exchange("SSH-2.0-OpenSSH_9.2\r\n", PATIENT).await.unwrap_err();
    assert!(error.to_string().contains("before it answered: invalid HTTP"), "{error}");
}

#[tokio::test]
async fn a_stream_that_is_too_short_breaks_the_request_off() {
    let (port, serving) = serve(vec![vec![ok("")]]).await;
    let short = Payload::Stream { length: 5, from: Box::new(&b"abc"[..]) };
    let put = Request::new(Method::PUT, "/").payload(short);
    let error = Connection::open(&tcp(port), PATIENT).await.unwrap().send(put).await.unwrap_err();
    assert!(matches!(error, HttpError::Lost { .. }), "{error}");
    drop(serving);
}

#[tokio::test]
async fn headers_are_checked_and_their_values_not_repeated() {
    let wrong = |name, value| Request::get("/").header(name, value).unwrap_err().to_string();
    assert_eq!(wrong("a b", "x"), "cannot make the request: `a b` is no header");
    let refused = wrong("authorization", "Bearer s3cret\n");
    assert_eq!(refused, "cannot make the request: the value of the header `authorization` is not printable ASCII");
    let request = Request::get("/").header("Authorization", "Bearer s3cret").unwrap().body("text/plain", "s3cret");
    assert!(!format!("{request:?}").contains("s3cret"));
    let (ours, _theirs) = tokio::io::duplex(16);
    let error = send(ours, "there", PATIENT, Request::get("/a b?token=s3cret")).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot make the request: `/a b` is no path");
}

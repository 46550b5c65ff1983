//! The client that follows redirects, and those it does not follow.

use hyper::Method;

use super::super::Client;
use super::*;

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

fn client() -> Client {
    Client::new(Trust::System, PATIENT)
}

fn authorized() -> Request {
    Request::get("").header("authorization", "Bearer s3cret").unwrap()
}

#[tokio::test]
async fn a_redirect_is_followed_and_credentials_stay_at_home() {
    let (other, serving_other) = serve(vec![vec![ok("blob")]]).await;
    let (port, serving) =
        serve(vec![vec![redirect("/there?x=1")], vec![redirect(&format!("http://127.0.0.1:{other}/blob"))]]).await;
    let response = client().send(&format!("http://127.0.0.1:{port}/here"), authorized()).await.unwrap();
    assert_eq!(text(response).await, "blob");
    let (first, second) = (serving.await.unwrap(), serving_other.await.unwrap());
    assert!(first.iter().all(|request| request.contains("authorization: Bearer s3cret")), "{first:?}");
    assert!(first[1].starts_with("GET /there?x=1 HTTP/1.1\r\n"), "{first:?}");
    assert!(!second[0].contains("s3cret"), "{second:?}");
}

#[tokio::test]
async fn redirects_without_end_or_to_elsewhere_are_refused() {
    let (port, serving) = serve((0..6).map(|_| vec![redirect("/")]).collect()).await;
    let url = format!("http://127.0.0.1:{port}/?signature=s3cret");
    let error = client().send(&url, Request::get("")).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`http://127.0.0.1:{port}/` redirects once more after 5 times"));
    serving.await.unwrap();
    for (location, why) in [
        ("file:///etc/passwd", "to `file:///etc/passwd`, expected http:// or https://"),
        ("http://[", "to `http://[`, which is no URL"),
    ] {
        let (port, _serving) = serve(vec![vec![redirect(location)]]).await;
        let error = client().send(&format!("http://127.0.0.1:{port}/"), Request::get("")).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`http://127.0.0.1:{port}/` redirects {why}"));
    }
}

#[tokio::test]
async fn what_changes_something_is_not_sent_again() {
    let (port, _serving) = serve(vec![vec![redirect("/there")]]).await;
    let url = format!("http://127.0.0.1:{port}/");
    let response = client().send(&url, Request::new(Method::POST, "").body("text/plain", "x")).await.unwrap();
    assert_eq!((response.status.as_u16(), response.header("location")), (307, Some("/there")));
}

#[tokio::test]
async fn urls_that_are_none() {
    let refusal = async |url: &str| client().send(url, Request::get("")).await.unwrap_err().to_string();
    assert_eq!(
        refusal("ftp://a/b").await,
        "cannot make the request: found the URL `ftp://a/b`, expected http:// or https://"
    );
    let with_password = refusal("https://me:s3cret@a/").await;
    assert_eq!(with_password, "cannot make the request: found a URL with a user name in it, expected none");
    assert!(refusal("a b").await.starts_with("cannot make the request: found the URL `a b`, "));
}

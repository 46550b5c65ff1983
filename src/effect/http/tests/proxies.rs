//! The client by way of a proxy.

use super::super::{Client, Proxies};
use super::*;

fn client(proxy: u16) -> Client {
    let value = format!("http://me:s3cret@127.0.0.1:{proxy}");
    Client::new(Trust::System, PATIENT).through(Proxies::of(|name| (name == "all_proxy").then(|| value.clone())))
}

#[tokio::test]
async fn what_is_not_encrypted_is_asked_of_the_proxy() {
    let (proxy, serving) = serve(vec![vec![ok("from far away")]]).await;
    let response = client(proxy).send("http://far.example:81/a?b=c", Request::get("")).await.unwrap();
    assert_eq!(text(response).await, "from far away");
    let asked = serving.await.unwrap().remove(0);
    assert!(asked.starts_with("GET http://far.example:81/a?b=c HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("host: far.example:81\r\n"), "{asked}");
    assert!(asked.contains("proxy-authorization: Basic bWU6czNjcmV0\r\n"), "{asked}");
}

#[tokio::test]
async fn what_is_encrypted_goes_through_a_tunnel() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let (proxy, serving) = serve(vec![vec![refusal.to_owned()]]).await;
    let error = client(proxy).send("https://far.example/a", Request::get("")).await.unwrap_err();
    let said = format!("the proxy `127.0.0.1:{proxy}` answers `HTTP/1.1 407 Proxy Authentication Required`");
    assert_eq!(error.to_string(), format!("cannot connect to `far.example:443`: {said}"));
    let asked = serving.await.unwrap().remove(0);
    let expected = "CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\
        Proxy-Authorization: Basic bWU6czNjcmV0\r\n\r\n";
    assert_eq!(asked, expected);
    // Once it stands, TLS is spoken over it: this is none.
    let (proxy, _serving) = serve(vec![vec!["HTTP/1.1 200 Connection established\r\n\r\nno TLS".to_owned()]]).await;
    let error = client(proxy).send("https://far.example/a", Request::get("")).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot connect to `far.example`: "), "{error}");
}

#[tokio::test]
async fn a_proxy_that_is_down_is_named() {
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = client(port).send("https://far.example/", Request::get("")).await.unwrap_err().to_string();
    assert!(error.contains(&format!("through the proxy `127.0.0.1:{port}`: Connection refused")), "{error}");
}

//! Requests and responses, from their bytes and back.

#![allow(clippy::unwrap_used)]

use super::{Request, Response, decode_query};

fn parse(head: &str) -> Result<Request, String> {
    Request::parse(head.as_bytes(), b"[1]".to_vec())
}

#[test]
fn reads_a_head() {
    let request =
        parse("PUT /a%20b/c?q=1+2&q=3&flag&%C3%A4=%3d\r\nHost: h:80\r\nx-empty:\r\n").unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/a%20b/c"));
    assert_eq!(request.query("q"), Some("1 2"));
    assert_eq!(request.query("flag"), Some(""));
    assert_eq!(request.query("ä"), Some("="));
    assert_eq!(request.query("none"), None);
    assert_eq!(request.query.len(), 4);
    assert_eq!(request.header("HOST"), Some("h:80"));
    assert_eq!(request.header("X-Empty"), Some(""));
    assert_eq!(request.header("none"), None);
    assert_eq!(request.json::<Vec<u8>>(), Ok(vec![1]));
}

#[test]
fn a_call_without_http_is_a_post() {
    let request = parse("").unwrap();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/"));
    assert!(request.query.is_empty() && request.headers.is_empty());
    assert_eq!(request.body, b"[1]");
}

#[test]
fn refuses_what_is_no_head() {
    assert!(parse("GET\r\n").unwrap_err().contains("found \"GET\""));
    assert!(parse("GET /\r\nnonsense\r\n").unwrap_err().contains("found \"nonsense\""));
}

#[test]
fn leaves_alone_what_is_no_code() {
    for text in ["%", "%4", "%4g", "100%", "%%41"] {
        let expected = if text == "%%41" { "%A" } else { text };
        assert_eq!(decode_query(text), expected);
    }
    assert_eq!(decode_query("%ff"), "\u{fffd}", "not UTF-8");
}

#[test]
fn builds_a_response() {
    let response = Response::json(&[1, 2]).unwrap().status(201).header("a", "b");
    assert_eq!((response.status, response.body.as_slice()), (201, b"[1,2]".as_slice()));
    assert_eq!(response.headers[0], ("content-type".into(), "application/json".into()));
    assert_eq!(response.headers[1], ("a".into(), "b".into()));
}

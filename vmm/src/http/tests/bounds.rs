//! What a client may send, and how long it may take.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;

use super::{ANY, Answer, Bounds, Site};
use crate::wire::MAX_INPUT_BYTES;

/// Longest that a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);
const SHORT: Bounds = Bounds { header: Duration::from_millis(100), connections: 2 };

/// What a server says to these bytes until it closes the connection.
fn said(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(site.http.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => said,
    }
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_announcement() {
    let site = Site::new();
    for (method, path, length) in [
        ("POST", "/f/f", (64 << 20) + 1_u64),
        ("PUT", "/v1/functions/f", (24 << 20) + 1),
        ("POST", "/v1/functions/f/rollback", (1 << 20) + 1),
        ("POST", "/v1/tenants", u64::MAX),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: \
             {length}\r\nconnection: close\r\n\r\n",
            site.admin
        );
        let answer = Answer::parse(&said(&site, request.as_bytes()));
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        if length != u64::MAX {
            assert_eq!(answer.kind(), "too-large", "{path}");
        }
    }
}

/// The head of a call whose body is over the limit.
fn too_long(site: &Site, framing: &str) -> String {
    let token = &site.tenant;
    format!("POST /f/f HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{framing}\r\n\r\n")
}

#[test]
fn a_client_that_sends_a_body_over_the_limit_to_its_end_can_read_why_it_was_refused() {
    let site = Site::new();
    let body = vec![b'x'; MAX_INPUT_BYTES + (4 << 20)];
    let whole = format!("content-length: {}", body.len());
    let chunk = format!("{:x}\r\n", body.len());
    let ways = [(whole.as_str(), "", ""), ("transfer-encoding: chunked", &chunk, "\r\n0\r\n\r\n")];
    for (framing, before, after) in ways {
        let mut stream = TcpStream::connect(site.http.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for part in [too_long(&site, framing).as_bytes(), before.as_bytes(), &body] {
            stream.write_all(part).unwrap_or_else(|error| panic!("{framing}: {error}"));
        }
        // By now the server may have read what tells it that there is too much.
        let _ = stream.write_all(after.as_bytes());
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap_or_else(|error| panic!("{framing}: {error}"));
        let answer = Answer::parse(&said);
        assert_eq!(answer.kind(), "too-large", "{framing}");
        assert!(answer.headers.contains("connection: close"), "{}", answer.headers);
    }
}

#[test]
fn a_client_that_asks_before_it_sends_too_much_is_told_no() {
    let site = Site::new();
    let framing = format!("content-length: {}\r\nexpect: 100-continue", MAX_INPUT_BYTES + 1);
    let answer = Answer::parse(&said(&site, too_long(&site, &framing).as_bytes()));
    assert_eq!(answer.kind(), "too-large", "the first word is the last");
}

#[test]
fn a_body_that_is_no_json_or_has_unknown_fields_is_refused() {
    let site = Site::new();
    for body in ["", "{", "[]", r#"{"version":"x"}"#, r#"{"version":1,"and":2}"#, "\u{0}"] {
        let path = "/v1/functions/f/rollback";
        let answer = site.ask(&site.tenant, "POST", path, body.as_bytes());
        assert_eq!(answer.kind(), "bad-request", "{body:?}");
    }
    let answer = site.ask(&site.tenant, "PUT", "/v1/functions/a%20b/settings", b"{}");
    assert_eq!(answer.kind(), "bad-request", "a name that is none");
    let answer = site.ask(&site.tenant, "PUT", "/v1/functions/%ff/settings", b"{}");
    assert_eq!(answer.kind(), "bad-request", "a name that is no text");
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let site = Site::within(SHORT, None);
    assert!(said(&site, b"").is_empty(), "a connection on which nothing comes");
    let answer = said(&site, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ");
    let text = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn garbage_and_endless_heads_are_refused_and_the_server_goes_on() {
    let site = Site::new();
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100 << 10));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\0\0\0\0\r\n\r\n"] {
        let mut bytes = bytes.to_vec();
        bytes.extend_from_slice(b"\r\n\r\n");
        let said = said(&site, &bytes);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "{said:?}");
    }
    for bytes in [long, many] {
        let said = String::from_utf8_lossy(&said(&site, bytes.as_bytes())).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    assert_eq!(site.ask("", "GET", "/healthz", b"").status, 200);
}

#[test]
fn more_connections_than_may_be_are_closed_until_one_ends() {
    let bounds = Bounds { connections: 2, ..Bounds::default() };
    let site = Site::within(bounds, None);
    let alive = |stream: &mut TcpStream| -> bool {
        let mut answer = [0; 12];
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
    };
    let connect = || TcpStream::connect(site.http.address()).unwrap();
    let (mut first, mut second) = (connect(), connect());
    assert!(alive(&mut first) && alive(&mut second));
    assert!(!alive(&mut connect()), "a third is closed");
    drop(first);
    let until = Instant::now() + PATIENCE;
    while !alive(&mut connect()) {
        assert!(Instant::now() < until, "room is never given back");
    }
}

#[test]
fn over_tls_it_shows_the_folders_certificate() {
    let site = Site::within(Bounds::default(), Some(ANY));
    let trust = std::fs::read(site.dir.path().join("tls/trust.pem")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&trust).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(faaslet_net::tls::SERVER_NAME).unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(site.http.tls_address().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    assert_eq!(Answer::parse(&said).text(), "ready\n");
}

#[test]
fn a_monitor_that_drains_is_not_ready_and_takes_no_calls() {
    let site = Site::new();
    assert_eq!(site.ask("", "GET", "/readyz", b"").status, 200);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(site.monitor.drain());
    for (method, path, body) in
        [("GET", "/readyz", ""), ("POST", "/f/f", ""), ("PUT", "/v1/functions/f", "{}")]
    {
        let answer = site.ask(&site.tenant, method, path, body.as_bytes());
        assert_eq!(answer.kind(), "shutting-down", "{method} {path}");
        assert!(answer.headers.contains("retry-after: 1"));
    }
    assert_eq!(site.ask("", "GET", "/healthz", b"").status, 200, "it still answers");
}

#[test]
fn an_address_in_use_is_named() {
    let site = Site::new();
    let taken = site.http.address();
    let other = super::super::serve(Arc::clone(&site.monitor), taken, None);
    let text = other.err().unwrap().to_string();
    assert!(text.contains(&taken.to_string()) && text.contains("--http"), "{text}");
}

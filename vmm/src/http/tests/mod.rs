//! HTTP against a real monitor in a folder of its own, without a cell: what needs one is in
//! `vmm/tests/http.rs`.

mod bounds;
mod contract;
mod rights;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use faaslet_net::server::Server;
use serde_json::Value;

use super::{Bounds, HttpServer, serve_within};
use crate::monitor::{ADMIN_TOKEN_FILE, Config, DEFAULT_TOKEN_FILE, Monitor};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A monitor that listens, and goes with its folder when it is dropped.
struct Site {
    http: HttpServer,
    monitor: Arc<Monitor>,
    _quic: Server,
    admin: String,
    tenant: String,
    dir: tempfile::TempDir,
}

/// An answer.
struct Answer {
    status: u16,
    /// As they came, names in small letters.
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {text:?}"));
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let (first, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or_else(|| panic!("no answer: {text:?}")),
            headers: headers.to_owned(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// The kind of the problem that it tells.
    fn kind(&self) -> String {
        let problem = "content-type: application/problem+json";
        assert!(self.headers.contains(problem), "{} {}", self.headers, self.text());
        let problem: crate::api::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert!(!problem.detail.is_empty() && !problem.title.is_empty());
        problem.kind
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }
}

impl Site {
    fn new() -> Self {
        Self::within(Bounds::default(), None)
    }

    fn within(bounds: Bounds, tls: Option<SocketAddr>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { listen: ANY, ..Config::new(dir.path().to_owned()) };
        let (monitor, quic) = Monitor::start(config).unwrap();
        let http = serve_within(Arc::clone(&monitor), ANY, tls, bounds).unwrap();
        let token =
            |file| std::fs::read_to_string(dir.path().join(file)).unwrap().trim().to_owned();
        let (admin, tenant) = (token(ADMIN_TOKEN_FILE), token(DEFAULT_TOKEN_FILE));
        Self { http, monitor, _quic: quic, admin, tenant, dir }
    }

    /// Asks, with this token if it is not empty; the status must be a documented one.
    fn ask(&self, token: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.0\r\nhost: test\r\n");
        if !token.is_empty() {
            head.extend(["authorization: Bearer ", token, "\r\n"]);
        }
        head.extend(["content-length: ", &body.len().to_string(), "\r\n\r\n"]);
        let mut stream = TcpStream::connect(self.http.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses by the head closes before it has read the body.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let answer = Answer::parse(&bytes);
        contract::documented(method, path, answer.status);
        answer
    }
}

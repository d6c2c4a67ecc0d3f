//! Somebody with a token: over HTTP, QUIC and the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use faaslet_net::client::{BlockingClient, Client, ClientConfig, ConnectError};
use faaslet_net::tls;
use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::monitor::Monitor;
use crate::program::Ran;
use crate::site;

/// Whoever holds a token.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The token.
    pub token: String,
    quic: SocketAddr,
    http: SocketAddr,
    keys: PathBuf,
}

impl Tenant {
    /// Somebody who shows `token` to `monitor`.
    #[must_use]
    pub fn new(monitor: &Monitor<'_>, token: &str) -> Self {
        let keys = monitor.site().data().join("tls");
        Self { token: token.to_owned(), quic: monitor.quic, http: monitor.http, keys }
    }

    fn config(&self) -> ClientConfig {
        let trust = tls::client_config(&self.keys).unwrap();
        ClientConfig { max_attempts: 1, ..ClientConfig::new(self.quic, trust, &*self.token) }
    }

    /// Connects over QUIC.
    ///
    /// # Errors
    /// When the monitor does not let it in.
    pub fn connect(&self) -> Result<BlockingClient, ConnectError> {
        BlockingClient::connect(self.config())
    }

    /// Connects over QUIC, within a runtime.
    ///
    /// # Errors
    /// When the monitor does not let it in.
    pub async fn client(&self) -> Result<Client, ConnectError> {
        Client::connect(self.config()).await
    }

    /// Asks over HTTP with its token and more headers.
    ///
    /// # Panics
    /// When no whole answer comes.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.try_ask(method, path, more, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks over HTTP with its token and more headers.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub fn try_ask(
        &self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [&[("authorization", bearer.as_str())], more].concat();
        http::ask(self.http, method, path, &headers, body)
    }

    /// Asks for something.
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// Sends JSON.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        let kind = [("content-type", "application/json")];
        self.ask("POST", path, &kind, body.to_string().as_bytes())
    }

    /// Calls a function over HTTP.
    #[must_use]
    pub fn call(&self, name: &str, input: &[u8]) -> Answer {
        self.ask("POST", &format!("/f/{name}"), &[], input)
    }

    /// Deploys a module over HTTP; the last line of the answer, or nothing when the monitor was
    /// lost before it said one.
    ///
    /// # Panics
    /// When the module cannot be read or is not taken.
    #[must_use]
    pub fn try_deploy(&self, name: &str, module: &Path) -> Option<Value> {
        let bytes = std::fs::read(module).unwrap();
        let module = self.try_ask("POST", "/v1/modules", &[], &bytes).ok()?;
        assert_eq!(module.status, 200, "{module:?}");
        let request = json!({ "module": module.json()["module"] }).to_string();
        let path = format!("/v1/functions/{name}");
        let answer = self.try_ask("PUT", &path, &[], request.as_bytes()).ok()?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let last: Value = serde_json::from_str(answer.text().lines().last()?).ok()?;
        matches!(last["event"].as_str(), Some("deployed" | "failed")).then_some(last)
    }

    /// Runs a command of the program with its token.
    #[must_use]
    pub fn run(&self, monitor: &Monitor<'_>, args: &[&str]) -> Ran {
        monitor.run(&[&["--token", &self.token], args].concat())
    }

    /// Deploys a guest of `tests/guests/wat` under its own name; it must work.
    ///
    /// # Panics
    /// When it does not.
    pub fn deploy_wat(&self, monitor: &Monitor<'_>, name: &str) {
        let module = monitor.site().wat(name);
        let _ = self.run(monitor, &["deploy", site::text(&module), "--name", name]).ok();
    }
}

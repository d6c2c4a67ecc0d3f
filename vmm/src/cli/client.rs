//! How commands reach the monitor: by what its folder says, with the token that lies there.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faaslet_net::client::{BlockingClient, ClientConfig, ConnectError};
use faaslet_net::tls;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, BodyReader, SendBody};

use super::exit::{Code, Failure};
use crate::api::Problem;
use crate::monitor::{ADDRESS_FILE, ADMIN_TOKEN_FILE, DEFAULT_TOKEN_FILE};

/// How long the monitor may take to take a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Attempts to reach the monitor over QUIC.
const MAX_ATTEMPTS: u32 = 2;
/// Longest answer that is no stream.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Where a monitor listens, as it writes it into its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Calls over QUIC.
    pub quic: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
    /// HTTP over TLS.
    pub https: Option<SocketAddr>,
    /// The monitor's process.
    pub pid: u32,
}

/// With whose rights a command acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// A tenant's.
    Tenant,
    /// The operator's.
    Operator,
}

/// Which monitor, and as whom.
#[allow(clippy::doc_markdown, reason = "help is read on a terminal")]
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The monitor's folder [default: $XDG_STATE_HOME/faaslet or ~/.local/state/faaslet]
    #[arg(long, env = "FAASLET_DIR", value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// Token to act with [default: the one in the folder]
    #[arg(long, global = true, env = "FAASLET_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Tenant to act for, as the operator
    #[arg(long, global = true, value_name = "NAME")]
    pub tenant: Option<String>,
}

/// A command that takes the monitor's folder behind its name too. Those whose `--dir` is a folder
/// for functions take it before: `faaslet --dir FOLDER deploy ...`.
#[derive(Debug, Clone, clap::Args)]
pub struct At<T: clap::Args> {
    /// The monitor's folder
    #[arg(long = "dir", id = "folder", value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// What it does.
    #[command(flatten)]
    pub command: T,
}

impl<T: clap::Args> At<T> {
    /// The command, with the folder put where all commands look for it.
    pub fn into_command(self, target: &mut Target) -> T {
        if let Some(folder) = self.folder {
            target.dir = Some(folder);
        }
        self.command
    }
}

/// A command without arguments of its own.
#[derive(Debug, Clone, clap::Args)]
pub struct Plain {}

/// A connection to a monitor's HTTP side.
pub struct Client {
    agent: Agent,
    base: String,
    token: String,
    tenant: Option<String>,
}

impl Target {
    /// The monitor's folder.
    pub fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.dir {
            return Ok(dir.clone());
        }
        let state = std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty());
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
        let state = state.map(PathBuf::from).or_else(home);
        state.map(|state| state.join("faaslet")).ok_or_else(|| {
            Failure::new(Code::Usage, "no folder for the monitor: give one with --dir, or set HOME")
        })
    }

    /// Where the monitor of the folder listens.
    pub fn address(&self) -> Result<Address, Failure> {
        let path = self.folder()?.join(ADDRESS_FILE);
        let text = fs::read_to_string(&path).map_err(|_| {
            let folder = path.parent().unwrap_or(Path::new("")).display();
            let what = format!(
                "no monitor runs in {folder}; start one with `faaslet up`, or name its folder \
                 with --dir"
            );
            Failure::new(Code::Unreachable, what)
        })?;
        serde_json::from_str(&text).map_err(|error| {
            let what = format!("{} is damaged ({error}); restart the monitor", path.display());
            Failure::new(Code::Unreachable, what)
        })
    }

    fn token(&self, right: Right) -> Result<String, Failure> {
        if let Some(token) = &self.token {
            return Ok(token.trim().to_owned());
        }
        let admin = right == Right::Operator || self.tenant.is_some();
        let file = if admin { ADMIN_TOKEN_FILE } else { DEFAULT_TOKEN_FILE };
        let path = self.folder()?.join(file);
        let text = fs::read_to_string(&path).map_err(|error| {
            let what = format!(
                "no token: cannot read {} ({error}); give one with --token",
                path.display()
            );
            Failure::new(Code::Unreachable, what)
        })?;
        Ok(text.trim().to_owned())
    }

    /// Connects over HTTP; nothing is sent yet.
    pub fn http(&self, right: Right) -> Result<Client, Failure> {
        let address = self.address()?;
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_LIMIT))
            .http_status_as_error(false)
            .max_idle_connections(1)
            .proxy(None)
            .build();
        Ok(Client {
            agent: config.into(),
            base: format!("http://{}", address.http),
            token: self.token(right)?,
            tenant: self.tenant.clone(),
        })
    }

    /// Connects over QUIC.
    pub fn quic(&self) -> Result<BlockingClient, Failure> {
        let address = self.address()?;
        let trust = tls::client_config(&self.folder()?.join("tls"))
            .map_err(|error| Failure::new(Code::Unreachable, error.to_string()))?;
        let config = ClientConfig {
            max_attempts: MAX_ATTEMPTS,
            ..ClientConfig::new(address.quic, trust, self.token(Right::Tenant)?)
        };
        BlockingClient::connect(config).map_err(|error| connect_failure(&error))
    }
}

/// A failed connection as a command shows it.
pub fn connect_failure(error: &ConnectError) -> Failure {
    let what = match error {
        ConnectError::Denied { .. } => format!("{error}; give a valid token with --token"),
        _ => error.to_string(),
    };
    Failure::new(Code::Unreachable, what)
}

impl Client {
    /// Asks, and reads a JSON answer.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::GET, path, None::<&()>)
    }

    /// Sends JSON, and reads a JSON answer.
    pub fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let response = self.ask(method, path, body)?;
        let text = response
            .into_body()
            .into_with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| unreadable(&error))?;
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text).map_err(|error| {
            let what =
                format!("expected JSON from the monitor; {error}; is it of another release?");
            Failure::new(Code::Unreachable, what)
        })
    }

    /// Sends JSON, and gives the answer's body to be read as it comes.
    pub fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<BodyReader<'static>, Failure> {
        Ok(self.ask(method, path, body)?.into_body().into_reader())
    }

    /// Sends what a reader gives, and reads a JSON answer.
    pub fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &mut dyn std::io::Read,
    ) -> Result<T, Failure> {
        let request = self.request(Method::POST, path);
        let mut body = body;
        let request = request
            .header("content-type", "application/wasm")
            .body(SendBody::from_reader(&mut body));
        let mut response = checked(self.run(request.map_err(|error| unreadable(&error))?)?)?;
        response.body_mut().read_json().map_err(|error| unreadable(&error))
    }

    /// Sends bytes with headers of the command's own.
    pub fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response<Body>, Failure> {
        let has_body = matches!(method, Method::PUT | Method::POST);
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = if has_body {
            let request = request.header("content-type", "application/octet-stream").body(body);
            self.run(request.map_err(|error| unreadable(&error))?)?
        } else {
            self.run(request.body(()).map_err(|error| unreadable(&error))?)?
        };
        checked(response)
    }

    /// The same, and reads a JSON answer.
    pub fn send_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<T, Failure> {
        let mut response = self.send(method, path, headers, body)?;
        response.body_mut().read_json().map_err(|error| unreadable(&error))
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response<Body>, Failure> {
        let bytes = body.map(serde_json::to_vec).transpose();
        let bytes = bytes.map_err(|error| Failure::local("cannot make the request", error))?;
        let request = self.request(method, path);
        let response = match bytes {
            None => self.run(request.body(()).map_err(|error| unreadable(&error))?)?,
            Some(bytes) => {
                let request = request.header("content-type", "application/json").body(bytes);
                self.run(request.map_err(|error| unreadable(&error))?)?
            }
        };
        checked(response)
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let joint = if path.contains('?') { '&' } else { '?' };
        let tenant = self.tenant.as_ref().map(|name| format!("{joint}tenant={name}"));
        let tenant = tenant.unwrap_or_default();
        Request::builder()
            .method(method)
            .uri(format!("{}{path}{tenant}", self.base))
            .header("authorization", format!("Bearer {}", self.token))
    }

    fn run(&self, request: Request<impl ureq::AsSendBody>) -> Result<Response<Body>, Failure> {
        self.agent.run(request).map_err(|error| {
            let what = format!(
                "no monitor answers at {} ({error}); start one with `faaslet up`",
                self.base
            );
            Failure::new(Code::Unreachable, what)
        })
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Lost, format!("the monitor's answer cannot be read: {error}"))
}

/// The response, or the problem that it tells.
fn checked(mut response: Response<Body>) -> Result<Response<Body>, Failure> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    Err(match serde_json::from_str::<Problem>(&text) {
        Ok(problem) => problem_failure(&problem),
        Err(_) => Failure::new(
            Code::Unreachable,
            format!("expected a faaslet monitor; found an HTTP answer {status}"),
        ),
    })
}

/// A problem as a command shows it.
pub fn problem_failure(problem: &Problem) -> Failure {
    let code = match problem.status {
        401 | 403 => Code::Unreachable,
        502 => Code::Lost,
        504 | 408 => Code::TimedOut,
        _ => Code::Refused,
    };
    Failure::new(code, problem.detail.clone())
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}

/// A path whose rows another host gives.
pub fn at_host(path: &str, host: Option<&str>) -> String {
    match host {
        Some(host) => format!("{path}?host={}", escaped(host)),
        None => path.to_owned(),
    }
}

/// A text as it may stand in a query.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_./".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(dir: &std::path::Path) -> Target {
        Target { dir: Some(dir.to_owned()), token: None, tenant: None }
    }

    #[test]
    fn without_a_monitor_the_error_says_how_to_start_one() {
        let dir = tempfile::tempdir().unwrap();
        let failure = target(dir.path()).address().unwrap_err();
        assert_eq!(failure.code, Code::Unreachable);
        assert!(failure.message.contains("faaslet up"), "{}", failure.message);
        std::fs::write(dir.path().join(ADDRESS_FILE), "{").unwrap();
        assert_eq!(target(dir.path()).address().unwrap_err().code, Code::Unreachable);
    }

    #[test]
    fn the_operator_and_who_names_a_tenant_act_with_the_operators_token() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(ADMIN_TOKEN_FILE), "admin\n").unwrap();
        std::fs::write(dir.path().join(DEFAULT_TOKEN_FILE), "own\n").unwrap();
        let mut target = target(dir.path());
        assert_eq!(target.token(Right::Tenant), Ok("own".to_owned()));
        assert_eq!(target.token(Right::Operator), Ok("admin".to_owned()));
        target.tenant = Some("t".to_owned());
        assert_eq!(target.token(Right::Tenant), Ok("admin".to_owned()));
        target.token = Some("given".to_owned());
        assert_eq!(target.token(Right::Operator), Ok("given".to_owned()));
    }

    #[test]
    fn a_problem_becomes_an_exit_code() {
        let table = [
            (Problem::unauthorised("d"), Code::Unreachable),
            (Problem::forbidden("d"), Code::Unreachable),
            (Problem::not_found("d"), Code::Refused),
            (Problem::disk_full("d"), Code::Refused),
            (Problem::timed_out("d"), Code::TimedOut),
            (Problem::lost("d"), Code::Lost),
        ];
        for (problem, code) in table {
            assert_eq!(problem_failure(&problem).code, code, "{problem:?}");
        }
    }

    #[test]
    fn a_text_is_escaped_for_a_query() {
        assert_eq!(escaped("/a b&c=ä"), "/a%20b%26c%3D%C3%A4");
    }
}

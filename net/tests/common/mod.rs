//! A server with a handler for tests, and clients of it, over loopback.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part of it.

use bytes::Bytes;
use faaslet_net::client::{CallError, Client, ClientConfig, ConnectError};
use faaslet_net::server::{CallRef, Handler, ReplySink, Server, ServerConfig, Tenant};
use faaslet_net::{Call, CancelReason, Refusal, Reply, tls};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "correct horse";
/// Nothing here takes as long, unless it is broken.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// What `big` answers a part of: the same bytes each time, so that what a server takes up is its own.
static BIG: LazyLock<Bytes> = LazyLock::new(|| vec![7; 8 << 20].into());

/// `echo` answers its input, `hold` when the test says so, `big` with as many MiB as its input
/// has bytes, `fail` and `trap` as they are called, `drop` never.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: Vec<(CallRef, ReplySink)>,
    cancelled: HashMap<CallRef, CancelReason>,
    given: usize,
}

impl Handler for Script {
    fn authenticate(&self, token: &[u8], _remote: SocketAddr) -> Option<Tenant> {
        (token == TOKEN.as_bytes()).then(|| Tenant::new("acme"))
    }

    fn call(&self, tenant: &Tenant, call: Call, reply: ReplySink) {
        assert_eq!(&**tenant, "acme");
        self.state.lock().unwrap().given += 1;
        match &*call.function {
            "echo" => reply.reply(Reply::returned(call.input)),
            "big" => reply.reply(Reply::returned(BIG.slice(..call.input.len() << 20))),
            "fail" => reply.reply(Reply::new(faaslet_net::Outcome::Failed, "no such colour")),
            "trap" => reply.reply(Reply::new(faaslet_net::Outcome::Trapped, "unreachable")),
            "drop" => drop(reply),
            "hold" => self.state.lock().unwrap().held.push((reply.call(), reply)),
            _ => reply.reply(Reply::refused(Refusal::NotFound, "")),
        }
        self.changed.notify_all();
    }

    fn cancel(&self, call: CallRef, why: CancelReason) {
        self.state.lock().unwrap().cancelled.insert(call, why);
        self.changed.notify_all();
    }
}

impl Script {
    /// Waits until `count` calls are held, and takes them.
    pub(crate) fn take_held(&self, count: usize) -> Vec<(CallRef, ReplySink)> {
        self.wait(|state| state.held.len() >= count);
        std::mem::take(&mut self.state.lock().unwrap().held)
    }

    /// Waits until `call` is cancelled.
    pub(crate) fn cancelled(&self, call: CallRef) -> CancelReason {
        self.wait(|state| state.cancelled.contains_key(&call));
        self.state.lock().unwrap().cancelled[&call]
    }

    /// Calls given so far.
    pub(crate) fn given(&self) -> usize {
        self.state.lock().unwrap().given
    }

    pub(crate) fn wait_given(&self, count: usize) {
        self.wait(|state| state.given >= count);
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        let until_then = Instant::now() + LONG;
        let mut state = self.state.lock().unwrap();
        while !until(&state) {
            let left = until_then.checked_duration_since(Instant::now());
            let left = left.expect("what was waited for did not happen");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) script: Arc<Script>,
    pub(crate) config: ServerConfig,
    pub(crate) server: Option<Server>,
    pub(crate) addr: SocketAddr,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        tls::generate(&folder.path().join("tls")).unwrap();
        let addr = "127.0.0.1:0".parse().unwrap();
        let mut bench = Self { folder, script: Arc::default(), config, server: None, addr };
        bench.start();
        bench
    }

    /// Starts a server on the address of the last one.
    pub(crate) fn start(&mut self) {
        let tls = tls::server_config(&self.folder.path().join("tls")).unwrap();
        let server = Server::bind(self.addr, &tls, self.config, self.script.clone()).unwrap();
        self.addr = server.local_addr();
        self.server = Some(server);
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        let trust = tls::client_config(&self.folder.path().join("tls")).unwrap();
        ClientConfig::new(self.addr, trust, TOKEN)
    }

    pub(crate) async fn client(&self) -> Result<Client, ConnectError> {
        Client::connect(self.client_config()).await
    }
}

pub(crate) fn is_unknown(error: &CallError) -> bool {
    matches!(error, CallError::Unknown { .. })
}

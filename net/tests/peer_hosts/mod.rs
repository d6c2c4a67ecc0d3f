//! Hosts of one operator for tests, each with a handler that does as it is asked.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part of it.

use bytes::Bytes;
use faaslet_net::CancelReason;
use faaslet_net::peer::{
    HostId, PeerError, PeerHandler, PeerReply, PeerResponse, Peers, PeersConfig, RequestRef, tls,
};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing here takes as long, unless it is broken.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// A deadline that is reached by what is broken alone.
pub(crate) fn soon() -> Instant {
    Instant::now() + LONG
}

/// Waits until something is so.
pub(crate) fn until(so: impl Fn() -> bool) {
    let give_up = soon();
    while !so() {
        assert!(Instant::now() < give_up, "what was waited for did not happen");
        std::thread::yield_now();
    }
}

/// By its head, a request is answered (`echo`), held (`hold`), refused (`refuse`) or dropped.
#[derive(Default)]
pub(crate) struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: Vec<PeerReply>,
    cancelled: HashSet<RequestRef>,
    given: usize,
}

impl PeerHandler for Script {
    fn request(&self, _from: HostId, head: Bytes, payload: Bytes, reply: PeerReply) {
        self.state.lock().unwrap().given += 1;
        match &head[..] {
            b"echo" => reply.respond(head, payload),
            b"hold" => self.state.lock().unwrap().held.push(reply),
            b"refuse" => reply.refuse("not the owner"),
            _ => drop(reply),
        }
        self.changed.notify_all();
    }

    fn cancel(&self, request: RequestRef, _why: CancelReason) {
        self.state.lock().unwrap().cancelled.insert(request);
        self.changed.notify_all();
    }
}

impl Script {
    /// Waits until `count` requests are held, and takes them.
    pub(crate) fn take_held(&self, count: usize) -> Vec<PeerReply> {
        self.wait(|state| state.held.len() >= count);
        std::mem::take(&mut self.state.lock().unwrap().held)
    }

    pub(crate) fn wait_cancelled(&self, request: RequestRef) {
        self.wait(|state| state.cancelled.contains(&request));
    }

    /// Requests given so far.
    pub(crate) fn given(&self) -> usize {
        self.state.lock().unwrap().given
    }

    fn wait(&self, so: impl Fn(&State) -> bool) {
        let state = self.state.lock().unwrap();
        let (_state, late) =
            self.changed.wait_timeout_while(state, LONG, |state| !so(state)).unwrap();
        assert!(!late.timed_out(), "what was waited for did not happen");
    }
}

pub(crate) struct Host {
    pub(crate) peers: Peers,
    pub(crate) script: Arc<Script>,
}

impl Host {
    pub(crate) fn host(&self) -> HostId {
        self.peers.host()
    }

    pub(crate) async fn ask(
        &self,
        to: &Host,
        head: &'static str,
        payload: impl Into<Bytes>,
    ) -> Result<PeerResponse, PeerError> {
        let asked = self.peers.ask(to.host(), head, payload, soon());
        tokio::time::timeout(LONG, asked).await.unwrap()
    }
}

/// The keys of one operator.
pub(crate) struct Hosts {
    folder: TempDir,
    pub(crate) any: SocketAddr,
}

impl Hosts {
    pub(crate) fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = folder.path().join("authority");
        tls::generate_authority(&authority).unwrap();
        for name in names {
            let host = HostId::new(name).unwrap();
            tls::generate_host(&authority, host, &folder.path().join(name)).unwrap();
        }
        Self { folder, any: "127.0.0.1:0".parse().unwrap() }
    }

    pub(crate) fn start(&self, name: &str) -> Host {
        self.start_at(name, self.any, PeersConfig::default())
    }

    pub(crate) fn start_at(&self, name: &str, addr: SocketAddr, config: PeersConfig) -> Host {
        let tls = tls::load(&self.folder.path().join(name), HostId::new(name).unwrap()).unwrap();
        let script = Arc::new(Script::default());
        let peers = Peers::bind(addr, tls, config, script.clone()).unwrap();
        Host { peers, script }
    }

    /// Gives all of them the table of all of them.
    pub(crate) fn acquaint(hosts: &[&Host]) {
        let table: Vec<_> =
            hosts.iter().map(|host| (host.host(), host.peers.local_addr())).collect();
        for host in hosts {
            host.peers.set_table(&table);
        }
    }
}

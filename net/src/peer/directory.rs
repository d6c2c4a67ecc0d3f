//! What any thread may know of the other hosts: who they are, what is under way to each, counters.

use super::PeersConfig;
use super::error::PeerError;
use faaslet_proto::peer::HostId;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// A smoothed round trip moves by one of so many parts with each.
const SMOOTHING: u64 = 8;

/// What happened between this host and another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounters {
    /// True while a connection to it is open.
    pub is_connected: bool,
    /// Requests of ours that wait to be sent or for their response.
    pub in_flight: u64,
    /// Heads and payloads of those.
    pub in_flight_bytes: u64,
    /// Requests of ours that were taken.
    pub requests: u64,
    /// Those that ended without a response, for whatever reason.
    pub failures: u64,
    /// Requests of ours that were not taken, as too many were under way.
    pub busy: u64,
    /// Requests that it sent.
    pub served: u64,
    /// Heads and payloads of our requests and responses.
    pub sent_bytes: u64,
    /// Heads and payloads of its requests and responses.
    pub received_bytes: u64,
    /// From a request to its response, over the last few; the work at the other end is in it.
    pub round_trip: Duration,
    /// Connections that were opened, from either end.
    pub connects: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
}

/// One other host.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) host: HostId,
    pub(super) is_connected: AtomicBool,
    in_flight: AtomicU64,
    in_flight_bytes: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    busy: AtomicU64,
    served: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    round_trip_ns: AtomicU64,
    pub(super) connects: AtomicU64,
    pub(super) connect_failures: AtomicU64,
}

impl Peer {
    fn new(host: HostId) -> Self {
        Self {
            host,
            is_connected: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            in_flight_bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            served: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            round_trip_ns: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
        }
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn count_served(&self) {
        self.served.fetch_add(1, Relaxed);
    }

    pub(super) fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Only the endpoint's thread calls this.
    pub(super) fn count_round_trip(&self, took: Duration) {
        let (took, last) = (took.as_nanos() as u64, self.round_trip_ns.load(Relaxed));
        let smoothed = if last == 0 { took } else { last - last / SMOOTHING + took / SMOOTHING };
        self.round_trip_ns.store(smoothed, Relaxed);
    }

    fn counters(&self) -> PeerCounters {
        PeerCounters {
            is_connected: self.is_connected.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            in_flight_bytes: self.in_flight_bytes.load(Relaxed),
            requests: self.requests.load(Relaxed),
            failures: self.failures.load(Relaxed),
            busy: self.busy.load(Relaxed),
            served: self.served.load(Relaxed),
            sent_bytes: self.sent_bytes.load(Relaxed),
            received_bytes: self.received_bytes.load(Relaxed),
            round_trip: Duration::from_nanos(self.round_trip_ns.load(Relaxed)),
            connects: self.connects.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
        }
    }
}

/// The right to have one request under way; counted back when dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) peer: Arc<Peer>,
    bytes: u64,
}

impl Admitted {
    /// Counts a request in, unless as much is under way to this host as may be.
    pub(super) fn new(
        peer: Arc<Peer>,
        bytes: u64,
        config: &PeersConfig,
    ) -> Result<Self, PeerError> {
        let requests = peer.in_flight.fetch_add(1, Relaxed);
        let queued_bytes = peer.in_flight_bytes.fetch_add(bytes, Relaxed);
        // From here on dropping it counts back.
        let admitted = Self { peer, bytes };
        if requests >= config.max_queued as u64 || queued_bytes + bytes > config.max_queued_bytes {
            admitted.peer.busy.fetch_add(1, Relaxed);
            let host = admitted.peer.host;
            return Err(PeerError::Busy { host, requests, bytes: queued_bytes });
        }
        admitted.peer.requests.fetch_add(1, Relaxed);
        Ok(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.peer.in_flight.fetch_sub(1, Relaxed);
        self.peer.in_flight_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// A host, where it is, and what is known of it.
pub(super) type Row = (Arc<Peer>, SocketAddr);

/// The hosts of the table that was set last.
#[derive(Debug, Default)]
pub(super) struct Directory(RwLock<HashMap<HostId, Arc<Peer>>>);

impl Directory {
    pub(super) fn peer(&self, host: HostId) -> Option<Arc<Peer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&host).cloned()
    }

    /// Replaces the table and tells it; hosts that were in it keep their counters.
    pub(super) fn replace(&self, table: &[(HostId, SocketAddr)], tell: impl FnOnce(Vec<Row>)) {
        let mut peers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::take(&mut *peers);
        let mut rows = Vec::with_capacity(table.len());
        for (host, addr) in table {
            let peer = before.get(host).cloned().unwrap_or_else(|| Arc::new(Peer::new(*host)));
            peers.insert(*host, peer.clone());
            rows.push((peer, *addr));
        }
        // While nobody else can replace it, so that the last table told is the last one set.
        tell(rows);
    }

    pub(super) fn counters(&self) -> Vec<(HostId, PeerCounters)> {
        let peers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut counters: Vec<_> =
            peers.values().map(|peer| (peer.host, peer.counters())).collect();
        counters.sort_by_key(|(host, _)| *host);
        counters
    }
}

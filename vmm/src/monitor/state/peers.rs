//! The ways to other hosts: requests of sessions go out, requests for this host's shards come in.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_net::peer::{
    self, HostId as PeerName, PeerCounters, PeerError, PeerHandler, PeerReply, PeerResponse, Peers,
    Service,
};
use faaslet_state::HostId;
use faaslet_state::message::{ArchivedBody, Failure, MAX_PAYLOAD_BYTES, Reply, Request};
use faaslet_state::payload::Payload;
use faaslet_state::session::Transmit;
use faaslet_store::Name;

use super::States;
use super::config::{PeersConfig, StatesError, digest};
use super::live::Live;
use super::places::Places;
use super::work::{Waiter, in_one};

const NOT_YET: &str = "the monitor starts or has ended";
const _: () = assert!(faaslet_state::wire::MAX_HEAD_BYTES <= peer::MAX_HEAD_BYTES);

/// How long requests of other hosts that are under way may take at the end.
const DRAIN: Duration = Duration::from_secs(1);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Ways {
    peers: Peers,
    names: HashMap<HostId, PeerName>,
    others: Others,
    places: Places,
}

/// Who answers what is not about state, once that is known.
#[derive(Clone, Default)]
struct Others(Arc<OnceLock<Arc<dyn PeerHandler>>>);

impl std::fmt::Debug for Others {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Others").field(&self.0.get().is_some()).finish()
    }
}

/// What the peers' thread calls. It exists before the states, which need the peers.
#[derive(Default)]
struct Arrivals {
    states: OnceLock<Weak<States>>,
    /// Who answers what is not about state.
    others: Others,
}

impl Ways {
    /// Listens for other hosts. Nobody is heard before [`Opening::open`].
    pub(super) fn bind(config: &PeersConfig) -> Result<(Self, Opening), StatesError> {
        let names: HashMap<_, _> = config.hosts()?.into_iter().collect();
        let places = Places::of(names.keys().copied());
        let arrivals = Arc::new(Arrivals::default());
        let others = arrivals.others.clone();
        let handler = Arc::clone(&arrivals) as Arc<dyn PeerHandler>;
        let set_up = peer::PeersConfig {
            hosts: digest(config.table.iter().map(|(name, _)| *name)),
            ..peer::PeersConfig::default()
        };
        let peers = Peers::bind(config.listen, config.tls.clone(), set_up, &config.table, handler)?;
        Ok((Self { peers, names, others, places }, Opening(arrivals)))
    }

    /// Where this host listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.peers.local_addr()
    }

    /// The connections to other hosts.
    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Has `handler` answer what is not about state.
    pub(super) fn serve(&self, handler: Arc<dyn PeerHandler>) {
        // Set once.
        let _ = self.others.0.set(handler);
    }

    pub(super) fn counters(&self) -> Vec<(PeerName, PeerCounters)> {
        self.peers.counters()
    }

    /// Lets what is under way end.
    pub(super) fn drain(&self) {
        self.peers.drain(DRAIN);
        if let Err(error) = self.peers.join() {
            tracing::error!(%error, "the peers' endpoint failed");
        }
    }
}

/// Lets requests of other hosts in.
pub(super) struct Opening(Arc<Arrivals>);

impl Opening {
    pub(super) fn open(&self, states: &Arc<States>) {
        // Opened once.
        let _ = self.0.states.set(Arc::downgrade(states));
    }
}

impl PeerHandler for Arrivals {
    fn request(&self, from: PeerName, head: Bytes, payload: Bytes, reply: PeerReply) {
        if reply.service() != Service::default() {
            return match self.others.0.get() {
                Some(others) => others.request(from, head, payload, reply),
                None => reply.refuse(NOT_YET),
            };
        }
        let Some(states) = self.states.get().and_then(Weak::upgrade) else {
            return reply.refuse(NOT_YET);
        };
        match checked(&head, &payload) {
            Ok(()) => {
                states.run(states.owner.request(Waiter::Peer(reply), &head, &payload));
                states.timers.before(states.owner.timeout());
            }
            Err(failure) => {
                tracing::warn!(%from, %failure, "a request of another host was refused");
                respond(reply, Some((Reply::Failed(failure), Payload::default())));
            }
        }
    }
}

/// What no host of this protocol sends, before the owner sees it.
fn checked(head: &[u8], payload: &[u8]) -> Result<(), Failure> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        let what = "bytes in one request".to_owned();
        return Err(Failure::Limit { what, limit: MAX_PAYLOAD_BYTES as u64 });
    }
    let request = Request::access(head)?;
    // About sessions alone.
    if let ArchivedBody::Renew { .. } = &request.body {
        return Ok(());
    }
    let malformed = |error: &dyn std::fmt::Display| Failure::Malformed { why: error.to_string() };
    Name::new(&request.tenant).map(|_| ()).map_err(|error| malformed(&error))
}

/// Sends an answer; or closes the stream where none may be given.
pub(super) fn respond(reply: PeerReply, answer: Option<(Reply, Payload)>) {
    let Some((head, payload)) = answer else { return drop(reply) };
    match head.to_wire(payload) {
        Ok((head, payload)) => reply.respond(head, in_one(payload)),
        Err(failure) => tracing::error!(%failure, "an answer cannot be sent"),
    }
}

impl States {
    /// Carries a request to another host.
    pub(super) fn send(self: &Arc<Self>, live: &Arc<Live>, transmit: Transmit<Bytes>) {
        let Transmit { to, attempt, head, payload, within, kind } = transmit;
        let way = self.ways.as_ref().and_then(|ways| Some((ways, *ways.names.get(&to)?)));
        let Some((Ways { peers, places, .. }, name)) = way else {
            tracing::warn!(host = to.0, "a host that is not in the list owns a shard");
            return self.unheard(live, attempt, false);
        };
        let Ok(place) = places.take(to, kind, live) else {
            return self.unheard(live, attempt, false);
        };
        let deadline = Instant::now() + within;
        let (states, asking) = (Arc::downgrade(self), Arc::clone(live));
        let done = move |result: Result<PeerResponse, PeerError>| {
            drop(place);
            let Some(states) = states.upgrade() else { return };
            match result {
                Ok(PeerResponse { head, payload }) => match Reply::from_wire(&head, &payload) {
                    Ok(reply) => states.answered(&asking, attempt, reply, payload),
                    Err(_) => states.unheard(&asking, attempt, true),
                },
                Err(error) => {
                    tracing::debug!(%error, "a request to another host");
                    states.unheard(&asking, attempt, error.may_have_run());
                }
            }
        };
        if let Err(error) = peers.request(name, head, payload, deadline, done) {
            tracing::debug!(%error, "a request to another host");
            self.unheard(live, attempt, error.may_have_run());
        }
    }
}

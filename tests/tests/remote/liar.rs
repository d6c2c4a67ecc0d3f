//! A host that is none: it gives what another host has, spoilt.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use faaslet_net::peer::{HostId, PeerHandler, PeerReply, Peers, PeersConfig, tls};
use faaslet_net::ship::{Ask, Body, Record, SERVICE};
use faaslet_tests::Hosts;

/// What is wrong with what it gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Nothing.
    None,
    /// A bit of each piece.
    Bit,
    /// Each read is cut short.
    Cut,
    /// Each read brings the beginning of the file.
    Other,
    /// The outline.
    Outline,
    /// Reads are not answered, after so many.
    Stall { after: usize },
}

/// See the module. It says that functions are its own, in a newer version.
pub(super) struct Liar {
    pub(super) peers: Peers,
    pub(super) state: Arc<State>,
}

pub(super) struct State {
    lie: Mutex<Lie>,
    reads: AtomicUsize,
    name: String,
    real: HostId,
    peers: OnceLock<Peers>,
    held: Mutex<Vec<PeerReply>>,
}

impl Liar {
    /// Listens as host `number`, and gives what host `real` has.
    pub(super) fn new(hosts: &Hosts, number: usize, real: usize, lie: Lie) -> Self {
        let (name, address) = &hosts.table[number];
        let host = |name: &str| HostId::new(name).unwrap();
        let state = Arc::new(State {
            lie: Mutex::new(lie),
            reads: AtomicUsize::new(0),
            name: name.clone(),
            real: host(&hosts.table[real].0),
            peers: OnceLock::new(),
            held: Mutex::default(),
        });
        let keys: &Path = &hosts.keys.join(name);
        let tls = tls::load(keys, host(name)).unwrap();
        let table: Vec<_> =
            hosts.table.iter().map(|(name, address)| (host(name), *address)).collect();
        let handler = Arc::clone(&state) as Arc<dyn PeerHandler>;
        let config = PeersConfig::default();
        let peers = Peers::bind(*address, tls, config, &table, handler).unwrap();
        state.peers.set(peers.of(SERVICE)).unwrap_or_else(|_| panic!("set twice"));
        Self { peers, state }
    }

    pub(super) fn reads(&self) -> usize {
        self.state.reads.load(Ordering::SeqCst)
    }

    pub(super) fn lies(&self, lie: Lie) {
        *self.state.lie.lock().unwrap() = lie;
        self.state.held.lock().unwrap().clear();
    }
}

impl PeerHandler for State {
    fn request(&self, _from: HostId, head: bytes::Bytes, _payload: bytes::Bytes, reply: PeerReply) {
        let Ok(ask) = Ask::from_bytes(&head) else { return reply.refuse("nothing of mine") };
        let lie = *self.lie.lock().unwrap();
        if let Body::Read { .. } = &ask.body {
            let reads = self.reads.fetch_add(1, Ordering::SeqCst);
            if let Lie::Stall { after } = lie
                && reads >= after
            {
                return self.held.lock().unwrap().push(reply);
            }
        }
        let name = self.name.clone();
        let deadline = Instant::now() + Duration::from_secs(20);
        let body = ask.body;
        let done = move |answer: Result<faaslet_net::peer::PeerResponse, _>| {
            let Ok(answer) = answer else { return drop(reply) };
            let payload = spoilt(&body, lie, &name, &answer.payload);
            reply.respond(answer.head, payload);
        };
        let peers = self.peers.get().unwrap();
        // The callback is dropped with the reply in it when nothing is sent.
        let _ = peers.request(self.real, head, bytes::Bytes::new(), deadline, done);
    }
}

fn spoilt(body: &Body, lie: Lie, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    match (body, lie) {
        (Body::Find { .. }, _) => {
            let Ok(record) = Record::from_bytes(payload) else { return bytes };
            let (origin, version) = (name.to_owned(), record.version + 1);
            return Record { origin, version, ..record }.to_bytes().unwrap();
        }
        (Body::Read { .. }, Lie::Bit) => bytes[7] ^= 1,
        (Body::Read { .. }, Lie::Cut) => bytes.truncate(payload.len() - 1),
        (Body::Read { .. }, Lie::Other) => bytes.rotate_left(payload.len() / 2),
        (Body::Outline { .. }, Lie::Outline) if !bytes.is_empty() => bytes[0] ^= 1,
        _ => {}
    }
    bytes
}

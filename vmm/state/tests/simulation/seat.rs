//! An owner in a simulation: with a disk that takes its time, and tokens for who asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use faaslet_state::message::{Asked, Reply, Request};
use faaslet_state::owner::{Batch, Fault, Output, Owner, OwnerConfig, Ticket};
use faaslet_state::session::AttemptId;
use faaslet_state::{Epoch, HostId, key::SHARDS};

use crate::store::Store;
use crate::world::{LEASE, MARGIN};

/// An answer for a client.
pub struct Answer {
    pub client: usize,
    pub attempt: AttemptId,
    /// Nothing where the stream ended without one.
    pub reply: Option<(Reply, Vec<u8>)>,
}

/// See the module's documentation.
pub struct Seat {
    pub epoch: u64,
    pub owner: Owner,
    pub paused_until: Option<Instant>,
    /// Arrived while it was paused.
    pub inbox: VecDeque<(usize, AttemptId, Vec<u8>, Vec<u8>)>,
    /// Handed out to be stored, in order.
    pub unstored: VecDeque<(Ticket, Batch)>,
    tokens: BTreeMap<u64, (usize, AttemptId)>,
    last_token: u64,
}

impl Seat {
    /// Starts on `host` in the store's next epoch.
    pub fn start(now: Instant, host: HostId, store: &mut Store, fault: Option<Fault>) -> Self {
        store.epoch += 1;
        let config = OwnerConfig { lease: LEASE, margin: MARGIN, fault, ..OwnerConfig::of(host) };
        let mut owner = Owner::new(config);
        for shard in 0..SHARDS {
            owner.own(shard, Epoch(store.epoch));
        }
        for record in store.records() {
            owner.restore(now, record).expect("what was stored can be restored");
        }
        owner.start();
        Self {
            epoch: store.epoch,
            owner,
            paused_until: None,
            inbox: VecDeque::new(),
            unstored: VecDeque::new(),
            tokens: BTreeMap::new(),
            last_token: 0,
        }
    }

    pub fn handle(
        &mut self,
        now: Instant,
        client: usize,
        attempt: AttemptId,
        head: &[u8],
        payload: &[u8],
    ) {
        self.last_token += 1;
        self.tokens.insert(self.last_token, (client, attempt));
        let request = Request::access(head).expect("a session writes heads that can be read");
        let asked = Asked::try_from(request).expect("and bodies");
        self.owner.handle_request(now, &asked, payload, self.last_token);
    }

    /// What goes out now; the batches are kept.
    pub fn poll(&mut self, now: Instant) -> (Vec<Answer>, Vec<Ticket>) {
        let (mut answers, mut tickets) = (Vec::new(), Vec::new());
        while let Some(output) = self.owner.poll_output(now) {
            let (token, reply) = match output {
                Output::Persist { ticket, batch } => {
                    self.unstored.push_back((ticket, batch));
                    tickets.push(ticket);
                    continue;
                }
                Output::Reply { token, reply, payload } => (
                    token,
                    Some((
                        Reply::from_bytes(&reply.to_bytes().unwrap()).unwrap(),
                        payload.to_vec(),
                    )),
                ),
                Output::Dropped { token } => (token, None),
            };
            let (client, attempt) = self.tokens.remove(&token).expect("one answer for a request");
            answers.push(Answer { client, attempt, reply });
        }
        (answers, tickets)
    }

    /// The disk is done with all batches up to the ticket.
    pub fn stored(&mut self, store: &mut Store, ticket: Ticket) {
        while let Some((next, batch)) = self.unstored.pop_front_if(|(next, _)| *next <= ticket) {
            if store.commit(self.epoch, batch) {
                self.owner.persisted(next);
            } else {
                self.fail(next, "the store knows a later epoch");
            }
        }
    }

    /// The disk refuses the batch, and with it those behind.
    pub fn fail(&mut self, ticket: Ticket, why: &str) {
        self.unstored.retain(|(other, _)| *other < ticket);
        self.owner.storage_failed(ticket, why);
    }
}

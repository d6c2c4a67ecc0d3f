//! Both ends of a connection on virtual time, with a stream between them that cuts what it carries
//! at places chosen by a seed.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part of it.
#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]

use bytes::{Bytes, BytesMut};
use faaslet_proto::{
    Call, ClientEvent, ClientSession, ClientSettings, Close, Mode, NotSent, Reply, Request,
    ServerEvent, ServerSession, ServerSettings, StateAsk, StateOp, StateReply, StateRequest,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The credential that the pair's server knows.
pub(crate) const TOKEN: &[u8] = b"a token";

/// A seed from `FAASLET_SEED`, or from the clock; printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("FAASLET_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed
        .unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    println!("FAASLET_SEED={seed}");
    seed
}

/// A random number generator for `seed`.
pub(crate) fn rng(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

pub(crate) struct Pair {
    pub(crate) now: Instant,
    pub(crate) rng: SmallRng,
    pub(crate) client: ClientSession,
    pub(crate) server: ServerSession,
    /// Bytes under way.
    pub(crate) to_server: BytesMut,
    pub(crate) to_client: BytesMut,
    /// Calls that the server was given and has not answered.
    pub(crate) given: BTreeMap<u64, Call>,
    /// The same of requests for state.
    pub(crate) asked: BTreeMap<u64, StateRequest>,
    pub(crate) states: BTreeMap<u64, StateReply>,
    /// What the client was told.
    pub(crate) replies: BTreeMap<u64, Reply>,
    pub(crate) cancelled: Vec<u64>,
    pub(crate) welcomed: bool,
    pub(crate) sent_away: bool,
    /// Everything that happened, for comparing two runs.
    pub(crate) trace: Vec<String>,
}

impl Pair {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, ClientSettings::default(), ServerSettings::default())
    }

    pub(crate) fn with(seed: u64, client: ClientSettings, server: ServerSettings) -> Self {
        let now = Instant::now();
        Self {
            now,
            rng: rng(seed),
            client: ClientSession::new(now, client, TOKEN),
            server: ServerSession::new(now, server),
            to_server: BytesMut::new(),
            to_client: BytesMut::new(),
            given: BTreeMap::new(),
            asked: BTreeMap::new(),
            states: BTreeMap::new(),
            replies: BTreeMap::new(),
            cancelled: Vec::new(),
            welcomed: false,
            sent_away: false,
            trace: Vec::new(),
        }
    }

    /// A pair that has greeted.
    pub(crate) fn open(seed: u64) -> Self {
        Self::opened(Self::new(seed))
    }

    pub(crate) fn opened(mut pair: Self) -> Self {
        pair.settle().unwrap();
        assert!(pair.welcomed, "the greeting is done");
        pair
    }

    pub(crate) fn call(&mut self, function: &str, input: impl Into<Bytes>) -> Result<u64, NotSent> {
        self.call_until(function, input, None)
    }

    pub(crate) fn call_until(
        &mut self,
        function: &str,
        input: impl Into<Bytes>,
        deadline: Option<Duration>,
    ) -> Result<u64, NotSent> {
        let deadline = deadline.map(|deadline| self.now + deadline);
        let input = input.into();
        let request = Request { function, input, mode: Mode::Default, attempt: 1, deadline };
        self.client.call(self.now, request)
    }

    pub(crate) fn ask(
        &mut self,
        key: &str,
        op: StateOp,
        payload: impl Into<Bytes>,
    ) -> Result<u64, NotSent> {
        let ask = StateAsk { key, op, payload: payload.into(), deadline: None };
        self.client.state(self.now, ask)
    }

    pub(crate) fn answer_state(&mut self, id: u64, reply: StateReply) -> bool {
        self.asked.remove(&id);
        self.server.state_reply(self.now, id, reply)
    }

    pub(crate) fn answer(&mut self, id: u64, reply: Reply) -> bool {
        self.given.remove(&id);
        self.server.reply(self.now, id, reply)
    }

    /// Takes one piece of what the client has to send.
    pub(crate) fn client_sends(&mut self) -> bool {
        let Some(bytes) = self.client.poll_transmit(self.now) else { return false };
        self.to_server.extend_from_slice(&bytes);
        true
    }

    /// Takes one piece of what the server has to send.
    pub(crate) fn server_sends(&mut self) -> bool {
        let Some(bytes) = self.server.poll_transmit(self.now) else { return false };
        self.to_client.extend_from_slice(&bytes);
        true
    }

    /// Delivers up to `most` bytes to the server.
    pub(crate) fn server_gets(&mut self, most: usize) -> Result<bool, Close> {
        if self.to_server.is_empty() || !self.server.wants_bytes() {
            return Ok(false);
        }
        let length = self.to_server.len().min(most);
        let chunk = self.to_server.split_to(length).freeze();
        self.server.handle_bytes(self.now, chunk)?;
        self.server_events();
        Ok(true)
    }

    /// Delivers up to `most` bytes to the client.
    pub(crate) fn client_gets(&mut self, most: usize) -> Result<bool, Close> {
        if self.to_client.is_empty() {
            return Ok(false);
        }
        let length = self.to_client.len().min(most);
        let chunk = self.to_client.split_to(length).freeze();
        self.client.handle_bytes(self.now, chunk)?;
        self.client_events();
        Ok(true)
    }

    /// Moves time and lets both ends do what is due.
    pub(crate) fn advance(&mut self, by: Duration) -> Result<(), Close> {
        self.now += by;
        self.server.handle_timeout(self.now)?;
        self.server_events();
        self.client.handle_timeout(self.now)?;
        self.client_events();
        Ok(())
    }

    /// Carries everything, cut at random, until nothing moves.
    pub(crate) fn settle(&mut self) -> Result<(), Close> {
        loop {
            let (most, least) = (self.rng.random_range(1..5000), self.rng.random_range(1..2000));
            let moved = self.client_sends() | self.server_sends();
            if !(moved | self.server_gets(most)? | self.client_gets(least)?) {
                return Ok(());
            }
        }
    }

    fn server_events(&mut self) {
        while let Some(event) = self.server.poll_event() {
            self.trace.push(format!("server {event:?}"));
            match event {
                ServerEvent::Hello { token } => {
                    assert_eq!(token, TOKEN);
                    self.server.welcome(self.now, "the tenant");
                }
                ServerEvent::Call { id, call } => {
                    assert!(self.given.insert(id, call).is_none(), "call {id} came twice");
                }
                ServerEvent::State { id, request } => {
                    assert!(self.asked.insert(id, request).is_none(), "{id} came twice");
                }
                ServerEvent::Cancelled { id, .. } => {
                    let given = self.given.remove(&id).is_some();
                    assert!(given | self.asked.remove(&id).is_some(), "{id} was never given");
                    self.cancelled.push(id);
                }
            }
        }
    }

    fn client_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.trace.push(format!("client {event:?}"));
            match event {
                ClientEvent::Welcome { tenant, .. } => {
                    assert_eq!(tenant, "the tenant");
                    self.welcomed = true;
                }
                ClientEvent::Reply { id, reply } => {
                    assert!(self.replies.insert(id, reply).is_none(), "two replies to call {id}");
                }
                ClientEvent::State { id, reply } => {
                    assert!(self.states.insert(id, reply).is_none(), "two answers to {id}");
                }
                ClientEvent::GoAway { .. } => self.sent_away = true,
            }
        }
    }
}

/// A frame with any content.
pub(crate) fn frame(kind: u8, head: &[u8], payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.extend_from_slice(&(head.len() as u16).to_le_bytes());
    frame.extend_from_slice(&[kind, 0]);
    frame.extend_from_slice(head);
    frame.extend_from_slice(payload);
    frame.freeze()
}

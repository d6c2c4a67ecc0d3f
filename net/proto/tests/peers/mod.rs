//! Two sessions, the bytes under way between them, and what each was told.
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part of it.
#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]

use bytes::{Bytes, BytesMut};
use faaslet_proto::Close;
use faaslet_proto::peer::{
    Failure, HostId, NotAsked, PeerEvent, PeerLimits, PeerRequest, PeerResponse, PeerSession,
    PeerSettings, Service,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A deadline that no test reaches by chance.
pub(crate) const LONG: Duration = Duration::from_secs(3000);

/// A seed from `FAASLET_SEED`, or from the clock; printed, so that a failure can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("FAASLET_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed
        .unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    println!("FAASLET_SEED={seed}");
    seed
}

/// The payload that goes with a request of this tag.
pub(crate) fn content(tag: u64, length: usize) -> Bytes {
    (0..length).map(|at| (at as u64 * 31 + tag) as u8).collect()
}

/// Limits so tight that they are met.
pub(crate) fn settings(seed: u64) -> PeerSettings {
    let mut rng = SmallRng::seed_from_u64(seed);
    let limits = PeerLimits {
        max_in_flight: rng.random_range(1..12),
        max_requests_bytes: rng.random_range(1_000..400_000),
        max_assembly_bytes: rng.random_range(40_000..300_000),
    };
    PeerSettings { limits, ..PeerSettings::default() }
}

pub(crate) struct End {
    pub(crate) session: PeerSession<u64>,
    /// Bytes under way to it.
    coming: BytesMut,
    pub(crate) received_bytes: usize,
    /// Requests that it was given and has not answered, by tag.
    pub(crate) given: BTreeMap<u64, PeerRequest>,
    ids: BTreeMap<u64, u64>,
    pub(crate) ever_given: BTreeSet<u64>,
    /// What became of its own requests, by tag.
    pub(crate) results: BTreeMap<u64, Result<PeerResponse, Failure>>,
    open: BTreeMap<u64, u64>,
    pub(crate) asked: u64,
    pub(crate) cancelled: u64,
}

impl End {
    fn new(session: PeerSession<u64>) -> Self {
        Self {
            session,
            coming: BytesMut::new(),
            received_bytes: 0,
            given: BTreeMap::new(),
            ids: BTreeMap::new(),
            ever_given: BTreeSet::new(),
            results: BTreeMap::new(),
            open: BTreeMap::new(),
            asked: 0,
            cancelled: 0,
        }
    }

    fn tell(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            match event {
                PeerEvent::Hello { host } => {
                    assert_eq!(host.as_str(), "a");
                    self.session.welcome(now);
                }
                PeerEvent::Welcome { host } => assert_eq!(host.as_str(), "b"),
                PeerEvent::Request { id, request } => {
                    let tag = request.head[..8].try_into().map(u64::from_le_bytes).unwrap();
                    assert_eq!(request.payload, content(tag, request.payload.len()));
                    assert!(self.ever_given.insert(tag), "request {tag} came twice");
                    self.given.insert(tag, request);
                    self.ids.insert(tag, id);
                }
                PeerEvent::Cancelled { id, .. } => {
                    let tag = self.ids.iter().find(|(_, known)| **known == id).map(|(tag, _)| *tag);
                    self.ids.remove(&tag.expect("only what was given is cancelled"));
                    self.given.remove(&tag.unwrap());
                }
                PeerEvent::Response { tag, result, .. } => {
                    self.open.remove(&tag);
                    if let Ok(response) = &result {
                        assert_eq!(response.payload, content(tag, response.payload.len()));
                    }
                    assert!(self.results.insert(tag, result).is_none(), "{tag} ended twice");
                }
                PeerEvent::GoAway { .. } => {}
            }
        }
    }
}

pub(crate) struct Peers {
    pub(crate) now: Instant,
    pub(crate) rng: SmallRng,
    pub(crate) ends: [End; 2],
    last_tag: u64,
}

impl Peers {
    pub(crate) fn open(seed: u64) -> Self {
        Self::open_with(seed, [PeerSettings::default(); 2])
    }

    pub(crate) fn open_with(seed: u64, settings: [PeerSettings; 2]) -> Self {
        Self::try_open(seed, settings).unwrap()
    }

    /// The end of the greeting.
    pub(crate) fn try_open(seed: u64, settings: [PeerSettings; 2]) -> Result<Self, Close> {
        let now = Instant::now();
        let host = |name| HostId::new(name).unwrap();
        let a = PeerSession::open(now, settings[0], host("a"));
        let b = PeerSession::accept(now, settings[1], host("b"));
        let rng = SmallRng::seed_from_u64(seed);
        let mut pair = Self { now, rng, ends: [End::new(a), End::new(b)], last_tag: 0 };
        pair.settle()?;
        assert!(pair.ends.iter().all(|end| end.session.is_open()), "the greeting is done");
        Ok(pair)
    }

    pub(crate) fn ask(
        &mut self,
        at: usize,
        length: usize,
        left: Duration,
    ) -> Result<u64, NotAsked> {
        let tag = self.last_tag + 1;
        let head = Bytes::copy_from_slice(&tag.to_le_bytes());
        self.ask_with(at, head, content(tag, length), left)
    }

    pub(crate) fn ask_with(
        &mut self,
        at: usize,
        head: Bytes,
        payload: Bytes,
        left: Duration,
    ) -> Result<u64, NotAsked> {
        let tag = self.last_tag + 1;
        let deadline = self.now + left;
        let request = PeerRequest { service: Service::default(), head, payload, deadline };
        let id =
            self.ends[at].session.request(self.now, request, tag).map_err(|(error, tag)| {
                assert_eq!(tag, self.last_tag + 1);
                error
            })?;
        self.last_tag = tag;
        self.ends[at].open.insert(tag, id);
        self.ends[at].asked += 1;
        Ok(tag)
    }

    pub(crate) fn cancel(&mut self, at: usize, tag: u64) {
        let end = &mut self.ends[at];
        let id = end.session.find(|known| *known == tag);
        assert_eq!(id, end.open.get(&tag).copied());
        assert_eq!(id.and_then(|id| end.session.cancel(self.now, id)), Some(tag));
        end.open.remove(&tag);
        end.cancelled += 1;
    }

    pub(crate) fn respond(&mut self, at: usize, tag: u64, length: usize) {
        let (head, payload) = (Bytes::from_static(b"head"), content(tag, length));
        let end = &mut self.ends[at];
        end.given.remove(&tag);
        let id = end.ids.remove(&tag).unwrap();
        assert!(end.session.respond(self.now, id, PeerResponse { head, payload }));
    }

    fn refuse(&mut self, at: usize, tag: u64) {
        let end = &mut self.ends[at];
        end.given.remove(&tag);
        let id = end.ids.remove(&tag).unwrap();
        assert!(end.session.refuse(self.now, id, "not mine"));
    }

    /// Takes one piece of what an end has to send.
    pub(crate) fn sends(&mut self, at: usize) -> bool {
        let Some(bytes) = self.ends[at].session.poll_transmit(self.now) else { return false };
        self.ends[1 - at].coming.extend_from_slice(&bytes);
        true
    }

    /// Delivers up to `most` bytes to an end.
    pub(crate) fn gets(&mut self, at: usize, most: usize) -> Result<bool, Close> {
        let end = &mut self.ends[at];
        let length = end.coming.len().min(most);
        if length == 0 {
            return Ok(false);
        }
        end.received_bytes += length;
        let chunk = end.coming.split_to(length).freeze();
        end.session.handle_bytes(self.now, chunk)?;
        end.tell(self.now);
        Ok(true)
    }

    /// Moves time and lets both ends do what is due.
    pub(crate) fn advance(&mut self, by: Duration) -> Result<(), Close> {
        self.now += by;
        for end in &mut self.ends {
            end.session.handle_timeout(self.now)?;
            end.tell(self.now);
        }
        Ok(())
    }

    /// Carries everything, cut at random, until nothing moves.
    pub(crate) fn settle(&mut self) -> Result<(), Close> {
        loop {
            let moved = self.sends(0) | self.sends(1);
            let (most, least) = (self.rng.random_range(1..50_000), self.rng.random_range(1..2000));
            if !(moved | self.gets(0, most)? | self.gets(1, least)?) {
                return Ok(());
            }
        }
    }

    /// Does something, at random.
    pub(crate) fn step(&mut self) -> Result<(), Close> {
        let at = self.rng.random_range(0..2);
        match self.rng.random_range(0..12) {
            0 | 1 => {
                let length = self.length();
                let left = Duration::from_millis(self.rng.random_range(1..3000));
                let _ = self.ask(at, length, left);
            }
            2 => {
                if let Some(tag) = self.any(at, |end| end.given.keys().copied().collect()) {
                    let length = self.length();
                    self.respond(at, tag, length);
                }
            }
            3 if self.rng.random_bool(0.2) => {
                if let Some(tag) = self.any(at, |end| end.given.keys().copied().collect()) {
                    self.refuse(at, tag);
                }
            }
            4 if self.rng.random_bool(0.3) => {
                if let Some(tag) = self.any(at, |end| end.open.keys().copied().collect()) {
                    self.cancel(at, tag);
                }
            }
            5 => {
                let by = self.rng.random_range(0..200);
                return self.advance(Duration::from_millis(by));
            }
            6..=8 => {
                self.sends(at);
            }
            _ => {
                let most = self.rng.random_range(1..40_000);
                self.gets(at, most)?;
            }
        }
        Ok(())
    }

    /// Carries everything, answers half of what is left and lets the rest time out.
    pub(crate) fn finish(&mut self, seed: u64) {
        self.settle().unwrap_or_else(|close| panic!("FAASLET_SEED={seed}: {close}"));
        for at in 0..2 {
            while let Some(tag) = self.any(at, |end| end.given.keys().copied().collect()) {
                if self.rng.random_bool(0.5) {
                    break;
                }
                self.respond(at, tag, 100);
            }
        }
        self.settle().unwrap_or_else(|close| panic!("FAASLET_SEED={seed}: {close}"));
        self.advance(Duration::from_secs(4)).unwrap();
        self.settle().unwrap_or_else(|close| panic!("FAASLET_SEED={seed}: {close}"));
    }

    /// Nothing is left at either end, and every request has ended once.
    pub(crate) fn assert_quiet(&self) {
        for end in &self.ends {
            let session = &end.session;
            assert_eq!((session.in_flight(), session.serving()), (0, 0));
            assert_eq!((session.assembled_bytes(), session.queued_bytes()), (0, 0));
            assert!(session.poll_timeout().is_none(), "nothing is due");
            assert_eq!(end.results.len() as u64 + end.cancelled, end.asked);
        }
    }

    fn length(&mut self) -> usize {
        match self.rng.random_range(0..4) {
            0 => self.rng.random_range(0..100),
            1 => self.rng.random_range(0..5_000),
            2 => self.rng.random_range(30_000..36_000),
            _ => self.rng.random_range(0..200_000),
        }
    }

    fn any(&mut self, at: usize, tags: impl Fn(&End) -> Vec<u64>) -> Option<u64> {
        let tags = tags(&self.ends[at]);
        if tags.is_empty() { None } else { Some(tags[self.rng.random_range(0..tags.len())]) }
    }
}

/// A frame with any content.
pub(crate) fn frame(kind: u8, id: u64, whole_bytes: u32, head: &[u8], payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    frame.extend_from_slice(&(head.len() as u16).to_le_bytes());
    frame.extend_from_slice(&[kind, 0]);
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(&whole_bytes.to_le_bytes());
    frame.extend_from_slice(&1_000_000u32.to_le_bytes());
    frame.extend_from_slice(head);
    frame.extend_from_slice(payload);
    frame.freeze()
}

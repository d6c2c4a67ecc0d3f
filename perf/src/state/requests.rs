//! Requests to an owner as a monitor makes them for its cells: one after the other, or so many at
//! a time, each answer asking for the next where it comes in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;
use faaslet_state::message::{Body, PullRange, SessionId, Stamp};
use faaslet_state::{Durability, Element, Rule, SessionError, Spec, Version};
use faaslet_vmm::monitor::state::StateSession;

use crate::measure::Times;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a push, and of a pull.
const BYTES: usize = 4096;
/// One part in so many is run before, without looking.
const WARM_PART: u64 = 10;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Sends 4 KiB of changes.
    Push,
    /// Gets a chunk of 4 KiB.
    Pull,
    /// What is known of the value.
    Stat,
}

/// A session that asks, and how many changes it has made.
#[derive(Clone)]
pub(super) struct Asker {
    session: StateSession,
    changes: Arc<AtomicU64>,
}

/// Requests that follow each other: as many at a time as there are keys.
struct Chain {
    asker: Asker,
    ask: Ask,
    payload: Bytes,
    left: AtomicU64,
    /// Those without the first part.
    times: Mutex<Times>,
    looks: u64,
    ended: SyncSender<Result<(), SessionError>>,
}

/// What a chain came to.
pub(super) struct Chained {
    pub(super) times: Times,
    /// Requests a second.
    pub(super) rate: f64,
}

impl Asker {
    pub(super) fn new(session: StateSession) -> Self {
        Self { session, changes: Arc::default() }
    }

    /// Makes a value of [`BYTES`].
    pub(super) fn make(&self, key: &str, durability: Durability) -> Result<()> {
        let spec = Spec::new(Element::U8, Rule::Replace, durability, 1 << 20)?;
        let made = Body::Create { spec, renew: true, stamp: self.stamp() };
        self.once(key, made, Bytes::new())?;
        self.once(key, self.body(Ask::Push), changes())
    }

    fn once(&self, key: &str, body: Body, payload: Bytes) -> Result<()> {
        let (tell, told) = sync_channel(1);
        let answered = Box::new(move |answer| {
            let _ = tell.send(answer);
        });
        self.session.ask(key, body, payload, Instant::now() + PATIENCE, answered);
        told.recv()??;
        Ok(())
    }

    /// Asks so often, of all keys at a time.
    pub(super) fn chain(&self, keys: &[String], ask: Ask, requests: u64) -> Result<Chained> {
        let (ended, end) = sync_channel(keys.len());
        let all = requests + requests / WARM_PART;
        let chain = Arc::new(Chain {
            asker: self.clone(),
            ask,
            payload: if ask == Ask::Push { changes() } else { Bytes::new() },
            left: AtomicU64::new(all),
            times: Mutex::new(Times::new()),
            looks: requests,
            ended,
        });
        let begun = Instant::now();
        for key in keys {
            Arc::clone(&chain).next(Arc::from(key.as_str()));
        }
        for _ in keys {
            end.recv()?.map_err(|error| anyhow!("{ask:?}: {error}"))?;
        }
        let rate = all as f64 / begun.elapsed().as_secs_f64();
        let times = chain.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(times.len() == requests, "expected {requests} answers; found {}", times.len());
        Ok(Chained { times, rate })
    }

    fn body(&self, ask: Ask) -> Body {
        match ask {
            Ask::Push => {
                let stamp = self.stamp();
                let (made, len) = (Version::NONE, BYTES as u64);
                Body::Push { stamp, made, expected: None, fence: None, len }
            }
            Ask::Pull => {
                let range = PullRange { first: 0, count: 1, since: Version::NONE };
                Body::Pull { ranges: vec![range], at: None }
            }
            Ask::Stat => Body::Stat,
        }
    }

    fn stamp(&self) -> Stamp {
        let sequence = self.changes.fetch_add(1, Ordering::Relaxed) + 1;
        Stamp { session: SessionId(0), sequence }
    }
}

impl Chain {
    fn next(self: Arc<Self>, key: Arc<str>) {
        let took = |left: u64| left.checked_sub(1);
        let Ok(left) = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took) else {
            // Whoever waits for the end waits for each of these.
            let _ = self.ended.send(Ok(()));
            return;
        };
        let (chain, begun) = (Arc::clone(&self), Instant::now());
        let asked = Arc::clone(&key);
        let answered = Box::new(move |answer: Result<_, _>| match answer {
            Ok(_) => chain.took(left, begun, key),
            Err(error) => {
                let _ = chain.ended.send(Err(error));
            }
        });
        let deadline = begun + PATIENCE;
        let (body, payload) = (self.asker.body(self.ask), self.payload.clone());
        self.asker.session.ask(&asked, body, payload, deadline, answered);
    }

    fn took(self: Arc<Self>, left: u64, begun: Instant, key: Arc<str>) {
        if left <= self.looks {
            self.times.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
        }
        self.next(key);
    }
}

/// One run of changed bytes at the start of a value, as `faaslet_state::payload` draws it.
fn changes() -> Bytes {
    let (chunk, runs, tails) = (0_u32.to_le_bytes(), 1_u16.to_le_bytes(), 0_u16.to_le_bytes());
    let (first, last) = (0_u16.to_le_bytes(), (BYTES as u16 - 1).to_le_bytes());
    [&chunk[..], &runs, &tails, &first, &last, &[7; BYTES]].concat().into()
}

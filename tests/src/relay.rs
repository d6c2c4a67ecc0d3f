//! A network that is not to be relied on: a relay of datagrams between two hosts, each of which
//! takes it for the other.
//!
//! ```text
//!   one ──► face one ─┐ rules ┌─ face two ──► two
//!       ◄──           └───────┘           ◄──
//! ```
//!
//! What it does to them is data: the first [`Rule`] that fits a datagram decides, and what none
//! fits passes. Datagrams are counted in each direction, so a rule means the same on any machine.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::network::Host;

/// The longest that a direction waits before it looks whether it is to end.
const TURN: Duration = Duration::from_millis(10);
/// The longest datagram.
const DATAGRAM_BYTES: usize = 65_536;

/// What may become of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is gone.
    Lost,
    /// It comes so much later.
    Late(Duration),
    /// It comes twice.
    Doubled,
    /// It comes after the next one.
    Overtaken,
    /// It is gone, and so is everything in both directions for so long.
    Cut(Duration),
}

/// What becomes of some datagrams.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which, counted from 0 in each direction.
    pub datagrams: Range<u64>,
    /// How many of a hundred of them, as the seed has it.
    pub percent: u32,
    /// What becomes of those.
    pub fate: Fate,
}

/// A relay that runs; it ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    over: AtomicBool,
    passed: AtomicU64,
    hit: AtomicU64,
    cut_until: Mutex<Option<Instant>>,
}

/// One direction.
struct Way {
    from: UdpSocket,
    to: UdpSocket,
    at: SocketAddr,
    rules: Vec<Rule>,
    rng: StdRng,
    shared: Arc<Shared>,
    count: u64,
    /// What is late, by when it is due and its number.
    late: BTreeMap<(Instant, u64), Vec<u8>>,
    overtaken: Option<Vec<u8>>,
}

impl Relay {
    /// Relays between `port` of one host and `port` of another, from the network that is around
    /// them.
    ///
    /// # Panics
    /// When it cannot listen beside one of them.
    #[must_use]
    pub fn between([one, two]: [&Host; 2], port: u16, rules: &[Rule], seed: u64) -> Self {
        let face = |host: &Host| UdpSocket::bind((host.neighbour, port)).unwrap();
        let faces = [face(one), face(two)];
        let shared = Arc::<Shared>::default();
        let way = |from: usize, to: usize, at: &Host| {
            let way = Way {
                from: faces[from].try_clone().unwrap(),
                to: faces[to].try_clone().unwrap(),
                at: (at.address, port).into(),
                rules: rules.to_vec(),
                rng: StdRng::seed_from_u64(seed + from as u64),
                shared: Arc::clone(&shared),
                count: 0,
                late: BTreeMap::new(),
                overtaken: None,
            };
            std::thread::spawn(move || way.run())
        };
        let threads = vec![way(0, 1, two), way(1, 0, one)];
        Self { shared, threads }
    }

    /// How many datagrams passed as they were, and how many a rule hit.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.passed.load(Relaxed), self.shared.hit.load(Relaxed))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the relay panicked");
        }
    }
}

impl Way {
    fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        while !self.shared.over.load(Relaxed) {
            let now = Instant::now();
            self.send_due(now);
            let due = self.late.first_key_value().map(|((at, _), _)| *at - now);
            let wait = due.unwrap_or(TURN).min(TURN).max(Duration::from_micros(1));
            self.from.set_read_timeout(Some(wait)).unwrap();
            match self.from.recv(&mut buffer) {
                Ok(len) => self.take(&buffer[..len], Instant::now()),
                // None came in time: nothing is left to overtake.
                Err(_) => self.send_overtaken(),
            }
        }
    }

    fn take(&mut self, datagram: &[u8], now: Instant) {
        let number = self.count;
        self.count += 1;
        let fate = self.fate(number, now);
        let counter = if fate.is_none() { &self.shared.passed } else { &self.shared.hit };
        counter.fetch_add(1, Relaxed);
        match fate {
            Some(Fate::Lost | Fate::Cut(_)) => return,
            Some(Fate::Late(by)) => {
                self.late.insert((now + by, number), datagram.to_vec());
                return;
            }
            Some(Fate::Overtaken) if self.overtaken.is_none() => {
                self.overtaken = Some(datagram.to_vec());
                return;
            }
            Some(Fate::Doubled) => self.send(datagram),
            Some(Fate::Overtaken) | None => {}
        }
        self.send(datagram);
        self.send_overtaken();
    }

    fn fate(&mut self, number: u64, now: Instant) -> Option<Fate> {
        let mut cut_until = self.shared.cut_until.lock().unwrap();
        if cut_until.is_some_and(|until| now < until) {
            return Some(Fate::Lost);
        }
        let rng = &mut self.rng;
        let fits = |rule: &&Rule| {
            rule.datagrams.contains(&number) && rng.random_range(0..100) < rule.percent
        };
        let fate = self.rules.iter().find(fits).map(|rule| rule.fate);
        if let Some(Fate::Cut(time)) = fate {
            *cut_until = Some(now + time);
        }
        fate
    }

    fn send_due(&mut self, now: Instant) {
        while let Some(entry) = self.late.first_entry()
            && entry.key().0 <= now
        {
            let datagram = entry.remove();
            self.send(&datagram);
        }
    }

    fn send_overtaken(&mut self) {
        if let Some(datagram) = self.overtaken.take() {
            self.send(&datagram);
        }
    }

    fn send(&self, datagram: &[u8]) {
        // A host that is away gets none.
        let _ = self.to.send_to(datagram, self.at);
    }
}

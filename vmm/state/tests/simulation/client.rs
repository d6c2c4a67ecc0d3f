//! A client in a simulation: one operation after the other, by its session.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use faaslet_state::message::{Body, Failure, LockMode, PullRange, Reply, SessionId, Stamp};
use faaslet_state::payload::pulled_chunks;
use faaslet_state::session::{Event, Routes, Session, SessionConfig, SessionError};
use faaslet_state::{Chunk, Durability, Element, Rule, Spec, Version, delta};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::history::Op;
use crate::world::{Log, MARGIN};

pub const TENANT: &str = "tenant";
pub const REGISTERS: [&str; 2] = ["register/0", "register/1"];
pub const SUM: &str = "sum";
pub const APPENDED: &str = "log";
/// Deleted and made again and again.
const REMADE: &str = "remade";
const DEADLINE: Duration = Duration::from_secs(15);
const KEYS: [&str; 4] = [REGISTERS[0], REGISTERS[1], SUM, APPENDED];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Read,
    Write,
    Add,
    Append,
    CasPull,
    CasPush,
    Lock,
    LockedPull,
    LockedPush,
    Unlock,
    Remake,
    RemadePush,
    RemadePull,
    RemadeDelete,
}

/// The operation under way.
#[derive(Debug)]
struct Work {
    step: Step,
    key: &'static str,
    begun: u64,
    lock: Option<Stamp>,
    fence: Version,
    read: u64,
    number: u64,
    /// The think time between a pull and the push is over then.
    resume: Option<Instant>,
    version: Version,
}

/// See the module's documentation.
pub struct Client {
    pub number: usize,
    pub session: Session<Vec<u8>>,
    pub frozen_until: Option<Instant>,
    pub next_at: Option<Instant>,
    pub left: usize,
    created: usize,
    work: Option<Work>,
    serial: u64,
    seen: BTreeMap<&'static str, Version>,
}

fn spec(key: &str) -> Spec {
    let rule = if key == SUM { Rule::Sum } else { Rule::Replace };
    Spec::new(Element::U64, rule, Durability::Durable, 1 << 20).unwrap()
}

fn changes(key: &str, base: u64, copy: u64) -> Vec<u8> {
    let mut changes = Vec::new();
    delta::diff(&spec(key), Chunk(0), &base.to_le_bytes(), &copy.to_le_bytes(), &mut changes);
    changes
}

/// The chunk that a pull answered.
pub fn pulled(payload: &[u8], len: u64) -> Vec<u8> {
    let chunk = pulled_chunks(payload, 8).next().map(|chunk| chunk.expect("a well-formed pull"));
    chunk.map_or(vec![0; len as usize], |chunk| delta::newer(&[], chunk.body, len as usize))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Client {
    pub fn new(now: Instant, number: usize, routes: Routes, left: usize) -> Self {
        let config = SessionConfig { margin: MARGIN, ..SessionConfig::default() };
        Self {
            number,
            session: Session::new(SessionId(number as u128 + 1), routes, config),
            frozen_until: None,
            next_at: Some(now),
            left,
            created: 0,
            work: None,
            serial: 0,
            seen: BTreeMap::new(),
        }
    }

    pub fn is_done(&self) -> bool {
        self.left == 0 && self.work.is_none()
    }

    /// Whether something is to be done for the client itself.
    pub fn wake_at(&self) -> Option<Instant> {
        let resume = self.work.as_ref().and_then(|work| work.resume);
        if self.work.is_some() { resume } else { self.next_at.filter(|_| self.left > 0) }
    }

    fn unique(&mut self) -> u64 {
        self.serial += 1;
        (self.number as u64 + 1) << 32 | self.serial
    }

    /// Begins the next operation, or goes on with the one that paused.
    pub fn wake(&mut self, now: Instant, rng: &mut StdRng, log: &mut Log) {
        if let Some(work) = &mut self.work {
            if work.resume.take_if(|at| *at <= now).is_some() {
                if work.step == Step::Remake {
                    log.remade.insert((work.version, work.number));
                }
                self.push_read(now);
            }
            return;
        }
        if self.left == 0 || self.next_at.is_none_or(|at| at > now) {
            return;
        }
        let (step, key) = if self.created < KEYS.len() {
            (Step::Create, KEYS[self.created])
        } else {
            let register = REGISTERS[rng.random_range(0..REGISTERS.len())];
            match rng.random_range(0..100) {
                0..35 => (Step::Lock, register),
                35..55 => (Step::CasPull, register),
                55..70 => (Step::Read, register),
                70..80 => (Step::Write, register),
                80..90 => (Step::Add, SUM),
                90..95 => (Step::Append, APPENDED),
                _ => (Step::Remake, REMADE),
            }
        };
        self.begin(now, step, key, log);
    }

    fn begin(&mut self, now: Instant, step: Step, key: &'static str, log: &mut Log) {
        let number = self.unique();
        let begun = log.tick();
        let none = Version::NONE;
        let (fence, version) = (none, none);
        let work =
            Work { step, key, begun, lock: None, fence, read: 0, number, resume: None, version };
        self.work = Some(work);
        let pull =
            Body::Pull { ranges: vec![PullRange { first: 0, count: 1, since: none }], at: None };
        match step {
            Step::Create | Step::Remake => {
                let stamp = self.session.stamp();
                self.submit(now, Body::Create { spec: spec(key), renew: false, stamp }, Vec::new());
            }
            Step::Write => self.push(now, changes(key, !number, number), None, None),
            Step::Add => self.push(now, changes(key, 0, 1), None, None),
            Step::Append => {
                let stamp = self.session.stamp();
                self.submit(
                    now,
                    Body::Append { stamp, made: Version::NONE, fence: None },
                    number.to_le_bytes().to_vec(),
                );
            }
            Step::Lock => {
                let stamp = self.session.stamp();
                self.work.as_mut().unwrap().lock = Some(stamp);
                let holder = self.number as u64;
                let wait_us = 3_000_000;
                self.submit(
                    now,
                    Body::Lock { stamp, holder, mode: LockMode::Write, wait_us },
                    Vec::new(),
                );
            }
            _ => self.submit(now, pull, Vec::new()),
        }
    }

    fn submit(&mut self, now: Instant, body: Body, payload: Vec<u8>) {
        let key = self.work.as_ref().unwrap().key;
        self.session.submit(now, (TENANT, key), body, payload, now + DEADLINE).unwrap();
    }

    fn push(
        &mut self,
        now: Instant,
        changes: Vec<u8>,
        expected: Option<Version>,
        fence: Option<Version>,
    ) {
        let stamp = self.session.stamp();
        self.submit(
            now,
            Body::Push { stamp, made: Version::NONE, expected, fence, len: 8 },
            changes,
        );
    }

    /// Pushes what follows from what was read.
    fn push_read(&mut self, now: Instant) {
        let work = self.work.as_mut().unwrap();
        let changes = changes(work.key, work.read, work.number);
        if work.step == Step::Remake {
            work.step = Step::RemadePush;
            let (made, stamp) = (work.version, self.session.stamp());
            let body = Body::Push { stamp, made, expected: None, fence: None, len: 8 };
            return self.submit(now, body, changes);
        }
        if work.step == Step::CasPull {
            work.step = Step::CasPush;
            let version = work.version;
            self.push(now, changes, Some(version), None);
        } else {
            work.step = Step::LockedPush;
            let fence = work.fence;
            self.push(now, changes, None, Some(fence));
        }
    }

    /// A request has ended.
    pub fn handle(&mut self, now: Instant, event: Event<Vec<u8>>, rng: &mut StdRng, log: &mut Log) {
        let step = self.work.as_ref().expect("a request has its operation").step;
        match event.result {
            Ok((reply, payload)) => self.answered(now, step, &reply, &payload, rng, log),
            Err(error) => self.failed(now, step, &error, rng, log),
        }
    }

    fn saw(&mut self, version: Version) {
        let key = self.work.as_ref().unwrap().key;
        let before = self.seen.insert(key, version).unwrap_or(Version::NONE);
        assert!(version >= before, "client {} saw {key} at {version} after {before}", self.number);
    }

    /// A value that is made, pushed to, read and perhaps deleted, while others do the same: what it
    /// holds was pushed to it, and not to one before it.
    fn remade(
        &mut self,
        now: Instant,
        reply: &Reply,
        payload: &[u8],
        rng: &mut StdRng,
        log: &mut Log,
    ) {
        let work = self.work.as_mut().unwrap();
        match reply {
            Reply::Value(stat) => {
                (work.version, work.read) = (stat.made, !work.number);
                work.resume = Some(now + Duration::from_millis(rng.random_range(0..2_000)));
            }
            Reply::Pushed { .. } if work.step == Step::RemadePush => {
                work.step = Step::RemadePull;
                let ranges = vec![PullRange { first: 0, count: 1, since: Version::NONE }];
                self.submit(now, Body::Pull { ranges, at: None }, Vec::new());
            }
            Reply::Pulled { version, len, made } => {
                work.step = Step::RemadeDelete;
                self.saw(*version);
                let found = number(&pulled(payload, *len));
                let known = found == 0 || log.remade.contains(&(*made, found));
                assert!(known, "{found} was pushed to another value than that of {made}");
                if !rng.random::<bool>() {
                    return self.finish(now, rng, log);
                }
                let (made, stamp) = (*made, self.session.stamp());
                let body = Body::Delete { stamp, made, expected: None, fence: None };
                self.submit(now, body, Vec::new());
            }
            _ => self.finish(now, rng, log),
        }
    }

    fn answered(
        &mut self,
        now: Instant,
        step: Step,
        reply: &Reply,
        payload: &[u8],
        rng: &mut StdRng,
        log: &mut Log,
    ) {
        if self.work.as_ref().unwrap().key == REMADE {
            return self.remade(now, reply, payload, rng, log);
        }
        match reply {
            Reply::Pulled { version, len, .. } => {
                self.saw(*version);
                let work = self.work.as_mut().unwrap();
                work.version = *version;
                work.read = number(&pulled(payload, *len));
                if step == Step::Read {
                    let op = Op::Read(work.read);
                    return self.done(now, Some(op), true, rng, log);
                }
                let think = if rng.random_range(0..8) == 0 { 0..5_000 } else { 0..50 };
                work.resume = Some(now + Duration::from_millis(rng.random_range(think)));
            }
            Reply::Granted { fence, abandoned, .. } => {
                let work = self.work.as_mut().unwrap();
                work.fence = *fence;
                work.step = Step::LockedPull;
                log.granted(work.key, *fence, *abandoned);
                let ranges = vec![PullRange { first: 0, count: 1, since: Version::NONE }];
                self.submit(now, Body::Pull { ranges, at: None }, Vec::new());
            }
            Reply::Done => self.finish(now, rng, log),
            Reply::Appended { version, at, .. } => {
                self.saw(*version);
                log.appended(self.work.as_ref().unwrap().number, Some(*at));
                self.finish(now, rng, log);
            }
            Reply::Value(_) => {
                self.created += 1;
                self.finish(now, rng, log);
            }
            Reply::Pushed { version, .. } => {
                self.saw(*version);
                let work = self.work.as_ref().unwrap();
                let op = match step {
                    Step::Add => {
                        log.added(true);
                        None
                    }
                    Step::Write => Some(Op::Write(work.number)),
                    _ => Some(Op::Swap { from: work.read, to: work.number }),
                };
                self.done(now, op, true, rng, log);
            }
            reply => panic!("{step:?} was answered by {reply:?}"),
        }
    }

    fn failed(
        &mut self,
        now: Instant,
        step: Step,
        error: &SessionError,
        rng: &mut StdRng,
        log: &mut Log,
    ) {
        let unknown = *error == SessionError::Unknown;
        let work = self.work.as_ref().unwrap();
        log.failed(error);
        if let SessionError::Refused(Failure::LockLost { fence }) = error {
            log.lost(work.key, *fence);
        }
        let op = match step {
            Step::Write if unknown => Some(Op::Write(work.number)),
            Step::CasPush | Step::LockedPush if unknown => {
                Some(Op::Swap { from: work.read, to: work.number })
            }
            Step::Add if unknown => {
                log.added(false);
                None
            }
            Step::Append if unknown => {
                log.appended(work.number, None);
                None
            }
            _ => None,
        };
        self.done(now, op, false, rng, log);
    }

    /// The operation is decided; a lock that is held is given back.
    fn done(
        &mut self,
        now: Instant,
        op: Option<Op>,
        answered: bool,
        rng: &mut StdRng,
        log: &mut Log,
    ) {
        let work = self.work.as_mut().unwrap();
        if let Some(op) = op {
            log.record(work.key, op, work.begun, answered);
        }
        let held = work.fence != Version::NONE && work.step != Step::Unlock;
        match work.lock.filter(|_| held) {
            Some(stamp) => {
                work.step = Step::Unlock;
                work.resume = None;
                let fence = work.fence;
                self.submit(now, Body::Unlock { stamp, fence, abandoned: false }, Vec::new());
            }
            None => self.finish(now, rng, log),
        }
    }

    fn finish(&mut self, now: Instant, rng: &mut StdRng, log: &mut Log) {
        log.ended(self.number);
        let work = self.work.take().unwrap();
        if work.step != Step::Create {
            self.left -= 1;
        }
        self.next_at = Some(now + Duration::from_millis(rng.random_range(0..400)));
    }
}

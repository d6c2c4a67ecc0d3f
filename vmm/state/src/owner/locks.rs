//! The global locks of one value: first come, first served; readers next to each other in the
//! queue go together.
//!
//! ```text
//!           Lock                     front of the queue, and compatible
//!  (none) ────────► waiting ───────────────────────────────────────────► held
//!                      │ its time is over, Unlock, the lease ran out       │ Unlock, the lease ran out
//!                      └────────────────────────► ended ◄──────────────────┘
//! ```
//!
//! A lock is named by the stamp that asked for it. How the last ones ended is remembered, so that
//! a request that is sent again, or arrives late, is answered and does not lock again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::config::{
    MAX_ENDED_LOCKS, MAX_READERS, MAX_RETRIES_WAITING, MAX_SESSIONS_PER_VALUE, MAX_WAITING,
};
use crate::message::{Failure, LockMode, SessionId, Stamp};
use crate::version::Version;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Locks {
    /// Invariant: one writer, or readers.
    held: Vec<Held>,
    waiting: VecDeque<Waiting>,
    /// The last writer did not give it back.
    abandoned: bool,
    ended: BTreeMap<SessionId, EndedLocks>,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) stamp: Stamp,
    pub(super) holder: u64,
    mode: LockMode,
    pub(super) fence: Version,
    /// Its holder was told that the writer before did not give it back.
    pub(super) abandoned: bool,
}

#[derive(Debug)]
struct Waiting {
    stamp: Stamp,
    holder: u64,
    mode: LockMode,
    since: Instant,
    until: Instant,
    /// The requests to answer: the first and those that were sent again.
    tokens: Vec<u64>,
}

#[derive(Debug, Default)]
struct EndedLocks {
    recent: VecDeque<(u64, End)>,
    /// All with a number up to this have ended.
    below: u64,
}

/// How a lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Returned,
    Lost { fence: Version },
    TimedOut { waited_ms: u64, holder: u64 },
}

/// What a request for a lock comes to.
pub(super) enum Asked {
    Granted(Held),
    Waits,
    Refused(Failure),
}

/// Requests with their answers.
pub(super) type Answers = Vec<(u64, Result<Held, Failure>)>;

impl Locks {
    /// Whether nobody holds or awaits one.
    pub(super) fn is_free(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty()
    }

    /// How many wait.
    pub(super) fn waits(&self) -> usize {
        self.waiting.len()
    }

    /// The writer, if there is one.
    pub(super) fn writer(&self) -> Option<&Held> {
        self.held.first().filter(|held| held.mode == LockMode::Write)
    }

    /// Whether a change with this token may be made now.
    pub(super) fn check(&self, fence: Option<Version>) -> Result<(), Failure> {
        match (fence, self.writer()) {
            (None, None) => Ok(()),
            (Some(fence), Some(writer)) if writer.fence == fence => Ok(()),
            (Some(fence), _) => Err(Failure::LockLost { fence }),
            (None, Some(writer)) => Err(Failure::Locked { holder: writer.holder }),
        }
    }

    /// Asks for a lock; grants it at once with the token `next` if nobody is before. Otherwise
    /// it waits, if its tenant has room.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        (stamp, holder, mode): (Stamp, u64, LockMode),
        (wait, room): (Duration, Result<(), Failure>),
        token: u64,
        next: &mut impl FnMut() -> Version,
    ) -> Asked {
        if let Some(known) = self.known(stamp, mode, token) {
            return known;
        }
        if self.waiting.is_empty() && self.is_compatible(mode) {
            return Asked::Granted(self.hold(stamp, holder, mode, next()));
        }
        if wait.is_zero() {
            let holder = self.before(stamp);
            return Asked::Refused(self.time_out(stamp, 0, holder));
        }
        if self.waiting.len() >= MAX_WAITING {
            let limit = MAX_WAITING as u64;
            return Asked::Refused(Failure::Limit { what: "waits for one lock".to_owned(), limit });
        }
        if let Err(full) = room {
            return Asked::Refused(full);
        }
        let until = now + wait;
        let tokens = vec![token];
        self.waiting.push_back(Waiting { stamp, holder, mode, since: now, until, tokens });
        Asked::Waits
    }

    /// What is known of a lock that was asked for before.
    fn known(&mut self, stamp: Stamp, mode: LockMode, token: u64) -> Option<Asked> {
        if let Some(held) = self.held.iter().find(|held| held.stamp == stamp) {
            return Some(if held.mode == mode {
                Asked::Granted(*held)
            } else {
                Asked::Refused(Failure::Malformed {
                    why: "found two locks of one stamp".to_owned(),
                })
            });
        }
        if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.stamp == stamp) {
            if waiting.tokens.len() == MAX_RETRIES_WAITING {
                return Some(Asked::Refused(Failure::Limit {
                    what: "requests for one lock".to_owned(),
                    limit: MAX_RETRIES_WAITING as u64,
                }));
            }
            waiting.tokens.push(token);
            return Some(Asked::Waits);
        }
        let end = self.end_of(stamp)?;
        Some(Asked::Refused(match end {
            End::Returned => Failure::NotLocked,
            End::Lost { fence } => Failure::LockLost { fence },
            End::TimedOut { waited_ms, holder } => Failure::LockTimeout { waited_ms, holder },
        }))
    }

    fn end_of(&self, stamp: Stamp) -> Option<End> {
        let ended = self.ended.get(&stamp.session)?;
        let recent = ended.recent.iter().find(|(sequence, _)| *sequence == stamp.sequence);
        recent.map(|(_, end)| *end).or((stamp.sequence <= ended.below).then_some(End::Returned))
    }

    fn is_compatible(&self, mode: LockMode) -> bool {
        match mode {
            LockMode::Write => self.held.is_empty(),
            LockMode::Read => self.writer().is_none() && self.held.len() < MAX_READERS,
        }
    }

    fn hold(&mut self, stamp: Stamp, holder: u64, mode: LockMode, fence: Version) -> Held {
        let abandoned = mode == LockMode::Write && std::mem::take(&mut self.abandoned);
        let held = Held { stamp, holder, mode, fence, abandoned };
        self.held.push(held);
        held
    }

    /// Who is in the way of `stamp`.
    fn before(&self, stamp: Stamp) -> u64 {
        let waiting = self.waiting.front().filter(|waiting| waiting.stamp != stamp);
        self.held.first().map(|held| held.holder).or(waiting.map(|w| w.holder)).unwrap_or(0)
    }

    fn end(&mut self, stamp: Stamp, end: End) {
        let ended = self.ended.entry(stamp.session).or_default();
        ended.recent.push_back((stamp.sequence, end));
        if ended.recent.len() > MAX_ENDED_LOCKS
            && let Some((sequence, _)) = ended.recent.pop_front()
        {
            ended.below = ended.below.max(sequence);
        }
        if self.ended.len() > MAX_SESSIONS_PER_VALUE
            && let Some(other) = self.ended.keys().copied().find(|other| *other != stamp.session)
        {
            self.ended.remove(&other);
        }
    }

    fn time_out(&mut self, stamp: Stamp, waited_ms: u64, holder: u64) -> Failure {
        self.end(stamp, End::TimedOut { waited_ms, holder });
        Failure::LockTimeout { waited_ms, holder }
    }

    /// Gives a lock back, or ends a wait; the tokens of the latter are to be told.
    pub(super) fn give_back(
        &mut self,
        stamp: Stamp,
        fence: Version,
        abandoned: bool,
    ) -> Result<Vec<u64>, Failure> {
        if let Some(at) = self.held.iter().position(|held| held.stamp == stamp) {
            let held = self.held[at];
            if fence != Version::NONE && fence != held.fence {
                return Err(Failure::NotLocked);
            }
            self.held.remove(at);
            // Who does not know that it had the lock has not told anybody that it was abandoned.
            let untold = held.abandoned && fence == Version::NONE;
            self.abandoned |= held.mode == LockMode::Write && (abandoned || untold);
            self.end(stamp, End::Returned);
            return Ok(Vec::new());
        }
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.stamp == stamp) {
            self.end(stamp, End::Returned);
            return Ok(self.waiting.remove(at).map_or(Vec::new(), |waiting| waiting.tokens));
        }
        match self.end_of(stamp) {
            Some(End::Lost { fence }) => Err(Failure::LockLost { fence }),
            Some(_) => Ok(Vec::new()),
            None => {
                self.end(stamp, End::Returned);
                let unknown = fence == Version::NONE;
                if unknown { Ok(Vec::new()) } else { Err(Failure::NotLocked) }
            }
        }
    }

    /// Grants what can be granted now.
    pub(super) fn grant(&mut self, next: &mut impl FnMut() -> Version) -> Answers {
        let mut answers = Answers::new();
        while let Some(front) = self.waiting.front()
            && self.is_compatible(front.mode)
            && let Some(Waiting { stamp, holder, mode, tokens, .. }) = self.waiting.pop_front()
        {
            let held = self.hold(stamp, holder, mode, next());
            answers.extend(tokens.into_iter().map(|token| (token, Ok(held))));
        }
        answers
    }

    /// Ends the waits whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Answers {
        let mut answers = Answers::new();
        for waiting in self.take_waiting(|waiting| waiting.until <= now) {
            let waited_ms = now.saturating_duration_since(waiting.since).as_millis() as u64;
            let holder = self.before(waiting.stamp);
            let failure = self.time_out(waiting.stamp, waited_ms, holder);
            answers.extend(waiting.tokens.into_iter().map(|token| (token, Err(failure.clone()))));
        }
        answers
    }

    /// When the first wait is over.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }

    /// The session is gone: what it held as a writer is abandoned, and it waits no more.
    pub(super) fn abandon(&mut self, session: SessionId) -> Answers {
        let (lost, held) = self.held.iter().partition(|held| held.stamp.session == session);
        self.held = held;
        for held in Vec::<Held>::into_iter(lost) {
            self.abandoned |= held.mode == LockMode::Write;
            self.end(held.stamp, End::Lost { fence: held.fence });
        }
        let mut answers = Answers::new();
        for waiting in self.take_waiting(|waiting| waiting.stamp.session == session) {
            self.end(waiting.stamp, End::Returned);
            answers
                .extend(waiting.tokens.into_iter().map(|token| (token, Err(Failure::NotLocked))));
        }
        answers
    }

    /// The value is gone: nobody waits for it any more.
    pub(super) fn refuse_all(&mut self, why: &Failure) -> Answers {
        let waiting = self.take_waiting(|_| true);
        for waiting in &waiting {
            self.end(waiting.stamp, End::Returned);
        }
        let tokens = waiting.into_iter().flat_map(|waiting| waiting.tokens);
        tokens.map(|token| (token, Err(why.clone()))).collect()
    }

    fn take_waiting(&mut self, which: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let (taken, left) = std::mem::take(&mut self.waiting).into_iter().partition(which);
        self.waiting = Vec::<Waiting>::into(left);
        taken
    }

    /// Whether the session holds or awaits a lock.
    pub(super) fn concerns(&self, session: SessionId) -> bool {
        self.held.iter().any(|held| held.stamp.session == session)
            || self.waiting.iter().any(|waiting| waiting.stamp.session == session)
    }

    /// Forgets how the locks of a session ended; it will not send again.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.ended.remove(&session);
    }
}

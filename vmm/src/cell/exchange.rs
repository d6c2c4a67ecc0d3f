//! What a Faaslet and its worker say to each other.
//!
//! A Faaslet is a future that owns its store; while it is suspended nobody can look inside. So
//! what the worker has to know lies here: the call to run, what the Faaslet waits for, the calls
//! that it chains, their answers, and its own answer. The worker reads [`Exchange::phase`] after
//! each poll and needs no wakers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::call::{Answer, Call};
use super::limits::{MAX_LOG_LINE_BYTES, MAX_LOG_LINES};
use super::local::{Ask, LocalTier, Replied};
use super::results::Results;
use faaslet_tier::{Task, Wake};

/// What the Faaslet is doing, as the worker must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Warm and reset: it can take a call.
    Idle,
    /// The same, and polled without a call it goes on to compare itself with its image.
    Checking,
    /// It wants to go on: it used up a time slice, or has just been given a call.
    Runnable,
    /// It waits for a chained call, at most until then.
    Awaiting(u32, Instant),
    /// It sleeps until then.
    Sleeping(Instant),
    /// It waits for a lock, a turn, a word or an owner, at most until then.
    Waiting(Instant),
    /// Its answer is ready; polled again it resets itself.
    Answered,
    /// It is gone for good: its slot could not be restored.
    Dead,
}

/// Which function a chained call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A function of the tenant.
    Function(String),
    /// An exported function of the same module.
    Export(String),
    /// A function in the first table of the same module.
    Table(u32),
}

/// A call that a Faaslet makes.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The caller's name for it.
    pub handle: u32,
    /// Where it goes.
    pub target: Target,
    /// What it carries.
    pub input: Vec<u8>,
}

/// One line of a function's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// [`faaslet_abi::Level`] as a number; standard output is 2, standard error 1.
    pub level: u8,
    /// The text, without its line end.
    pub text: Vec<u8>,
}

/// The state behind an [`Exchange`].
#[derive(Debug)]
pub struct Desk {
    /// Invariant: written by the Faaslet before it returns from a poll, and by the worker only
    /// to [`Phase::Runnable`].
    pub phase: Phase,
    /// The call to run next.
    pub call: Option<Call>,
    /// How the last call ended.
    pub answer: Option<Answer>,
    /// Calls that the Faaslet wants to make.
    pub chains: Vec<Chain>,
    /// Answers to chained calls that are not released yet.
    ///
    /// Invariant: empty between calls.
    pub results: Results,
    /// Under which name the call waits, locks and maps in the local tier.
    pub task: Task,
    /// Requests to owners that the Faaslet makes.
    pub asks: Vec<Ask>,
    /// Calls of this cell that it has woken.
    pub woken: Wake,
    /// The answer to its last request, by the request's number.
    pub replied: Option<(u64, Replied)>,
    /// Log lines of the current call.
    pub logs: VecDeque<LogLine>,
    /// Lines that [`MAX_LOG_LINES`] kept out.
    pub logs_dropped: u64,
    /// The caller wants no answer any more.
    pub cancelled: bool,
    /// A page of the image could not be had in an earlier turn of this call.
    pub lost: bool,
}

/// Shared by one Faaslet and its worker.
#[derive(Clone, Debug)]
pub struct Exchange {
    desk: Arc<Mutex<Desk>>,
    local: Option<Arc<LocalTier>>,
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Exchange {
    /// One for a Faaslet that has state, if there is a tier.
    pub fn new(local: Option<Arc<LocalTier>>) -> Self {
        let desk = Desk {
            phase: Phase::Idle,
            call: None,
            answer: None,
            chains: Vec::new(),
            results: Results::default(),
            task: Task(0),
            asks: Vec::new(),
            woken: Wake::nobody(),
            replied: None,
            logs: VecDeque::new(),
            logs_dropped: 0,
            cancelled: false,
            lost: false,
        };
        Self { desk: Arc::new(Mutex::new(desk)), local }
    }

    /// The cell's local tier.
    pub fn local(&self) -> Option<&Arc<LocalTier>> {
        self.local.as_ref()
    }

    /// The state; held for a few instructions only, and never across a suspension.
    pub fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Phase {
    /// Until when it waits, if it does.
    pub fn until(self) -> Option<Instant> {
        match self {
            Self::Awaiting(_, until) | Self::Sleeping(until) | Self::Waiting(until) => Some(until),
            _ => None,
        }
    }

    /// Whether something may end its wait.
    pub fn is_waiting(self) -> bool {
        self.until().is_some()
    }
}

/// What a Faaslet leaves behind for others' state: requests, and calls that it has woken.
pub type LeftState = Option<(Vec<Ask>, Wake)>;

impl Desk {
    /// A page could not be had: the call ends when it goes on, which is now if it waits.
    pub fn lose(&mut self) {
        self.lost = true;
        self.cancelled = true;
        if self.phase.is_waiting() {
            self.phase = Phase::Runnable;
        }
    }

    /// Takes what concerns state, if there is anything.
    pub fn leave_state(&mut self) -> LeftState {
        if self.asks.is_empty() && self.woken.0.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut self.asks), std::mem::take(&mut self.woken)))
    }

    /// Keeps a log line within the bounds.
    pub fn log(&mut self, level: u8, text: &[u8]) {
        if self.logs.len() >= MAX_LOG_LINES {
            self.logs_dropped += 1;
            return;
        }
        let text = text[..text.len().min(MAX_LOG_LINE_BYTES)].to_vec();
        self.logs.push_back(LogLine { level, text });
    }
}

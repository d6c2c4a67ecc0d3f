//! One worker of a cell as the monitor sees it: a ring each way, and the calls that wait for it.
//!
//! Two locks, neither held while anybody waits: what goes to the worker, and what comes from it.
//! Whoever holds the second may take the first, never the other way round.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use faaslet_ring::{Broken, Consumer, Producer, PushError};

use super::slab::Slab;
use crate::cell::{Answer, Refusal};
use crate::monitor::caller::Caller;
use crate::monitor::lock::lock;
use crate::wire::{self, CallHead, ToCell, Warm};

/// Calls that one worker may have in flight; more are refused at once.
pub(super) const MAX_IN_FLIGHT: usize = 65_536;
/// Messages taken off one ring before others get their turn.
pub(super) const MAX_MESSAGES_AT_ONCE: usize = 256;

/// Time beyond its deadline in which a call must be answered: a cell stops a call within a time
/// slice, so one that takes longer is no cell that works.
const ANSWER_MARGIN: Duration = Duration::from_secs(2);

/// Counts of a worker, as it told them last.
#[derive(Debug, Default, Clone, Copy)]
pub struct WorkerCounts {
    /// Slots that hold an instance.
    pub slots: u32,
    /// Of these, idle ones.
    pub idle: u32,
    /// Calls that wait for a slot.
    pub queued: u32,
    /// Resets done so far.
    pub resets: u64,
    /// Sampled comparisons that found a difference.
    pub mismatches: u64,
}

/// See the module's documentation.
pub(super) struct WorkerLink {
    to: Mutex<To>,
    from: Mutex<From>,
    in_flight: AtomicUsize,
    started: Instant,
    /// How long it may be silent because a page is on its way.
    pause: Duration,
    /// When it said something last, after `started`.
    heard_ms: AtomicU64,
    /// When it came to owe an answer that nobody waits for, since `started`; 0 when it owes none.
    owes_ms: AtomicU64,
    pub(super) counts: Mutex<WorkerCounts>,
    /// Idle slots by function, as it told them last.
    pub(super) warm: Mutex<Vec<Warm>>,
}

struct To {
    producer: Producer,
    waiting: Slab<Waiting>,
    /// The last head that was encoded.
    head: Vec<u8>,
    /// Invariant: once it is set, nothing waits.
    ended: bool,
}

/// A call that was sent.
struct Waiting {
    caller: Caller,
    /// When its worker should have answered it.
    until: Instant,
}

struct From {
    consumer: Consumer,
    message: Vec<u8>,
}

/// A call that its worker never got.
pub(in crate::monitor) enum NotSent {
    /// The cell takes no more calls: this one can be sent to another.
    Ended(Caller),
    /// The same, and it is because the ring is broken: the cell is to be ended.
    Broken(Caller, Broken),
    /// It was refused, and the caller is to be told so.
    Refused(Caller, Answer),
}

/// A message that could not be pushed.
pub(super) enum TellError {
    /// This one; another one may fit.
    Refused(Answer),
    /// The ring is broken and its cell to be ended.
    Broken(Broken),
}

impl WorkerLink {
    pub(super) fn new(producer: Producer, consumer: Consumer, pause: Duration) -> Self {
        let to = To { producer, waiting: Slab::new(MAX_IN_FLIGHT), head: Vec::new(), ended: false };
        Self {
            to: Mutex::new(to),
            from: Mutex::new(From { consumer, message: Vec::new() }),
            in_flight: AtomicUsize::new(0),
            started: Instant::now(),
            pause,
            heard_ms: AtomicU64::new(0),
            owes_ms: AtomicU64::new(0),
            counts: Mutex::default(),
            warm: Mutex::default(),
        }
    }

    /// Sends a call, without ringing; its number.
    pub(super) fn call(
        &self,
        mut head: CallHead,
        parts: [&[u8]; 2],
        caller: Caller,
    ) -> Result<u64, NotSent> {
        let mut to = lock(&self.to);
        if to.ended {
            return Err(NotSent::Ended(caller));
        }
        let until = Instant::now() + Duration::from_micros(head.deadline_us) + ANSWER_MARGIN;
        let number = to.waiting.insert(Waiting { caller, until }).map_err(
            |Waiting { caller, .. }| {
                let text = format!("{MAX_IN_FLIGHT} calls are in flight already; try again later");
                NotSent::Refused(caller, Answer::refused(Refusal::Overloaded, text))
            },
        )?;
        head.number = number;
        let told = to.tell(&ToCell::Call(head), &parts);
        let Err(error) = told else {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return Ok(number);
        };
        // It was put in under this lock.
        let Some(Waiting { caller, .. }) = to.waiting.take(number) else { return Ok(number) };
        Err(match error {
            TellError::Refused(answer) => NotSent::Refused(caller, answer),
            TellError::Broken(broken) => NotSent::Broken(caller, broken),
        })
    }

    /// Sends a message that belongs to no call of ours, and rings.
    pub(super) fn tell(&self, head: &ToCell, payload: &[&[u8]]) -> Result<(), TellError> {
        let mut to = lock(&self.to);
        to.tell(head, payload)?;
        to.producer.flush();
        Ok(())
    }

    /// Wakes the worker if it sleeps and something was sent since.
    pub(super) fn ring(&self) {
        lock(&self.to).producer.flush();
    }

    /// Moves what found no room in the ring.
    pub(super) fn pump(&self) -> Result<(), Broken> {
        lock(&self.to).producer.pump()
    }

    /// Takes a call out that waits for its answer.
    pub(super) fn take(&self, number: u64) -> Option<Caller> {
        let Waiting { caller, .. } = lock(&self.to).waiting.take(number)?;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        Some(caller)
    }

    /// Whether a call waits for its answer.
    pub(super) fn has(&self, number: u64) -> bool {
        lock(&self.to).waiting.has(number)
    }

    /// The cell has ended: what waits, and nothing is sent from now on.
    pub(super) fn end(&self) -> Vec<Caller> {
        let mut to = lock(&self.to);
        to.ended = true;
        self.in_flight.store(0, Ordering::Relaxed);
        to.waiting.take_all().into_iter().map(|waiting| waiting.caller).collect()
    }

    /// Takes out the calls that should have been answered before `now`, and says whether the worker
    /// has said nothing at all since the deadline of one passed.
    pub(super) fn take_late(&self, now: Instant) -> (Vec<Caller>, bool) {
        let late = lock(&self.to).waiting.take_those(|waiting| waiting.until < now);
        self.in_flight.fetch_sub(late.len(), Ordering::Relaxed);
        let heard = self.started + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        let silent = late.iter().any(|waiting| heard + ANSWER_MARGIN < waiting.until);
        // One that may wait for a page is given the time for that.
        let pauses = silent && !self.pause.is_zero();
        if pauses {
            self.owes();
        }
        (late.into_iter().map(|waiting| waiting.caller).collect(), silent && !pauses)
    }

    /// A call was taken out that the worker still owes an answer to: it says one soon, if it can.
    pub(super) fn owes(&self) {
        let now = self.started.elapsed().as_millis() as u64;
        // An older debt is not put off by a newer one.
        let _ = self.owes_ms.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether it has said nothing at all since it came to owe an answer, for too long.
    pub(super) fn owes_too_long(&self) -> bool {
        let since = self.owes_ms.load(Ordering::Relaxed);
        if since == 0 {
            return false;
        }
        if self.heard_ms.load(Ordering::Relaxed) >= since {
            self.owes_ms.store(0, Ordering::Relaxed);
            return false;
        }
        self.started.elapsed() > Duration::from_millis(since) + ANSWER_MARGIN + self.pause
    }

    /// Sends nothing from now on, if nothing waits; otherwise it says no.
    pub(super) fn close_if_idle(&self) -> bool {
        let mut to = lock(&self.to);
        to.ended = to.waiting.is_empty();
        to.ended
    }

    /// Sends again: the cell goes on.
    pub(super) fn reopen(&self) {
        lock(&self.to).ended = false;
    }

    /// Calls that wait for their answers.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Hands messages that are there to `each`, at most [`MAX_MESSAGES_AT_ONCE`]; how many.
    pub(super) fn receive(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<usize, String> {
        let mut from = lock(&self.from);
        let From { consumer, message } = &mut *from;
        let mut taken = 0;
        // Looked at first, so that a bell that is armed stays so when there is nothing.
        while taken < MAX_MESSAGES_AT_ONCE
            && consumer.has_news().map_err(|error| error.to_string())?
            && consumer.try_recv(message).map_err(|error| error.to_string())?
        {
            each(message)?;
            taken += 1;
        }
        if taken > 0 {
            let heard = self.started.elapsed().as_millis() as u64;
            self.heard_ms.store(heard, Ordering::Relaxed);
        }
        Ok(taken)
    }

    /// The bell shall ring for the next message. False: there is one already.
    pub(super) fn arm(&self) -> Result<bool, Broken> {
        lock(&self.from).consumer.arm()
    }
}

impl To {
    fn tell(&mut self, head: &ToCell, payload: &[&[u8]]) -> Result<(), TellError> {
        let refused = |refusal, text: String| TellError::Refused(Answer::refused(refusal, text));
        wire::encode(head, &mut self.head)
            .map_err(|error| refused(Refusal::CannotBeMade, error.to_string()))?;
        let mut parts: [&[u8]; 3] = [&self.head, &[], &[]];
        for (part, bytes) in parts[1..].iter_mut().zip(payload) {
            *part = bytes;
        }
        // What carries nothing is small: a cancelled call, an answer that was lost.
        let small = payload.iter().all(|bytes| bytes.is_empty());
        let pushed = match (small, head) {
            (_, ToCell::Call(_)) | (false, _) => self.producer.push(&parts),
            (true, _) => self.producer.push_small(&parts),
        };
        pushed.map_err(|error| match error {
            PushError::Broken(broken) => TellError::Broken(broken),
            PushError::TooLong { .. } => refused(Refusal::TooLarge, error.to_string()),
            PushError::Full { .. } => refused(Refusal::Overloaded, error.to_string()),
        })
    }
}

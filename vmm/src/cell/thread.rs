//! The thread of a worker: it takes calls off the ring and posts out of the inbox, turns the
//! worker, and waits when there is nothing to do.

mod state;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_ring::{Broken, CellEnd, PushError, WaitError};
use faaslet_snapshot::board::Watch;
use faaslet_snapshot::dirty::Pagemap;
use faaslet_state::SessionError;
use faaslet_tier::Task;

use super::call::{Answer, Call, Entry, Mode, Refusal, ResponseHead};
use super::exchange::LogLine;
use super::function::Function;
use super::local::{Ask, LocalTier, worker_of};
use super::peers::{Inbox, Post};
use super::ticker::Ticker;
use super::worker::{Departure, Origin, Outside, Parent, Worker};
use crate::wire::{self, ArchivedCallHead, ArchivedToCell, FromCell, Warm, WireError};

/// Messages taken off the ring before the worker turns again.
const MAX_MESSAGES_AT_ONCE: usize = 64;
/// Turns before ring and inbox are looked at again.
const MAX_TURNS_AT_ONCE: usize = 64;
/// Answers that are kept until the monitor is woken.
const MAX_QUIET_ANSWERS: usize = 16;
/// Longest text of an answer that was lost: it fits what the ring keeps for small messages.
const MAX_LOST_TEXT_BYTES: usize = 256;
/// Chained calls that may be at the monitor at the same time.
const MAX_CHAINS_OUT: usize = 4096;
/// How often counts are told while there is work.
const COUNTS_EVERY: Duration = Duration::from_secs(1);

/// Why a worker ends: the monitor is gone or broken, and the cell ends with it.
#[derive(Debug, thiserror::Error)]
pub enum ThreadError {
    /// The ring is broken.
    #[error(transparent)]
    Ring(#[from] Broken),
    /// Waiting on it failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A message is none.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    /// It cannot be encoded.
    #[error(transparent)]
    Wire(#[from] rkyv::rancor::Error),
    /// There is no room for it.
    #[error(transparent)]
    Ring(#[from] PushError),
}

/// What a worker thread has beside its worker.
pub(crate) struct ToOthers {
    ring: CellEnd,
    number: usize,
    inboxes: Arc<[Inbox]>,
    /// Workers from this one on are for forks of images that are not whole.
    plain: usize,
    chains: HashMap<u64, Parent>,
    next_chain: u64,
    asks: state::Asks,
    /// The last head that was encoded.
    head: Vec<u8>,
    /// Messages that the monitor was not woken for.
    quiet: usize,
    /// Something happened since counts were told.
    untold: bool,
    /// Slots are being made ahead of calls, and somebody waits to hear that they are.
    warming: bool,
    /// Log lines that found no room.
    lost_lines: u64,
    failed: Option<Broken>,
}

/// What the thread of a worker is given.
pub(crate) struct Workplace {
    pub(crate) number: usize,
    /// Workers from this one on are for forks of images that are not whole.
    pub(crate) plain: usize,
    pub(crate) inboxes: Arc<[Inbox]>,
    pub(crate) pagemap: Arc<Pagemap>,
    pub(crate) slots: usize,
    pub(crate) local: Arc<LocalTier>,
    pub(crate) ticker: Ticker,
    /// The way to the pager, if it is for images that are not whole.
    pub(crate) watch: Option<Arc<Watch>>,
}

/// Runs a worker until the cell ends.
pub(crate) fn run(ring: CellEnd, place: Workplace) -> Result<(), ThreadError> {
    let Workplace { number, plain, inboxes, pagemap, slots, local, ticker, watch } = place;
    let mut outside = ToOthers::new(ring, number, inboxes);
    outside.plain = plain;
    let mut worker = Worker::new(number as u32, &pagemap, slots, outside);
    worker.set_local(&local);
    if let Some(watch) = watch {
        worker.set_watch(watch);
    }
    let mut message = Vec::new();
    let mut told = Instant::now();
    ticker.begin();
    loop {
        take_messages(&mut worker, &mut message)?;
        take_posts(&mut worker);
        if worker.next_timer().is_some() {
            worker.fire(Instant::now());
        }
        tell_load(&mut worker);
        turn(&mut worker);
        tell_load(&mut worker);
        let warmed = worker.outside().warming && worker.ready() == 0;
        if warmed || told.elapsed() >= COUNTS_EVERY {
            worker.outside().warming &= !warmed;
            told = Instant::now();
            tell_counts(&mut worker, &local);
        }
        worker.outside().pump()?;
        // With nothing else to do, a slice of a check; then ring and inbox are looked at again.
        if !worker.busy() && !worker.check() {
            wait(&mut worker, &ticker, told + COUNTS_EVERY)?;
        }
    }
}

/// Lets other workers see how much there is to do here.
fn tell_load(worker: &mut Worker<ToOthers>) {
    let ready = worker.ready();
    let outside = worker.outside();
    outside.inboxes[outside.number].set_load(ready);
}

/// Polls Faaslets that are ready. The monitor is woken as soon as all of them have answered, before
/// their slots are reset: nobody waits for that.
fn turn(worker: &mut Worker<ToOthers>) {
    for _ in 0..MAX_TURNS_AT_ONCE {
        if !worker.turn() {
            break;
        }
        let ready = worker.ready();
        let outside = worker.outside();
        if outside.quiet >= ready.clamp(1, MAX_QUIET_ANSWERS) {
            outside.flush();
        }
    }
}

/// Sleeps until something comes, or is due; `tell` is when counts are, if they may have changed.
fn wait(worker: &mut Worker<ToOthers>, ticker: &Ticker, tell: Instant) -> Result<(), ThreadError> {
    let tell = worker.outside().untold.then_some(tell);
    let timer = worker.next_timer().into_iter().chain(tell).min();
    let timeout = timer.map(|at| at.saturating_duration_since(Instant::now()));
    let outside = worker.outside();
    let inbox = &outside.inboxes[outside.number];
    ticker.end();
    let woken = outside.ring.wait(timeout, || inbox.waiting());
    ticker.begin();
    woken?;
    Ok(())
}

fn take_messages(worker: &mut Worker<ToOthers>, message: &mut Vec<u8>) -> Result<(), ThreadError> {
    for _ in 0..MAX_MESSAGES_AT_ONCE {
        if !worker.outside().ring.try_recv(message)? {
            return Ok(());
        }
        worker.outside().untold = true;
        let (head, payload) = wire::split(message)?;
        match wire::to_cell(head)? {
            ArchivedToCell::Call(head) => call(worker, head, payload),
            ArchivedToCell::Cancel { number } => worker.cancel(number.to_native()),
            ArchivedToCell::Chained { number, outcome } => {
                chained(worker, number.to_native(), outcome.to_native(), payload);
            }
            ArchivedToCell::State { number, end, reply_bytes } => {
                let reply_bytes = reply_bytes.to_native() as usize;
                state::answered(worker, number.to_native(), end, reply_bytes, payload);
            }
            ArchivedToCell::Prewarm { function, slots } => {
                prewarm(worker, function.to_native(), slots.to_native() as usize);
            }
        }
    }
    Ok(())
}

fn call(worker: &mut Worker<ToOthers>, head: &ArchivedCallHead, payload: &[u8]) {
    let request = (head.request_bytes.to_native() as usize).min(payload.len());
    let (request, input) = payload.split_at(request);
    let function = head.function.to_native();
    if !worker.serves(function) {
        // The monitor calls what the cell said it has, which may still be in the inbox.
        take_posts(worker);
    }
    let mode = match head.mode {
        1 => Mode::Fork,
        2 => Mode::Fresh,
        _ => worker.mode_of(function),
    };
    let now = Instant::now();
    let left = Duration::from_micros(head.deadline_us.to_native());
    let call = Call {
        id: head.id,
        attempt: head.attempt.to_native(),
        depth: head.depth.to_native(),
        entry: Entry::Main,
        mode,
        deadline: now.checked_add(left).unwrap_or(now),
        request: request.to_vec(),
        input: input.to_vec(),
    };
    worker.submit(function, call, Origin::Outside(head.number.to_native()));
}

fn prewarm(worker: &mut Worker<ToOthers>, function: u32, slots: usize) {
    if !worker.serves(function) {
        take_posts(worker);
    }
    worker.prewarm(function, slots);
    worker.outside().warming = true;
}

fn chained(worker: &mut Worker<ToOthers>, number: u64, outcome: i32, body: &[u8]) {
    let Some(parent) = worker.outside().chains.remove(&number) else { return };
    let answer = Answer {
        outcome: Outcome::from_i32(outcome).unwrap_or(Outcome::Lost),
        body: body.to_vec(),
        response: ResponseHead::default(),
        ran: Duration::ZERO,
        refusal: None,
    };
    worker.chained(parent, answer);
}

fn take_posts(worker: &mut Worker<ToOthers>) {
    loop {
        let Some(post) = worker.outside().take_post() else { return };
        match post {
            Post::Add(function) => worker.add(function),
            Post::Remove(number) => worker.remove(number),
            Post::Turn(function) => worker.turn_came(&function),
            Post::Done(parent, answer) => worker.chained(parent, answer),
            Post::Wake(task) => worker.wake_task(task),
            Post::Run(departure) => {
                let origin = Origin::Parent(departure.parent);
                match departure.function {
                    Some(number) => worker.submit(number, departure.call, origin),
                    None => {
                        let text = "no such function in this cell";
                        worker.refuse(origin, Refusal::NotFound, text);
                    }
                }
            }
        }
    }
}

fn tell_counts(worker: &mut Worker<ToOthers>, local: &LocalTier) {
    let counts = worker.counts();
    let (resets, mismatches) = worker.resets();
    let head = FromCell::Counts {
        slots: counts.slots as u32,
        idle: counts.idle as u32,
        queued: counts.queued as u32,
        resets,
        mismatches,
    };
    let warm = worker.warm().map(|(function, slots)| Warm { function, slots: slots as u32 });
    let warm: Vec<u8> = warm.flat_map(Warm::bytes).collect();
    // The next ones follow soon.
    let _ = worker.outside().tell(&head, &[&warm]);
    let _ = worker.outside().tell(&FromCell::StateCounts(local.counts()), &[]);
    worker.outside().untold = false;
}

impl ToOthers {
    pub(super) fn new(ring: CellEnd, number: usize, inboxes: Arc<[Inbox]>) -> Self {
        Self {
            ring,
            number,
            plain: inboxes.len(),
            inboxes,
            chains: HashMap::new(),
            next_chain: 0,
            asks: state::Asks::default(),
            head: Vec::new(),
            quiet: 0,
            untold: false,
            warming: false,
            lost_lines: 0,
            failed: None,
        }
    }

    /// Sends a message, or says why it cannot be; a broken ring is kept for [`ToOthers::pump`] to
    /// report.
    fn tell(&mut self, head: &FromCell, payload: &[&[u8]]) -> Result<(), NotTold> {
        wire::encode(head, &mut self.head)?;
        let mut parts: [&[u8]; 3] = [&self.head, &[], &[]];
        for (part, bytes) in parts[1..].iter_mut().zip(payload) {
            *part = bytes;
        }
        self.quiet += 1;
        self.untold = true;
        match self.ring.push(&parts) {
            Ok(()) => Ok(()),
            Err(PushError::Broken(broken)) => {
                self.failed = Some(broken);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says in the place of an answer that found no room that it is lost: whoever waits for it
    /// hears of it, whatever else is on its way.
    fn tell_lost(&mut self, number: u64, why: &str) {
        let head = FromCell::Answer {
            number,
            outcome: Outcome::Lost as i32,
            refusal: 0,
            status: 0,
            headers_bytes: 0,
            ran_ns: 0,
        };
        let text = format!("the function ran, and its answer was lost: {why}");
        let text = &text.as_bytes()[..text.len().min(MAX_LOST_TEXT_BYTES)];
        if wire::encode(&head, &mut self.head).is_err() {
            return;
        }
        match self.ring.push_small(&[&self.head, text]) {
            Ok(()) => {}
            Err(PushError::Broken(broken)) => self.failed = Some(broken),
            // There is room for as many as can be in flight; the monitor ends a call without an
            // answer after its deadline.
            Err(error) => eprintln!("cell: worker {}: {error}", self.number),
        }
    }

    /// Wakes the monitor, if it sleeps and there is something for it.
    fn flush(&mut self) {
        self.quiet = 0;
        self.ring.flush();
    }

    pub(super) fn pump(&mut self) -> Result<(), ThreadError> {
        if let Some(broken) = self.failed.take() {
            return Err(broken.into());
        }
        self.ring.pump()?;
        self.flush();
        Ok(())
    }

    /// The oldest post of this worker.
    pub(super) fn take_post(&self) -> Option<Post> {
        self.inboxes[self.number].take()
    }

    /// Another worker that has less to do than this one, or than any if this one is not for forks
    /// of such images.
    fn idler(&self, load: usize, filling: bool) -> Option<&Inbox> {
        let pool = if filling { self.plain..self.inboxes.len() } else { 0..self.plain };
        let load = if pool.contains(&self.number) { load } else { usize::MAX };
        let others = pool.map(|number| (number, &self.inboxes[number]));
        let others = others.filter(|(number, _)| *number != self.number);
        let idlest = others.map(|(_, inbox)| inbox).min_by_key(|inbox| inbox.load())?;
        (idlest.load() < load).then_some(idlest)
    }

    fn leave_to_monitor(&mut self, departure: Departure) -> Option<Departure> {
        if self.chains.len() >= MAX_CHAINS_OUT {
            let why = format!(
                "expected room for a call that leaves this cell; {MAX_CHAINS_OUT} are under way; \
                 try again later"
            );
            self.refuse_chain(departure.parent, &why);
            return None;
        }
        self.next_chain += 1;
        self.chains.insert(self.next_chain, departure.parent);
        let left = departure.call.deadline.saturating_duration_since(Instant::now());
        let head = FromCell::Chain {
            number: self.next_chain,
            name: departure.name,
            depth: departure.call.depth,
            deadline_us: left.as_micros() as u64,
        };
        if let Err(why) = self.tell(&head, &[&departure.call.input]) {
            self.chains.remove(&self.next_chain);
            self.refuse_chain(departure.parent, &why.to_string());
        }
        None
    }

    /// Answers a chained call that cannot leave the cell, by way of this worker's own inbox.
    fn refuse_chain(&self, parent: Parent, why: &str) {
        let answer = Answer::refused(Refusal::Overloaded, why);
        // Only chained calls are ever given back.
        let _ = self.inboxes[self.number].post(Post::Done(parent, answer));
    }
}

impl Outside for ToOthers {
    fn answer(&mut self, number: u64, answer: Answer) {
        let head = FromCell::Answer {
            number,
            outcome: answer.outcome as i32,
            refusal: refusal_number(&answer),
            status: answer.response.status,
            headers_bytes: answer.response.headers.len() as u32,
            ran_ns: answer.ran.as_nanos() as u64,
        };
        if let Err(why) = self.tell(&head, &[&answer.response.headers, &answer.body]) {
            self.tell_lost(number, &why.to_string());
        }
    }

    fn answer_peer(&mut self, parent: Parent, answer: Answer) {
        if let Some(inbox) = self.inboxes.get(parent.worker as usize) {
            // Only chained calls are ever given back.
            let _ = inbox.post(Post::Done(parent, answer));
        }
    }

    fn depart(&mut self, departure: Departure, load: usize) -> Option<Departure> {
        if departure.function.is_none() {
            return self.leave_to_monitor(departure);
        }
        match self.idler(load, departure.filling) {
            Some(inbox) => inbox.post(Post::Run(departure)).err(),
            None => Some(departure),
        }
    }

    fn pass_turn(&mut self, worker: u32, function: &Arc<Function>) {
        if let Some(inbox) = self.inboxes.get(worker as usize) {
            // Only chained calls are ever given back.
            let _ = inbox.post(Post::Turn(Arc::clone(function)));
        }
    }

    fn log(&mut self, function: &Function, call: &[u8; 16], line: LogLine) {
        // Lines never take the room of answers.
        if self.ring.backlog_bytes() > 0 {
            self.lost_lines += 1;
            return;
        }
        let head = FromCell::Log { function: function.number, call: *call, level: line.level };
        let lost = std::mem::take(&mut self.lost_lines);
        if lost > 0 {
            let text = format!("{lost} lines before this one were lost: too many at once");
            let _ = self.tell(&head, &[text.as_bytes()]);
        }
        let _ = self.tell(&head, &[&line.text]);
    }

    fn call_id(&mut self) -> [u8; 16] {
        rand::random()
    }

    fn wake(&mut self, task: Task) {
        if let Some(inbox) = self.inboxes.get(worker_of(task) as usize) {
            // Only chained calls are ever given back.
            let _ = inbox.post(Post::Wake(task));
        }
    }

    fn ask(&mut self, ask: Ask) -> Result<(), (Box<Ask>, SessionError)> {
        self.ask_monitor(ask)
    }
}

/// What the wire says of a refusal; one without a reason is one that no other attempt can mend.
fn refusal_number(answer: &Answer) -> u8 {
    let refused = answer.outcome == Outcome::Refused;
    let refusal = answer.refusal.or(refused.then_some(Refusal::CannotBeMade));
    refusal.map_or(0, |refusal| refusal as u8)
}

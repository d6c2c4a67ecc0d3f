//! A worker: the queue of one thread, and the slots that belong to it.
//!
//! No thread, no ring and no clock of its own: calls are submitted, [`Worker::turn`] polls one
//! Faaslet, and what leaves the worker goes through [`Outside`]. A Faaslet stays on its worker.
//!
//! ```text
//! submit ─► idle slot? ──yes──► ready ─► poll ─► Answered ─► outside.answer, then reset
//!              │ no                        ├──► Runnable: back of the queue (time slice)
//!              ├─ room: a new slot         └──► Awaiting, Sleeping, Waiting: no thread, a timer
//!              └─ full: queued, until its deadline; a chained one not for long, as what it waits
//!                 for may wait for it
//! ```
//!
//! Some slots are kept for chained calls, so that calls from outside cannot take them all; how many
//! calls of one function run at the same time is counted over all workers ([`super::turns`]).

mod chained;
mod queues;
mod room;
mod state;
mod timers;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use faaslet_abi::Outcome;
use faaslet_snapshot::board::Watch;
use faaslet_snapshot::dirty::{Pagemap, Scanner};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::slot::Slot;
use faaslet_state::SessionError;
use faaslet_tier::Task as StateTask;

use super::audit::Audit;
use super::call::{Answer, Call, Mode, Refusal};
use super::exchange::{Chain, Exchange, LogLine, Phase};
use super::faaslet::ScannerCell;
use super::function::Function;
use super::live::{Seat, live};
use super::local::{Ask, LocalTier, task_of};
use queues::Queued;
use timers::{Sleeper, arm};

/// Calls from outside that wait for a slot of one function.
pub const MAX_QUEUED_CALLS: usize = 4096;

/// One in so many slots is never taken by calls from outside.
const CHAINED_ONE_IN: usize = 8;

/// Who wants the answer to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The monitor, by its number for the call.
    Outside(u64),
    /// A Faaslet.
    Parent(Parent),
}

/// A Faaslet that waits for a chained call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its worker.
    pub worker: u32,
    /// Its place there.
    pub task: u32,
    /// Which of its calls; an answer to an earlier one is dropped.
    pub serial: u64,
    /// Its handle for the chained call.
    pub handle: u32,
}

/// A chained call that leaves its worker.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Who waits for it.
    pub parent: Parent,
    /// The function, when the cell has it.
    pub function: Option<u32>,
    /// The function's name.
    pub name: String,
    /// The call.
    pub call: Call,
    /// The function's image is not whole.
    pub filling: bool,
}

/// What a worker gives to the rest of the cell.
pub trait Outside {
    /// A call of the monitor's ended.
    fn answer(&mut self, number: u64, answer: Answer);
    /// A chained call of another worker's Faaslet ended.
    fn answer_peer(&mut self, parent: Parent, answer: Answer);
    /// A function called one that should run elsewhere: on another worker, or on no slot of this
    /// cell. Gives the departure back when it should run here after all.
    fn depart(&mut self, departure: Departure, load: usize) -> Option<Departure>;
    /// Another worker has a turn of this function's: it may begin a call.
    fn pass_turn(&mut self, worker: u32, function: &Arc<Function>);
    /// A function logged a line.
    fn log(&mut self, function: &Function, call: &[u8; 16], line: LogLine);
    /// A call id for a chained call.
    fn call_id(&mut self) -> [u8; 16];
    /// A call of another worker may have what it waits for.
    fn wake(&mut self, _: StateTask) {}
    /// A call asks the owner of a value. Gives the request back when it cannot be sent: where
    /// there is no way to owners, none can.
    fn ask(&mut self, ask: Ask) -> Result<(), (Box<Ask>, SessionError)> {
        Err((Box::new(ask), SessionError::Deadline))
    }
}

struct Task {
    /// Address of its slot.
    base: u64,
    future: Pin<Box<dyn Future<Output = ()>>>,
    exchange: Exchange,
    function: u32,
    mode: Mode,
    /// Most bytes of results that a call here may hold.
    result_bytes: usize,
    /// Invariant: `Some` from the start of a call until its answer is delivered.
    origin: Option<Origin>,
    serial: u64,
    id: [u8; 16],
    depth: u32,
    deadline: Instant,
    /// When its entry in the worker's timers runs out; it has one at most.
    timer: Option<Instant>,
    /// Invariant: whether it stands in its function's list of idle slots.
    idle: bool,
}

/// A function and its slots on this worker.
struct Warm {
    function: Arc<Function>,
    /// Invariant: whether it has its name, so that new calls reach it.
    named: bool,
    idle: [Vec<u32>; 2],
    live: usize,
    queue: VecDeque<Queued>,
    /// Queued calls served one after the other while other functions waited.
    in_a_row: u32,
    /// When the queue's entry in the worker's timers runs out; it has one at most.
    timer: Option<Instant>,
}

/// Counts for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Slots that hold an instance.
    pub slots: usize,
    /// Of these, the ones that wait for a call.
    pub idle: usize,
    /// Calls under way.
    pub running: usize,
    /// Calls that wait for a slot.
    pub queued: usize,
}

/// See the module's documentation.
pub struct Worker<O> {
    number: u32,
    layout: Layout,
    scanner: Rc<ScannerCell>,
    max_slots: usize,
    tasks: Vec<Option<Task>>,
    vacant: Vec<u32>,
    ready: VecDeque<u32>,
    /// Invariant: idle slots in the middle of a check of themselves.
    checks: BTreeSet<u32>,
    /// Invariant: at most one for each task and each queue, so their number is bounded by theirs.
    timers: BTreeSet<(Instant, Sleeper)>,
    functions: BTreeMap<u32, Warm>,
    names: HashMap<String, u32>,
    serial: u64,
    /// Calls in all queues.
    queued: usize,
    /// Calls under way that nobody chained.
    from_outside: usize,
    /// Calls that were ever queued.
    arrived: u64,
    audit: Rc<Audit>,
    local: Option<Arc<LocalTier>>,
    /// The way to the pager, on a worker for images that are not whole.
    watch: Option<Arc<Watch>>,
    outside: O,
}

impl<O: Outside> Worker<O> {
    /// A worker with at most `max_slots` slots.
    pub fn new(number: u32, pagemap: &Arc<Pagemap>, max_slots: usize, outside: O) -> Self {
        Self {
            number,
            layout: Layout::default(),
            scanner: Rc::new(ScannerCell::new(Scanner::new(Arc::clone(pagemap)))),
            max_slots,
            tasks: Vec::new(),
            vacant: Vec::new(),
            ready: VecDeque::new(),
            checks: BTreeSet::new(),
            timers: BTreeSet::new(),
            functions: BTreeMap::new(),
            names: HashMap::new(),
            serial: 0,
            queued: 0,
            from_outside: 0,
            arrived: 0,
            audit: Rc::default(),
            local: None,
            watch: None,
            outside,
        }
    }

    /// Gives the Faaslets that it makes from now on state.
    pub fn set_local(&mut self, local: &Arc<LocalTier>) {
        self.local = Some(Arc::clone(local));
    }

    /// Lets the slots that it makes from now on be mapped to images that are not whole.
    pub fn set_watch(&mut self, watch: Arc<Watch>) {
        self.watch = Some(watch);
    }

    /// Lets calls reach `function`; a function of the same name gives its name up, and runs on
    /// for calls that it has begun.
    pub fn add(&mut self, function: Arc<Function>) {
        let before = self.names.insert(function.name.clone(), function.number);
        if let Some(warm) = before.and_then(|number| self.functions.get_mut(&number)) {
            warm.named = false;
        }
        let warm = Warm {
            named: true,
            idle: [Vec::new(), Vec::new()],
            live: 0,
            queue: VecDeque::new(),
            in_a_row: 0,
            timer: None,
            function,
        };
        self.functions.insert(warm.function.number, warm);
    }

    /// Takes a function away once its calls have ended; new calls do not reach it.
    pub fn remove(&mut self, number: u32) {
        let Some(warm) = self.functions.get_mut(&number) else { return };
        if std::mem::take(&mut warm.named) {
            self.names.remove(&warm.function.name);
        }
        let idle: Vec<u32> = warm.idle.iter_mut().flat_map(std::mem::take).collect();
        warm.live -= idle.len();
        for task in idle {
            self.drop_task(task);
        }
        self.forget(number);
        self.serve_queues(number);
    }

    /// Lets go of a function that has no name and nothing left to do.
    fn forget(&mut self, number: u32) {
        let Some(warm) = self.functions.get(&number) else { return };
        if !warm.named && warm.live == 0 && warm.queue.is_empty() {
            let timer = warm.timer;
            self.functions.remove(&number);
            if let Some(at) = timer {
                self.timers.remove(&(at, Sleeper::Queue(number)));
            }
        }
    }

    /// The way out, for the thread that drives this worker.
    pub fn outside(&mut self) -> &mut O {
        &mut self.outside
    }

    /// What this worker has.
    pub fn counts(&self) -> Counts {
        let slots = self.tasks.iter().flatten().count();
        let idle = self.functions.values().flat_map(|w| &w.idle).map(Vec::len).sum();
        Counts { slots, idle, running: slots - idle, queued: self.queued }
    }

    /// Idle slots of each function that has some.
    pub fn warm(&self) -> impl Iterator<Item = (u32, usize)> {
        let idle = |(number, warm): (&u32, &Warm)| (*number, warm.idle.iter().map(Vec::len).sum());
        self.functions.iter().map(idle).filter(|(_, slots)| *slots > 0)
    }

    /// Makes reset slots of a function ahead of its calls, as many as there is room for.
    pub fn prewarm(&mut self, number: u32, slots: usize) -> usize {
        let mut made = 0;
        while made < slots && self.room(number) {
            let Some(task) = self.new_task(number, Mode::Fork) else { break };
            self.ready.push_back(task);
            made += 1;
        }
        made
    }

    /// Takes a call.
    pub fn submit(&mut self, number: u32, call: Call, origin: Origin) {
        if !self.functions.contains_key(&number) {
            return self.deliver(
                origin,
                Answer::refused(Refusal::NotFound, "no such function in this cell"),
            );
        }
        if let Err(call) = self.place(number, call, origin) {
            self.queue(number, call, origin);
        }
    }

    /// Answers a call that cannot be run.
    pub fn refuse(&mut self, origin: Origin, refusal: Refusal, why: &str) {
        self.deliver(origin, Answer::refused(refusal, why));
    }

    /// How a call of this function goes in that does not say.
    pub fn mode_of(&self, number: u32) -> Mode {
        self.functions.get(&number).map_or(Mode::Fork, |warm| warm.function.mode)
    }

    /// Whether it has a function of this number.
    pub fn serves(&self, number: u32) -> bool {
        self.functions.contains_key(&number)
    }

    /// Resets done, and how many of the sampled ones found a difference.
    pub fn resets(&self) -> (u64, u64) {
        self.audit.counts()
    }

    /// How often slots are compared with their images.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Ends a call of the monitor's whose caller has gone.
    pub fn cancel(&mut self, number: u64) {
        let origin = Some(Origin::Outside(number));
        for (index, task) in self.tasks.iter().enumerate() {
            if let Some(task) = task.as_ref().filter(|task| task.origin == origin) {
                let mut desk = task.exchange.desk();
                desk.cancelled = true;
                if desk.phase.is_waiting() {
                    desk.phase = Phase::Runnable;
                    self.ready.push_back(index as u32);
                }
                return;
            }
        }
        self.cancel_queued(Origin::Outside(number));
    }

    /// Whether [`Worker::turn`] has something to do.
    pub fn busy(&self) -> bool {
        !self.ready.is_empty()
    }

    /// How many Faaslets are ready to be polled.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Polls one Faaslet; false when none is ready.
    pub fn turn(&mut self) -> bool {
        let Some(task) = self.ready.pop_front() else { return false };
        self.poll(task);
        true
    }

    /// Goes on with the check of one idle slot, for when there is nothing else to do; false when
    /// there is none to go on with.
    pub fn check(&mut self) -> bool {
        let Some(task) = self.checks.pop_first() else { return false };
        self.poll(task);
        true
    }

    fn drop_task(&mut self, task: u32) {
        if let Some(gone) = self.tasks[task as usize].take() {
            if let Some(at) = gone.timer {
                self.timers.remove(&(at, Sleeper::Task(task)));
            }
            // A call that a panic ended lets go of what it held now.
            let exchange = gone.exchange.clone();
            drop(gone);
            let state = exchange.desk().leave_state();
            self.send_state(state);
        }
        self.checks.remove(&task);
        self.vacant.push(task);
    }

    fn new_task(&mut self, number: u32, mode: Mode) -> Option<u32> {
        let warm = self.functions.get_mut(&number)?;
        let mut slot = Slot::reserve(&self.layout).ok()?;
        if let Some(watch) = &self.watch {
            slot.set_watch(watch);
        }
        let base = slot.base().addr().get() as u64;
        let exchange = Exchange::new(self.local.clone());
        let seat = Seat {
            function: Arc::clone(&warm.function),
            exchange: exchange.clone(),
            scanner: Rc::clone(&self.scanner),
            audit: Rc::clone(&self.audit),
            mode,
        };
        let future = Box::pin(live(slot, seat));
        warm.live += 1;
        let now = Instant::now();
        let task = Task {
            base,
            future,
            exchange,
            function: number,
            mode,
            origin: None,
            serial: 0,
            id: [0; 16],
            depth: 0,
            deadline: now,
            timer: None,
            idle: false,
            result_bytes: warm.function.limits.result_bytes,
        };
        let index = self.vacant.pop().unwrap_or(self.tasks.len() as u32);
        if index as usize == self.tasks.len() {
            self.tasks.push(Some(task));
        } else {
            self.tasks[index as usize] = Some(task);
        }
        Some(index)
    }

    fn begin(&mut self, index: u32, call: Call, origin: Origin) {
        self.serial += 1;
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        self.from_outside += usize::from(call.depth == 0);
        task.origin = Some(origin);
        task.serial = self.serial;
        task.id = call.id;
        task.depth = call.depth;
        task.deadline = call.deadline;
        task.idle = false;
        self.checks.remove(&index);
        let mut desk = task.exchange.desk();
        desk.phase = Phase::Runnable;
        desk.cancelled = false;
        desk.lost = false;
        desk.task = task_of(self.number, index, self.serial);
        desk.call = Some(call);
        drop(desk);
        self.ready.push_back(index);
    }

    fn poll(&mut self, index: u32) {
        let Some(Some(task)) = self.tasks.get_mut(index as usize) else { return };
        if let Some(watch) = &self.watch {
            watch.enter(u64::from(task.function), task.base);
        }
        let mut context = Context::from_waker(Waker::noop());
        // A panic is a fault of the host in one call: it costs that call and its slot, no other.
        let polled = catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut context)));
        let mut desk = task.exchange.desk();
        if self.watch.as_ref().is_some_and(|watch| watch.settle()) {
            desk.lose();
        }
        let phase = match polled {
            Ok(Poll::Pending) => desk.phase,
            Ok(Poll::Ready(())) => Phase::Dead,
            Err(panic) => {
                desk.answer = Some(panicked(panic.as_ref()));
                Phase::Dead
            }
        };
        let chains = std::mem::take(&mut desk.chains);
        let logs = std::mem::take(&mut desk.logs);
        let answer = desk.answer.take();
        let state = desk.leave_state();
        drop(desk);
        self.send_state(state);
        self.leave(index, chains, logs, answer);
        self.settle(index, phase);
    }

    /// Sends out what a Faaslet left on its desk.
    fn leave(
        &mut self,
        index: u32,
        chains: Vec<Chain>,
        logs: VecDeque<LogLine>,
        answer: Option<Answer>,
    ) {
        for chain in chains {
            self.chain(index, chain);
        }
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        if !logs.is_empty()
            && let Some(warm) = self.functions.get(&task.function)
        {
            for line in logs {
                self.outside.log(&warm.function, &task.id, line);
            }
        }
        if let Some(answer) = answer
            && let Some(origin) = task.origin.take()
        {
            let (number, depth) = (task.function, task.depth);
            self.deliver(origin, answer);
            self.ended(number, depth);
        }
    }

    fn settle(&mut self, index: u32, phase: Phase) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        match phase {
            Phase::Runnable | Phase::Answered => self.ready.push_back(index),
            Phase::Awaiting(..) | Phase::Waiting(_)
                if task.exchange.desk().phase == Phase::Runnable => {}
            Phase::Awaiting(_, until) | Phase::Sleeping(until) | Phase::Waiting(until) => {
                arm(&mut self.timers, &mut task.timer, Sleeper::Task(index), until);
            }
            Phase::Idle | Phase::Checking => {
                if phase == Phase::Checking {
                    self.checks.insert(index);
                }
                if !task.idle {
                    self.idle(index);
                }
            }
            Phase::Dead => self.dead(index),
        }
    }

    fn dead(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let (number, origin, idle, depth) =
            (task.function, task.origin.take(), task.idle, task.depth);
        if idle && let Some(warm) = self.functions.get_mut(&number) {
            warm.idle.iter_mut().for_each(|list| list.retain(|other| *other != index));
        }
        if let Some(origin) = origin {
            self.deliver(origin, Answer::message(Outcome::Lost, "the slot was lost"));
            self.ended(number, depth);
        }
        self.retire(number, index);
        self.forget(number);
        self.serve_queues(number);
    }

    fn deliver(&mut self, origin: Origin, answer: Answer) {
        match origin {
            Origin::Outside(number) => self.outside.answer(number, answer),
            Origin::Parent(parent) if parent.worker == self.number => self.chained(parent, answer),
            Origin::Parent(parent) => self.outside.answer_peer(parent, answer),
        }
    }
}

/// The answer to a call in which the host panicked.
fn panicked(panic: &(dyn Any + Send)) -> Answer {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "the host panicked in a call");
    let text = format!(
        "the host failed in this call, which is not the function's fault: {text}; report this"
    );
    Answer::message(Outcome::Lost, text)
}

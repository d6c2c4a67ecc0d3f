//! A worker of a cell as the product drives it, over an owner in this process.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use faaslet_abi::Outcome;
use faaslet_snapshot::dirty::Pagemap;
use faaslet_state::SessionError;
use faaslet_tier::{Task, Tracker};
use faaslet_vmm::cell::{
    Answer, Ask, Call, Departure, Function, LocalTier, LogLine, Origin, Outside, Parent, Replied,
    Worker, worker_of,
};
use faaslet_vmm::monitor::state::{Answered, StateSession, States};

use super::BUDGET_BYTES;

/// Answers and wakes on their way to a worker.
const QUEUE: usize = 1024;
/// Deadline of a call; none takes so long.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long a worker sleeps before it looks at its timers.
const NAP: Duration = Duration::from_millis(1);
/// Slots of a worker.
const SLOTS: usize = 16;

/// What the guest is told, see its head.
pub(super) fn input(what: u32, times: u32, key: &str) -> Vec<u8> {
    [&what.to_le_bytes()[..], &times.to_le_bytes(), key.as_bytes()].concat()
}

/// What reaches a worker.
enum Event {
    Replied(Task, u64, Replied),
    Woken(Task),
}

/// A worker's way to the owner and to the other workers.
struct Way {
    session: StateSession,
    inboxes: Vec<SyncSender<Event>>,
    answers: Vec<Answer>,
}

impl Outside for Way {
    fn answer(&mut self, _: u64, answer: Answer) {
        self.answers.push(answer);
    }
    fn answer_peer(&mut self, _: Parent, _: Answer) {}
    fn depart(&mut self, departure: Departure, _: usize) -> Option<Departure> {
        Some(departure)
    }
    fn pass_turn(&mut self, _: u32, _: &Arc<Function>) {}
    fn log(&mut self, _: &Function, _: &[u8; 16], _: LogLine) {}
    fn call_id(&mut self) -> [u8; 16] {
        [0; 16]
    }
    fn wake(&mut self, task: Task) {
        // A worker that has ended has nobody to wake.
        let _ = self.inboxes[worker_of(task) as usize].send(Event::Woken(task));
    }
    fn ask(&mut self, ask: Ask) -> Result<(), (Box<Ask>, SessionError)> {
        let inbox = self.inboxes[worker_of(ask.task) as usize].clone();
        let reply: Answered = Box::new(move |result| {
            let result = result.map(|(reply, payload)| (reply, payload.to_vec()));
            // At the end nobody hears it any more.
            let _ = inbox.send(Event::Replied(ask.task, ask.number, result));
        });
        self.session.ask(&ask.key, ask.body, ask.payload.into(), ask.deadline, reply);
        Ok(())
    }
}

/// One worker and its function.
pub(super) struct Cell {
    worker: Worker<Way>,
    inbox: Receiver<Event>,
}

/// What the workers of one cell are made of: each is made by the thread that drives it.
pub(super) struct Parts {
    number: u32,
    function: Arc<Function>,
    local: Arc<LocalTier>,
    inbox: Receiver<Event>,
    way: Way,
}

impl Parts {
    /// For so many workers over one local tier.
    pub(super) fn new(function: &Arc<Function>, workers: u32) -> Result<Vec<Self>> {
        let local = Arc::new(LocalTier::new(BUDGET_BYTES, Tracker::open()));
        let session = States::in_memory()?.begin("bench");
        let (inboxes, boxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel(QUEUE)).unzip();
        let part = |(number, inbox)| {
            let (function, local) = (Arc::clone(function), Arc::clone(&local));
            let (session, inboxes) = (session.clone(), inboxes.clone());
            let way = Way { session, inboxes, answers: Vec::new() };
            Self { number, function, local, inbox, way }
        };
        Ok((0..).zip(boxes).map(part).collect())
    }

    pub(super) fn start(self) -> Cell {
        let Self { number, function, local, inbox, way } = self;
        let mut worker = Worker::new(number, &Arc::new(Pagemap::open()), SLOTS, way);
        worker.set_local(&local);
        worker.add(function);
        Cell { worker, inbox }
    }
}

impl Cell {
    /// The one worker of a cell.
    pub(super) fn alone(function: &Arc<Function>) -> Result<Self> {
        let mut parts = Parts::new(function, 1)?;
        Ok(parts.remove(0).start())
    }

    /// Begins a call of the guest, see its head.
    pub(super) fn begin(&mut self, what: u32, times: u32) {
        let input = input(what, times, "value");
        let call = Call { input, ..Call::making(Instant::now() + DEADLINE) };
        self.worker.submit(0, call, Origin::Outside(1));
    }

    /// Waits until so many calls have returned, and for their resets.
    pub(super) fn answers(&mut self, count: usize) -> Result<Vec<Answer>> {
        while self.worker.outside().answers.len() < count {
            self.hear(false);
            if !self.worker.turn() {
                self.hear(true);
            }
        }
        while self.worker.turn() {}
        let answers = std::mem::take(&mut self.worker.outside().answers);
        for answer in &answers {
            let said = String::from_utf8_lossy(&answer.body);
            ensure!(answer.outcome == Outcome::Returned, "a call ended: {said}");
        }
        Ok(answers)
    }

    /// Takes what has come; waits for it, if nothing else is to be done.
    fn hear(&mut self, waits: bool) {
        let first = if waits { self.inbox.recv_timeout(NAP).ok() } else { None };
        for event in first.into_iter().chain(self.inbox.try_iter()) {
            match event {
                Event::Replied(task, number, replied) => self.worker.replied(task, number, replied),
                Event::Woken(task) => self.worker.wake_task(task),
            }
        }
        self.worker.fire(Instant::now());
    }
}

//! `state`: what a function pays for state that is on its host, by the cell's own way in.

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
    Worker,
};
use faaslet_vmm::monitor::state::{StateSession, States};

use crate::book::Book;
use crate::measure::middle;
use crate::ours::Epochs;

/// The guest, which does one thing so often; see its head.
const GUEST: &str = include_str!("../guests/state.wat");
/// Answers on their way; there is one at a time.
const QUEUE: usize = 64;
/// Memory of the tier.
const BUDGET_BYTES: u64 = 64 << 20;
/// Runs of each thing; the middle one counts.
const RUNS: usize = 15;

/// Things that the guest does, by their number, with how often it does them in one call.
const NOTHING: (u32, u32) = (0, 100_000);
const READ: (u32, u32) = (1, 100_000);
const LOCK: (u32, u32) = (2, 100_000);
const MAP: (u32, u32) = (3, 200);
const MAPPED: (u32, u32) = (4, 50);
const MEMORY: (u32, u32) = (5, 50);
const FIRST_READ: (u32, u32) = (6, 20);
const FIRST_WRITE: (u32, u32) = (7, 20);

/// A worker's way to an owner in this process.
struct Way {
    session: StateSession,
    answered: SyncSender<(Task, u64, Replied)>,
    answer: Option<Answer>,
}

impl Outside for Way {
    fn answer(&mut self, _: u64, answer: Answer) {
        self.answer = Some(answer);
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
    fn ask(&mut self, ask: Ask) -> Result<(), (Box<Ask>, SessionError)> {
        let answered = self.answered.clone();
        let reply: faaslet_vmm::monitor::state::Answered = Box::new(move |result| {
            let result = result.map(|(reply, payload)| (reply, payload.to_vec()));
            // At the end nobody hears it any more.
            let _ = answered.send((ask.task, ask.number, result));
        });
        self.session.ask(&ask.key, ask.body, ask.payload.into(), ask.deadline, reply);
        Ok(())
    }
}

/// A cell of one worker.
struct Cell {
    worker: Worker<Way>,
    answered: Receiver<(Task, u64, Replied)>,
}

impl Cell {
    fn new(function: &Arc<Function>) -> Result<Self> {
        let (answer, answered) = sync_channel(QUEUE);
        let session = States::in_memory()?.begin("bench");
        let way = Way { session, answered: answer, answer: None };
        let mut worker = Worker::new(0, &Arc::new(Pagemap::open()), 1, way);
        worker.set_local(&Arc::new(LocalTier::new(BUDGET_BYTES, Tracker::open())));
        worker.add(Arc::clone(function));
        Ok(Self { worker, answered })
    }

    /// Run time of one call of the guest.
    fn run(&mut self, what: u32, times: u32) -> Result<Duration> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let input = [what.to_le_bytes(), times.to_le_bytes()].concat();
        self.worker.submit(0, Call { input, ..Call::making(deadline) }, Origin::Outside(1));
        loop {
            while let Ok((task, number, replied)) = self.answered.try_recv() {
                self.worker.replied(task, number, replied);
            }
            self.worker.turn();
            if let Some(answer) = self.worker.outside().answer.take() {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                ensure!(answer.outcome == Outcome::Returned, "{what}: {said}");
                while self.worker.turn() {}
                return Ok(answer.ran);
            }
        }
    }

    /// Nanoseconds of one of so many, without what the call itself and its loop cost.
    fn each(&mut self, (what, times): (u32, u32)) -> Result<f64> {
        let mut each = Vec::new();
        for _ in 0..RUNS {
            let (none, all) = (self.run(what, 0)?, self.run(what, times)?);
            each.push(all.saturating_sub(none).as_nanos() as f64 / f64::from(times));
        }
        Ok(middle(each))
    }
}

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let baked = epochs.bake(0, "state", &wat::parse_str(GUEST)?, 1)?;
    let mut cell = Cell::new(&baked.function)?;
    let nothing = cell.each(NOTHING)?;
    let read = cell.each(READ)? - nothing;
    book.put("state.read.64", read, "ns");
    let lock = cell.each(LOCK)? - nothing;
    book.put("state.lock.local", lock, "ns");
    for (name, what) in [
        ("state.map.1mib", MAP),
        ("state.map.1mib.first_read", FIRST_READ),
        ("state.map.1mib.first_write", FIRST_WRITE),
        ("state.load.memory", MEMORY),
    ] {
        book.put(name, cell.each(what)? / 1000.0, "µs");
    }
    let mapped = cell.each(MAPPED)? / 1000.0;
    book.put_against("state.load.mapped", mapped, "µs", "state.load.memory");
    Ok(())
}

//! State inside a cell: workers that the test drives by hand over one local tier, and the
//! monitor's own owner behind them.

mod locks;
mod misuse;
mod pointers;
mod refusals;
mod script;
mod sharing;
mod unknown;
mod values;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_abi::Outcome;
use faaslet_abi::state::Spec;
use faaslet_snapshot::dirty::Pagemap;
use faaslet_state::SessionError;
use faaslet_state::message::Body;
use faaslet_state::spec::{Element, Rule};
use faaslet_tier::{Task, Tracker};

use super::{Bench, call, text};
use crate::cell::local::{Ask, LocalTier, Replied, worker_of};
use crate::cell::worker::{Departure, Origin, Outside, Parent, Worker};
use crate::cell::{Answer, Call, Function, Limits, LogLine};
use crate::monitor::state::{StateSession, States};
use script::{Arg, Did, Place, Script, Step};

/// Answers and wakes on their way; no test has as many.
const QUEUE: usize = 1 << 16;
/// Memory of a tier under test.
const BUDGET_BYTES: u64 = 256 << 20;

type Reply = (Task, u64, Replied);

/// What becomes of some requests on their way to the owner and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Loss {
    #[default]
    None,
    /// Pushes are lost.
    Pushes,
    /// Answers to pushes are lost.
    Answers,
    /// What makes values is held back, until it is [released](Cell::release).
    Held,
}

/// A worker's way out: to the owner, and to the other workers.
struct Way {
    session: StateSession,
    loss: Arc<Mutex<Loss>>,
    held: Vec<Ask>,
    answered: SyncSender<Reply>,
    woken: SyncSender<Task>,
    answers: VecDeque<(u64, Answer)>,
}

impl Outside for Way {
    fn answer(&mut self, number: u64, answer: Answer) {
        self.answers.push_back((number, answer));
    }
    fn answer_peer(&mut self, _: Parent, _: Answer) {}
    fn depart(&mut self, departure: Departure, _: usize) -> Option<Departure> {
        Some(departure)
    }
    fn pass_turn(&mut self, _: u32, _: &Arc<Function>) {}
    fn log(&mut self, _: &Function, _: &[u8; 16], _: LogLine) {}
    fn call_id(&mut self) -> [u8; 16] {
        rand::random()
    }
    fn wake(&mut self, task: Task) {
        self.woken.send(task).unwrap();
    }
    fn ask(&mut self, ask: Ask) -> Result<(), (Box<Ask>, SessionError)> {
        let is_push = matches!(ask.body, Body::Push { .. });
        let loss = *self.loss.lock().unwrap();
        if loss == Loss::Held && matches!(ask.body, Body::Create { .. }) {
            self.held.push(ask);
            return Ok(());
        }
        if loss == Loss::Pushes && is_push {
            return Ok(());
        }
        let answered = self.answered.clone();
        let reply = Box::new(move |result: Result<(_, Bytes), _>| {
            if loss == Loss::Answers && is_push {
                return;
            }
            let result = result.map(|(reply, payload)| (reply, payload.to_vec()));
            // A test that is over hears no more.
            let _ = answered.send((ask.task, ask.number, result));
        });
        self.session.ask(&ask.key, ask.body, ask.payload.into(), ask.deadline, reply);
        Ok(())
    }
}

/// A cell: workers over one local tier.
struct Cell {
    workers: Vec<Worker<Way>>,
    local: Arc<LocalTier>,
    loss: Arc<Mutex<Loss>>,
    answered: Receiver<Reply>,
    woken: Receiver<Task>,
    calls: u64,
    done: Vec<(u64, Answer)>,
}

/// All hosts' state, for cells to share.
fn states() -> Arc<States> {
    States::in_memory().unwrap()
}

impl Cell {
    fn new(states: &Arc<States>, tenant: &str, workers: usize) -> Self {
        Self::with(Bench::new(1), states, tenant, workers)
    }

    /// The same, of functions that are made on a bench.
    fn with(mut bench: Bench, states: &Arc<States>, tenant: &str, workers: usize) -> Self {
        let module = wat::parse_str(script::guest()).unwrap();
        let function = Arc::new(bench.function("script", &module, Limits::default()).unwrap());
        let local = Arc::new(LocalTier::new(BUDGET_BYTES, Tracker::open()));
        let (session, loss) = (states.begin(tenant), Arc::<Mutex<Loss>>::default());
        let ((answer, answered), (wake, woken)) = (sync_channel(QUEUE), sync_channel(QUEUE));
        let pagemap = Arc::new(Pagemap::open());
        let workers = (0..workers as u32).map(|number| {
            let (session, loss) = (session.clone(), Arc::clone(&loss));
            let (answered, woken) = (answer.clone(), wake.clone());
            let (held, answers) = (Vec::new(), VecDeque::new());
            let way = Way { session, loss, held, answered, woken, answers };
            let mut worker = Worker::new(number, &pagemap, 128, way);
            worker.audit().set_one_in(1);
            worker.set_local(&local);
            worker.add(Arc::clone(&function));
            worker
        });
        let workers = workers.collect();
        Self { workers, local, loss, answered, woken, calls: 0, done: Vec::new() }
    }

    /// Lets go what a worker held back.
    fn release(&mut self, worker: usize) {
        self.lose(Loss::None);
        let way = self.workers[worker].outside();
        for ask in std::mem::take(&mut way.held) {
            assert!(way.ask(ask).is_ok(), "the session takes it");
        }
    }

    /// What becomes of requests from now on.
    fn lose(&self, loss: Loss) {
        *self.loss.lock().unwrap() = loss;
    }

    /// Begins a script on a worker; its number.
    fn begin(&mut self, worker: usize, script: &Script) -> u64 {
        self.begin_call(worker, call(&script.input()))
    }

    fn begin_call(&mut self, worker: usize, call: Call) -> u64 {
        self.calls += 1;
        self.workers[worker].submit(0, call, Origin::Outside(self.calls));
        self.calls
    }

    /// Everything that is ready has run.
    fn settle(&mut self) {
        while self.turn() {}
    }

    /// One round of everything; whether anything happened.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        while let Ok(task) = self.woken.try_recv() {
            self.workers[worker_of(task) as usize].wake_task(task);
            busy = true;
        }
        while let Ok((task, number, replied)) = self.answered.try_recv() {
            self.workers[worker_of(task) as usize].replied(task, number, replied);
            busy = true;
        }
        for worker in &mut self.workers {
            worker.fire(Instant::now());
            busy |= worker.turn() || worker.check();
            self.done.extend(worker.outside().answers.drain(..));
        }
        busy
    }

    /// Ends a call whose caller has gone.
    fn cancel(&mut self, worker: usize, number: u64) {
        self.workers[worker].cancel(number);
    }

    /// The answer of a call, once it is there.
    #[track_caller]
    fn answer(&mut self, number: u64) -> Answer {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(at) = self.done.iter().position(|(done, _)| *done == number) {
                return self.done.swap_remove(at).1;
            }
            assert!(Instant::now() < patience, "call {number} has no answer");
            if !self.turn() {
                std::thread::yield_now();
            }
        }
    }

    /// Whether a call still has no answer when everything has settled.
    fn waits(&mut self, number: u64) -> bool {
        self.settle();
        self.done.iter().all(|(done, _)| *done != number)
    }

    /// What a script came to that is to return.
    #[track_caller]
    fn did(&mut self, number: u64) -> Did {
        let answer = self.answer(number);
        assert_eq!(answer.outcome, Outcome::Returned, "{}", text(&answer));
        Did(answer.body)
    }

    /// Runs a script to its end.
    #[track_caller]
    fn run(&mut self, worker: usize, script: &Script) -> Did {
        let number = self.begin(worker, script);
        let did = self.did(number);
        self.settle();
        did
    }

    /// No slot that was put back differs from its image.
    #[track_caller]
    fn assert_clean(&mut self) {
        self.settle();
        for worker in &self.workers {
            assert_eq!(worker.resets().1, 0, "a slot that was put back differs from its image");
        }
    }
}

/// A spec as the guest writes it.
fn spec(element: Element, rule: Rule, quota_bytes: u64) -> Vec<u8> {
    let mut bytes = quota_bytes.to_le_bytes().to_vec();
    bytes.extend_from_slice(&[element as u8, rule as u8, 0, 0]);
    bytes.resize(size_of::<Spec>(), 0);
    bytes
}

/// Steps that many scripts have.
impl Script {
    /// Opens a value, made of 64-bit numbers if there is none.
    fn open(&mut self, key: &str) -> Step {
        self.open_as(key, Rule::Replace, 1 << 20)
    }

    fn open_as(&mut self, key: &str, rule: Rule, quota_bytes: u64) -> Step {
        let spec = self.data(&spec(Element::U64, rule, quota_bytes));
        let key = self.data(key.as_bytes());
        self.step("open", &[key.at.into(), key.len.into(), spec.at.into()])
    }

    /// Maps bytes of a value for writing; the result is the address.
    fn map(&mut self, handle: Step, offset: i64, len: i64, mode: i64) -> (Step, Step) {
        let out = self.data(&[0; 8]);
        let code = self
            .step("map", &[handle.into(), offset.into(), len.into(), mode.into(), out.at.into()]);
        (code, self.step("load4", &[out.at.into()]))
    }

    fn read(&mut self, handle: Step, offset: i64, len: usize) -> (Step, Place) {
        let place = self.data(&vec![0; len]);
        let arguments = [handle.into(), offset.into(), place.at.into(), place.len.into()];
        (self.step("read", &arguments), place)
    }

    fn write(&mut self, handle: Step, offset: i64, bytes: &[u8]) -> Step {
        let place = self.data(bytes);
        self.step("write", &[handle.into(), offset.into(), place.at.into(), place.len.into()])
    }

    /// Pushes all of a value.
    fn push(&mut self, handle: Step) -> Step {
        self.step("push", &[handle.into(), 0.into(), Arg::Number(-1), 0.into(), 0.into()])
    }

    /// Pulls all of a value.
    fn pull(&mut self, handle: Step) -> Step {
        self.step("pull", &[handle.into(), 0.into(), Arg::Number(-1)])
    }
}

//! Our own way in: the worker of a cell as the product drives it, with fiber, epochs and limits,
//! in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use faaslet_abi::Outcome;
use faaslet_snapshot::dirty::Pagemap;
use faaslet_vmm::builder::{Recipe, baked_function};
use faaslet_vmm::cell::{
    Answer, Call, Departure, Function, LogLine, Mode, Origin, Outside, Parent, Ticker, Worker,
};
use faaslet_wasi::Config;
use wasmtime::Engine;

/// Deadline of every call; no run takes so long.
const DEADLINE: Duration = Duration::from_secs(3600);

/// A function that was baked here.
#[derive(Clone)]
pub(crate) struct Baked {
    number: u32,
    pub(crate) function: Arc<Function>,
}

/// An engine whose epochs advance, as in a cell.
pub(crate) struct Epochs {
    pub(crate) engine: Engine,
    ticker: Ticker,
}

impl Epochs {
    pub(crate) fn start() -> Result<Self> {
        let engine = faaslet_vmm::engine::engine().map_err(|error| anyhow!("{error:#}"))?;
        let ticker = Ticker::start(&engine)?;
        ticker.begin();
        Ok(Self { engine, ticker })
    }

    /// Bakes a module, for at most `forks` at a time.
    pub(crate) fn bake(
        &self,
        number: u32,
        name: &str,
        module: &[u8],
        forks: usize,
    ) -> Result<Baked> {
        let mut recipe = Recipe::default();
        recipe.limits.function.concurrency = forks;
        let settings = Arc::new(Config::new(&[], &[], vec![])?);
        let function = baked_function(&self.engine, number, name, module, &recipe, settings)?;
        Ok(Baked { number, function })
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.ticker.end();
        self.ticker.stop();
    }
}

/// The rest of the cell, as far as a bench needs it.
#[derive(Debug)]
pub(crate) struct Inside {
    /// Calls that were answered.
    answered: u64,
    /// The first answer that was not as it should be.
    wrong: Option<Answer>,
    /// Whether an output is as it should be.
    right: fn(&[u8]) -> bool,
    /// Time that the guest ran, of the last call.
    ran: Duration,
    /// Keep chained calls from running, so that their callers stay suspended.
    pub(crate) hold: bool,
}

impl Outside for Inside {
    fn answer(&mut self, _: u64, answer: Answer) {
        self.answered += 1;
        self.ran = answer.ran;
        if answer.outcome != Outcome::Returned || !(self.right)(&answer.body) {
            self.wrong.get_or_insert(answer);
        }
    }
    fn answer_peer(&mut self, _: Parent, _: Answer) {}
    fn depart(&mut self, departure: Departure, _: usize) -> Option<Departure> {
        (!self.hold).then_some(departure)
    }
    fn log(&mut self, _: &Function, _: &[u8; 16], _: LogLine) {}
    fn call_id(&mut self) -> [u8; 16] {
        [0; 16]
    }
}

/// One function on a worker, and the call that is made of it.
pub(crate) struct Ours {
    pub(crate) worker: Worker<Inside>,
    number: u32,
    input: Vec<u8>,
    mode: Mode,
    deadline: Instant,
    submitted: u64,
}

impl Ours {
    /// A function whose output is empty.
    pub(crate) fn new(baked: &Baked, input: Vec<u8>, mode: Mode, slots: usize) -> Self {
        Self::answering(baked, input, mode, slots, <[u8]>::is_empty)
    }

    /// A function whose output is as `right` says.
    pub(crate) fn answering(
        baked: &Baked,
        input: Vec<u8>,
        mode: Mode,
        slots: usize,
        right: fn(&[u8]) -> bool,
    ) -> Self {
        let inside = Inside { answered: 0, wrong: None, right, ran: Duration::ZERO, hold: false };
        let mut worker = Worker::new(0, &Arc::new(Pagemap::open()), slots, inside);
        worker.add(Arc::clone(&baked.function));
        let deadline = Instant::now() + DEADLINE;
        Self { worker, number: baked.number, input, mode, deadline, submitted: 0 }
    }

    /// Hands a call in, without running it.
    pub(crate) fn submit(&mut self) {
        let call =
            Call { input: self.input.clone(), mode: self.mode, ..Call::making(self.deadline) };
        self.submitted += 1;
        self.worker.submit(self.number, call, Origin::Outside(self.submitted));
    }

    /// Runs until nothing is left to do: answers given, slots put back.
    pub(crate) fn settle(&mut self) {
        while self.worker.turn() {}
    }

    /// A call from submission to the slot put back; its answer must be right.
    pub(crate) fn call(&mut self) -> Result<()> {
        self.submit();
        self.settle();
        self.check()
    }

    /// The time from submission to the answer, of a call that is then settled.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.submit();
        while self.worker.outside().answered < self.submitted && self.worker.turn() {}
        let took = begun.elapsed();
        self.settle();
        self.check().map(|()| took)
    }

    /// Time that the guest ran, of the last call.
    pub(crate) fn ran(&mut self) -> Duration {
        self.worker.outside().ran
    }

    /// Fails when a call that was submitted has no answer, or a wrong one.
    pub(crate) fn check(&mut self) -> Result<()> {
        let submitted = self.submitted;
        let Inside { answered, wrong, .. } = self.worker.outside();
        if let Some(Answer { outcome, body, .. }) = wrong {
            bail!("a call ended {outcome:?} with {:?}", String::from_utf8_lossy(body));
        }
        ensure!(*answered == submitted, "{submitted} calls were made and {answered} answered");
        Ok(())
    }
}

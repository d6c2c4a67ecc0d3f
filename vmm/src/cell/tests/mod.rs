//! Cells without process, ring or jail: a worker that the test drives by hand.

mod beside;
mod chains;
mod faults;
mod filling;
mod guests;
mod limits;
mod lost;
mod pointers;
mod queues;
mod random;
mod resets;
mod scribble;
mod sdk;
mod smith;
mod state;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_snapshot::dirty::{Pagemap, Scanner};
use faaslet_snapshot::image::Image;
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::slot::Slot;
use faaslet_wasi::Config;
use wasmtime::{Engine, Linker};

use super::faaslet::{Ran, ScannerCell};
use super::host::{Host, Stage};
use super::worker::{Departure, Origin, Outside, Parent, Worker};
use super::{
    Answer, Call, Entry, Exchange, Faaslet, Function, Limits, LogLine, Mode, Source, Ticker, linker,
};
use crate::builder::{BakeError, BakeLimits, Recipe, bake, drive};
use crate::engine;

pub(crate) use random::{Random, number, seed};

/// What a worker under test said.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) answers: VecDeque<(u64, Answer)>,
    pub(crate) logs: Vec<String>,
    /// Answers for other workers.
    pub(crate) peers: Vec<(Parent, Answer)>,
    /// Whether chained calls leave this worker, and those that did.
    pub(crate) away: bool,
    pub(crate) departed: Vec<Departure>,
    /// Workers that were given a turn.
    pub(crate) turns: Vec<u32>,
}

impl Outside for Said {
    fn answer(&mut self, number: u64, answer: Answer) {
        self.answers.push_back((number, answer));
    }
    fn answer_peer(&mut self, parent: Parent, answer: Answer) {
        self.peers.push((parent, answer));
    }
    fn depart(&mut self, departure: Departure, _: usize) -> Option<Departure> {
        if !self.away {
            return Some(departure);
        }
        self.departed.push(departure);
        None
    }
    fn pass_turn(&mut self, worker: u32, _: &Arc<Function>) {
        self.turns.push(worker);
    }
    fn log(&mut self, _: &Function, _: &[u8; 16], line: LogLine) {
        self.logs.push(String::from_utf8_lossy(&line.text).into_owned());
    }
    fn call_id(&mut self) -> [u8; 16] {
        rand::random()
    }
}

/// The text guest `name`, as bytes.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let path = format!("{}/../tests/guests/wat/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A guest that a toolchain built.
///
/// # Panics
/// When it is not there: a test that passes without it says nothing.
pub(crate) fn built(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("FAASLET_GUESTS").map(std::path::PathBuf::from);
    let home = || Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(Into::into).or_else(home);
    let path = folder
        .or_else(|| Some(cache()?.join("faaslet/guests")))
        .unwrap()
        .join(format!("{name}.wasm"));
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run make guests", path.display()))
}

/// A worker and what its functions are made with.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) worker: Worker<Said>,
    pub(crate) linker: Linker<Host>,
    ticker: Option<Ticker>,
    functions: Vec<Arc<Function>>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(ticker) = &self.ticker {
            ticker.stop();
        }
    }
}

impl Bench {
    pub(crate) fn new(max_slots: usize) -> Self {
        let engine = engine::engine().unwrap();
        let linker = linker(&engine).unwrap();
        let worker = Worker::new(0, &Arc::new(Pagemap::open()), max_slots, Said::default());
        worker.audit().set_one_in(1);
        Self { engine, worker, linker, ticker: None, functions: Vec::new() }
    }

    /// A bench with these guests as functions 0, 1 and so on.
    pub(crate) fn with(names: &[&str]) -> Self {
        let mut bench = Self::new(64);
        for name in names {
            bench.add(name, &guest(name), Limits::default());
        }
        bench
    }

    /// Lets time slices and deadlines happen.
    pub(crate) fn tick(&mut self) {
        let ticker = Ticker::start(&self.engine).unwrap();
        ticker.begin();
        self.ticker = Some(ticker);
    }

    /// Bakes `module` and adds it as a function; returns its number.
    pub(crate) fn add(&mut self, name: &str, module: &[u8], limits: Limits) -> u32 {
        self.try_add(name, module, limits).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// As [`Bench::add`], of a module that may be refused.
    pub(crate) fn try_add(
        &mut self,
        name: &str,
        module: &[u8],
        limits: Limits,
    ) -> Result<u32, BakeError> {
        let function = Arc::new(self.function(name, module, limits)?);
        let number = function.number;
        self.functions.push(Arc::clone(&function));
        self.worker.add(function);
        Ok(number)
    }

    /// As [`Bench::add`], of a text of WebAssembly.
    pub(crate) fn add_text(&mut self, name: &str, text: &str, limits: Limits) -> u32 {
        let module = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.add(name, &module, limits)
    }

    /// Bakes a function and does not add it.
    pub(crate) fn function(
        &mut self,
        name: &str,
        module: &[u8],
        limits: Limits,
    ) -> Result<Function, BakeError> {
        self.function_of(name, module, limits, |file| Image::open(file).unwrap())
    }

    /// The same, whose image is opened in another way.
    pub(crate) fn function_of(
        &mut self,
        name: &str,
        module: &[u8],
        limits: Limits,
        open: impl FnOnce(&[u8]) -> Image,
    ) -> Result<Function, BakeError> {
        let limits = BakeLimits { function: limits, ..BakeLimits::default() };
        let recipe = Recipe { limits, ..Recipe::default() };
        let baked = bake(&self.engine, module, &recipe, true, |_| {})?;
        let image = open(baked.image.as_deref().unwrap());
        let source = Source {
            number: self.functions.len() as u32,
            tenant: "t".into(),
            name: name.into(),
            version: 1,
            plan: baked.plan,
            original: None,
            image: Some(Arc::new(image)),
            limits: recipe.limits.function,
            mode: Mode::Fork,
            settings: Arc::new(Config::new(&[], &[], vec![]).unwrap()),
        };
        let compiled = engine::load_bytes(&self.engine, &baked.artefact).unwrap();
        Ok(Function::new(source, &compiled, &self.linker).unwrap())
    }

    /// A fresh Faaslet of a function, beside the worker.
    pub(crate) fn fresh(&self, number: u32) -> Faaslet {
        let function = &self.functions[number as usize];
        let exchange = Exchange::default();
        drive(Faaslet::fresh(slot(), function, &exchange, &Stage::Make, later())).unwrap()
    }

    /// A fork of a function, beside the worker.
    pub(crate) fn fork(&self, number: u32) -> Faaslet {
        let function = &self.functions[number as usize];
        drive(Faaslet::fork(slot(), function, &Exchange::default(), later())).unwrap()
    }

    /// One turn of the worker, with its timers; false when there is nothing to do.
    pub(crate) fn turn(&mut self) -> bool {
        self.worker.fire(Instant::now());
        self.worker.turn() || self.worker.check()
    }

    /// Runs until nothing is ready: answers are out, slots put back.
    pub(crate) fn settle(&mut self) {
        while self.worker.turn() || self.worker.check() {}
    }

    pub(crate) fn submit(&mut self, function: u32, number: u64, call: Call) {
        self.worker.submit(function, call, Origin::Outside(number));
    }

    /// The next answer.
    pub(crate) fn next(&mut self) -> (u64, Answer) {
        loop {
            if let Some(answer) = self.worker.outside().answers.pop_front() {
                return answer;
            }
            if !self.turn() {
                std::thread::yield_now();
            }
        }
    }

    /// Runs one call to its answer, and its slot's way back.
    pub(crate) fn run(&mut self, function: u32, call: Call) -> Answer {
        self.submit(function, 1, call);
        let (_, answer) = self.next();
        self.settle();
        answer
    }

    /// No slot that was put back differs from its image.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.worker.resets().1, 0, "slots that were put back differ from their image");
    }
}

fn slot() -> Slot {
    Slot::reserve(&Layout::default()).unwrap()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A scanner for this thread.
pub(crate) fn scanner() -> ScannerCell {
    ScannerCell::new(Scanner::new(Arc::new(Pagemap::open())))
}

impl Faaslet {
    /// Runs one call to its end, as a slot does.
    pub(crate) async fn run(&mut self, call: Call, scanner: &ScannerCell) -> Ran {
        self.begin(call, scanner);
        let result = match self.plain() {
            Some((main, store)) => main.call_async(store, ()).await,
            None => self.other().await,
        };
        self.finish(result)
    }

    /// All of its memory, below its size.
    pub(crate) fn memory(&mut self) -> Vec<u8> {
        let memory = self.parts().0.data().guest_memory();
        let mut bytes = vec![0; memory.size().0 as usize];
        memory.read(0, &mut bytes).unwrap();
        bytes
    }
}

/// A call with an input and plenty of time.
pub(crate) fn call(input: &[u8]) -> Call {
    let deadline = later();
    Call { input: input.to_vec(), entry: Entry::Main, attempt: 1, ..Call::making(deadline) }
}

/// A call of an exported function.
pub(crate) fn call_export(name: &str, input: &[u8]) -> Call {
    Call { entry: Entry::Export(name.into()), ..call(input) }
}

pub(crate) fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// The text of an answer that must be a success.
#[track_caller]
pub(crate) fn returned(answer: &Answer) -> String {
    assert_eq!(answer.outcome, Outcome::Returned, "{}", text(answer));
    text(answer)
}

//! A function while it is baked: it is initialised, or takes more in, runs its warm-up calls, and its
//! image is taken. What is compiled, and what is told of it, is for `bake` and `extend`.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_rewrite::Hook;
use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::dirty::{Pagemap, Scanner};
use faaslet_snapshot::image::{Identity, ImageContents, ImageWriter};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::slot::Slot;
use wasmtime::{Engine, Module};

use super::bake::{BakeError, Phase, Recipe, Stopwatch};
use crate::cell::image::{Capture, meta};
use crate::cell::{
    Answer, Call, Entry, Exchange, Faaslet, Function, MakeError, Mode, Source, Stage, linker,
};

/// A function while it is baked.
pub(super) struct Oven<'a> {
    function: Arc<Function>,
    exchange: Exchange,
    recipe: &'a Recipe,
    /// As its author built it.
    module: &'a [u8],
    identity: Identity,
    deadline: Instant,
}

impl<'a> Oven<'a> {
    pub(super) fn new(
        engine: &Engine,
        source: Source,
        (original, module): (&'a [u8], &Module),
        recipe: &'a Recipe,
        identity: Identity,
    ) -> Result<Self, BakeError> {
        let host = |error: wasmtime::Error| BakeError::Host(format!("{error:#}"));
        let linker = linker(engine).map_err(host)?;
        Ok(Self {
            function: Arc::new(Function::new(source, module, &linker).map_err(host)?),
            exchange: Exchange::default(),
            recipe,
            module: original,
            identity,
            deadline: Instant::now() + Duration::from_millis(recipe.limits.initialise_ms),
        })
    }

    /// An image of the function, initialised.
    pub(super) fn image(
        &self,
        clock: &mut Stopwatch,
        progress: &mut impl FnMut(Phase),
    ) -> Result<Vec<u8>, BakeError> {
        progress(Phase::Initialise);
        let (mut faaslet, capture) = clock.time(Phase::Initialise, || drive(self.initialise()))?;
        self.warmed(&mut faaslet, &capture, clock, progress)
    }

    /// An image of the base that the function has, with `input` taken in.
    pub(super) fn extended(
        &self,
        input: Vec<u8>,
        clock: &mut Stopwatch,
        progress: &mut impl FnMut(Phase),
    ) -> Result<Vec<u8>, BakeError> {
        progress(Phase::Initialise);
        let (mut faaslet, capture) = clock.time(Phase::Initialise, || drive(self.extend(input)))?;
        self.warmed(&mut faaslet, &capture, clock, progress)
    }

    fn warmed(
        &self,
        faaslet: &mut Faaslet,
        capture: &Capture,
        clock: &mut Stopwatch,
        progress: &mut impl FnMut(Phase),
    ) -> Result<Vec<u8>, BakeError> {
        progress(Phase::Warm);
        clock.time(Phase::Warm, || drive(self.warm(faaslet)))?;
        progress(Phase::Image);
        clock.time(Phase::Image, || self.take(faaslet, capture))
    }

    fn slot() -> Result<Slot, BakeError> {
        Slot::reserve(&Layout::default()).map_err(|error| BakeError::Host(error.to_string()))
    }

    fn stage(&self) -> Stage {
        let recipe = *self.identity.recipe.as_bytes();
        Stage::Bake { secret: self.recipe.tenant_secret, recipe }
    }

    async fn extend(&self, input: Vec<u8>) -> Result<(Faaslet, Capture), BakeError> {
        let (slot, stage) = (Self::slot()?, self.stage());
        let made = Faaslet::extended(slot, &self.function, &self.exchange, &stage, self.deadline);
        let (mut faaslet, capture) =
            made.await.map_err(|error| BakeError::Host(error.to_string()))?;
        let entry = Entry::Export(faaslet_abi::export::EXTEND.to_owned());
        let answer = self.rehearse(&mut faaslet, entry, input).await;
        if answer.outcome == Outcome::Returned {
            return Ok((faaslet, capture));
        }
        Err(BakeError::Extend(String::from_utf8_lossy(&answer.body).into_owned()))
    }

    async fn initialise(&self) -> Result<(Faaslet, Capture), BakeError> {
        let (slot, stage) = (Self::slot()?, self.stage());
        let made = Faaslet::unbooted(slot, &self.function, &self.exchange, &stage, self.deadline);
        let mut faaslet =
            made.await.map_err(|error| BakeError::Initialise(self.refused(&error)))?;
        let (store, instance) = faaslet.parts();
        let capture = Capture::begin(store, &instance, &self.function.plan);
        let initialised = faaslet.initialise().await;
        match initialised {
            Ok(()) => Ok((faaslet, capture)),
            Err(error) => {
                let refused = self.refused(&MakeError::Wasm(error));
                Err(BakeError::Initialise(refused + &faaslet.memory_note()))
            }
        }
    }

    fn refused(&self, error: &MakeError) -> String {
        match error {
            MakeError::Wasm(error) => {
                self.function.set_original(self.module);
                let answer = crate::cell::failure(&self.function, error);
                String::from_utf8_lossy(&answer.body).into_owned()
            }
            error => error.to_string(),
        }
    }

    /// Warm-up: calls of their own, so that caches are filled and the heap has grown.
    async fn warm(&self, faaslet: &mut Faaslet) -> Result<(), BakeError> {
        if self.function.plan.has(Hook::Warm) {
            let entry = Entry::Export(faaslet_abi::export::WARM.to_owned());
            self.warm_call(faaslet, 0, entry, Vec::new()).await?;
        }
        for (number, input) in self.recipe.warm.iter().enumerate() {
            self.warm_call(faaslet, number + 1, Entry::Main, input.clone()).await?;
        }
        Ok(())
    }

    async fn warm_call(
        &self,
        faaslet: &mut Faaslet,
        number: usize,
        entry: Entry,
        input: Vec<u8>,
    ) -> Result<(), BakeError> {
        let answer = self.rehearse(faaslet, entry, input).await;
        if answer.outcome == Outcome::Returned {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&answer.body).into_owned();
        Err(BakeError::Warm { number, message })
    }

    async fn rehearse(&self, faaslet: &mut Faaslet, entry: Entry, input: Vec<u8>) -> Answer {
        let call = Call { entry, input, mode: Mode::Fresh, ..Call::making(self.deadline) };
        let scanner = RefCell::new(Scanner::new(Arc::new(Pagemap::open())));
        faaslet.rehearse(call, &scanner).await.answer
    }

    fn take(&self, faaslet: &mut Faaslet, capture: &Capture) -> Result<Vec<u8>, BakeError> {
        let files = faaslet.open_files()?;
        let (store, instance) = faaslet.parts();
        let monotonic = store.data().wasi.clock().monotonic_ns();
        let globals = capture.globals(store, &instance, &self.function.plan)?;
        let tables = capture.tables(store)?;
        let memory = store.data().guest_memory();
        let max = self.function.plan.memory.max_pages;
        let contents = ImageContents {
            identity: self.identity,
            memory: &memory,
            memory_max_bytes: max.map(|pages| Bytes::wasm_pages(pages).0),
            globals,
            tables,
            files: files.encode(),
            meta: meta(&self.function.plan, monotonic),
        };
        let mut bytes = Vec::new();
        ImageWriter::new(&contents)?.write_to(&mut bytes)?;
        Ok(bytes)
    }

    /// What the function printed meanwhile.
    pub(super) fn log(&self) -> Vec<String> {
        let logs = std::mem::take(&mut self.exchange.desk().logs);
        logs.into_iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
    }
}

/// Runs a Faaslet to its end on this thread. Its time slices end by epochs, its life by deadline;
/// a sleep during a bake only moves the clock.
pub(crate) fn drive<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
        std::thread::yield_now();
    }
}

//! A Faaslet: one instance over one slot, made fresh or forked from an image, run once for each
//! call and put back afterwards.
//!
//! ```text
//!            fork / fresh            run                reset
//!   slot ──────────────────► ready ───────► answered ──────────► ready
//!     ▲                                        │
//!     └──────────── recycle (remap) ◄──────────┘  trap, deadline, or the instance is not kept
//! ```

use std::future::{Future, poll_fn};
use std::os::fd::BorrowedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_rewrite::reserved;
use faaslet_snapshot::bytes::{Bytes, HostPages};
use faaslet_snapshot::dirty::Scanner;
use faaslet_snapshot::reset::ResetReport;
use faaslet_snapshot::slot::{MapError, MapWindowError, Sharing, Slot};
use faaslet_snapshot::verify::{Mismatch, WHOLE};
use faaslet_wasi::{NotSnapshottable, OpenFiles};
use wasmtime::{Global, Instance, Ref, Store, TypedFunc, UpdateDeadline, Val};

use super::backtrace;
use super::call::{Answer, Call, Entry, Mode};
use super::exchange::Exchange;
use super::function::Function;
use super::host::{self, Host, Stage, host_grow};
use super::image;
use super::stop::Stop;
use crate::engine::{HEAP_KEPT_BYTES, with_slot};

/// Time slices that a Faaslet runs before it gives way to others.
const SLICE_TICKS: u64 = 1;

/// The scanner of a worker's thread, shared by the slots that live on it.
pub type ScannerCell = std::cell::RefCell<Scanner>;

/// Why a Faaslet could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The slot could not be mapped.
    #[error(transparent)]
    Slot(#[from] MapError),
    /// The slot could not be put back to its image.
    #[error(transparent)]
    Reset(#[from] faaslet_snapshot::reset::ResetError),
    /// The function has no image to fork.
    #[error(
        "expected an image of {0}; it was deployed for fresh calls only; deploy it with --mode fork"
    )]
    NoImage(String),
    /// The image names what the module does not have.
    #[error("expected an image of this module: {0}; deploy the function again")]
    Foreign(String),
    /// Instantiation, boot or initialisation failed.
    #[error("{0:#}")]
    Wasm(wasmtime::Error),
}

impl From<wasmtime::Error> for MakeError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Wasm(error)
    }
}

/// How a Faaslet that was put back differs from its image.
#[derive(Debug, thiserror::Error)]
pub enum Difference {
    /// Its memory does.
    #[error(transparent)]
    Memory(#[from] Mismatch),
    /// A mutable global does.
    #[error(
        "mutable global {number} of the image holds another value: a reset left something of a call behind, report this"
    )]
    Global {
        /// Its place among the image's globals.
        number: usize,
    },
    /// The guest is told another size or window than it has.
    #[error("the guest is told a {what} of {found}; expected {expected}, report this")]
    Told {
        /// Size or window.
        what: &'static str,
        /// What it is told, in bytes.
        found: u64,
        /// What the slot says.
        expected: u64,
    },
}

/// An entry of a module.
#[derive(Clone)]
enum EntryFunc {
    Status(TypedFunc<(), i32>),
    Unit(TypedFunc<(), ()>),
}

/// See the module's documentation.
pub struct Faaslet {
    store: Store<Host>,
    instance: Instance,
    main: Option<EntryFunc>,
    after_restore: Option<TypedFunc<(), ()>>,
    /// How the call at hand is entered when that is not by `main` alone, and whether in a fork.
    other: Option<(Entry, bool)>,
    /// What the mutable globals are put back to. Empty unless the instance is kept.
    baseline: Vec<(Global, Val)>,
}

/// How a run left its Faaslet.
pub struct Ran {
    /// What the caller gets.
    pub answer: Answer,
    /// The slot must be remapped, not reset.
    pub poisoned: bool,
}

impl Faaslet {
    /// A fork of the function's image over `slot`: pages mapped, globals and tables set, nothing
    /// executed.
    ///
    /// # Errors
    /// See [`MakeError`]; the slot is given up with it.
    pub async fn fork(
        mut slot: Slot,
        function: &Arc<Function>,
        exchange: &Exchange,
        deadline: Instant,
    ) -> Result<Self, MakeError> {
        let image =
            function.image.clone().ok_or_else(|| MakeError::NoImage(function.name.clone()))?;
        slot.map(image.memory())?;
        slot.set_limit(function.memory_limit());
        let mut faaslet =
            Self::instantiate(slot, function, exchange, &Stage::Run, deadline).await?;
        let Self { store, instance, .. } = &mut faaslet;
        faaslet.baseline = image::restore(store, instance, &image)?;
        faaslet.bind_entries()?;
        Ok(faaslet)
    }

    /// A fork that an image is to be baked from; [`Capture`](image::Capture) knows what a new
    /// instance has in its tables.
    ///
    /// # Errors
    /// See [`MakeError`]; the slot is given up with it.
    pub(crate) async fn extended(
        mut slot: Slot,
        function: &Arc<Function>,
        exchange: &Exchange,
        stage: &Stage,
        deadline: Instant,
    ) -> Result<(Self, image::Capture), MakeError> {
        let image =
            function.image.clone().ok_or_else(|| MakeError::NoImage(function.name.clone()))?;
        slot.map(image.memory())?;
        slot.set_limit(function.memory_limit());
        let mut faaslet = Self::instantiate(slot, function, exchange, stage, deadline).await?;
        let Self { store, instance, .. } = &mut faaslet;
        let capture = image::Capture::begin(store, instance, &function.plan);
        image::restore(store, instance, &image)?;
        faaslet.bind_entries()?;
        Ok((faaslet, capture))
    }

    /// A fresh Faaslet over `slot`: booted and initialised.
    ///
    /// # Errors
    /// See [`MakeError`]; the slot is given up with it.
    pub(crate) async fn fresh(
        slot: Slot,
        function: &Arc<Function>,
        exchange: &Exchange,
        stage: &Stage,
        deadline: Instant,
    ) -> Result<Self, MakeError> {
        let mut faaslet = Self::unbooted(slot, function, exchange, stage, deadline).await?;
        faaslet.initialise().await?;
        Ok(faaslet)
    }

    /// As [`Faaslet::fresh`], before anything ran in it.
    pub(crate) async fn unbooted(
        mut slot: Slot,
        function: &Arc<Function>,
        exchange: &Exchange,
        stage: &Stage,
        deadline: Instant,
    ) -> Result<Self, MakeError> {
        slot.map_empty(Bytes::wasm_pages(function.plan.memory.min_pages))?;
        slot.set_limit(function.memory_limit());
        let mut faaslet = Self::instantiate(slot, function, exchange, stage, deadline).await?;
        faaslet.bind_entries()?;
        Ok(faaslet)
    }

    async fn instantiate(
        slot: Slot,
        function: &Arc<Function>,
        exchange: &Exchange,
        stage: &Stage,
        deadline: Instant,
    ) -> Result<Self, MakeError> {
        let base = slot.base();
        let host = Host::new(slot, function, exchange, stage, deadline);
        let mut store = Store::new(function.pre.module().engine(), host);
        store.epoch_deadline_callback(|caller| slice(caller.data()));
        store.set_epoch_deadline(SLICE_TICKS);
        store.limiter(|host| &mut host.tables);
        let instance = {
            let mut made = pin!(function.pre.instantiate_async(&mut store));
            poll_fn(|cx| with_slot(base, || made.as_mut().poll(cx))).await?
        };
        let mut faaslet = Self {
            store,
            instance,
            main: None,
            after_restore: None,
            other: None,
            baseline: Vec::new(),
        };
        faaslet.bind_memory()?;
        Ok(faaslet)
    }

    /// Ties the module's size and growth to the slot.
    fn bind_memory(&mut self) -> wasmtime::Result<()> {
        let Self { store, instance, .. } = self;
        store.data_mut().size = instance.get_global(&mut *store, reserved::SIZE);
        store.data_mut().window = instance.get_global(&mut *store, reserved::WINDOW);
        self.bind_size()?;
        let Self { store, instance, .. } = self;
        if let Some(table) = instance.get_table(&mut *store, reserved::CALLS) {
            let grow = host_grow(&mut *store);
            table.set(&mut *store, 0, Ref::Func(Some(grow)))?;
        }
        Ok(())
    }

    /// Tells the guest the slot's size.
    fn bind_size(&mut self) -> wasmtime::Result<()> {
        let host = self.store.data();
        let bytes = host.slot.size().0 as i64;
        match host.size {
            Some(size) => size.set(&mut self.store, Val::I64(bytes)),
            None => Ok(()),
        }
    }

    /// Tells the guest how far its window is in use.
    fn bind_window(&mut self) -> wasmtime::Result<()> {
        host::bind_window(&mut self.store)
    }

    /// Boot, constructors, the module's own initialisation.
    pub(crate) async fn initialise(&mut self) -> wasmtime::Result<()> {
        let command = self.store.data().function.plan.entry == faaslet_rewrite::Entry::Command;
        self.call_unit(reserved::BOOT).await?;
        if !command {
            self.call_unit(faaslet_abi::export::INITIALIZE).await?;
        }
        self.call_unit(faaslet_abi::export::INIT).await
    }

    /// Calls an exported function that takes and returns nothing, if the module has it.
    pub(crate) async fn call_unit(&mut self, name: &str) -> wasmtime::Result<()> {
        let Some(func) = self.instance.get_func(&mut self.store, name) else { return Ok(()) };
        func.typed::<(), ()>(&self.store)?.call_async(&mut self.store, ()).await
    }

    fn bind_entries(&mut self) -> wasmtime::Result<()> {
        let Self { store, instance, .. } = self;
        let name = match store.data().function.plan.entry {
            faaslet_rewrite::Entry::Command => faaslet_abi::export::START,
            faaslet_rewrite::Entry::Main { .. } | faaslet_rewrite::Entry::Absent => {
                faaslet_abi::export::MAIN
            }
        };
        self.main = match instance.get_func(&mut *store, name) {
            Some(func) => Some(entry(&*store, &func)?),
            None => None,
        };
        let hook = faaslet_abi::export::AFTER_RESTORE;
        self.after_restore = match instance.get_func(&mut *store, hook) {
            Some(func) => Some(func.typed(&*store)?),
            None => None,
        };
        Ok(())
    }

    /// Takes a call in. The caller then runs [`Faaslet::plain`], or else [`Faaslet::other`], and
    /// hands what that gave to [`Faaslet::finish`]: one function for all would be a future within a
    /// future, which is copied once more when it is made.
    pub(super) fn begin(&mut self, call: Call, scanner: &ScannerCell) {
        let forked = call.mode == Mode::Fork;
        let hooked = forked && self.after_restore.is_some();
        let plain = matches!(self.main, Some(EntryFunc::Status(_))) && !hooked;
        self.other = (call.entry != Entry::Main || !plain).then(|| (call.entry.clone(), forked));
        let host = self.store.data_mut();
        host.slot.enter(&scanner.borrow());
        host.begin(call);
        self.store.set_epoch_deadline(SLICE_TICKS);
    }

    /// The function that is all there is to run, as in nearly all calls.
    pub(super) fn plain(&mut self) -> Option<(&TypedFunc<(), i32>, &mut Store<Host>)> {
        match (&self.main, &self.other) {
            (Some(EntryFunc::Status(main)), None) => Some((main, &mut self.store)),
            _ => None,
        }
    }

    /// Runs what is more than one function, or another than the main one.
    pub(super) async fn other(&mut self) -> wasmtime::Result<i32> {
        let (entry, forked) = self.other.take().unwrap_or_default();
        if let Some(hook) = self.after_restore.as_ref().filter(|_| forked) {
            hook.call_async(&mut self.store, ()).await?;
        }
        self.enter(&entry).await
    }

    /// Runs a call of the warm-up, which sees the clock and the random bytes of the bake.
    pub(crate) async fn rehearse(&mut self, call: Call, scanner: &ScannerCell) -> Ran {
        let entry = call.entry.clone();
        let host = self.store.data_mut();
        host.slot.enter(&scanner.borrow());
        host.rehearse(call);
        let result = self.enter(&entry).await;
        self.finish(result)
    }

    /// Descriptors that the guest holds, as an image keeps them.
    pub(crate) fn open_files(&mut self) -> Result<OpenFiles, NotSnapshottable> {
        self.store.data_mut().wasi.snapshot_files()
    }

    async fn enter(&mut self, entry: &Entry) -> wasmtime::Result<i32> {
        let func = match entry {
            Entry::Main => self.main.clone(),
            Entry::Export(name) => self.export(name)?,
            Entry::Table(index) => self.element(*index)?,
        };
        match func {
            Some(EntryFunc::Status(func)) => func.call_async(&mut self.store, ()).await,
            Some(EntryFunc::Unit(func)) => func.call_async(&mut self.store, ()).await.map(|()| 0),
            None => {
                Err(wasmtime::format_err!("expected an entry {entry:?} in this module; found none"))
            }
        }
    }

    fn export(&mut self, name: &str) -> wasmtime::Result<Option<EntryFunc>> {
        if name.starts_with(reserved::PREFIX) {
            return Ok(None);
        }
        match self.instance.get_func(&mut self.store, name) {
            Some(func) => entry(&self.store, &func).map(Some),
            None => Ok(None),
        }
    }

    fn element(&mut self, index: u32) -> wasmtime::Result<Option<EntryFunc>> {
        let Some(table) = self.instance.get_table(&mut self.store, &reserved::table(0)) else {
            return Ok(None);
        };
        match table.get(&mut self.store, u64::from(index)) {
            Some(Ref::Func(Some(func))) => entry(&self.store, &func).map(Some),
            _ => Ok(None),
        }
    }

    /// The answer of a call that was begun, and ended like this.
    pub(super) fn finish(&mut self, result: wasmtime::Result<i32>) -> Ran {
        let host = self.store.data_mut();
        // While what it mapped is still there, and before anybody sees the answer.
        host.running.state = None;
        if host.lost() {
            let answer = Answer::message(Outcome::Lost, Stop::Lost.to_string());
            return Ran { answer, poisoned: true };
        }
        let status = match result {
            Ok(status) => status,
            Err(error) => match error.downcast_ref::<Stop>() {
                Some(Stop::Exit(status)) => *status as i32,
                _ => {
                    let mut answer = failure(&host.function, &error);
                    answer.body.extend_from_slice(memory_note(host).as_bytes());
                    return Ran { answer, poisoned: true };
                }
            },
        };
        host.wasi.console().finish();
        Ran { answer: returned(host, status), poisoned: false }
    }

    /// Puts memory and globals back to the image, off the caller's path.
    ///
    /// # Errors
    /// When the slot cannot be put back; it must be recycled then.
    pub fn reset(&mut self, scanner: &ScannerCell) -> Result<ResetReport, MakeError> {
        for (global, value) in &self.baseline {
            global.set(&mut self.store, *value)?;
        }
        let host = self.store.data_mut();
        host.end();
        let report = host.slot.reset(&mut scanner.borrow_mut())?;
        if report.grown > Bytes::ZERO {
            self.bind_size()?;
        }
        if report.window > Bytes::ZERO {
            self.bind_window()?;
        }
        Ok(report)
    }

    /// Compares all that a call can change with the image.
    ///
    /// # Errors
    /// The first [`Difference`] found.
    pub fn verify(&mut self, scanner: &ScannerCell) -> Result<(), Difference> {
        self.verify_part(scanner, HostPages(0), WHOLE).map(|_| ())
    }

    /// Compares what a call can change with the image: `most` pages from `from` on, and all else
    /// with the last of them. Says where to go on.
    ///
    /// # Errors
    /// The first [`Difference`] found.
    pub fn verify_part(
        &mut self,
        scanner: &ScannerCell,
        from: HostPages,
        most: HostPages,
    ) -> Result<Option<HostPages>, Difference> {
        let slot = &self.store.data().slot;
        let next = slot.verify_part(&mut scanner.borrow_mut(), from, most)?;
        if next.is_none() {
            self.verify_globals()?;
        }
        Ok(next)
    }

    fn verify_globals(&mut self) -> Result<(), Difference> {
        for (number, (global, value)) in self.baseline.iter().enumerate() {
            let found = global.get(&mut self.store);
            if bits(&mut self.store, &found) != bits(&mut self.store, value) {
                return Err(Difference::Global { number });
            }
        }
        let Host { size, window, slot, .. } = self.store.data();
        let told = [("size", *size, slot.size().0), ("window", *window, 0)];
        for (what, global, expected) in told {
            let Some(global) = global else { continue };
            let found = global.get(&mut self.store).i64().unwrap_or_default() as u64;
            if found != expected {
                return Err(Difference::Told { what, found, expected });
            }
        }
        Ok(())
    }

    /// Maps `len` bytes of a sealed memfd into the guest's window, at the address returned.
    ///
    /// # Errors
    /// See [`MapWindowError`].
    pub fn map_window(
        &mut self,
        fd: BorrowedFd<'_>,
        offset: Bytes,
        len: Bytes,
        sharing: Sharing,
    ) -> Result<u32, MapWindowError> {
        let mapped = self.store.data_mut().slot.map_window(fd, offset, len, sharing)?;
        if self.bind_window().is_err() {
            self.store.data_mut().slot.poison();
            return Err(MapWindowError::Poisoned);
        }
        Ok(mapped)
    }

    /// Whether this instance may serve another call after [`Faaslet::reset`].
    pub fn kept(&self) -> bool {
        let function = &self.store.data().function;
        let image = function.image.is_some() && function.plan.keep.is_ok();
        image && self.store.gc_heap_capacity() <= HEAP_KEPT_BYTES
    }

    /// What to add to the message when the initialisation failed.
    pub(crate) fn memory_note(&self) -> String {
        memory_note(self.store.data())
    }

    /// Bytes of its memory.
    pub(super) fn size(&self) -> Bytes {
        self.store.data().slot.size()
    }

    /// The store, for the bake.
    pub(crate) fn parts(&mut self) -> (&mut Store<Host>, Instance) {
        (&mut self.store, self.instance)
    }

    /// Drops the instance and gives the slot back; its pages are whatever the instance left.
    pub fn into_slot(self) -> Slot {
        self.store.into_data().slot
    }
}

/// The answer of an entry that returned.
fn returned(host: &mut Host, status: i32) -> Answer {
    if let Some(direct) = &host.function.direct {
        direct.status.store(status, std::sync::atomic::Ordering::Relaxed);
    }
    let message = std::mem::take(&mut host.running.error);
    let response = std::mem::take(&mut host.running.response);
    let (outcome, body) = match status {
        0 => (Outcome::Returned, std::mem::take(&mut host.wasi.console().output)),
        _ if !message.is_empty() => (Outcome::Failed, message),
        status => (Outcome::Failed, format!("the function returned {status}").into_bytes()),
    };
    Answer { outcome, body, response, ran: Duration::ZERO, refusal: None }
}

/// What to add to a failure that lack of memory may have caused.
fn memory_note(host: &Host) -> String {
    if !host.running.grow_refused {
        return String::new();
    }
    let limit = host.function.memory_limit();
    format!("\nits memory could not grow past {limit}; expected less use, or a larger --memory")
}

/// The answer of one that did not.
pub(crate) fn failure(function: &Function, error: &wasmtime::Error) -> Answer {
    match error.downcast_ref::<Stop>() {
        Some(stop @ (Stop::Deadline | Stop::Late(_) | Stop::Cancelled)) => {
            Answer::message(Outcome::TimedOut, stop.to_string())
        }
        _ => Answer::message(Outcome::Trapped, backtrace::render(function, error)),
    }
}

/// The answer to "may it go on" at the end of a time slice.
fn slice(host: &Host) -> wasmtime::Result<UpdateDeadline> {
    host.refuse_lost()?;
    if host.exchange.desk().cancelled {
        return Err(Stop::Cancelled.into());
    }
    if Instant::now() >= host.running.call.deadline {
        return Err(Stop::Deadline.into());
    }
    Ok(UpdateDeadline::Yield(SLICE_TICKS))
}

fn entry(store: &Store<Host>, func: &wasmtime::Func) -> wasmtime::Result<EntryFunc> {
    if let Ok(func) = func.typed::<(), i32>(store) {
        return Ok(EntryFunc::Status(func));
    }
    func.typed::<(), ()>(store).map(EntryFunc::Unit)
}

/// A value that an image can hold, comparable.
fn bits(store: &mut Store<Host>, value: &Val) -> (u128, bool) {
    match value {
        Val::I32(value) => (u128::from(*value as u32), false),
        Val::I64(value) => (u128::from(*value as u64), false),
        Val::F32(bits) => (u128::from(*bits), false),
        Val::F64(bits) => (u128::from(*bits), false),
        Val::V128(value) => (value.as_u128(), false),
        Val::FuncRef(Some(func)) => (func.to_raw(store) as usize as u128, true),
        _ => (0, true),
    }
}

//! A function as a cell holds it: its code ready to instantiate, its image, what it may use.

use std::fs::File;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use faaslet_rewrite::{Plan, Symbols};
use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::image::Image;
use faaslet_wasi::Config as Settings;
use wasmtime::{InstancePre, Linker, Module};

use super::call::Mode;
use super::host::Host;
use super::limits::Limits;
use super::streams::Direct;
use super::turns::Turns;

/// What a function is made from.
pub struct Source {
    /// Its number within the cell.
    pub number: u32,
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// What the rewrite found and made.
    pub plan: Plan,
    /// The module as its author built it, for backtraces.
    pub original: Option<File>,
    /// Absent for a function that is only run fresh, or is being baked.
    pub image: Option<Arc<Image>>,
    /// What it may use.
    pub limits: Limits,
    /// How a call goes in that does not say.
    pub mode: Mode,
    /// Environment and folders.
    pub settings: Arc<Settings>,
}

/// A function, shared by its Faaslets.
pub struct Function {
    pub(crate) number: u32,
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) plan: Plan,
    pub(crate) image: Option<Arc<Image>>,
    pub(crate) limits: Limits,
    pub(crate) mode: Mode,
    pub(crate) pre: InstancePre<Host>,
    /// Where the monotonic clock of a fork begins.
    pub(crate) monotonic_ns: u64,
    /// Calls that run at the same time over all workers; absent where one worker counts by itself.
    pub(crate) turns: Option<Turns>,
    /// Its streams are those of this process.
    pub(crate) direct: Option<Arc<Direct>>,
    settings: RwLock<Arc<Settings>>,
    original: Option<File>,
    /// Read when the first backtrace needs them, and kept.
    symbols: OnceLock<Option<Mutex<Symbols>>>,
}

impl Function {
    /// Binds `module` (the rewritten one, compiled) to the host interface.
    ///
    /// # Errors
    /// When the module imports what the host interface does not have; the rewrite excludes it.
    pub(crate) fn new(
        source: Source,
        module: &Module,
        linker: &Linker<Host>,
    ) -> wasmtime::Result<Self> {
        Ok(Self {
            pre: linker.instantiate_pre(module)?,
            monotonic_ns: source.image.as_deref().map_or(0, super::image::monotonic_ns),
            number: source.number,
            tenant: source.tenant,
            name: source.name,
            version: source.version,
            plan: source.plan,
            image: source.image,
            limits: source.limits,
            mode: source.mode,
            turns: None,
            direct: None,
            settings: RwLock::new(source.settings),
            original: source.original,
            symbols: OnceLock::new(),
        })
    }

    /// The environment and folders of a call that starts now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces them for calls that start later.
    pub(crate) fn set_settings(&self, settings: Arc<Settings>) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Whether every page of its image is here, if it has one.
    pub(crate) fn is_whole(&self) -> bool {
        self.image.as_ref().is_none_or(|image| image.memory().is_whole())
    }

    /// The most that its memory may grow to.
    pub(crate) fn memory_limit(&self) -> Bytes {
        let limit = Bytes(self.limits.memory_bytes as u64);
        self.plan.memory.max_pages.map_or(limit, |max| limit.min(Bytes::wasm_pages(max)))
    }

    /// Bounds its calls over `workers` workers that share it.
    pub(crate) fn set_workers(&mut self, workers: usize) {
        self.turns = (workers > 1).then(|| Turns::new(self.limits.concurrency));
    }

    /// Gives its calls the streams of this process.
    pub(crate) fn set_direct(&mut self, direct: Arc<Direct>) {
        self.direct = Some(direct);
    }

    /// Gives it the module as its author built it, when a backtrace is about to need it.
    pub(crate) fn set_original(&self, module: &[u8]) {
        self.symbols.get_or_init(|| Symbols::load(module).ok().map(Mutex::new));
    }

    /// Names and lines of the module as its author built it.
    pub(crate) fn symbols(&self) -> Option<&Mutex<Symbols>> {
        let read = || {
            let module = super::file::read_all(self.original.as_ref()?).ok()?;
            Symbols::load(&module).ok().map(Mutex::new)
        };
        self.symbols.get_or_init(read).as_ref()
    }
}

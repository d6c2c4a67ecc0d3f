//! The functions that can be called, by tenant and name: what the store holds, in memory.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use faaslet_snapshot::image::{Head, Image};
use faaslet_snapshot::lazy::Progress;
use faaslet_store::{Deployment, FunctionName, Mode as StoreMode, TenantLimits, VersionInfo};
use tokio::sync::Mutex as AsyncMutex;

use super::filling::Filling;
use super::link::CellLink;
use super::lock::lock;
use super::logs::Log;
use super::remote::FRESH_FOR;
use super::stats::Stats;
use crate::cell::{Limits, Mode};

/// One version of a function, ready to be loaded into a cell.
pub struct Deployed {
    /// Whose it is.
    pub tenant: Arc<TenantCell>,
    /// Its name.
    pub function: FunctionName,
    /// Its version, as the store has it.
    pub version: VersionInfo,
    /// Counts over all versions of the function.
    pub stats: Arc<Stats>,
    /// What all versions of the function log.
    pub log: Arc<Log>,
    /// Its image, once a cell has needed it.
    pub image: Mutex<Option<ImageHere>>,
    /// Why it cannot be compiled for this engine and processor, if that was tried.
    pub unfit: OnceLock<String>,
    /// The cell that has it, and its number there.
    loaded: Mutex<Option<(Arc<CellLink>, u32)>>,
    /// If it is a copy, when its origin was asked last.
    looked: Mutex<Instant>,
    /// Microseconds of the first call since it was made warm; or one of [`NOT_WARM`], [`AWAITED`].
    first_call_us: AtomicU64,
}

const NOT_WARM: u64 = u64::MAX;
const AWAITED: u64 = u64::MAX - 1;

/// An image as this host has it.
#[derive(Clone)]
pub enum ImageHere {
    /// All of it.
    Whole(Arc<Image>),
    /// Not all yet.
    Filling(Arc<Filling>),
}

impl ImageHere {
    /// All of it but the memory.
    pub fn head(&self) -> &Head {
        match self {
            Self::Whole(image) => image.head(),
            Self::Filling(filling) => filling.image().head(),
        }
    }

    /// Its memory, for a cell.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Whole(image) => image.memory().fd(),
            Self::Filling(filling) => filling.image().fd(),
        }
    }
}

/// A tenant, and its cell on this host.
#[derive(Default)]
pub struct TenantCell {
    /// Its name.
    pub name: String,
    /// Held while the cell is started or loads something. Numbers of functions go up from 1.
    pub cell: AsyncMutex<Option<Arc<CellLink>>>,
    /// The cell, for those who only look.
    current: Mutex<Option<Arc<CellLink>>>,
    /// Logs of the cell's functions, by their numbers there.
    numbers: Mutex<HashMap<u32, Weak<Log>>>,
    /// Logs of its functions, by name.
    logs: Mutex<HashMap<String, Arc<Log>>>,
    /// Calls that run or wait, and how many may.
    calls: AtomicU32,
    max_calls: AtomicU32,
}

/// A call among those of its tenant, until it is dropped.
pub struct Place(Arc<TenantCell>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TenantCell {
    /// A tenant without a cell.
    pub fn new(name: &str) -> Self {
        let max_calls = AtomicU32::new(TenantLimits::default().calls_in_flight);
        Self { name: name.to_owned(), max_calls, ..Self::default() }
    }

    /// Allows so many calls at once from now on.
    pub fn allow_calls(&self, most: u32) {
        self.max_calls.store(most, Ordering::Relaxed);
    }

    /// A place for one more call; the limit when there is none.
    pub fn place(self: &Arc<Self>) -> Result<Place, u32> {
        let most = self.max_calls.load(Ordering::Relaxed);
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(self));
        if before < most { Ok(place) } else { Err(most) }
    }

    /// The cell, if one runs.
    pub fn current(&self) -> Option<Arc<CellLink>> {
        lock(&self.current).clone().filter(|link| link.takes_calls())
    }

    /// Tells which cell it is now.
    pub fn set_current(&self, link: Option<Arc<CellLink>>) {
        *lock(&self.current) = link;
        lock(&self.numbers).clear();
    }

    /// A number for a function that the cell is about to load.
    pub fn number(&self, log: &Arc<Log>) -> u32 {
        let mut numbers = lock(&self.numbers);
        let number = numbers.keys().max().map_or(1, |last| last + 1);
        numbers.insert(number, Arc::downgrade(log));
        number
    }

    /// The log of the function with this number, unless it was removed.
    pub fn log_of(&self, number: u32) -> Option<Arc<Log>> {
        lock(&self.numbers).get(&number)?.upgrade()
    }

    /// The log of a function, which begins when its first version is made.
    fn log(&self, function: &str) -> Arc<Log> {
        let mut logs = lock(&self.logs);
        let log = logs.entry(function.to_owned()).or_insert_with(|| Arc::new(Log::new(function)));
        Arc::clone(log)
    }

    /// Forgets the log of a function that was removed.
    fn forget_log(&self, function: &str) {
        lock(&self.logs).remove(function);
    }
}

impl Deployed {
    /// A version that no cell has yet.
    pub fn new(
        tenant: Arc<TenantCell>,
        function: FunctionName,
        version: VersionInfo,
        stats: Arc<Stats>,
    ) -> Self {
        let (image, loaded, unfit) = (Mutex::default(), Mutex::default(), OnceLock::new());
        let log = tenant.log(function.name.as_str());
        let (looked, first_call_us) = (Mutex::new(Instant::now()), AtomicU64::new(NOT_WARM));
        Self { tenant, function, version, stats, log, image, unfit, loaded, looked, first_call_us }
    }

    /// Whether it is a copy whose origin was not asked for a while.
    pub fn may_be_stale(&self) -> bool {
        self.version.copy_of.is_some() && lock(&self.looked).elapsed() > FRESH_FOR
    }

    /// Its origin was asked, or cannot be.
    pub fn looked_after(&self) {
        *lock(&self.looked) = Instant::now();
    }

    /// It is warm: the next call is the first.
    pub fn await_first_call(&self) {
        self.first_call_us.store(AWAITED, Ordering::Relaxed);
    }

    /// Whether the call that begins now is the first since it was made warm. Says so once.
    pub fn takes_first_call(&self) -> bool {
        let is = || self.first_call_us.load(Ordering::Relaxed) == AWAITED;
        let take = || self.first_call_us.swap(NOT_WARM, Ordering::Relaxed) == AWAITED;
        is() && take()
    }

    /// What that call took.
    pub fn first_call_took(&self, took: Duration) {
        let us = (took.as_micros() as u64).min(AWAITED - 1);
        self.first_call_us.store(us, Ordering::Relaxed);
    }

    /// What the first call took since it was made warm, once there was one.
    pub fn first_call_us(&self) -> Option<u64> {
        Some(self.first_call_us.load(Ordering::Relaxed)).filter(|us| *us < AWAITED)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.function.name.as_str()
    }

    /// What it is made of.
    pub fn deployment(&self) -> &Deployment {
        &self.version.deployment
    }

    /// Deadline of a call that names none.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.deployment().timeout_ms)
    }

    /// How a call goes in that does not say.
    pub fn mode(&self) -> Mode {
        match self.deployment().mode {
            StoreMode::Fork => Mode::Fork,
            StoreMode::Fresh => Mode::Fresh,
        }
    }

    /// What it may use.
    pub fn limits(&self) -> Limits {
        let deployment = self.deployment();
        Limits {
            memory_bytes: deployment.memory_bytes as usize,
            concurrency: deployment.concurrency as usize,
            ..Limits::default()
        }
    }

    /// The cell that has it, and its number there.
    pub fn loaded(&self) -> Option<(Arc<CellLink>, u32)> {
        lock(&self.loaded).clone().filter(|(link, _)| link.takes_calls())
    }

    /// How much of its image is here, while it is not whole.
    pub fn filling(&self) -> Option<Progress> {
        match lock(&self.image).as_ref()? {
            ImageHere::Whole(_) => None,
            ImageHere::Filling(filling) => Some(filling.image().progress()),
        }
    }

    /// Its idle slots, as its cell told last.
    pub fn warm_slots(&self) -> u32 {
        self.loaded().map_or(0, |(link, number)| link.warm(number))
    }

    /// No new call goes to the cell that has it; gives that cell.
    pub fn unload(&self) -> Option<(Arc<CellLink>, u32)> {
        lock(&self.loaded).take()
    }

    /// Tells which cell has it.
    pub fn set_loaded(&self, link: &Arc<CellLink>, number: u32) {
        *lock(&self.loaded) = Some((Arc::clone(link), number));
    }
}

/// All functions of all tenants.
#[derive(Default)]
pub struct Functions {
    tenants: RwLock<HashMap<String, Arc<TenantCell>>>,
    functions: RwLock<HashMap<String, HashMap<String, Arc<Deployed>>>>,
}

impl Functions {
    /// The tenant of this name; made when it is asked for first.
    pub fn tenant(&self, name: &str) -> Arc<TenantCell> {
        if let Some(tenant) = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(name)
        {
            return Arc::clone(tenant);
        }
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            tenants.entry(name.to_owned()).or_insert_with(|| Arc::new(TenantCell::new(name))),
        )
    }

    /// Whether this is the tenant of its name now, and not one that was removed.
    pub fn has_tenant(&self, tenant: &Arc<TenantCell>) -> bool {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant.name).is_some_and(|found| Arc::ptr_eq(found, tenant))
    }

    /// The tenants that have been asked for.
    pub fn tenants(&self) -> Vec<Arc<TenantCell>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.values().cloned().collect()
    }

    /// The current version of a function.
    pub fn get(&self, tenant: &str, name: &str) -> Option<Arc<Deployed>> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        functions.get(tenant)?.get(name).cloned()
    }

    /// All functions of a tenant, by name.
    pub fn of(&self, tenant: &str) -> Vec<Arc<Deployed>> {
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            functions.get(tenant).into_iter().flat_map(HashMap::values).cloned().collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// Makes a version the current one; gives back what it replaces.
    pub fn put(&self, deployed: Arc<Deployed>) -> Option<Arc<Deployed>> {
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = functions.entry(deployed.tenant.name.clone()).or_default();
        of_tenant.insert(deployed.name().to_owned(), deployed)
    }

    /// Takes a function away.
    pub fn remove(&self, tenant: &str, name: &str) -> Option<Arc<Deployed>> {
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        let removed = functions.get_mut(tenant)?.remove(name)?;
        removed.tenant.forget_log(name);
        Some(removed)
    }

    /// Takes a tenant and all its functions away.
    pub fn remove_tenant(&self, tenant: &str) -> Option<Arc<TenantCell>> {
        self.functions.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).remove(tenant)
    }
}

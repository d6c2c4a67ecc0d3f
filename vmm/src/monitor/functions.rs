//! The functions that can be called, by tenant and name: what the store holds, in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use faaslet_snapshot::image::Image;
use faaslet_store::{Deployment, FunctionName, Mode as StoreMode, VersionInfo};
use tokio::sync::Mutex as AsyncMutex;

use super::link::CellLink;
use super::lock::lock;
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
    /// Its image, once a cell has needed it.
    pub image: Mutex<Option<Arc<Image>>>,
    /// Why it cannot be compiled for this engine and processor, if that was tried.
    pub unfit: OnceLock<String>,
    /// The cell that has it, and its number there.
    loaded: Mutex<Option<(Arc<CellLink>, u32)>>,
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
    /// Functions of the cell by number, for its log lines.
    numbers: Mutex<HashMap<u32, String>>,
}

impl TenantCell {
    /// A tenant without a cell.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
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
    pub fn number(&self, function: &str) -> u32 {
        let mut numbers = lock(&self.numbers);
        let number = numbers.keys().max().map_or(1, |last| last + 1);
        numbers.insert(number, function.to_owned());
        number
    }

    /// The function with this number.
    pub fn function(&self, number: u32) -> Option<String> {
        lock(&self.numbers).get(&number).cloned()
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
        Self { tenant, function, version, stats, image, unfit, loaded }
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
        functions.get_mut(tenant)?.remove(name)
    }

    /// Takes a tenant and all its functions away.
    pub fn remove_tenant(&self, tenant: &str) -> Option<Arc<TenantCell>> {
        self.functions.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).remove(tenant)
    }
}

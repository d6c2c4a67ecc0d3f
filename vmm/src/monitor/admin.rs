//! What operator and tenants do beside calling: tenants, versions, settings, lists, collection.

use std::sync::Arc;

use faaslet_sandbox::folder::{DetachError, settled};
use faaslet_store::{BlobKind, FunctionName, GcError, Grant, Name, Role, Settings};

use super::functions::Deployed;
use super::link::CellError;
use super::load::{self, LoadError};
use super::lock::lock;
use super::logs::Log;
use super::{Monitor, StartError, StoreError};
use crate::api::{FunctionInfo, GcInfo, VersionInfo};
use crate::control::Order;

/// Why an administrative request failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The function could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The cell.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// Collection.
    #[error(transparent)]
    Gc(#[from] GcError),
    /// No function of this name.
    #[error("no function {0}; see `faaslet ps`")]
    NoFunction(String),
    /// No image of this id.
    #[error("no image {0}; see `faaslet images`")]
    NoImage(String),
    /// A runtime that versions were deployed on.
    #[error("the runtime {runtime} is in use by {}: remove these first", .by.join(", "))]
    BaseInUse {
        /// The runtime.
        runtime: String,
        /// The versions.
        by: Vec<String>,
    },
    /// The file of an image.
    #[error(transparent)]
    Rest(#[from] super::bases::RestError),
    /// An image that is none.
    #[error("expected an image; {0}; export it again")]
    Image(#[from] faaslet_snapshot::image::OpenError),
    /// A file could not be stored.
    #[error(transparent)]
    Put(#[from] faaslet_store::PutError),
    /// A file could not be removed.
    #[error(transparent)]
    Remove(#[from] faaslet_store::RemoveError),
    /// A folder that cannot be granted; only the operator hears this.
    #[error(transparent)]
    Folder(#[from] DetachError),
    /// A limit that cannot be.
    #[error("expected {what} of {from} to {to}; found {found}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The least.
        from: u64,
        /// The most.
        to: u64,
        /// What was asked for.
        found: u64,
    },
    /// A system call.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl Monitor {
    /// Reads all functions from the store.
    pub(super) fn read_functions(self: &Arc<Self>) -> Result<(), StartError> {
        for info in self.store.functions(None).map_err(StoreError::from)? {
            let version = self.store.current(&info.function).map_err(StoreError::from)?;
            self.activate(info.function, version);
        }
        Ok(())
    }

    /// Removes a tenant with its functions and tokens, and ends its cell.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn remove_tenant(&self, name: &str) -> Result<(), AdminError> {
        let name = Name::new(name).map_err(StoreError::from)?;
        let _change = lock(&self.changes);
        self.check_unused(name.as_str(), None)?;
        self.store.remove_tenant(&name).map_err(StoreError::from)?;
        let tenant = self.functions.remove_tenant(name.as_str());
        self.credentials.end(|_, role| *role == Role::Tenant(name.clone()));
        if let Some(link) = tenant.and_then(|tenant| tenant.current()) {
            link.kill();
        }
        Ok(())
    }

    /// Grants a folder of the host to a tenant: `HOST::GUEST[:ro]`.
    ///
    /// # Errors
    /// When there is no such tenant, or the text is no grant.
    pub fn grant(&self, tenant: &str, grant: Grant) -> Result<(), AdminError> {
        let name = Name::new(tenant).map_err(StoreError::from)?;
        let host = settled(&grant.host)?;
        let grant = Grant { host, ..grant };
        Ok(self.store.grant(&name, grant).map_err(StoreError::from)?)
    }

    /// Takes a folder back; functions that use it are loaded anew.
    ///
    /// # Errors
    /// When there is no such tenant or grant.
    pub fn revoke(&self, tenant: &str, guest: &str) -> Result<(), AdminError> {
        let name = Name::new(tenant).map_err(StoreError::from)?;
        self.store.revoke(&name, guest).map_err(StoreError::from)?;
        if let Some(link) = self.functions.tenant(tenant).current() {
            link.kill();
        }
        Ok(())
    }

    /// The functions of a tenant.
    #[must_use]
    pub fn functions(&self, tenant: &str) -> Vec<FunctionInfo> {
        self.functions.of(tenant).iter().map(|deployed| self.function_info(deployed)).collect()
    }

    fn function_info(&self, deployed: &Deployed) -> FunctionInfo {
        let stats = deployed.stats.snapshot();
        let image = deployed.deployment().image;
        let size =
            |blob| self.store.blob_path(BlobKind::Image, blob).metadata().map_or(0, |m| m.len());
        FunctionInfo {
            name: deployed.name().to_owned(),
            version: deployed.version.version,
            mode: deployed.mode(),
            image: image.map(|image| image.id.to_string()),
            image_bytes: image.map_or(0, |image| size(image.blob)),
            kept: deployed.deployment().kept.clone().unwrap_or_else(|| {
                Err("not known: an earlier release deployed it; deploy it again".to_owned())
            }),
            copy_of: deployed.version.copy_of.clone(),
            warm_slots: deployed.warm_slots(),
            calls: stats.calls,
            errors: stats.errors,
            p50_us: stats.p50_us,
            p99_us: stats.p99_us,
        }
    }

    /// What a function logs, if there is such a function.
    #[must_use]
    pub fn log(&self, function: &FunctionName) -> Option<Arc<Log>> {
        let deployed = self.functions.get(function.tenant.as_str(), function.name.as_str())?;
        Some(Arc::clone(&deployed.log))
    }

    /// The versions of a function, oldest first.
    ///
    /// # Errors
    /// When there is no such function.
    pub fn versions(&self, function: &FunctionName) -> Result<Vec<VersionInfo>, AdminError> {
        let current = self.store.current(function).map_err(StoreError::from)?.version;
        let versions = self.store.versions(function).map_err(StoreError::from)?;
        let info = |version: faaslet_store::VersionInfo| VersionInfo {
            version: version.version,
            current: version.version == current,
            created_unix_s: version.created_ms / 1000,
            module: version.deployment.module.to_string(),
            image: version.deployment.image.map(|image| image.id.to_string()),
        };
        Ok(versions.into_iter().map(info).collect())
    }

    /// Makes an earlier version the current one.
    ///
    /// # Errors
    /// When there is no such function or version.
    pub fn rollback(self: &Arc<Self>, function: FunctionName, to: u64) -> Result<(), AdminError> {
        let _change = lock(&self.changes);
        self.store.rollback(&function, to).map_err(StoreError::from)?;
        let version = self.store.current(&function).map_err(StoreError::from)?;
        self.activate(function, version);
        Ok(())
    }

    /// Removes a function; calls that it has begun end as they would.
    ///
    /// # Errors
    /// When there is no such function.
    pub fn remove_function(self: &Arc<Self>, function: &FunctionName) -> Result<(), AdminError> {
        let _change = lock(&self.changes);
        let (tenant, name) = (function.tenant.as_str(), function.name.as_str());
        self.check_unused(tenant, Some(name))?;
        self.store.remove_function(function).map_err(StoreError::from)?;
        if let Some(deployed) = self.functions.remove(tenant, name) {
            self.forget(&deployed);
        }
        Ok(())
    }

    /// Replaces environment and secrets of a function, without a new bake, for calls that start
    /// from now on.
    ///
    /// # Errors
    /// When there is no such function.
    pub async fn set_settings(
        self: &Arc<Self>,
        function: &FunctionName,
        settings: Settings,
    ) -> Result<(), AdminError> {
        {
            let _change = lock(&self.changes);
            self.store.set_settings(function, &settings).map_err(StoreError::from)?;
        }
        let (tenant, name) = (function.tenant.as_str(), function.name.as_str());
        let deployed = self.functions.get(tenant, name);
        let deployed = deployed.ok_or_else(|| AdminError::NoFunction(name.to_owned()))?;
        let Some((link, number)) = deployed.loaded() else { return Ok(()) };
        let (settings, folders) = load::settings(self, &deployed)?;
        let runtime = self.runtime.clone();
        let told = runtime.spawn(async move {
            let fds: Vec<_> = folders.iter().map(std::os::fd::AsFd::as_fd).collect();
            link.order(&Order::Settings { number, settings }, &fds).await
        });
        Ok(told.await.map_err(std::io::Error::other)??)
    }

    /// Collects what no version needs, or says what it would.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn gc(&self, dry_run: bool) -> Result<GcInfo, AdminError> {
        let rule = self.gc_rule();
        let plan = if dry_run { self.store.gc_plan(&rule)? } else { self.store.gc(&rule)? };
        Ok(GcInfo {
            versions: plan.versions.len() as u64,
            files: plan.files.len() as u64,
            bytes: plan.freed_bytes,
            dry_run,
        })
    }
}

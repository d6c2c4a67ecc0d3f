//! What operator and tenants do beside calling: tenants, versions, settings, lists, collection.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use faaslet_sandbox::folder::settled;
use faaslet_store::{BlobKind, FunctionName, GcError, Grant, Name, Role, Settings, TenantLimits};

use super::functions::Deployed;
use super::link::CellError;
use super::load::{self, LoadError};
use super::lock::lock;
use super::{
    ADMIN_TOKEN_FILE, DEFAULT_TENANT, DEFAULT_TOKEN_FILE, Monitor, StartError, StoreError,
};
use crate::api::{FunctionInfo, GcInfo, TenantInfo, TokenInfo, VersionInfo};
use crate::control::Order;
use faaslet_rewrite::Plan;

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
    /// An image that is none.
    #[error("expected an image; {0}; export it again")]
    Image(#[from] faaslet_snapshot::image::OpenError),
    /// A file could not be stored.
    #[error(transparent)]
    Put(#[from] faaslet_store::PutError),
    /// A file could not be removed.
    #[error(transparent)]
    Remove(#[from] faaslet_store::RemoveError),
    /// A system call.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl Monitor {
    /// Makes the tenant and the tokens that a new folder begins with.
    pub(super) fn first_start(&self) -> Result<(), StartError> {
        let dir = self.config.dir.clone();
        let tenants = self.store.tenants().map_err(StoreError::from)?;
        let default = Name::new(DEFAULT_TENANT).map_err(StoreError::from)?;
        if tenants.is_empty() && !dir.join(ADMIN_TOKEN_FILE).exists() {
            let added = self.store.add_tenant(&default, TenantLimits::default());
            added.map_err(StoreError::from)?;
        }
        for (file, role) in
            [(ADMIN_TOKEN_FILE, Role::Admin), (DEFAULT_TOKEN_FILE, Role::Tenant(default))]
        {
            let path = dir.join(file);
            if path.exists() || (file == DEFAULT_TOKEN_FILE && !self.has_default()?) {
                continue;
            }
            let token = self.store.add_token(&role).map_err(StoreError::from)?;
            write_private(&path, token.reveal())
                .map_err(|error| StartError::File { path, error })?;
        }
        Ok(())
    }

    fn has_default(&self) -> Result<bool, StoreError> {
        Ok(self.store.tenants()?.iter().any(|tenant| tenant.name.as_str() == DEFAULT_TENANT))
    }

    /// Reads all functions from the store.
    pub(super) fn read_functions(self: &Arc<Self>) -> Result<(), StartError> {
        for info in self.store.functions(None).map_err(StoreError::from)? {
            let version = self.store.current(&info.function).map_err(StoreError::from)?;
            self.activate(info.function, version);
        }
        Ok(())
    }

    /// Adds a tenant and a token for it.
    ///
    /// # Errors
    /// When it is there already, or its name is none.
    pub fn add_tenant(&self, name: &str) -> Result<TokenInfo, AdminError> {
        let name = Name::new(name).map_err(StoreError::from)?;
        self.store.add_tenant(&name, TenantLimits::default()).map_err(StoreError::from)?;
        self.new_token(name.as_str())
    }

    /// A new token for a tenant; it is shown once.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn new_token(&self, tenant: &str) -> Result<TokenInfo, AdminError> {
        let name = Name::new(tenant).map_err(StoreError::from)?;
        let token = self.store.add_token(&Role::Tenant(name)).map_err(StoreError::from)?;
        Ok(TokenInfo { tenant: tenant.to_owned(), token: token.reveal().to_owned() })
    }

    /// Removes a tenant with its functions and tokens, and ends its cell.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn remove_tenant(&self, name: &str) -> Result<(), AdminError> {
        let name = Name::new(name).map_err(StoreError::from)?;
        let _change = lock(&self.changes);
        self.store.remove_tenant(&name).map_err(StoreError::from)?;
        let tenant = self.functions.remove_tenant(name.as_str());
        if let Some(link) = tenant.and_then(|tenant| tenant.current()) {
            link.kill();
        }
        Ok(())
    }

    /// All tenants.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantInfo>, AdminError> {
        let tenants = self.store.tenants().map_err(StoreError::from)?;
        let info = |tenant: faaslet_store::Tenant| TenantInfo {
            name: tenant.name.to_string(),
            grants: tenant.grants.iter().map(ToString::to_string).collect(),
            cell_pid: self.functions.tenant(tenant.name.as_str()).current().map(|link| link.pid()),
        };
        Ok(tenants.into_iter().map(info).collect())
    }

    /// Grants a folder of the host to a tenant: `HOST::GUEST[:ro]`.
    ///
    /// # Errors
    /// When there is no such tenant, or the text is no grant.
    pub fn grant(&self, tenant: &str, grant: Grant) -> Result<(), AdminError> {
        let name = Name::new(tenant).map_err(StoreError::from)?;
        let host = settled(&grant.host).map_err(LoadError::from)?;
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
        let link = self.functions.tenant(tenant).current();
        let slots = link.map_or(0, |link| link.counts().slots);
        self.functions
            .of(tenant)
            .iter()
            .map(|deployed| self.function_info(deployed, slots))
            .collect()
    }

    fn function_info(&self, deployed: &Deployed, warm_slots: u32) -> FunctionInfo {
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
            kept: self.plan(deployed).map_or_else(
                |error| Err(error.to_string()),
                |plan| plan.keep.map_err(|why| why.to_string()),
            ),
            warm_slots,
            calls: stats.calls,
            errors: stats.errors,
            p50_us: stats.p50_us,
            p99_us: stats.p99_us,
        }
    }

    /// What the rewrite found out about a version.
    fn plan(&self, deployed: &Deployed) -> Result<Plan, AdminError> {
        let file = self.open_blob(BlobKind::Plan, deployed.deployment().plan)?;
        let reader = std::io::BufReader::new(file);
        serde_json::from_reader(reader).map_err(|error| AdminError::System(error.into()))
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
        self.store.remove_function(function).map_err(StoreError::from)?;
        let (tenant, name) = (function.tenant.as_str(), function.name.as_str());
        if let Some(deployed) = self.functions.remove(tenant, name) {
            self.forget(&deployed);
        }
        self.logs.forget(tenant, name);
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

/// Writes a file that only its owner reads.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

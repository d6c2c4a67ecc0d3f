//! Tenants: who there is, by which tokens, and what they may use.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use faaslet_store::{Name, Role, TenantLimits};

use super::admin::AdminError;
use super::{
    ADMIN_TOKEN_FILE, DEFAULT_TENANT, DEFAULT_TOKEN_FILE, Monitor, StartError, StoreError,
};
use crate::api::{LimitsRequest, TenantInfo, TokenEntry, TokenInfo};

/// Least memory in which a cell runs anything.
const MIN_CELL_MEMORY_BYTES: u64 = 64 << 20;
/// Most that a tenant may be allowed; more than any host has.
const MAX_CELL_MEMORY_BYTES: u64 = 1 << 48;
const MAX_CPU_PERCENT: u64 = 100_000;
const MAX_CALLS_IN_FLIGHT: u64 = 1_000_000;
const MAX_FUNCTIONS: u64 = 100_000;

impl Monitor {
    /// Makes the tenant and the tokens that a new folder begins with.
    pub(super) fn first_start(&self) -> Result<(), StartError> {
        let dir = self.config.dir.clone();
        let (admin, own) = (dir.join(ADMIN_TOKEN_FILE), dir.join(DEFAULT_TOKEN_FILE));
        let tenants = self.store.tenants().map_err(StoreError::from)?;
        let default = Name::new(DEFAULT_TENANT).map_err(StoreError::from)?;
        let begins = tenants.is_empty() && !has_token(&admin);
        if begins {
            let added = self.store.add_tenant(&default, TenantLimits::default());
            added.map_err(StoreError::from)?;
        }
        if !has_token(&admin) {
            self.end_tokens(&Role::Admin)?;
            self.token_file(&admin, &Role::Admin)?;
        }
        let has_default = begins || tenants.iter().any(|tenant| tenant.name == default);
        if has_default && !has_token(&own) {
            self.token_file(&own, &Role::Tenant(default))?;
        }
        for tenant in self.store.tenants().map_err(StoreError::from)? {
            self.functions.tenant(tenant.name.as_str()).allow_calls(tenant.limits.calls_in_flight);
        }
        Ok(())
    }

    /// An operator who has lost the token, or fears that another has it, removes its file.
    fn end_tokens(&self, role: &Role) -> Result<(), StoreError> {
        for token in self.store.tokens_of(role)? {
            self.store.remove_token(role, &token.id)?;
        }
        Ok(())
    }

    fn token_file(&self, path: &Path, role: &Role) -> Result<(), StartError> {
        let token = self.store.add_token(role).map_err(StoreError::from)?;
        write_private(path, token.reveal())
            .map_err(|error| StartError::File { path: path.to_owned(), error })
    }

    /// Adds a tenant and a token for it.
    ///
    /// # Errors
    /// When it is there already, its name is none, or a limit cannot be.
    pub fn add_tenant(&self, name: &str, limits: &LimitsRequest) -> Result<TokenInfo, AdminError> {
        let tenant = Name::new(name).map_err(StoreError::from)?;
        let limits = limited(TenantLimits::default(), limits)?;
        let calls = limits.calls_in_flight;
        self.store.add_tenant(&tenant, limits).map_err(StoreError::from)?;
        self.functions.tenant(name).allow_calls(calls);
        self.new_token(name)
    }

    /// Changes what a tenant may use: calls and functions at once, memory and processor time when
    /// its cell starts next.
    ///
    /// # Errors
    /// When there is no such tenant, or a limit cannot be.
    pub fn set_limits(&self, name: &str, limits: &LimitsRequest) -> Result<(), AdminError> {
        let tenant = Name::new(name).map_err(StoreError::from)?;
        let before = self.store.tenant(&tenant).map_err(StoreError::from)?.limits;
        let limits = limited(before, limits)?;
        let calls = limits.calls_in_flight;
        self.store.set_tenant_limits(&tenant, limits).map_err(StoreError::from)?;
        let tenant = self.functions.tenant(name);
        tenant.allow_calls(calls);
        if let Some(link) = tenant.current() {
            // One that has calls keeps its limits until it ends.
            link.retire();
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
            memory_bytes: tenant.limits.memory_bytes.min(self.config.cell_memory_bytes),
            cpu_percent: tenant.limits.cpu_percent,
            calls_in_flight: tenant.limits.calls_in_flight,
            functions: tenant.limits.functions,
        };
        Ok(tenants.into_iter().map(info).collect())
    }

    /// A new token for a tenant; it is shown once.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn new_token(&self, tenant: &str) -> Result<TokenInfo, AdminError> {
        let name = Name::new(tenant).map_err(StoreError::from)?;
        let token = self.store.add_token(&Role::Tenant(name)).map_err(StoreError::from)?;
        let (id, text) = (token.id(), token.reveal().to_owned());
        Ok(TokenInfo { tenant: tenant.to_owned(), id, token: text })
    }

    /// The tokens of a tenant, without their texts, which nobody has.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn tokens(&self, tenant: &str) -> Result<Vec<TokenEntry>, AdminError> {
        let name = Name::new(tenant).map_err(StoreError::from)?;
        self.store.tenant(&name).map_err(StoreError::from)?;
        let tokens = self.store.tokens_of(&Role::Tenant(name)).map_err(StoreError::from)?;
        let entry = |token: faaslet_store::TokenInfo| TokenEntry {
            id: token.id,
            created_unix_s: token.created_ms / 1000,
        };
        Ok(tokens.into_iter().map(entry).collect())
    }

    /// Removes a token of a tenant, and closes the connections that it opened.
    ///
    /// # Errors
    /// When there is no such tenant, or it has no such token.
    pub fn remove_token(&self, tenant: &str, id: &str) -> Result<(), AdminError> {
        let role = Role::Tenant(Name::new(tenant).map_err(StoreError::from)?);
        self.store.remove_token(&role, id).map_err(StoreError::from)?;
        self.credentials.end(|shown, _| shown == id);
        Ok(())
    }
}

/// Limits with those that were asked for.
fn limited(mut limits: TenantLimits, request: &LimitsRequest) -> Result<TenantLimits, AdminError> {
    let within = |what, from, to, found: u64| {
        let fits = (from..=to).contains(&found);
        if fits { Ok(found) } else { Err(AdminError::Limit { what, from, to, found }) }
    };
    if let Some(bytes) = request.memory_bytes {
        let (least, most) = (MIN_CELL_MEMORY_BYTES, MAX_CELL_MEMORY_BYTES);
        limits.memory_bytes = within("memory", least, most, bytes)?;
    }
    if let Some(percent) = request.cpu_percent {
        let percent = within("processor time in percent", 0, MAX_CPU_PERCENT, percent.into())?;
        limits.cpu_percent = (percent > 0).then_some(percent as u32);
    }
    if let Some(calls) = request.calls_in_flight {
        let calls = within("calls in flight", 0, MAX_CALLS_IN_FLIGHT, calls.into())?;
        limits.calls_in_flight = calls as u32;
    }
    if let Some(functions) = request.functions {
        limits.functions = within("functions", 0, MAX_FUNCTIONS, functions.into())? as u32;
    }
    Ok(limits)
}

/// Whether a file holds a token; an empty one is what a crash left of an older release.
fn has_token(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| !text.trim().is_empty())
}

/// Writes a file that only its owner reads: the whole text is there, on disk, or no file is.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Config;

    fn start(dir: &Path) {
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        drop(Monitor::start(Config { listen, ..Config::new(dir.to_owned()) }).unwrap());
    }

    #[test]
    fn an_empty_token_file_counts_as_absent_and_a_new_operators_token_ends_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = |file| dir.path().join(file);
        let read = |file| fs::read_to_string(path(file)).unwrap().trim().to_owned();
        start(dir.path());
        let (admin, own) = (read(ADMIN_TOKEN_FILE), read(DEFAULT_TOKEN_FILE));
        start(dir.path());
        assert_eq!((read(ADMIN_TOKEN_FILE), read(DEFAULT_TOKEN_FILE)), (admin.clone(), own));
        fs::write(path(ADMIN_TOKEN_FILE), "").unwrap();
        fs::write(path("admin.new"), "left by a crash").unwrap();
        start(dir.path());
        let again = read(ADMIN_TOKEN_FILE);
        let store = faaslet_store::Store::open(dir.path()).unwrap();
        assert_eq!(store.authenticate(&again).unwrap(), Some(Role::Admin));
        assert_eq!(store.authenticate(&admin).unwrap(), None);
        let mode = fs::metadata(path(ADMIN_TOKEN_FILE)).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
        assert!(!path("admin.new").exists());
    }

    #[test]
    fn limits_that_are_not_asked_for_stay_and_wrong_ones_are_refused() {
        let before = TenantLimits { cpu_percent: Some(50), ..TenantLimits::default() };
        let same = limited(before.clone(), &LimitsRequest::default()).unwrap();
        assert_eq!(same, before);
        let request =
            LimitsRequest { cpu_percent: Some(0), functions: Some(3), ..Default::default() };
        let after = limited(before.clone(), &request).unwrap();
        assert_eq!(after, TenantLimits { cpu_percent: None, functions: 3, ..before.clone() });
        let request = LimitsRequest { memory_bytes: Some(1), ..Default::default() };
        let error = limited(before, &request).unwrap_err();
        assert!(matches!(error, AdminError::Limit { what: "memory", found: 1, .. }), "{error}");
    }
}

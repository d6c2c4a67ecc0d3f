//! Tenants: their limits, the folders they may use, and the secret of their bakes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::db::{self, DbError, FUNCTIONS, SETTINGS, TENANTS, VERSIONS};
use crate::name::Name;
use crate::open::Store;
use crate::token;

/// Most folders that a tenant may be granted.
pub const MAX_GRANTS: usize = 64;
/// Longest name of a granted folder, for host and guest each.
const MAX_FOLDER_BYTES: usize = 4096;

/// What a tenant may use on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantLimits {
    /// Memory of its cell.
    pub memory_bytes: u64,
    /// Share of processor time of its cell, 100 for one core; `None` for no limit.
    pub cpu_percent: Option<u32>,
    /// Calls that run or wait at once.
    pub calls_in_flight: u32,
    /// Functions deployed at once.
    pub functions: u32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self { memory_bytes: 4 << 30, cpu_percent: None, calls_in_flight: 1024, functions: 1000 }
    }
}

/// A folder of the host that a tenant's functions may ask for: `HOST::GUEST[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The folder on the host, absolute.
    pub host: PathBuf,
    /// The name by which deployments ask for it and functions see it.
    pub guest: String,
    /// Functions change nothing in it.
    pub read_only: bool,
}

/// A text is not a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not a grant ({reason}): expected HOST::GUEST or HOST::GUEST:ro, HOST absolute"
)]
pub struct GrantError {
    /// The text.
    pub found: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        let error = |reason| GrantError { found: text.to_owned(), reason };
        let (host, guest) = text.split_once("::").ok_or_else(|| error("no '::' in it"))?;
        let (guest, read_only) =
            guest.strip_suffix(":ro").map_or((guest, false), |guest| (guest, true));
        if !host.starts_with('/') {
            return Err(error("the host's folder is not absolute"));
        }
        if guest.is_empty() || guest.contains(':') {
            return Err(error("the guest's name is empty or has a ':'"));
        }
        if text.contains('\0') || host.len().max(guest.len()) > MAX_FOLDER_BYTES {
            return Err(error("a name is too long or has a zero byte"));
        }
        Ok(Self { host: host.into(), guest: guest.to_owned(), read_only })
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.read_only { ":ro" } else { "" };
        write!(f, "{}::{}{mode}", self.host.display(), self.guest)
    }
}

/// 32 bytes from which the random bytes of a tenant's bakes are derived. Shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct TenantSecret(pub [u8; 32]);

impl fmt::Debug for TenantSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TenantSecret(..)")
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub name: Name,
    /// When it was added, in milliseconds of Unix time.
    pub created_ms: u64,
    /// What it may use.
    pub limits: TenantLimits,
    /// Folders that its functions may ask for.
    pub grants: Vec<Grant>,
}

/// A tenant at rest.
#[derive(Serialize, Deserialize)]
pub(crate) struct TenantRecord {
    created_ms: u64,
    pub(crate) limits: TenantLimits,
    pub(crate) grants: Vec<Grant>,
    secret: [u8; 32],
}

/// Something about tenants failed.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// There is one of that name.
    #[error("the tenant {0} exists already: choose another name")]
    Exists(Name),
    /// There is none of that name.
    #[error("there is no tenant {0}: add it with `faaslet tenant add {0}`")]
    Unknown(Name),
    /// It has too many folders.
    #[error("the tenant {0} has {MAX_GRANTS} folders, which is the limit: revoke one first")]
    TooManyGrants(Name),
    /// It lies in a folder that somebody may write, or the other way about.
    #[error(
        "{folder} cannot be granted beside {other} of the tenant {tenant}: one lies in the other, \
         and who writes the outer one could put another folder in the place of the inner one; grant \
         the outer one read-only, or folders that lie side by side"
    )]
    Nested {
        /// The host's folder.
        folder: PathBuf,
        /// The one that was granted before.
        other: PathBuf,
        /// To whom.
        tenant: Name,
    },
    /// No such folder was granted.
    #[error("the tenant {tenant} was granted no folder {guest:?}, only {granted:?}")]
    NotGranted {
        /// The tenant.
        tenant: Name,
        /// The name asked for.
        guest: String,
        /// The names there are.
        granted: Vec<String>,
    },
    /// It, or the operator, has too many tokens.
    #[error(
        "{owner} has {max} tokens, which is the limit: `faaslet tenant token ls` lists those of a \
         tenant, and `faaslet tenant token rm` removes one"
    )]
    TooManyTokens {
        /// The tenant or the operator.
        owner: String,
        /// The limit.
        max: usize,
    },
    /// There is no such token.
    #[error("there is no token with the id {0:?}: `faaslet tenant token ls` shows the ids")]
    UnknownToken(String),
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Milliseconds of Unix time.
pub(crate) fn now_ms() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "records have a date, for people")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl Store {
    /// Adds a tenant, without tokens.
    pub fn add_tenant(&self, name: &Name, limits: TenantLimits) -> Result<(), TenantError> {
        let secret = token::random().map_err(TenantError::Random)?;
        let record = TenantRecord { created_ms: now_ms(), limits, grants: Vec::new(), secret };
        self.db.write(|write| {
            if db::get::<TenantRecord>(write, TENANTS, name.as_str())?.is_some() {
                return Ok(Err(TenantError::Exists(name.clone())));
            }
            Ok(Ok(db::put(write, TENANTS, name.as_str(), &record)?))
        })
    }

    /// Removes a tenant with its tokens, functions, versions and settings. Its files go with the
    /// next collection.
    pub fn remove_tenant(&self, name: &Name) -> Result<(), TenantError> {
        self.db.write_to_free(|write| {
            if !db::remove(write, TENANTS, name.as_str())? {
                return Ok(Err(TenantError::Unknown(name.clone())));
            }
            for table in [FUNCTIONS, VERSIONS, SETTINGS] {
                db::remove_all(write, table, &format!("{name}/"))?;
            }
            token::remove_of(write, name)?;
            Ok(Ok(()))
        })
    }

    /// All tenants, by name.
    pub fn tenants(&self) -> Result<Vec<Tenant>, DbError> {
        let records = self.db.read::<_, DbError>(|read| Ok(Ok(db::list(read, TENANTS, "")?)))?;
        let tenant = |(key, record): (String, TenantRecord)| tenant(&key, record);
        Ok(records.into_iter().filter_map(tenant).collect())
    }

    /// One tenant.
    pub fn tenant(&self, name: &Name) -> Result<Tenant, TenantError> {
        let record = self.tenant_record(name)?;
        tenant(name.as_str(), record).ok_or_else(|| TenantError::Unknown(name.clone()))
    }

    /// The secret of a tenant's bakes.
    pub fn tenant_secret(&self, name: &Name) -> Result<TenantSecret, TenantError> {
        Ok(TenantSecret(self.tenant_record(name)?.secret))
    }

    /// Sets what a tenant may use.
    pub fn set_tenant_limits(&self, name: &Name, limits: TenantLimits) -> Result<(), TenantError> {
        self.change_tenant(name, |record| {
            record.limits = limits;
            Ok(())
        })
    }

    /// Grants a folder; one of the same guest name is replaced.
    pub fn grant(&self, name: &Name, grant: Grant) -> Result<(), TenantError> {
        self.db.write(|write| {
            let Some(mut record) = db::get::<TenantRecord>(write, TENANTS, name.as_str())? else {
                return Ok(Err(TenantError::Unknown(name.clone())));
            };
            record.grants.retain(|old| old.guest != grant.guest);
            if record.grants.len() >= MAX_GRANTS {
                return Ok(Err(TenantError::TooManyGrants(name.clone())));
            }
            let all = db::list::<TenantRecord>(write, TENANTS, "")?;
            let others = all.iter().filter(|(tenant, _)| tenant != name.as_str());
            let theirs = others.flat_map(|(tenant, record)| {
                record.grants.iter().map(move |grant| (tenant.as_str(), grant))
            });
            let own = record.grants.iter().map(|grant| (name.as_str(), grant));
            if let Err(refusal) = nested(&grant, theirs.chain(own)) {
                return Ok(Err(refusal));
            }
            record.grants.push(grant);
            Ok(Ok(db::put(write, TENANTS, name.as_str(), &record)?))
        })
    }

    /// Takes a folder back. Functions that asked for it fail from their next start on.
    pub fn revoke(&self, name: &Name, guest: &str) -> Result<(), TenantError> {
        self.change_tenant(name, |record| {
            let granted = record.grants.iter().map(|grant| grant.guest.clone()).collect();
            let before = record.grants.len();
            record.grants.retain(|grant| grant.guest != guest);
            if record.grants.len() == before {
                let (tenant, guest) = (name.clone(), guest.to_owned());
                return Err(TenantError::NotGranted { tenant, guest, granted });
            }
            Ok(())
        })
    }

    fn tenant_record(&self, name: &Name) -> Result<TenantRecord, TenantError> {
        let record = self
            .db
            .read::<_, TenantError>(|read| Ok(Ok(db::get(read, TENANTS, name.as_str())?)))?;
        record.ok_or_else(|| TenantError::Unknown(name.clone()))
    }

    fn change_tenant(
        &self,
        name: &Name,
        change: impl FnOnce(&mut TenantRecord) -> Result<(), TenantError>,
    ) -> Result<(), TenantError> {
        self.db.write(|write| {
            let Some(mut record) = db::get(write, TENANTS, name.as_str())? else {
                return Ok(Err(TenantError::Unknown(name.clone())));
            };
            if let Err(refusal) = change(&mut record) {
                return Ok(Err(refusal));
            }
            Ok(Ok(db::put(write, TENANTS, name.as_str(), &record)?))
        })
    }
}

/// Whether a grant lies in one that can be written, or has one in it that it can write over.
fn nested<'a>(
    grant: &Grant,
    mut granted: impl Iterator<Item = (&'a str, &'a Grant)>,
) -> Result<(), TenantError> {
    let within = |outer: &Grant, inner: &Grant| {
        !outer.read_only && inner.host != outer.host && inner.host.starts_with(&outer.host)
    };
    let clash = granted.find(|(_, other)| within(grant, other) || within(other, grant));
    let Some((tenant, other)) = clash else { return Ok(()) };
    let Ok(tenant) = Name::new(tenant) else { return Ok(()) };
    Err(TenantError::Nested { folder: grant.host.clone(), other: other.host.clone(), tenant })
}

fn tenant(key: &str, record: TenantRecord) -> Option<Tenant> {
    let TenantRecord { created_ms, limits, grants, secret: _ } = record;
    Some(Tenant { name: Name::new(key).ok()?, created_ms, limits, grants })
}

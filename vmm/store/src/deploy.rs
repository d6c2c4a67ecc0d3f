//! Functions and their versions.

use serde::{Deserialize, Serialize};

use crate::blob::{BlobKind, Hash};
use crate::db::{self, DbError, FUNCTIONS, SETTINGS, Source, TENANTS, VERSIONS};
use crate::name::{FunctionName, Name};
use crate::open::{Step, Store};
use crate::settings::{self, MAX_SETTINGS_BYTES, Settings};
use crate::tenant::{TenantRecord, now_ms};

/// Most versions of a function that are kept until a collection.
pub const MAX_VERSIONS_PER_FUNCTION: usize = 1000;
/// Most folders that a version may ask for.
const MAX_FOLDERS: usize = 64;

/// How a call goes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// From its image.
    Fork,
    /// Initialised for each call.
    Fresh,
}

/// An image: what it is, and the file it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRef {
    /// The image's own id, the root hash over its content.
    pub id: Hash,
    /// The file.
    pub blob: Hash,
}

/// The image that another one was baked from: a language's runtime that the operator keeps. Its code
/// is the version's code as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The function whose image it is.
    pub function: FunctionName,
    /// The image.
    pub image: ImageRef,
    /// Folders of that function, which every image on it needs too.
    pub folders: Vec<String>,
}

/// What a version is made of. Its files must be in the store before it is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The module as uploaded.
    pub module: Hash,
    /// Compiled from it. Derived, so replaceable: see [`Store::replace_code`].
    pub artefact: Hash,
    /// What the rewrite found out; it belongs to the artefact.
    pub plan: Hash,
    /// What artefact and plan were made by and for: rewrite, engine, processor. Where another is
    /// at work they are made again. All zero for those of a release that did not say.
    #[serde(default)]
    pub engine: Hash,
    /// The image; none if the function is always initialised anew.
    pub image: Option<ImageRef>,
    /// What the image was baked from, if that is another image: its file then holds what it adds.
    #[serde(default)]
    pub base: Option<Base>,
    /// Whether an instance is kept between calls, or why not, as the plan has it: kept here so that
    /// no list reads a plan. None of a release that did not say.
    #[serde(default)]
    pub kept: Option<Result<(), String>>,
    /// How a call goes in that does not say.
    pub mode: Mode,
    /// Most memory of one call.
    pub memory_bytes: u64,
    /// Longest time of one call.
    pub timeout_ms: u64,
    /// Calls at once on this host.
    pub concurrency: u32,
    /// Folders it asks for, by the guest's names; each must have been granted to its tenant.
    pub folders: Vec<String>,
    /// Arguments of a WASI command, after its name.
    pub args: Vec<String>,
}

/// What is made from a module, and made again for another engine or processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// Compiled code.
    pub artefact: Hash,
    /// The plan that belongs to it.
    pub plan: Hash,
    /// What both were made by and for.
    pub engine: Hash,
}

impl Deployment {
    /// Its code.
    pub fn code(&self) -> Code {
        Code { artefact: self.artefact, plan: self.plan, engine: self.engine }
    }

    /// The files it names.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = (BlobKind, Hash)> {
        let always = [
            (BlobKind::Module, self.module),
            (BlobKind::Artefact, self.artefact),
            (BlobKind::Plan, self.plan),
        ];
        let base = self.base.as_ref().map(|base| base.image);
        let images = self.image.into_iter().chain(base);
        always.into_iter().chain(images.map(|image| (BlobKind::Image, image.blob)))
    }
}

/// A version, which never changes but for its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Its number: 1 for the first of a function, and never used twice.
    pub version: u64,
    /// When it was deployed, in milliseconds of Unix time.
    pub created_ms: u64,
    /// What it is made of.
    pub deployment: Deployment,
    /// The host that it was deployed on, if it is a copy of another host's.
    #[serde(default)]
    pub copy_of: Option<String>,
}

/// A function as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Which.
    pub function: FunctionName,
    /// The version that new calls get.
    pub current: u64,
    /// Names of its environment.
    pub env: Vec<String>,
    /// Names of its secrets.
    pub secrets: Vec<String>,
}

/// A function at rest.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct FunctionRecord {
    /// `None` after it was removed; the record stays so that no number is used twice.
    pub(crate) current: Option<u64>,
    next: u64,
}

/// [`Store::deploy`] failed; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// There is no such tenant.
    #[error("there is no tenant {0}: add it with `faaslet tenant add {0}`")]
    UnknownTenant(Name),
    /// A file is not in the store.
    #[error("the {kind} {hash} is not in the store: put it there before deploying, and try again")]
    MissingBlob {
        /// What it is.
        kind: BlobKind,
        /// Its hash.
        hash: Hash,
    },
    /// A folder was not granted.
    #[error(
        "the tenant {tenant} was granted no folder {guest:?}, only {granted:?}: the operator grants \
         one with `faaslet tenant grant {tenant} --dir HOST::{guest}`"
    )]
    NotGranted {
        /// The tenant.
        tenant: Name,
        /// The name asked for.
        guest: String,
        /// The names there are.
        granted: Vec<String>,
    },
    /// The tenant has as many functions as it may.
    #[error("the tenant {tenant} has {max} functions, which is its limit: remove one first")]
    TooManyFunctions {
        /// The tenant.
        tenant: Name,
        /// The limit.
        max: u32,
    },
    /// The function has too many versions.
    #[error(
        "{0} has {MAX_VERSIONS_PER_FUNCTION} versions, which is the limit: collect old ones with \
         `faaslet gc`"
    )]
    TooManyVersions(FunctionName),
    /// It asks for too many folders.
    #[error("{found} folders were asked for, expected {MAX_FOLDERS} at most: ask for fewer")]
    TooManyFolders {
        /// How many.
        found: usize,
    },
    /// The settings given with it are not right, or the like.
    #[error(transparent)]
    Settings(#[from] FunctionError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Something about a function failed.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// It is not deployed.
    #[error("there is no function {0}: deploy it, or list what there is with `faaslet ps`")]
    Unknown(FunctionName),
    /// It has no such version.
    #[error("{function} has no version {version}, only {known:?}: choose one of these")]
    UnknownVersion {
        /// The function.
        function: FunctionName,
        /// The version asked for.
        version: u64,
        /// The versions there are.
        known: Vec<u64>,
    },
    /// A file is not in the store.
    #[error("the {kind} {hash} is not in the store: put it there first, and try again")]
    MissingBlob {
        /// What it is.
        kind: BlobKind,
        /// Its hash.
        hash: Hash,
    },
    /// A name that no environment can hold.
    #[error("{0:?} is no name for an environment: expected one that is not empty, without '='")]
    SettingName(String),
    /// A value that no environment can hold. The value itself is not shown: it may be a secret.
    #[error("the value of {0:?} has a zero byte: take it out")]
    SettingValue(String),
    /// Too much environment.
    #[error("environment and secrets have {bytes} bytes, expected {MAX_SETTINGS_BYTES} at most")]
    SettingsTooLong {
        /// How many.
        bytes: usize,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

fn version_key(function: &FunctionName, version: u64) -> String {
    format!("{function}/{version:020}")
}

/// The functions whose versions are listed under keys like this.
pub(crate) fn function_of_version_key(key: &str) -> Option<FunctionName> {
    FunctionName::from_key(key.rsplit_once('/')?.0)
}

fn versions_of(source: &impl Source, function: &FunctionName) -> Result<Vec<VersionInfo>, DbError> {
    let versions = db::list(source, VERSIONS, &format!("{function}/"))?;
    Ok(versions.into_iter().map(|(_, version)| version).collect())
}

fn unknown_version(known: &[VersionInfo], function: &FunctionName, version: u64) -> FunctionError {
    let known = known.iter().map(|known| known.version).collect();
    FunctionError::UnknownVersion { function: function.clone(), version, known }
}

impl Store {
    /// Makes a new version of a function and points new calls to it. `settings` replace those of
    /// the function if given. Durable when this returns.
    pub fn deploy(
        &self,
        function: &FunctionName,
        deployment: &Deployment,
        settings: Option<&Settings>,
    ) -> Result<u64, DeployError> {
        settings.map_or(Ok(()), settings::check)?;
        let found = deployment.folders.len();
        if found > MAX_FOLDERS {
            return Err(DeployError::TooManyFolders { found });
        }
        let _naming = self.hold_names();
        if let Some((kind, hash)) = self.missing(deployment.blobs()) {
            return Err(DeployError::MissingBlob { kind, hash });
        }
        let version = self.db.write(|write| {
            if let Err(refusal) = may_deploy(write, function, deployment)? {
                return Ok(Err(refusal));
            }
            let key = function.key();
            let record: FunctionRecord = db::get(write, FUNCTIONS, &key)?.unwrap_or_default();
            let version = record.next.max(1);
            let record = FunctionRecord { current: Some(version), next: version + 1 };
            let deployment = deployment.clone();
            let copy_of = None;
            let info = VersionInfo { version, created_ms: now_ms(), deployment, copy_of };
            db::put(write, VERSIONS, &version_key(function, version), &info)?;
            db::put(write, FUNCTIONS, &key, &record)?;
            if let Some(settings) = settings {
                db::put(write, SETTINGS, &key, settings)?;
            }
            self.step(Step::RecordsWritten);
            Ok(Ok(version))
        })?;
        self.step(Step::RecordsCommitted);
        Ok(version)
    }

    /// Takes a version that another host deployed, under the number that it has there, and points
    /// new calls to it. `settings` replace those of the function. Of its files, compiled code may be
    /// absent: it is made again. Durable when this returns.
    ///
    /// # Errors
    /// As of [`Store::deploy`].
    pub fn adopt(
        &self,
        function: &FunctionName,
        info: &VersionInfo,
        settings: &Settings,
    ) -> Result<(), DeployError> {
        settings::check(settings)?;
        let _naming = self.hold_names();
        let needed = info.deployment.blobs().filter(|(kind, _)| *kind != BlobKind::Artefact);
        if let Some((kind, hash)) = self.missing(needed) {
            return Err(DeployError::MissingBlob { kind, hash });
        }
        self.db.write(|write| {
            if let Err(refusal) = may_deploy(write, function, &info.deployment)? {
                return Ok(Err(refusal));
            }
            let key = function.key();
            let record: FunctionRecord = db::get(write, FUNCTIONS, &key)?.unwrap_or_default();
            let next = record.next.max(info.version.saturating_add(1));
            let record = FunctionRecord { current: Some(info.version), next };
            db::put(write, VERSIONS, &version_key(function, info.version), info)?;
            db::put(write, FUNCTIONS, &key, &record)?;
            db::put(write, SETTINGS, &key, settings)?;
            self.step(Step::RecordsWritten);
            Ok(Ok(()))
        })?;
        self.step(Step::RecordsCommitted);
        Ok(())
    }

    fn missing(
        &self,
        mut blobs: impl Iterator<Item = (BlobKind, Hash)>,
    ) -> Option<(BlobKind, Hash)> {
        blobs.find(|(kind, hash)| !self.has_blob(*kind, *hash))
    }

    /// The version that new calls get.
    pub fn current(&self, function: &FunctionName) -> Result<VersionInfo, FunctionError> {
        self.db.read(|read| {
            let record: Option<FunctionRecord> = db::get(read, FUNCTIONS, &function.key())?;
            let Some(version) = record.and_then(|record| record.current) else {
                return Ok(Err(FunctionError::Unknown(function.clone())));
            };
            let info = db::get(read, VERSIONS, &version_key(function, version))?;
            Ok(info.ok_or_else(|| unknown_version(&[], function, version)))
        })
    }

    /// One version.
    pub fn version(
        &self,
        function: &FunctionName,
        version: u64,
    ) -> Result<VersionInfo, FunctionError> {
        let known = self.versions(function)?;
        let found = known.iter().find(|known| known.version == version).cloned();
        found.ok_or_else(|| unknown_version(&known, function, version))
    }

    /// All versions of a function, oldest first.
    pub fn versions(&self, function: &FunctionName) -> Result<Vec<VersionInfo>, FunctionError> {
        self.db.read(|read| {
            let versions = versions_of(read, function)?;
            if versions.is_empty() {
                return Ok(Err(FunctionError::Unknown(function.clone())));
            }
            Ok(Ok(versions))
        })
    }

    /// Points new calls to another version, older or newer.
    pub fn rollback(&self, function: &FunctionName, to: u64) -> Result<(), FunctionError> {
        self.db.write(|write| {
            let record: Option<FunctionRecord> = db::get(write, FUNCTIONS, &function.key())?;
            let Some(record) = record.filter(|record| record.current.is_some()) else {
                return Ok(Err(FunctionError::Unknown(function.clone())));
            };
            let known = versions_of(write, function)?;
            if !known.iter().any(|known| known.version == to) {
                return Ok(Err(unknown_version(&known, function, to)));
            }
            let record = FunctionRecord { current: Some(to), next: record.next };
            Ok(Ok(db::put(write, FUNCTIONS, &function.key(), &record)?))
        })
    }

    /// Puts newly made code in the place of a version's, after another engine or another processor
    /// made the old one useless.
    pub fn replace_code(
        &self,
        function: &FunctionName,
        version: u64,
        code: &Code,
    ) -> Result<(), FunctionError> {
        let _naming = self.hold_names();
        let files = [(BlobKind::Artefact, code.artefact), (BlobKind::Plan, code.plan)];
        if let Some((kind, hash)) = self.missing(files.into_iter()) {
            return Err(FunctionError::MissingBlob { kind, hash });
        }
        self.db.write(|write| {
            let key = version_key(function, version);
            let Some(mut info) = db::get::<VersionInfo>(write, VERSIONS, &key)? else {
                let known = versions_of(write, function)?;
                return Ok(Err(unknown_version(&known, function, version)));
            };
            let Code { artefact, plan, engine } = *code;
            info.deployment = Deployment { artefact, plan, engine, ..info.deployment };
            Ok(Ok(db::put(write, VERSIONS, &key, &info)?))
        })
    }

    /// Removes a function with its versions and settings. Its files go with the next collection.
    pub fn remove_function(&self, function: &FunctionName) -> Result<(), FunctionError> {
        self.db.write_to_free(|write| {
            let record: Option<FunctionRecord> = db::get(write, FUNCTIONS, &function.key())?;
            let Some(record) = record.filter(|record| record.current.is_some()) else {
                return Ok(Err(FunctionError::Unknown(function.clone())));
            };
            let gone = FunctionRecord { current: None, next: record.next };
            db::put(write, FUNCTIONS, &function.key(), &gone)?;
            db::remove_all(write, VERSIONS, &format!("{function}/"))?;
            db::remove(write, SETTINGS, &function.key())?;
            Ok(Ok(()))
        })
    }

    /// The functions of a tenant, or of all, by name.
    pub fn functions(&self, tenant: Option<&Name>) -> Result<Vec<FunctionInfo>, DbError> {
        let prefix = tenant.map_or(String::new(), |tenant| format!("{tenant}/"));
        self.db.read(|read| {
            let mut functions = Vec::new();
            for (key, record) in db::list::<FunctionRecord>(read, FUNCTIONS, &prefix)? {
                let (Some(function), Some(current)) =
                    (FunctionName::from_key(&key), record.current)
                else {
                    continue;
                };
                let settings: Settings = db::get(read, SETTINGS, &key)?.unwrap_or_default();
                let env = settings.env.into_keys().collect();
                let secrets = settings.secrets.into_keys().collect();
                functions.push(FunctionInfo { function, current, env, secrets });
            }
            Ok(Ok(functions))
        })
    }
}

/// Whether tenant, folders and counts allow a deployment.
fn may_deploy(
    source: &impl Source,
    function: &FunctionName,
    deployment: &Deployment,
) -> Result<Result<(), DeployError>, DbError> {
    let tenant = &function.tenant;
    let Some(record) = db::get::<TenantRecord>(source, TENANTS, tenant.as_str())? else {
        return Ok(Err(DeployError::UnknownTenant(tenant.clone())));
    };
    let granted: Vec<_> = record.grants.iter().map(|grant| grant.guest.clone()).collect();
    if let Some(guest) = deployment.folders.iter().find(|guest| !granted.contains(guest)) {
        let (tenant, guest) = (tenant.clone(), guest.clone());
        return Ok(Err(DeployError::NotGranted { tenant, guest, granted }));
    }
    let functions = db::list::<FunctionRecord>(source, FUNCTIONS, &format!("{tenant}/"))?;
    let others = functions
        .iter()
        .filter(|(key, record)| record.current.is_some() && *key != function.key())
        .count();
    let max = record.limits.functions;
    if others >= max as usize {
        return Ok(Err(DeployError::TooManyFunctions { tenant: tenant.clone(), max }));
    }
    if versions_of(source, function)?.len() >= MAX_VERSIONS_PER_FUNCTION {
        return Ok(Err(DeployError::TooManyVersions(function.clone())));
    }
    Ok(Ok(()))
}

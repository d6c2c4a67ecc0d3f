//! Collecting what is unused, by one rule, shown before it is done.
//!
//! A function keeps its current version and the newest few others. A file that no kept version
//! names goes, unless it is pinned or younger than the grace (somebody may be about to deploy it). If
//! what is left is over the budget, the grace is as short as a bake may be long, and more old
//! versions go, the oldest first over all functions; a current version never goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::time::{Duration, SystemTime};

use crate::blob::{BlobKind, Hash, blob_key};
use crate::db::{self, DbError, FUNCTIONS, LABELS, PINS, VERSIONS};
use crate::deploy::{FunctionRecord, VersionInfo, function_of_version_key};
use crate::file;
use crate::name::FunctionName;
use crate::open::{Step, Store};

/// The grace when the budget is exceeded; longer than a bake takes, whose files nobody names yet.
const PRESSED_GRACE: Duration = Duration::from_mins(20);

/// What is kept.
#[derive(Debug, Clone)]
pub struct GcRule {
    /// Versions of a function beside its current one.
    pub old_versions: usize,
    /// A file that nobody names is kept until it is older.
    pub grace: Duration,
    /// Most bytes of all files; `None` for no limit.
    pub budget_bytes: Option<u64>,
}

impl Default for GcRule {
    fn default() -> Self {
        Self { old_versions: 3, grace: Duration::from_hours(1), budget_bytes: None }
    }
}

/// A file that nobody needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// What it is.
    pub kind: BlobKind,
    /// Its hash.
    pub hash: Hash,
    /// Its size.
    pub bytes: u64,
}

/// What a collection would remove, or has removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcPlan {
    /// Versions.
    pub versions: Vec<(FunctionName, u64)>,
    /// Files.
    pub files: Vec<Unused>,
    /// Bytes of these files.
    pub freed_bytes: u64,
    /// Bytes of the files that stay.
    pub kept_bytes: u64,
}

/// [`Store::remove_blob`] or [`Store::pin_blob`] failed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// Versions name it.
    #[error("the {kind} {hash} is in use by {}: remove these first", list(.by))]
    InUse {
        /// What it is.
        kind: BlobKind,
        /// Its hash.
        hash: Hash,
        /// The versions.
        by: Vec<(FunctionName, u64)>,
    },
    /// It is not there.
    #[error("the {kind} {hash} is not in the store: list what there is")]
    Absent {
        /// What it is.
        kind: BlobKind,
        /// Its hash.
        hash: Hash,
    },
    /// The file could not be removed.
    #[error("cannot remove a file of the store: {0}; look at the disk")]
    Io(#[from] io::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

fn list(versions: &[(FunctionName, u64)]) -> String {
    let names: Vec<_> =
        versions.iter().map(|(function, version)| format!("{function} v{version}")).collect();
    names.join(", ")
}

/// A collection failed. What it had removed until then is gone; another one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum GcError {
    /// A folder could not be read, or a file not removed.
    #[error("cannot collect unused files: {0}; look at the disk, then collect again")]
    Io(#[from] io::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

type Blob = (BlobKind, Hash);

/// A version that may go.
struct Old {
    function: FunctionName,
    key: String,
    info: VersionInfo,
}

/// Everything that the rule looks at.
struct Census {
    /// Versions that are not current, each function's newest first.
    old: BTreeMap<FunctionName, Vec<Old>>,
    /// How many versions name a file.
    named: BTreeMap<Blob, usize>,
    sizes: BTreeMap<Blob, u64>,
    /// Files that are kept whether anybody names them or not.
    pinned: BTreeSet<Blob>,
    ages: BTreeMap<Blob, Duration>,
    /// Younger files are kept.
    grace: Duration,
    going: Vec<Old>,
}

impl Store {
    /// What a collection would remove now.
    pub fn gc_plan(&self, rule: &GcRule) -> Result<GcPlan, GcError> {
        Ok(self.census(rule)?.plan())
    }

    /// Removes what the rule says, and says what that was. What no version names goes first, so
    /// that a collection makes its own room on a disk that is full to the last byte.
    pub fn gc(&self, rule: &GcRule) -> Result<GcPlan, GcError> {
        let _naming = self.hold_names();
        let census = self.census(rule)?;
        let plan = census.plan();
        let (named, unnamed): (Vec<_>, Vec<_>) =
            plan.files.iter().partition(|file| census.named.contains_key(&(file.kind, file.hash)));
        self.remove_files(&unnamed)?;
        self.remove_records(&census.going, &plan.files)?;
        self.step(Step::GcCommitted);
        self.remove_files(&named)?;
        Ok(plan)
    }

    /// The versions that name a file.
    pub fn named_by(
        &self,
        kind: BlobKind,
        hash: Hash,
    ) -> Result<Vec<(FunctionName, u64)>, DbError> {
        self.db.read(|read| {
            let versions = db::list::<VersionInfo>(read, VERSIONS, "")?.into_iter();
            let naming = versions
                .filter(|(_, info)| info.deployment.blobs().any(|blob| blob == (kind, hash)));
            let named = |(key, info): (String, VersionInfo)| {
                Some((function_of_version_key(&key)?, info.version))
            };
            Ok(Ok(naming.filter_map(named).collect()))
        })
    }

    /// Keeps a file that no version names, such as an image that was imported, from collections.
    pub fn pin_blob(&self, kind: BlobKind, hash: Hash) -> Result<(), RemoveError> {
        let _naming = self.hold_names();
        if !self.has_blob(kind, hash) {
            return Err(RemoveError::Absent { kind, hash });
        }
        self.db.write(|write| Ok(Ok(db::put(write, PINS, &blob_key(kind, hash), &true)?)))
    }

    /// Removes a file that no version names, pinned or not.
    pub fn remove_blob(&self, kind: BlobKind, hash: Hash) -> Result<(), RemoveError> {
        let _naming = self.hold_names();
        let by = self.named_by(kind, hash)?;
        if !by.is_empty() {
            return Err(RemoveError::InUse { kind, hash, by });
        }
        if !self.has_blob(kind, hash) {
            return Err(RemoveError::Absent { kind, hash });
        }
        self.db.write_to_free::<_, DbError>(|write| {
            db::remove(write, PINS, &blob_key(kind, hash))?;
            Ok(Ok(()))
        })?;
        fs::remove_file(self.blob_path(kind, hash))?;
        Ok(file::sync_folder(&self.folder.join(kind.folder()))?)
    }

    fn remove_files(&self, files: &[&Unused]) -> Result<(), GcError> {
        for file in files {
            fs::remove_file(self.blob_path(file.kind, file.hash))?;
            self.step(Step::GcRemoved);
        }
        for kind in BlobKind::ALL {
            file::sync_folder(&self.folder.join(kind.folder()))?;
        }
        Ok(())
    }

    fn remove_records(&self, going: &[Old], files: &[Unused]) -> Result<(), DbError> {
        let gone: BTreeSet<_> = files.iter().map(|file| (file.kind.folder(), file.hash)).collect();
        let labels = self.db.read::<_, DbError>(|read| Ok(Ok(db::list(read, LABELS, "")?)))?;
        let stale = |(key, blob): &(String, Hash)| {
            key.split_once('/').is_some_and(|(folder, _)| gone.contains(&(folder, *blob)))
        };
        let labels: Vec<_> = labels.into_iter().filter(stale).collect();
        if going.is_empty() && labels.is_empty() {
            return Ok(());
        }
        self.db.write_to_free(|write| {
            for old in going {
                db::remove(write, VERSIONS, &old.key)?;
            }
            for (key, _) in &labels {
                db::remove(write, LABELS, key)?;
            }
            Ok(Ok(()))
        })
    }

    fn census(&self, rule: &GcRule) -> Result<Census, GcError> {
        let mut census = Census {
            old: BTreeMap::new(),
            named: BTreeMap::new(),
            sizes: BTreeMap::new(),
            pinned: BTreeSet::new(),
            ages: BTreeMap::new(),
            grace: rule.grace,
            going: Vec::new(),
        };
        self.count_files(&mut census)?;
        self.count_versions(&mut census)?;
        census.keep_newest(rule.old_versions);
        if let Some(budget) = rule.budget_bytes {
            census.keep_within(budget);
        }
        Ok(census)
    }

    fn count_files(&self, census: &mut Census) -> Result<(), GcError> {
        #[allow(
            clippy::disallowed_methods,
            reason = "the grace of a file is counted from its date"
        )]
        let now = SystemTime::now();
        let pins = self.db.read::<_, DbError>(|read| Ok(Ok(db::list::<bool>(read, PINS, "")?)))?;
        let pins: BTreeSet<_> = pins.into_iter().map(|(key, _)| key).collect();
        for kind in BlobKind::ALL {
            for (hash, bytes) in self.blobs(kind)? {
                census.sizes.insert((kind, hash), bytes);
                let written = fs::metadata(self.blob_path(kind, hash))?.modified()?;
                // A clock that was set back makes a file young, which keeps it.
                let age = now.duration_since(written).unwrap_or_default();
                census.ages.insert((kind, hash), age);
                if pins.contains(&blob_key(kind, hash)) {
                    census.pinned.insert((kind, hash));
                }
            }
        }
        Ok(())
    }

    fn count_versions(&self, census: &mut Census) -> Result<(), DbError> {
        self.db.read(|read| {
            let current: BTreeMap<_, _> = db::list::<FunctionRecord>(read, FUNCTIONS, "")?
                .into_iter()
                .map(|(key, record)| (key, record.current))
                .collect();
            for (key, info) in db::list::<VersionInfo>(read, VERSIONS, "")?.into_iter().rev() {
                for blob in info.deployment.blobs() {
                    *census.named.entry(blob).or_default() += 1;
                }
                let Some(function) = function_of_version_key(&key) else { continue };
                if current.get(&function.to_string()) != Some(&Some(info.version)) {
                    let old = census.old.entry(function.clone()).or_default();
                    old.push(Old { function, key, info });
                }
            }
            Ok(Ok(()))
        })
    }
}

impl Census {
    fn let_go(&mut self, old: Old) {
        for blob in old.info.deployment.blobs() {
            if let Some(count) = self.named.get_mut(&blob) {
                *count -= 1;
            }
        }
        self.going.push(old);
    }

    fn keep_newest(&mut self, count: usize) {
        let surplus: Vec<_> = self
            .old
            .values_mut()
            .flat_map(|versions| versions.split_off(count.min(versions.len())))
            .collect();
        for old in surplus {
            self.let_go(old);
        }
    }

    /// Lets more go until what stays is within the budget: files that wait for somebody to name
    /// them, then old versions, the oldest first.
    fn keep_within(&mut self, budget_bytes: u64) {
        if self.kept_bytes() > budget_bytes {
            self.grace = self.grace.min(PRESSED_GRACE);
        }
        let mut old: Vec<_> = std::mem::take(&mut self.old).into_values().flatten().collect();
        old.sort_by_key(|old| std::cmp::Reverse(old.info.created_ms));
        while self.kept_bytes() > budget_bytes {
            let Some(oldest) = old.pop() else { return };
            self.let_go(oldest);
        }
    }

    fn stays(&self, blob: &Blob) -> bool {
        self.pinned.contains(blob)
            || self.ages.get(blob).is_some_and(|age| *age < self.grace)
            || self.named.get(blob).is_some_and(|count| *count > 0)
    }

    fn kept_bytes(&self) -> u64 {
        self.sizes.iter().filter(|(blob, _)| self.stays(blob)).map(|(_, bytes)| bytes).sum()
    }

    fn plan(&self) -> GcPlan {
        let files: Vec<_> = self
            .sizes
            .iter()
            .filter(|(blob, _)| !self.stays(blob))
            .map(|(&(kind, hash), &bytes)| Unused { kind, hash, bytes })
            .collect();
        let mut versions: Vec<_> =
            self.going.iter().map(|old| (old.function.clone(), old.info.version)).collect();
        versions.sort_unstable();
        GcPlan {
            versions,
            freed_bytes: files.iter().map(|file| file.bytes).sum(),
            kept_bytes: self.kept_bytes(),
            files,
        }
    }
}

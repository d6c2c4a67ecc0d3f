//! What clients and the monitor say over HTTP, as types: the server fills them in, the command
//! line reads them, and the OpenAPI file is checked against them.

use std::collections::BTreeMap;

use faaslet_net::ship::{Stage, Warmth};
use faaslet_state::Durability;
use faaslet_state::message::Stat;
use serde::{Deserialize, Serialize};

use crate::builder::Phase;
use crate::cell::Mode;

/// A deployment that is asked for. The module was uploaded before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeployRequest {
    /// Hash of the module, in hex, as the upload answered; or of what the base is to take in.
    pub module: String,
    /// The runtime that it is deployed on; absent for a module of its own.
    pub base: Option<String>,
    /// How a call goes in that does not say.
    pub mode: Mode,
    /// Most linear memory, in bytes; the default of the host when absent.
    pub memory_bytes: Option<u64>,
    /// Deadline of a call that names none, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Faaslets that run at the same time.
    pub concurrency: Option<u32>,
    /// Time for the initialisation, in milliseconds.
    pub initialise_ms: Option<u64>,
    /// Environment; changes without a new bake. It replaces the one before; none leaves that.
    pub env: Vec<(String, String)>,
    /// Environment that is never shown. It replaces the secrets before; none leaves them.
    pub secrets: Vec<(String, String)>,
    /// Guest paths of folders that the operator granted to the tenant.
    pub folders: Vec<String>,
    /// Arguments of a WASI command.
    pub args: Vec<String>,
    /// Inputs to run before the image is taken, base64.
    pub warm: Vec<String>,
}

/// One line of a deployment's progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum DeployEvent {
    /// A step of the bake begins.
    Phase {
        /// Which.
        phase: Phase,
    },
    /// The function printed this while it was initialised.
    Log {
        /// The line.
        line: String,
    },
    /// Code and image are being stored.
    Store,
    /// It can be called, and will be after any crash.
    Deployed(DeployedInfo),
    /// It was refused; nothing has changed.
    Failed(Problem),
}

/// What a deployment became.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeployedInfo {
    /// The function.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// The image's id, in hex; absent for a function that is only run fresh.
    pub image: Option<String>,
    /// Size of the artefact.
    pub artefact_bytes: u64,
    /// Size of the image file.
    pub image_bytes: u64,
    /// The runtime that it was deployed on, whose code is its code.
    pub base: Option<String>,
    /// How long each step took, in microseconds; empty when an earlier bake served.
    pub phases: Vec<(Phase, u64)>,
}

/// An error as clients see it: RFC 9457.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Problem {
    /// A stable word for the kind, such as `not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it means, in a few words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What was expected, what was found, what to do.
    pub detail: String,
}

/// A function in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FunctionInfo {
    /// Its name.
    pub name: String,
    /// Its current version.
    pub version: u64,
    /// How a call goes in that does not say.
    pub mode: Mode,
    /// The image's id, in hex.
    pub image: Option<String>,
    /// Size of the image file.
    pub image_bytes: u64,
    /// Whether its instances are kept, and if not, why.
    pub kept: Result<(), String>,
    /// The host that it was deployed on, if that is another one.
    pub copy_of: Option<String>,
    /// Slots that hold an instance of any function of the tenant.
    pub warm_slots: u32,
    /// Calls since the monitor started.
    pub calls: u64,
    /// Of these, the ones that did not return.
    pub errors: u64,
    /// Median run time, in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the run time, in microseconds.
    pub p99_us: u64,
}

/// Where a function is to be made warm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrewarmRequest {
    /// Hosts by name; the one that is asked when there are none.
    pub hosts: Vec<String>,
    /// Reset slots on each.
    pub slots: u32,
    /// Of the image, what its first runs touched; else all of it.
    pub working_set: bool,
    /// Go on telling until every host is done.
    pub wait: bool,
}

impl Default for PrewarmRequest {
    fn default() -> Self {
        Self { hosts: Vec::new(), slots: 1, working_set: false, wait: true }
    }
}

/// How far a host is with making a function warm: a line of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostWarmth {
    /// The host.
    pub host: String,
    /// `find`, `fetch`, `load`, `slots`, `done` or `failed`.
    pub stage: String,
    /// The version that is warm, once it is.
    pub version: u64,
    /// Bytes that came from other hosts.
    pub moved_bytes: u64,
    /// Bytes of the files that had to come or were there.
    pub total_bytes: u64,
    /// Pages of the image that are on the host.
    pub pages: u64,
    /// Reset slots.
    pub slots: u32,
    /// Microseconds so far.
    pub took_us: u64,
    /// Microseconds of the first call since it was made warm, once there was one.
    pub first_call_us: Option<u64>,
    /// Why it failed.
    pub failure: Option<String>,
}

impl HostWarmth {
    /// What a host said.
    #[must_use]
    pub fn new(host: &str, warmth: Warmth) -> Self {
        let Warmth { stage, counts, failure } = warmth;
        let word = match stage {
            Stage::Find => "find",
            Stage::Fetch => "fetch",
            Stage::Load => "load",
            Stage::Slots => "slots",
            Stage::Done => "done",
            Stage::Failed => "failed",
        };
        Self {
            host: host.to_owned(),
            stage: word.to_owned(),
            version: counts.version,
            moved_bytes: counts.moved_bytes,
            total_bytes: counts.total_bytes,
            pages: counts.pages,
            slots: counts.slots,
            took_us: counts.took_us,
            first_call_us: counts.first_call_us,
            failure: (stage == Stage::Failed).then_some(failure),
        }
    }

    /// One that did not answer.
    #[must_use]
    pub fn failed(host: &str, failure: String) -> Self {
        let (host, stage) = (host.to_owned(), "failed".to_owned());
        Self { host, stage, failure: Some(failure), ..Self::default() }
    }

    /// Whether nothing more will change.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.stage == "done" || self.stage == "failed"
    }
}

/// A value of state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateInfo {
    /// Its key.
    pub key: String,
    /// It was kept in memory alone and its host has lost it, or it was damaged on disk: nothing
    /// else is known then.
    pub lost: bool,
    /// Its length in bytes.
    pub len: u64,
    /// Its newest version.
    pub version: String,
    /// The version in which it was made.
    pub made: String,
    /// What it is an array of.
    pub element: String,
    /// How changes of several hosts are merged.
    pub rule: String,
    /// Whether it survives the loss of its host's memory.
    pub durable: bool,
    /// Most bytes that it may have.
    pub quota_bytes: u64,
    /// Versions that are kept beside the newest.
    pub keep_versions: u32,
    /// And those that are younger than this, in seconds.
    pub keep_age_s: u32,
}

impl StateInfo {
    /// A value as its owner knows it.
    pub fn of(key: String, stat: &Stat) -> Self {
        let spec = stat.spec;
        Self {
            key,
            lost: false,
            len: stat.len,
            version: stat.version.to_string(),
            made: stat.made.to_string(),
            element: format!("{:?}", spec.element()).to_lowercase(),
            rule: format!("{:?}", spec.rule()).to_lowercase(),
            durable: spec.durability() == Durability::Durable,
            quota_bytes: spec.quota_bytes(),
            keep_versions: spec.retention().versions,
            keep_age_s: spec.retention().age_s,
        }
    }
}

/// Names of values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateList {
    /// In order.
    pub values: Vec<StateInfo>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// A version of a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateVersion {
    /// It.
    pub version: String,
    /// The value's length in it.
    pub len: u64,
    /// How long ago it was made, in milliseconds.
    pub age_ms: u64,
    /// Bytes of the chunks that it changed.
    pub changed_bytes: u64,
}

/// A part that differs between two versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateChange {
    /// Where it begins.
    pub at: u64,
    /// How long it is.
    pub len: u64,
}

/// What differs between two versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateDiff {
    /// In order.
    pub changes: Vec<StateChange>,
    /// Whether these are all.
    pub complete: bool,
}

/// Where appended bytes stand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateAppended {
    /// Where they begin.
    pub at: u64,
    /// The value's length with them.
    pub len: u64,
    /// The value's version with them.
    pub version: String,
}

/// A version of a function in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionInfo {
    /// The version.
    pub version: u64,
    /// Whether calls go to it.
    pub current: bool,
    /// Seconds since 1970.
    pub created_unix_s: u64,
    /// Hash of its module, in hex.
    pub module: String,
    /// The image's id, in hex.
    pub image: Option<String>,
}

/// Which version calls shall go to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The version.
    pub version: u64,
}

/// Environment and secrets that replace the ones before.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsRequest {
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Environment that is never shown.
    pub secrets: BTreeMap<String, String>,
}

/// A module that was uploaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModuleInfo {
    /// Its hash, in hex.
    pub module: String,
}

/// A tenant to be added.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantRequest {
    /// Its name.
    pub name: String,
    /// What it may use.
    #[serde(default)]
    pub limits: LimitsRequest,
}

/// What a tenant may use; what is absent stays as it is, or is the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsRequest {
    /// Memory of its cell.
    pub memory_bytes: Option<u64>,
    /// Processor time of its cell, 100 for one processor, 0 for no limit.
    pub cpu_percent: Option<u32>,
    /// Calls that run or wait at once.
    pub calls_in_flight: Option<u32>,
    /// Functions.
    pub functions: Option<u32>,
}

/// A folder to be granted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// `HOST::GUEST` or `HOST::GUEST:ro`.
    pub folder: String,
}

/// A tenant in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TenantInfo {
    /// Its name.
    pub name: String,
    /// Folders granted to it, as `HOST::GUEST[:ro]`.
    pub grants: Vec<String>,
    /// Its cell's process, when it runs.
    pub cell_pid: Option<u32>,
    /// Most memory of its cell.
    pub memory_bytes: u64,
    /// Most processor time of its cell, 100 for one processor.
    pub cpu_percent: Option<u32>,
    /// Most calls that run or wait at once.
    pub calls_in_flight: u32,
    /// Most functions.
    pub functions: u32,
}

/// A token that is shown once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Whose it is.
    pub tenant: String,
    /// Its id, by which it is removed.
    pub id: String,
    /// The token.
    pub token: String,
}

/// A token in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenEntry {
    /// Its id.
    pub id: String,
    /// When it was made, in seconds of Unix time.
    pub created_unix_s: u64,
}

/// One line of a function's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogRecord {
    /// Its place in the function's log, from 1.
    pub sequence: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// The function.
    pub function: String,
    /// The call's id, in hex; empty when the log itself says something.
    pub call: String,
    /// `error`, `warn`, `info` or `debug`.
    pub level: String,
    /// The text.
    pub text: String,
}

/// An image on this host, in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageInfo {
    /// The image's id, in hex.
    pub id: String,
    /// The function and version that it belongs to.
    pub function: String,
    /// Its version.
    pub version: u64,
    /// Size of the image file.
    pub bytes: u64,
    /// Guest memory.
    pub memory_bytes: u64,
    /// The image that it was baked from, in hex; its file then holds what it adds.
    pub base: Option<String>,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GcInfo {
    /// Old versions that went.
    pub versions: u64,
    /// Files that went.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it was only a plan.
    pub dry_run: bool,
}

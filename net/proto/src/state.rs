//! Values read and written from outside of functions: what is asked, and the answers.
//!
//! Heads hold what is small and of one size; bytes of values, names and sentences are the payload.
//!
//! | request | payload | answer | payload |
//! | --- | --- | --- | --- |
//! | `Get` | | `Value` | its bytes from `from` on, at most [`MAX_READ_BYTES`] |
//! | `Stat`, `Watch` | | `Value` | |
//! | `Put` | bytes | `Value` | |
//! | `Append` | bytes | `Appended` | |
//! | `Remove` | | `Removed` | |
//! | `List` | the name to begin behind, or nothing | `Listed` | names, each behind its length as a `u16` |
//! | any | | `Failed` | a sentence |
//!
//! [`MAX_READ_BYTES`]: crate::limits::MAX_READ_BYTES

#![allow(missing_docs, reason = "the archived twins that rkyv derives have none")]

use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};
use std::{fmt, time::Instant};

/// A version of a value: `(epoch, n)`, compared in this order.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
pub struct StateVersion {
    /// Of the value's owner.
    pub epoch: u64,
    /// Within the epoch.
    pub n: u64,
}

impl fmt::Display for StateVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.n)
    }
}

/// What a value is made as. The numbers are those of `faaslet-state`, and are checked there.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSpec {
    /// What it is an array of: u8, u16, u32, u64, i8, i16, i32, i64, f32, f64, from 1 on.
    pub element: u8,
    /// How changes of several hosts are merged: replace, sum, min, max, and, or, xor, from 0 on.
    pub rule: u8,
    /// Whether it survives `kill -9` and loss of power.
    pub durable: bool,
    /// Most bytes that it may have.
    pub quota_bytes: u64,
    /// Versions that are kept beside the newest.
    pub keep_versions: u32,
    /// And those that are younger than this, in seconds.
    pub keep_age_s: u32,
}

impl Default for StateSpec {
    fn default() -> Self {
        let (element, rule, durable, quota_bytes) = (1, 0, false, 1 << 30);
        Self { element, rule, durable, quota_bytes, keep_versions: 8, keep_age_s: 0 }
    }
}

/// What must hold for a value to be written.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateCondition {
    /// Nothing.
    #[default]
    None,
    /// It is at this version.
    Is(StateVersion),
    /// There is none.
    Absent,
    /// There is one.
    Present,
}

/// What is asked of a value. The order is frozen.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateOp {
    /// At most `bytes` of it from `from` on, as of version `at` or the newest.
    Get { at: Option<StateVersion>, from: u64, bytes: u64 },
    /// What it is.
    Stat,
    /// The same, as soon as its version is another than `known`, or after `wait_ms`.
    Watch { known: StateVersion, wait_ms: u32 },
    /// The payload is put in its place from `at` on; without `at` it is nothing but the payload.
    /// One that is not there is made as `spec` says.
    Put { at: Option<u64>, spec: StateSpec, condition: StateCondition },
    /// The payload is appended; to a value that is made if it is not there and `spec` is given.
    Append { spec: Option<StateSpec> },
    /// It is deleted, if it is at this version.
    Remove { expected: Option<StateVersion> },
    /// Names that begin with the key, in order; the key may be empty.
    List { limit: u32 },
}

/// A request as the server received it, its payload whole.
#[derive(Clone, Debug)]
pub struct StateRequest {
    /// Of which value of the caller's tenant; of a list, what names begin with.
    pub key: String,
    /// What is asked.
    pub op: StateOp,
    /// See the module.
    pub payload: Bytes,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// A value as its owner knows it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateStat {
    /// What it was made as.
    pub spec: StateSpec,
    /// Its length in bytes.
    pub len: u64,
    /// Its version.
    pub version: StateVersion,
    /// The version in which it was made: another one is another value of the same name.
    pub made: StateVersion,
}

/// Why a request was refused. The order is frozen.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateFailure {
    /// There is no such value.
    NotFound,
    /// It was in memory alone and its owner has lost it: make it anew, or delete it.
    Lost,
    /// The version is not kept any more.
    Collected,
    /// The condition does not hold.
    Conflict,
    /// A global write lock is held.
    Locked,
    /// A key, range, element or rule that cannot be.
    Invalid,
    /// Longer than the value or one request may be.
    TooLarge,
    /// The disk of its owner is full.
    DiskFull,
    /// A limit of the tenant or host.
    Limit,
    /// No answer of its owner in time; nothing has changed.
    TimedOut,
    /// No answer of its owner in time; it may have changed.
    Unknown,
    /// The monitor is at fault.
    Internal,
}

/// The answer to a request.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateAnswer {
    Value(StateStat),
    /// The bytes stand at `at`.
    Appended {
        at: u64,
        len: u64,
        version: StateVersion,
    },
    Removed,
    /// Whether there are more behind the last name.
    Listed {
        more: bool,
    },
    /// The payload says more.
    Failed(StateFailure),
}

/// An answer with its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateReply {
    /// What came of it.
    pub answer: StateAnswer,
    /// See the module.
    pub payload: Bytes,
}

impl StateReply {
    /// An answer without a payload.
    pub fn new(answer: StateAnswer) -> Self {
        Self { answer, payload: Bytes::new() }
    }

    /// A refusal with a sentence for people.
    pub fn failed(failure: StateFailure, message: impl Into<Bytes>) -> Self {
        Self { answer: StateAnswer::Failed(failure), payload: message.into() }
    }
}

/// Names as the payload of an answer; a name that is too long for one is left out.
pub fn names_to_bytes<'n>(names: impl IntoIterator<Item = &'n str>) -> Bytes {
    let mut bytes = Vec::new();
    for name in names {
        if let Ok(len) = u16::try_from(name.len()) {
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
    }
    bytes.into()
}

/// The names in a payload; nothing if it is none of names.
pub fn names_from_bytes(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
        names.push(std::str::from_utf8(name).ok()?.to_owned());
        bytes = rest;
    }
    bytes.is_empty().then_some(names)
}

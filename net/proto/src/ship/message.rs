//! The messages, and the bounds of each.

#![allow(missing_docs, reason = "the archived twins that rkyv derives have none")]

use rkyv::api::high::{HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Portable, Serialize};

use super::{
    MAX_FILES, MAX_NAME_BYTES, MAX_RANGES, MAX_READ_BYTES, MAX_RECORD_BYTES, MAX_SENTENCE_BYTES,
    MAX_WARM_SLOTS, VERSION,
};

/// A file: a number for its kind, and the hash of its content.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug))]
pub struct FileId {
    pub kind: u8,
    pub hash: [u8; 32],
}

/// A part of a file.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Range {
    pub at: u64,
    pub bytes: u32,
}

/// Who waits for a `Read`.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug, PartialEq))]
pub enum Urgency {
    /// Nobody: it makes way.
    Ahead,
    /// A call stands still.
    Fault,
}

/// How much of an image is brought.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Span {
    /// What its first runs touched.
    WorkingSet,
    Whole,
}

/// What is listed.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Listing {
    Functions,
    Images,
}

/// A request, in the name of a tenant.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Ask {
    /// Of these messages: [`VERSION`].
    pub version: u16,
    pub tenant: String,
    pub body: Body,
}

/// What is asked.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Body {
    /// What the host has of a function.
    Find {
        function: String,
    },
    /// By what the pieces of a file can be checked one by one.
    Outline {
        file: FileId,
    },
    /// Parts of a file.
    Read {
        file: FileId,
        ranges: Vec<Range>,
        urgency: Urgency,
    },
    /// Brings a function there, and makes reset slots. Asked again with the same `order`, it tells
    /// how far that is; with another while one is under way, it joins that.
    Warm {
        function: String,
        order: u128,
        slots: u32,
        span: Span,
    },
    List {
        listing: Listing,
    },
}

/// A file as a record names it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct RecordFile {
    pub file: FileId,
    pub bytes: u64,
}

/// A function as a host has it.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Record {
    /// The host that it was deployed on.
    pub origin: String,
    /// Its version there.
    pub version: u64,
    /// When that was made, in milliseconds of Unix time.
    pub created_ms: u64,
    pub files: Vec<RecordFile>,
    /// What it is made of, in the layer above's own form.
    pub about: Vec<u8>,
    /// Its environment, in the layer above's own form.
    pub settings: Vec<u8>,
}

/// How far a `Warm` is.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Stage {
    /// Looking for the function.
    Find,
    /// Bringing its files.
    Fetch,
    /// Giving it to its tenant's cell.
    Load,
    /// Making slots.
    Slots,
    Done,
    Failed,
}

/// What a `Warm` has done.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Counts {
    /// Version that is warm.
    pub version: u64,
    /// Bytes that came from other hosts.
    pub moved_bytes: u64,
    /// Bytes of the function's files.
    pub total_bytes: u64,
    /// Pages of its image that are here.
    pub pages: u64,
    /// Reset slots.
    pub slots: u32,
    pub took_us: u64,
    /// What the first call since it was warm took, once there was one.
    pub first_call_us: Option<u64>,
}

/// How far a `Warm` is, and why it failed if it did.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub struct Warmth {
    pub stage: Stage,
    pub counts: Counts,
    pub failure: String,
}

/// Why there is no answer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[rkyv(derive(Debug))]
pub enum Failure {
    /// Not a message of this protocol.
    #[error("expected a request of version {VERSION}; {why}")]
    Malformed { why: String },
    /// Over a limit.
    #[error("expected at most {limit} {what}")]
    Limit { what: String, limit: u64 },
    /// The host has no such tenant.
    #[error("it has no such tenant")]
    NoTenant,
    /// The tenant has no such file or function there.
    #[error("the tenant has nothing of that name there")]
    NotHere,
    /// The host could not.
    #[error("{why}")]
    Broken { why: String },
}

/// An answer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug))]
pub enum Reply {
    Found,
    Nothing,
    Bytes,
    Warmth(Warmth),
    Listed,
    Failed(Failure),
}

impl Ask {
    /// A request of this version.
    pub fn new(tenant: &str, body: Body) -> Self {
        Self { version: VERSION, tenant: tenant.to_owned(), body }
    }

    /// The bytes of a head.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        bytes_of(self)
    }

    /// Checks a head and its bounds, and reads it in place.
    ///
    /// # Errors
    /// `Malformed` or `Limit`.
    pub fn access(head: &[u8]) -> Result<&ArchivedAsk, Failure> {
        let ask = access::<ArchivedAsk>(head)?;
        if ask.version != VERSION {
            let why = format!("found version {}; upgrade the older host", ask.version);
            return Err(Failure::Malformed { why });
        }
        within("bytes of a tenant's name", ask.tenant.len() as u64, MAX_NAME_BYTES as u64)?;
        ask.body.check()?;
        Ok(ask)
    }

    /// Checks a head and its bounds, and reads it.
    ///
    /// # Errors
    /// `Malformed` or `Limit`.
    pub fn from_bytes(head: &[u8]) -> Result<Self, Failure> {
        rkyv::deserialize::<_, rkyv::rancor::Failure>(Self::access(head)?).map_err(malformed)
    }
}

impl ArchivedBody {
    fn check(&self) -> Result<(), Failure> {
        let named = |name: &str| {
            within("bytes of a function's name", name.len() as u64, MAX_NAME_BYTES as u64)
        };
        match self {
            Self::Find { function } => named(function),
            Self::Warm { function, slots, .. } => {
                named(function)?;
                within("slots", slots.to_native().into(), MAX_WARM_SLOTS.into())
            }
            Self::Read { ranges, .. } => {
                within("ranges", ranges.len() as u64, MAX_RANGES as u64)?;
                let bytes = ranges.iter().map(|range| u64::from(range.bytes.to_native())).sum();
                within("bytes of one read", bytes, MAX_READ_BYTES)
            }
            Self::Outline { .. } | Self::List { .. } => Ok(()),
        }
    }
}

impl Reply {
    /// The bytes of a head; long sentences are cut.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Failed(Failure::Broken { why }) => {
                bytes_of(&Self::Failed(Failure::Broken { why: cut(why) }))
            }
            Self::Warmth(warmth) => {
                let warmth = Warmth { failure: cut(&warmth.failure), ..warmth.clone() };
                bytes_of(&Self::Warmth(warmth))
            }
            other => bytes_of(other),
        }
    }

    /// Checks a head, and reads it.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn from_bytes(head: &[u8]) -> Result<Self, Failure> {
        let archived = access::<ArchivedReply>(head)?;
        rkyv::deserialize::<_, rkyv::rancor::Failure>(archived).map_err(malformed)
    }
}

impl Record {
    /// The bytes of a payload.
    ///
    /// # Errors
    /// When it is over a limit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        let bytes = bytes_of(self)?;
        within("bytes of a record", bytes.len() as u64, MAX_RECORD_BYTES as u64)?;
        Ok(bytes)
    }

    /// Checks a payload and its bounds, and reads it.
    ///
    /// # Errors
    /// `Malformed` or `Limit`.
    pub fn from_bytes(payload: &[u8]) -> Result<Self, Failure> {
        within("bytes of a record", payload.len() as u64, MAX_RECORD_BYTES as u64)?;
        let record = access::<ArchivedRecord>(payload)?;
        within("files of a record", record.files.len() as u64, MAX_FILES as u64)?;
        within("bytes of a host's name", record.origin.len() as u64, MAX_NAME_BYTES as u64)?;
        rkyv::deserialize::<_, rkyv::rancor::Failure>(record).map_err(malformed)
    }
}

fn within(what: &str, found: u64, limit: u64) -> Result<(), Failure> {
    if found > limit { Err(Failure::Limit { what: what.to_owned(), limit }) } else { Ok(()) }
}

fn cut(sentence: &str) -> String {
    sentence[..sentence.floor_char_boundary(MAX_SENTENCE_BYTES)].to_owned()
}

fn malformed(_: rkyv::rancor::Failure) -> Failure {
    Failure::Malformed { why: "found bytes that are none of its messages".to_owned() }
}

fn bytes_of(
    message: &impl for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, rkyv::rancor::Failure>>,
) -> Result<Vec<u8>, Failure> {
    rkyv::to_bytes::<rkyv::rancor::Failure>(message).map(AlignedVec::into_vec).map_err(malformed)
}

fn access<T>(bytes: &[u8]) -> Result<&T, Failure>
where
    T: Portable + for<'a> CheckBytes<HighValidator<'a, rkyv::rancor::Failure>>,
{
    rkyv::access::<T, rkyv::rancor::Failure>(bytes).map_err(malformed)
}

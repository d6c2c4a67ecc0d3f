//! What hosts ask of the owner of a shard, and what it answers.
//!
//! Heads are written by rkyv, checked by bytecheck and read in place; bulk bytes are the payload
//! beside the head. The layouts of payloads are drawn in `payload`.
//!
//! | request | payload | reply | payload |
//! | --- | --- | --- | --- |
//! | `Create` | | `Value` | |
//! | `Stat` | | `Value` | |
//! | `Pull` | | `Pulled` | chunks |
//! | `Push` | changes | `Pushed` | versions before |
//! | `Append` | bytes | `Appended` | |
//! | `Resize`, `Delete` | | `Pushed` | |
//! | `Lock` | | `Granted` | |
//! | `Unlock`, `Renew`, `End`, `Close` | | `Done` | |
//! | `Open` | | `Value` | |
//! | `List` | | `Listed` | names |
//! | `Versions` | | `Versions` | versions |
//! | `Watch` | | `Value` | |
//!
//! A request that changes something carries a [`Stamp`]; sent again with the same stamp it is
//! applied once, and answered as it was the first time. One that comes after a later one of the
//! same session is `Stale`. It says which value it is about, by the version in which that was
//! made: one that was deleted and made again under the same name is another.
//!
//! Heads are small: what grows with the number of things is in the payload. So a reply is two
//! things, by [`Reply::to_wire`].

#![allow(missing_docs, reason = "the archived twins that rkyv derives have none")]

use rkyv::{Archive, Deserialize, Serialize};

use crate::spec::Spec;
use crate::version::{Epoch, Version};

/// Most ranges in one pull.
pub const MAX_PULL_RANGES: usize = 64;
/// Most bytes of changes in one push, and of chunks in one answer; more takes several.
pub const MAX_PAYLOAD_BYTES: usize = 8 * 1024 * 1024;
/// Most chunks in the ranges of one pull: whole ones fit into an answer.
pub const MAX_PULL_CHUNKS: u32 = 126;
/// Most chunks that one push changes.
pub const MAX_PUSH_CHUNKS: usize = 1024;
/// Most sessions in one `Renew`.
pub const MAX_RENEWED: usize = 128;
/// Most names or versions in one answer.
pub const MAX_LISTED: u32 = 1024;

/// A life of a host's local tier of one tenant: its cell, or the monitor itself for requests from
/// outside. Drawn at random when it begins.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct SessionId(pub u128);

/// Who sends a request that changes something, and which of its requests it is. A session has one
/// such request of a value under way at a time, with numbers that grow for each value.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub struct Stamp {
    pub session: SessionId,
    pub sequence: u64,
}

/// Chunks that are wanted, unless they have not changed since.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullRange {
    pub first: u32,
    pub count: u32,
    /// What the local tier has of all of them exactly; `Version::NONE` for nothing.
    pub since: Version,
}

/// How a lock is held.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[rkyv(derive(Debug, Clone, Copy, PartialEq, Eq))]
pub enum LockMode {
    Read,
    Write,
}

impl Body {
    /// The stamp of a request that changes the value; none for locks and for what only reads.
    pub fn change(&self) -> Option<Stamp> {
        match self {
            Self::Create { stamp, .. }
            | Self::Push { stamp, .. }
            | Self::Append { stamp, .. }
            | Self::Resize { stamp, .. }
            | Self::Delete { stamp, .. } => Some(*stamp),
            _ => None,
        }
    }

    /// The stamp of a request that has one.
    pub fn stamp_mut(&mut self) -> Option<&mut Stamp> {
        match self {
            Self::Create { stamp, .. }
            | Self::Push { stamp, .. }
            | Self::Append { stamp, .. }
            | Self::Resize { stamp, .. }
            | Self::Delete { stamp, .. }
            | Self::Lock { stamp, .. }
            | Self::Unlock { stamp, .. }
            | Self::Open { stamp, .. }
            | Self::Close { stamp } => Some(stamp),
            _ => None,
        }
    }

    /// Whether it gives something back, or tells that what is held is still needed: that has room
    /// where nothing else has.
    pub fn gives_back(&self) -> bool {
        matches!(
            self,
            Self::Unlock { .. } | Self::Close { .. } | Self::Renew { .. } | Self::End { .. }
        )
    }

    /// The session that it names as the one that sends it.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Lock { stamp, .. }
            | Self::Unlock { stamp, .. }
            | Self::Open { stamp, .. }
            | Self::Close { stamp } => Some(stamp.session),
            Self::End { session } => Some(*session),
            _ => self.change().map(|stamp| stamp.session),
        }
    }
}

impl Request {
    /// The bytes of a head.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        bytes_of(self)
    }

    /// Checks a head, and reads it in place.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn access(head: &[u8]) -> Result<&ArchivedRequest, Failure> {
        access(head)
    }
}

impl Reply {
    /// The bytes of a head.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        bytes_of(self)
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

fn malformed(_: rkyv::rancor::Failure) -> Failure {
    Failure::Malformed { why: "found a head that is none of this protocol".to_owned() }
}

fn bytes_of(
    head: &impl for<'a> Serialize<
        rkyv::api::high::HighSerializer<
            rkyv::util::AlignedVec,
            rkyv::ser::allocator::ArenaHandle<'a>,
            rkyv::rancor::Failure,
        >,
    >,
) -> Result<Vec<u8>, Failure> {
    rkyv::to_bytes::<rkyv::rancor::Failure>(head)
        .map(rkyv::util::AlignedVec::into_vec)
        .map_err(malformed)
}

fn access<T>(head: &[u8]) -> Result<&T, Failure>
where
    T: rkyv::Portable
        + for<'a> rkyv::bytecheck::CheckBytes<
            rkyv::api::high::HighValidator<'a, rkyv::rancor::Failure>,
        >,
{
    rkyv::access::<T, rkyv::rancor::Failure>(head).map_err(malformed)
}

/// A request as an owner looks at it: names borrowed from where the head lies.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// See [`Request`].
    pub tenant: &'a str,
    /// See [`Request`].
    pub key: &'a str,
    /// See [`Request`].
    pub epoch: Epoch,
    /// See [`Request`].
    pub body: std::borrow::Cow<'a, Body>,
}

impl<'a> From<&'a Request> for Asked<'a> {
    fn from(request: &'a Request) -> Self {
        let Request { tenant, key, epoch, body } = request;
        Self { tenant, key, epoch: *epoch, body: std::borrow::Cow::Borrowed(body) }
    }
}

impl<'a> TryFrom<&'a ArchivedRequest> for Asked<'a> {
    type Error = Failure;

    fn try_from(request: &'a ArchivedRequest) -> Result<Self, Failure> {
        let body: Body =
            rkyv::deserialize::<_, rkyv::rancor::Failure>(&request.body).map_err(malformed)?;
        let epoch = Epoch(request.epoch.0.to_native());
        let body = std::borrow::Cow::Owned(body);
        Ok(Self { tenant: &request.tenant, key: &request.key, epoch, body })
    }
}

/// A request to the owner of a key's shard.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose value. Hosts trust each other in this: it comes from a credential on the sender.
    pub tenant: String,
    /// The key; the prefix of a `List`; empty for `Renew` and `End`.
    pub key: String,
    /// The shard's epoch as the sender knows it.
    pub epoch: Epoch,
    pub body: Body,
}

/// See [`Request`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Makes the value unless it is there with the same spec; a lost one is made anew if `renew`.
    Create {
        spec: Spec,
        renew: bool,
        stamp: Stamp,
    },
    Stat,
    /// Chunks of the newest version, or of `at`, newer than each range's `since`.
    Pull {
        ranges: Vec<PullRange>,
        at: Option<Version>,
    },
    /// Merges changes. `made`: refused with `OtherValue` unless it was made in that version, or
    /// this is `Version::NONE`. `expected`: refused with `Conflict` unless it is the newest one.
    /// `fence`: the token of the global write lock that the sender holds.
    /// `len`: the length that the value has at least afterwards.
    Push {
        stamp: Stamp,
        made: Version,
        expected: Option<Version>,
        fence: Option<Version>,
        len: u64,
    },
    Append {
        stamp: Stamp,
        made: Version,
        fence: Option<Version>,
    },
    Resize {
        stamp: Stamp,
        made: Version,
        expected: Option<Version>,
        fence: Option<Version>,
        len: u64,
    },
    Delete {
        stamp: Stamp,
        made: Version,
        expected: Option<Version>,
        fence: Option<Version>,
    },
    /// Waits for a lock at most `wait_us`. The stamp names the lock: sent again with the same one
    /// it is the same lock, for which the session waits, or which it holds. `holder` is named to
    /// those who wait in vain.
    Lock {
        stamp: Stamp,
        holder: u64,
        mode: LockMode,
        wait_us: u64,
    },
    /// Gives the lock back that was asked for with this stamp, or ceases to wait for it;
    /// `abandoned` when its holder trapped, ran out of time or died, so that the next writer is
    /// told. `fence` is `Version::NONE` from a session that does not know whether it was granted.
    /// Giving back what is not held is an error, and changes nothing; sent again, it is `Done`.
    Unlock {
        stamp: Stamp,
        fence: Version,
        abandoned: bool,
    },
    /// These sessions are alive: their locks hold for another lease.
    Renew {
        sessions: Vec<SessionId>,
    },
    /// This session has ended: its locks are abandoned, what is kept for its retries goes, and
    /// what of it comes later is refused.
    End {
        session: SessionId,
    },
    /// Keep version `at` (the newest, if `None`) for this session, until it closes it, ends, or
    /// its lease runs out. Answered by the value as of that version. As with a lock, the stamp
    /// names the opening: sent again it is the same one, and others have the same version open.
    Open {
        stamp: Stamp,
        at: Option<Version>,
    },
    /// The version that was opened with this stamp is not needed any more, or will not be: an
    /// `Open` that comes later is `Stale`.
    Close {
        stamp: Stamp,
    },
    /// Keys with the prefix, after `after`, in order; of the shards that this host owns.
    List {
        after: String,
        limit: u32,
    },
    Versions,
    /// The value, as soon as its version is another than `known`; as it is after `wait_us`, or
    /// after `MAX_WATCH`.
    Watch {
        known: Version,
        wait_us: u64,
    },
}

/// A value as its owner knows it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub spec: Spec,
    pub len: u64,
    pub version: Version,
    /// The version in which it was made: another one is another value of the same name.
    pub made: Version,
}

/// An old version that is still there.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionStat {
    pub version: Version,
    pub len: u64,
    /// How long ago it was made.
    pub age_ms: u64,
    /// Bytes of the chunks that it changed.
    pub changed_bytes: u64,
}

/// An owner's answer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Value(Stat),
    /// The payload says which chunks follow; `len` is the value's length at `version`.
    Pulled {
        version: Version,
        made: Version,
        len: u64,
    },
    /// The change is version `version`. For a push, `before` are the versions that its chunks
    /// had, in the order of the changes: where that is what the sender had, its chunk is now
    /// exactly the new version.
    Pushed {
        version: Version,
        len: u64,
        before: Vec<Version>,
    },
    /// The bytes stand at `at`.
    Appended {
        version: Version,
        at: u64,
        len: u64,
    },
    /// `fence` goes with every push under the lock. `abandoned`: the last writer did not give it
    /// back, and what it had not pushed is lost. `lease_ms`: without a `Renew` it is lost then.
    Granted {
        fence: Version,
        abandoned: bool,
        lease_ms: u64,
        version: Version,
    },
    Done,
    /// The payload is names, each with a `u16` of its length before it.
    Listed {
        more: bool,
    },
    Versions {
        versions: Vec<VersionStat>,
    },
    Failed(Failure),
}

/// Why an owner refuses. Nothing has changed then.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("this host does not own the shard, or no longer in that epoch: ask host {owner} in epoch {}", epoch.0)]
    NotOwner { owner: u64, epoch: Epoch },
    #[error("expected a value; there is none of this key: make it first")]
    NotFound,
    #[error(
        "the value was kept in memory alone and its owner has lost it: make it anew, or delete it"
    )]
    Lost,
    #[error("expected the value as it was made; it has element {:?}, rule {:?}, {:?}, {} bytes at most", found.element(), found.rule(), found.durability(), found.quota_bytes())]
    OtherSpec { found: Spec },
    #[error("expected a length of at most {limit} bytes, in whole elements; found {found}")]
    Length { limit: u64, found: u64 },
    #[error("the value was deleted, and another of its name made in version {made}: open it again")]
    OtherValue { made: Version },
    #[error("expected version {expected}; found {found}: pull and try again")]
    Conflict { expected: Version, found: Version },
    #[error(
        "the lock with token {fence} is not held any more: what was written under it is taken back"
    )]
    LockLost { fence: Version },
    #[error("a global write lock is held by {holder}: push under the lock, or wait for it")]
    Locked { holder: u64 },
    #[error("expected the lock within {waited_ms} ms; {holder} holds it")]
    LockTimeout { waited_ms: u64, holder: u64 },
    #[error("expected a lock that this caller holds; it holds none")]
    NotLocked,
    #[error("a later change of the same session was here before: this one is not applied any more")]
    Stale,
    #[error("this session has ended: begin another one")]
    Ended,
    #[error(
        "version {version} has been collected: raise the value's retention, or open a newer one"
    )]
    Collected { version: Version },
    #[error("expected at most {limit} of {what}; try again later, or raise the limit")]
    Limit { what: String, limit: u64 },
    #[error("expected a well-formed request; {why}")]
    Malformed { why: String },
    #[error("the owner could not store it: {why}")]
    Storage { why: String },
}

//! What an owner lets the monitor store, and is given back at the next start.

use std::sync::Arc;

use crate::chunk::Chunk;
use crate::key::Key;
use crate::message::{Reply, SessionId};
use crate::spec::Spec;
use crate::version::Version;

/// A value's name: tenant and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Whose.
    pub tenant: Arc<str>,
    /// Its key.
    pub key: Key,
}

/// What is known of a value beside its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it was made as.
    pub spec: Spec,
    /// Its length.
    pub len: u64,
    /// Its newest version.
    pub version: Version,
    /// The version in which it was made.
    pub made: Version,
    /// Whether all of it is stored: durable values, and those in memory that were saved.
    pub whole: bool,
}

/// What is kept for a retry: the number of a session's last change of a value, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The number.
    pub sequence: u64,
    /// The answer.
    pub reply: Reply,
}

/// One thing to store under its name, or to remove where there is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Of a value.
    Head(Id, Option<Head>),
    /// Of a chunk: the version that changed it last, and its bytes, beyond which it is zero.
    Chunk(Id, Chunk, Option<(Version, Arc<[u8]>)>),
    /// Of a session that changed the value.
    Done(Id, SessionId, Option<Done>),
}

/// Records that are stored all or none.
pub type Batch = Vec<Record>;

/// Batches are stored in the order of their tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Bytes of the chunks in a batch, and a little for each record.
pub(super) fn batch_bytes(batch: &Batch) -> u64 {
    let chunks = batch.iter().map(|record| match record {
        Record::Chunk(_, _, Some((_, bytes))) => bytes.len() as u64,
        _ => 0,
    });
    chunks.sum::<u64>() + 64 * batch.len() as u64
}

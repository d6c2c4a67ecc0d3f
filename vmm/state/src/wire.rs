//! Replies as they travel between hosts: a head that is small whatever it answers, and beside it
//! what grows with the number of things.
//!
//! Not here: the layouts of payloads of chunks and changes, see `payload`.

use crate::message::{Failure, Reply};
use crate::payload::{
    Payload, read_version_stats, read_versions, write_version_stats, write_versions,
};

/// Most bytes of a head, of a request or a reply.
pub const MAX_HEAD_BYTES: usize = 4096;
/// Most bytes of a text in a failure.
const MAX_TEXT_BYTES: usize = 1024;

impl Reply {
    /// The head, and the payload that goes with it: its lists, or `payload` where it has none.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn to_wire(mut self, payload: Payload) -> Result<(Vec<u8>, Payload), Failure> {
        let mut lists = Vec::new();
        match &mut self {
            Self::Pushed { before, .. } => write_versions(&mut lists, &std::mem::take(before)),
            Self::Versions { versions } => {
                write_version_stats(&mut lists, &std::mem::take(versions));
            }
            Self::Failed(failure) => shorten(failure),
            _ => return Ok((self.to_bytes()?, payload)),
        }
        Ok((self.to_bytes()?, lists.into()))
    }

    /// Reads what [`Reply::to_wire`] wrote. A reply with lists has no other payload.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn from_wire(head: &[u8], payload: &[u8]) -> Result<Self, Failure> {
        let mut reply = Self::from_bytes(head)?;
        let malformed =
            |error: crate::payload::PayloadError| Failure::Malformed { why: error.to_string() };
        match &mut reply {
            Self::Pushed { before, .. } => *before = read_versions(payload).map_err(malformed)?,
            Self::Versions { versions } => {
                *versions = read_version_stats(payload).map_err(malformed)?;
            }
            _ => {}
        }
        Ok(reply)
    }
}

/// Cuts a text that is too long for a head.
fn shorten(failure: &mut Failure) {
    if let Failure::Limit { what: text, .. }
    | Failure::Malformed { why: text }
    | Failure::Storage { why: text } = failure
    {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    }
}

#[cfg(test)]
mod tests;

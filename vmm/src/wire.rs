//! What monitor and cell say to each other over the rings.
//!
//! A message is `head length (u32) | head (rkyv) | payload`. The payload is never inside the head,
//! so that it is copied once, out of the ring. Both sides check what they get: the ring copied it,
//! [`split`] and bytecheck look at the copy.

#![allow(missing_docs, reason = "the archived twins that rkyv derives have none")]

use rkyv::rancor::{self, Strategy};
use rkyv::ser::{Positional, Writer};
use rkyv::{Archive, Deserialize, Serialize};

/// Largest head.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Longest input of a call.
pub const MAX_INPUT_BYTES: usize = 64 << 20;

/// Bytes of the head's length.
const LENGTH_BYTES: usize = 4;

/// From the monitor to a worker of a cell.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub enum ToCell {
    /// Run a call; the payload is request head and input.
    Call(CallHead),
    /// The caller of a call has gone.
    Cancel {
        /// The monitor's number for the call.
        number: u64,
    },
    /// The answer to a [`FromCell::Chain`]; the payload is the body.
    Chained {
        /// The cell's number for it.
        number: u64,
        /// `faaslet_abi::Outcome`.
        outcome: i32,
    },
    /// Make reset slots ahead of calls.
    Prewarm {
        /// The function.
        function: u32,
        /// How many slots.
        slots: u32,
    },
    /// The end of a [`FromCell::State`]; the payload is a `faaslet_state::message::Reply`, if it
    /// was answered, and what goes beside it.
    State {
        /// The worker's number for it.
        number: u64,
        /// What became of it.
        end: StateEnd,
        /// How much of the payload is the reply.
        reply_bytes: u32,
    },
}

/// What became of a request to the owner of a value.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub enum StateEnd {
    /// It was answered, and be it refused.
    Answered,
    /// See `faaslet_state::SessionError`.
    Unknown,
    /// As above.
    Deadline,
    /// As above.
    NoOwner {
        /// How many owners named another.
        hops: u32,
    },
    /// As above.
    Full {
        /// The bound.
        limit: u64,
    },
}

/// See [`ToCell::Call`].
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct CallHead {
    /// The monitor's number for the call.
    pub number: u64,
    /// The call's id.
    pub id: [u8; 16],
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Length of the chain before it.
    pub depth: u32,
    /// The function's number in the cell.
    pub function: u32,
    /// Mode: 0 as deployed, 1 fork, 2 fresh.
    pub mode: u8,
    /// Time left, in microseconds.
    pub deadline_us: u64,
    /// How much of the payload is the HTTP request head.
    pub request_bytes: u32,
}

/// From a worker of a cell to the monitor. Nothing in it is trusted.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub enum FromCell {
    /// A call ended; the payload is response headers and body.
    Answer {
        /// The monitor's number for the call.
        number: u64,
        /// `faaslet_abi::Outcome`.
        outcome: i32,
        /// The number of a `crate::cell::Refusal` when the outcome is a refusal, or 0.
        refusal: u8,
        /// HTTP status that the function set, or 0.
        status: u16,
        /// How much of the payload is response headers.
        headers_bytes: u32,
        /// Run time, in nanoseconds.
        ran_ns: u64,
    },
    /// A function calls one that this cell does not have; the payload is the input.
    Chain {
        /// The cell's number for it.
        number: u64,
        /// The function's name.
        name: String,
        /// Length of the chain before it.
        depth: u32,
        /// Time left, in microseconds.
        deadline_us: u64,
    },
    /// A function logged a line, which is the payload.
    Log {
        /// The function's number in the cell.
        function: u32,
        /// The call's id.
        call: [u8; 16],
        /// `faaslet_abi::Level`.
        level: u8,
    },
    /// A call asks the owner of a value; the payload is a `faaslet_state::message::Request`,
    /// without tenant and epoch, and what goes beside it.
    State {
        /// The worker's number for it; 0 when nobody waits for the answer.
        number: u64,
        /// Time left, in microseconds.
        deadline_us: u64,
        /// How much of the payload is the request.
        request_bytes: u32,
    },
    /// Slots and calls of this worker, said once a second while it works, and once more at most a
    /// second after it came to rest; the payload is its [`Warm`] slots.
    Counts {
        /// Slots that hold an instance.
        slots: u32,
        /// Of these, idle ones.
        idle: u32,
        /// Calls that wait for a slot.
        queued: u32,
        /// Resets done so far.
        resets: u64,
        /// Resets whose sampled comparison found a difference.
        mismatches: u64,
    },
    /// What the cell's local tier has and has done, said beside [`FromCell::Counts`].
    StateCounts(StateCounts),
}

/// What a cell's local tier has, and has done since the cell started.
#[derive(Archive, Serialize, Deserialize, Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct StateCounts {
    /// Values that are here, if only in part.
    pub values: u64,
    /// Memory that they take, in bytes.
    pub bytes: u64,
    /// Bytes that may not have been pushed, in whole chunks. What functions store through mappings
    /// that they still have is not among them.
    pub dirty_bytes: u64,
    /// Bytes that came from owners.
    pub pulled_bytes: u64,
    /// Bytes of changes that owners acknowledged.
    pub pushed_bytes: u64,
    /// Reads, writes and mappings that found everything here.
    pub hits: u64,
    /// Those that had to ask an owner first.
    pub misses: u64,
    /// Locks that were not free at once.
    pub lock_waits: u64,
}

/// Idle slots of one function, in a message of [`FromCell::Counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warm {
    /// The function's number in the cell.
    pub function: u32,
    /// How many.
    pub slots: u32,
}

impl Warm {
    /// Bytes of one.
    const BYTES: usize = 8;

    /// As a part of the payload.
    #[must_use]
    pub fn bytes(self) -> [u8; Self::BYTES] {
        (u64::from(self.function) << 32 | u64::from(self.slots)).to_le_bytes()
    }

    /// All that a payload holds.
    pub fn all(payload: &[u8]) -> impl Iterator<Item = Self> {
        payload.as_chunks().0.iter().map(|bytes| {
            let both = u64::from_le_bytes(*bytes);
            Self { function: (both >> 32) as u32, slots: both as u32 }
        })
    }
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It is shorter than it says.
    #[error(
        "expected a message of at least {expected} bytes; found {found}; the sender is broken and is ended"
    )]
    Short {
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// Its head is no message.
    #[error("expected a valid message head; {0}; the sender is broken and is ended")]
    Head(rancor::Error),
}

/// Puts the head's length and the head into `out`, in place of what it held, ready to be pushed
/// before the payload. A buffer that is used again costs no allocation.
///
/// # Errors
/// When it cannot be encoded, which the tests exclude.
pub fn encode<T>(head: &T, out: &mut Vec<u8>) -> Result<(), rancor::Error>
where
    T: for<'a> Serialize<Strategy<HeadWriter<'a>, rancor::Error>>,
{
    out.clear();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    rkyv::api::serialize_using::<_, rancor::Error>(head, &mut HeadWriter(out))?;
    let length = (out.len() - LENGTH_BYTES) as u32;
    out[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Lets rkyv write behind the length.
pub struct HeadWriter<'a>(&'a mut Vec<u8>);

impl Positional for HeadWriter<'_> {
    fn pos(&self) -> usize {
        self.0.len() - LENGTH_BYTES
    }
}

impl Writer<rancor::Error> for HeadWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), rancor::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Head and payload of a message.
///
/// # Errors
/// [`WireError::Short`] when the message is shorter than its head.
pub fn split(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let short = |expected| WireError::Short { expected, found: message.len() };
    let (length, rest) = message.split_at_checked(LENGTH_BYTES).ok_or(short(LENGTH_BYTES))?;
    let length = length.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    if length > MAX_HEAD_BYTES {
        return Err(short(LENGTH_BYTES + length));
    }
    rest.split_at_checked(length).ok_or(short(LENGTH_BYTES + length))
}

/// The head of a message to a cell, checked.
///
/// # Errors
/// [`WireError::Head`] when it is no message.
pub fn to_cell(head: &[u8]) -> Result<&ArchivedToCell, WireError> {
    rkyv::access::<ArchivedToCell, rancor::Error>(head).map_err(WireError::Head)
}

/// The head of a message from a cell, checked.
///
/// # Errors
/// [`WireError::Head`] when it is no message.
pub fn from_cell(head: &[u8]) -> Result<&ArchivedFromCell, WireError> {
    rkyv::access::<ArchivedFromCell, rancor::Error>(head).map_err(WireError::Head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(head: &ToCell, payload: &[u8]) -> Vec<u8> {
        let mut bytes = b"what it held before".to_vec();
        encode(head, &mut bytes).unwrap();
        [&bytes, payload].concat()
    }

    #[test]
    fn a_message_comes_apart_as_it_was_put_together() {
        let bytes = message(&ToCell::Chained { number: 7, outcome: 1 }, b"body");
        let (head, payload) = split(&bytes).unwrap();
        assert_eq!(payload, b"body");
        assert!(
            matches!(to_cell(head).unwrap(), ArchivedToCell::Chained { number, .. } if *number == 7)
        );
    }

    #[test]
    fn warm_slots_are_told_in_order_and_a_cut_one_is_left_out() {
        let all = [Warm { function: 1, slots: 2 }, Warm { function: u32::MAX, slots: 3 }];
        let mut payload = all.map(Warm::bytes).concat();
        payload.push(0);
        assert_eq!(Warm::all(&payload).collect::<Vec<_>>(), all);
    }

    #[test]
    fn every_truncation_and_flip_is_refused_or_read_without_a_panic() {
        let bytes = message(&ToCell::Cancel { number: 3 }, b"");
        for length in 0..bytes.len() {
            assert!(split(&bytes[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok((head, _)) = split(&flipped) {
                let _ = to_cell(head);
            }
        }
    }
}

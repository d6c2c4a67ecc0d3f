//! Messages of any length with many descriptors, over a [`Socket`] whose own messages are small.
//!
//! What it is: one order or report, cut into messages on one side and put together on the other.
//! What it is not: trust. The receiver says how much it takes, and a parcel that is over that, or
//! is not what its head says, is an error.
//!
//! ```text
//! first message   u32 length, u32 descriptors, then the bytes where they fit; else a sealed
//!                 memory file with the bytes is the first descriptor
//! every further   one byte; up to MAX_DESCRIPTORS of the descriptors that are still to come
//! ```
//!
//! Numbers are little-endian.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::memory::{self, MemoryError};
use crate::socket::{MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, Message, ReceiveError, SendError, Socket};

/// Longest parcel, without its descriptors.
pub const MAX_PARCEL_BYTES: usize = 32 << 20;

/// Most descriptors of one parcel.
pub const MAX_PARCEL_DESCRIPTORS: usize = 256;

/// Length and number of descriptors.
const HEAD_BYTES: usize = 8;

/// Longest content that travels in the first message itself.
const MAX_INLINE_BYTES: usize = MAX_MESSAGE_BYTES - HEAD_BYTES;

/// What a further message says.
const MORE: &[u8] = b"+";

/// How much of a parcel its receiver takes.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// Bytes.
    pub bytes: usize,
    /// Descriptors.
    pub descriptors: usize,
}

/// All that a parcel may hold.
pub const ANY: Most = Most { bytes: MAX_PARCEL_BYTES, descriptors: MAX_PARCEL_DESCRIPTORS };

/// Why a parcel was not sent or not received.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// Too many bytes.
    #[error("expected a message of at most {limit} bytes; found {found}; send less")]
    TooLong {
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many descriptors.
    #[error("expected at most {limit} descriptors in a message; found {found}; send fewer")]
    TooManyDescriptors {
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// It does not hold together.
    #[error("expected {expected} in a message of several parts; found something else")]
    Malformed {
        /// What should have come.
        expected: &'static str,
    },
    /// The memory file of a long one.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The socket, while sending.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The socket, while receiving.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

/// A parcel, cut into messages.
pub(crate) struct Cut<'a> {
    first: Vec<u8>,
    /// Holds the bytes where they are too long for a message.
    spilled: Option<File>,
    descriptors: &'a [BorrowedFd<'a>],
}

impl<'a> Cut<'a> {
    pub(crate) fn new(
        bytes: &[u8],
        descriptors: &'a [BorrowedFd<'a>],
    ) -> Result<Self, ParcelError> {
        ANY.check(bytes.len(), descriptors.len())?;
        let mut first = Vec::with_capacity(HEAD_BYTES + bytes.len().min(MAX_INLINE_BYTES));
        first.extend((bytes.len() as u32).to_le_bytes());
        first.extend((descriptors.len() as u32).to_le_bytes());
        let spilled = if bytes.len() <= MAX_INLINE_BYTES {
            first.extend_from_slice(bytes);
            None
        } else {
            Some(memory::sealed("parcel", bytes).map_err(MemoryError::from)?)
        };
        Ok(Self { first, spilled, descriptors })
    }

    /// The messages, in order.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&[u8], Vec<BorrowedFd<'_>>)> {
        let spilled = self.spilled.iter().map(AsFd::as_fd);
        let all: Vec<_> = spilled.chain(self.descriptors.iter().copied()).collect();
        let count = all.len().div_ceil(MAX_DESCRIPTORS).max(1);
        (0..count).map(move |number| {
            let rest = &all[number * MAX_DESCRIPTORS..];
            let descriptors = rest[..rest.len().min(MAX_DESCRIPTORS)].to_vec();
            (if number == 0 { &self.first[..] } else { MORE }, descriptors)
        })
    }
}

impl Most {
    fn check(self, bytes: usize, descriptors: usize) -> Result<(), ParcelError> {
        if bytes > self.bytes {
            return Err(ParcelError::TooLong { found: bytes, limit: self.bytes });
        }
        if descriptors > self.descriptors {
            let limit = self.descriptors;
            return Err(ParcelError::TooManyDescriptors { found: descriptors, limit });
        }
        Ok(())
    }
}

/// A parcel on its way in.
pub(crate) struct Assembly {
    most: Most,
    head: Option<Head>,
    descriptors: Vec<OwnedFd>,
}

struct Head {
    length: usize,
    /// Descriptors, the memory file among them.
    descriptors: usize,
    /// The bytes, unless they are in a memory file.
    inline: Option<Vec<u8>>,
}

impl Assembly {
    pub(crate) fn new(most: Most) -> Self {
        Self { most, head: None, descriptors: Vec::new() }
    }

    /// Takes the next message; the parcel, once it is whole.
    pub(crate) fn take(&mut self, message: Message) -> Result<Option<Message>, ParcelError> {
        let head = match self.head.take() {
            None => Head::read(message.bytes, self.most)?,
            Some(head) if message.bytes == MORE && !message.descriptors.is_empty() => head,
            Some(_) => return Err(ParcelError::Malformed { expected: "more descriptors" }),
        };
        self.descriptors.extend(message.descriptors);
        let (found, expected) = (self.descriptors.len(), head.descriptors);
        if found > expected {
            return Err(ParcelError::Malformed { expected: "as many descriptors as it says" });
        }
        if found < expected {
            self.head = Some(head);
            return Ok(None);
        }
        Ok(Some(self.whole(head)?))
    }

    fn whole(&mut self, head: Head) -> Result<Message, ParcelError> {
        let mut descriptors = std::mem::take(&mut self.descriptors);
        let bytes = match head.inline {
            Some(bytes) => bytes,
            None => {
                let file = File::from(descriptors.remove(0));
                memory::read_sealed(&file, head.length as u64)?
            }
        };
        if bytes.len() != head.length {
            return Err(ParcelError::Malformed { expected: "as many bytes as it says" });
        }
        Ok(Message { bytes, descriptors })
    }
}

impl Head {
    fn read(mut first: Vec<u8>, most: Most) -> Result<Self, ParcelError> {
        let expected = "length and number of descriptors";
        let head = first.first_chunk::<HEAD_BYTES>().ok_or(ParcelError::Malformed { expected })?;
        // The length is the lower half.
        let head = u64::from_le_bytes(*head);
        let (length, descriptors) = (head as u32 as usize, (head >> 32) as usize);
        most.check(length, descriptors)?;
        first.drain(..HEAD_BYTES);
        let inline = (length <= MAX_INLINE_BYTES).then_some(first);
        let descriptors = descriptors + usize::from(inline.is_none());
        Ok(Self { length, descriptors, inline })
    }
}

impl Socket {
    /// Sends one parcel, whole; only for a socket that blocks.
    pub fn send_parcel(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ParcelError> {
        for (bytes, descriptors) in Cut::new(bytes, descriptors)?.messages() {
            self.send(bytes, &descriptors)?;
        }
        Ok(())
    }

    /// Receives one parcel, whole; only for a socket that blocks.
    pub fn recv_parcel(&self, most: Most) -> Result<Message, ParcelError> {
        let mut assembly = Assembly::new(most);
        loop {
            if let Some(parcel) = assembly.take(self.recv()?)? {
                return Ok(parcel);
            }
        }
    }
}

#[cfg(test)]
mod tests;

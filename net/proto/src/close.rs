//! Why a connection ends: a code for programs and a sentence for people.

use crate::limits::MAX_REASON_BYTES;
use std::fmt;

/// Code that ends a connection. The numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum CloseCode {
    /// Nothing is wrong: the one who ends it needs it no more.
    Done = 0,
    /// The credential is not one that the server knows.
    Unauthorised = 1,
    /// No protocol version that both speak.
    Version = 2,
    /// The other end broke the protocol.
    Protocol = 3,
    /// The other end did not get on with what it had begun.
    Stalled = 4,
    /// Nothing happened for too long.
    Idle = 5,
    /// The server stops.
    ShuttingDown = 6,
    /// The server has as many connections as it takes.
    Full = 7,
    /// The two hosts were started with different lists of hosts.
    OtherHosts = 8,
}

impl CloseCode {
    /// The code with this number, if there is one.
    #[must_use]
    pub fn from_u64(number: u64) -> Option<Self> {
        [
            Self::Done,
            Self::Unauthorised,
            Self::Version,
            Self::Protocol,
            Self::Stalled,
            Self::Idle,
            Self::ShuttingDown,
            Self::Full,
            Self::OtherHosts,
        ]
        .into_iter()
        .find(|code| *code as u64 == number)
    }
}

/// The end of a connection, as one end tells it to the other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Close {
    /// For programs.
    pub code: CloseCode,
    /// For people: what was expected, what was found, what to do.
    pub reason: String,
}

impl Close {
    /// An end with `code`; a reason over [`MAX_REASON_BYTES`] is cut.
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        Self { code, reason }
    }

    pub(crate) fn protocol(reason: fmt::Arguments<'_>) -> Self {
        Self::new(CloseCode::Protocol, fmt::format(reason))
    }
}

/// `Err(Close)` for a broken protocol, with a formatted sentence.
macro_rules! violation {
    ($($arg:tt)*) => { Err($crate::close::Close::protocol(format_args!($($arg)*))) };
}
pub(crate) use violation;

//! What is carried: calls, replies, and the ways in which a call can end.

use crate::limits::MAX_NAME_BYTES;
use bytes::Bytes;
use std::{fmt, time::Duration, time::Instant};

/// Name of a function: UTF-8, not empty, at most [`MAX_NAME_BYTES`]; a slice of the received frame.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Bytes);

/// A name that no function can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a function name has 1 to {MAX_NAME_BYTES} bytes of UTF-8, this one has {found}")]
pub struct InvalidName {
    /// Its length.
    pub found: usize,
}

impl Name {
    /// Takes `bytes` as a name.
    pub fn new(bytes: Bytes) -> Result<Self, InvalidName> {
        let found = bytes.len();
        if found == 0 || found > MAX_NAME_BYTES || std::str::from_utf8(&bytes).is_err() {
            return Err(InvalidName { found });
        }
        Ok(Self(bytes))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::ops::Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

/// Which way into the function a call asks for. The numbers are frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// As its deployment says.
    #[default]
    Default = 0,
    /// A fork of its image.
    Fork = 1,
    /// Initialised anew for this call.
    Fresh = 2,
}

impl Mode {
    pub(crate) fn from_u8(number: u8) -> Option<Self> {
        [Self::Default, Self::Fork, Self::Fresh].into_iter().find(|mode| *mode as u8 == number)
    }
}

/// A call as the server received it, its input whole.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which function of the caller's tenant.
    pub function: Name,
    /// What it gets.
    pub input: Bytes,
    /// The way in that the caller asks for.
    pub mode: Mode,
    /// 1 for the first attempt; more when the caller knows that it tries again.
    pub attempt: u32,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// Why a call was not run. The numbers on the wire are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The tenant has no such function.
    NotFound,
    /// No room now.
    Overloaded {
        /// When it may be worth trying again.
        retry_after_ms: u32,
    },
    /// The input is over the limit.
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The credential does not allow it.
    Unauthorised,
    /// The monitor is about to stop.
    ShuttingDown,
    /// Its deadline had passed before it began.
    Deadline,
    /// The caller took it back.
    Cancelled,
    /// The chain of calls is deeper than the host allows.
    TooDeep,
    /// The function cannot be run here, and another attempt would fare the same.
    CannotBeMade,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no such function"),
            Self::Overloaded { retry_after_ms } => {
                write!(f, "no room now, try again in {retry_after_ms} ms")
            }
            Self::TooLarge { limit_bytes } => {
                write!(f, "the input is over the limit of {limit_bytes} bytes")
            }
            Self::Unauthorised => f.write_str("the credential does not allow this call"),
            Self::ShuttingDown => f.write_str("the monitor is shutting down"),
            Self::Deadline => f.write_str("the deadline had passed before the call began"),
            Self::Cancelled => f.write_str("the caller cancelled it"),
            Self::TooDeep => f.write_str("the chain of calls is too deep"),
            Self::CannotBeMade => f.write_str("the function cannot be run here"),
        }
    }
}

/// How a call ended; what the payload of the reply is follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It returned; the payload is its output.
    Returned,
    /// Its entry returned a failure; the payload is its message.
    Failed,
    /// It trapped; the payload is the trap with its backtrace.
    Trapped,
    /// Its deadline passed while it ran.
    TimedOut,
    /// It was not run; the payload may be a message.
    Refused(Refusal),
    /// It began and nobody knows how it ended, or its output could not be kept.
    Lost,
}

/// Where the server's time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From the call's arrival to its start.
    pub queue: Duration,
    /// From its start to its end.
    pub run: Duration,
}

/// The one answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// Output or message, by the outcome.
    pub payload: Bytes,
    /// Where the server's time went.
    pub timings: Timings,
}

impl Reply {
    /// A call that returned `output`.
    pub fn returned(output: impl Into<Bytes>) -> Self {
        Self::new(Outcome::Returned, output)
    }

    /// A call that was not run, with a message that says more than the refusal itself.
    pub fn refused(refusal: Refusal, message: impl Into<Bytes>) -> Self {
        Self::new(Outcome::Refused(refusal), message)
    }

    /// A call that ended with `outcome`.
    pub fn new(outcome: Outcome, payload: impl Into<Bytes>) -> Self {
        Self { outcome, payload: payload.into(), timings: Timings::default() }
    }

    /// The payload as text for people; what is not UTF-8 is replaced.
    pub fn message(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.payload)
    }
}

//! A call as a Faaslet sees it: what comes in, what goes out, how it ended.

use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use serde::{Deserialize, Serialize};

/// Which way a call goes into its Faaslet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// From the image: a Proto-Faaslet's fork.
    #[default]
    Fork,
    /// Instantiated and initialised for this call alone: the paper's plain Faaslet.
    Fresh,
}

/// Where a call enters the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// `faaslet_main`, or `_start` of a WASI command.
    #[default]
    Main,
    /// An exported function of type `() -> ()` or `() -> i32`.
    Export(String),
    /// A function of that type in the module's first table.
    Table(u32),
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Unique over all hosts.
    pub id: [u8; 16],
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Calls between this one and the one from outside.
    pub depth: u32,
    /// Where it enters.
    pub entry: Entry,
    /// Which way it goes in.
    pub mode: Mode,
    /// When it is stopped.
    pub deadline: Instant,
    /// The HTTP request head behind it, in HTTP/1.1 syntax; empty when there is none.
    pub request: Vec<u8>,
    /// What the function reads.
    pub input: Vec<u8>,
}

impl Call {
    /// What stands in the place of a call while a Faaslet is made: nothing but a deadline.
    #[must_use]
    pub fn making(deadline: Instant) -> Self {
        Self {
            id: [0; 16],
            attempt: 0,
            depth: 0,
            entry: Entry::Main,
            mode: Mode::Fork,
            deadline,
            request: Vec::new(),
            input: Vec::new(),
        }
    }
}

/// HTTP status and headers that a function set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// 0 when the function set none.
    pub status: u16,
    /// `name: value\r\n` for each header.
    pub headers: Vec<u8>,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The way it ended.
    pub outcome: Outcome,
    /// The output, or the message of the failure.
    pub body: Vec<u8>,
    /// What an HTTP response should carry.
    pub response: ResponseHead,
    /// From the first instruction to the last, waiting included.
    pub ran: Duration,
    /// Why it was not run. Invariant: nothing unless the outcome is a refusal.
    pub refusal: Option<Refusal>,
}

/// Why a call was not run, for whoever called from outside: an outcome of the guests' contract is
/// one number, and what a caller should do next depends on the reason. The numbers travel between
/// monitor and cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// No room now; a later attempt may find some.
    Overloaded = 1,
    /// There is no such function.
    NotFound = 2,
    /// The chain of calls is deeper than the host allows.
    TooDeep = 3,
    /// A Faaslet of the function cannot be made here, and another attempt would fare the same.
    CannotBeMade = 4,
    /// The input is over the limit.
    TooLarge = 5,
    /// The monitor is about to stop.
    ShuttingDown = 6,
    /// The caller took it back.
    Cancelled = 7,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Overloaded,
        Self::NotFound,
        Self::TooDeep,
        Self::CannotBeMade,
        Self::TooLarge,
        Self::ShuttingDown,
        Self::Cancelled,
    ];

    /// The refusal of this number, if there is one.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|refusal| *refusal as u8 == number)
    }
}

impl Answer {
    /// The answer to a call that was not run.
    #[must_use]
    pub fn refused(refusal: Refusal, text: impl Into<String>) -> Self {
        Self { refusal: Some(refusal), ..Self::message(Outcome::Refused, text) }
    }

    /// An answer that carries a message and no output.
    #[must_use]
    pub fn message(outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            outcome,
            body: text.into().into_bytes(),
            response: ResponseHead::default(),
            ran: Duration::ZERO,
            refusal: None,
        }
    }
}

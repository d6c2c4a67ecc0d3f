//! Calls of other functions.
//!
//! A call runs beside its caller, in a fork of its own: it sees its input, the image, and nothing
//! that the caller has written. Waiting for it holds no thread of the host.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use faaslet_abi::{Outcome, Status};

use crate::codec::{Decode, DecodeError, Encode, EncodeError};
use crate::sys;

/// Waits as long as this call's own deadline allows.
const NO_LIMIT: i64 = -1;

/// Why a chained call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainError {
    /// The function failed; its message.
    Failed(String),
    /// The function trapped; the trap with its backtrace.
    Trapped(String),
    /// The call's deadline passed.
    TimedOut,
    /// The call was refused: no such function, no room, too deep.
    Refused(String),
    /// The process that ran the call died.
    Lost,
    /// The host refused to start the call, or to wait for it.
    Status(Status),
    /// The input could not be written.
    Input(EncodeError),
    /// The answer is not of the type that was asked for.
    Output(DecodeError),
}

/// A call under way, whose answer is a `T`.
///
/// Dropping it gives up the answer: a call that runs goes on, one that has not begun may never.
#[derive(Debug)]
#[must_use = "a chained call does nothing for its caller unless it is waited for"]
pub struct Chained<T> {
    handle: i32,
    answer: PhantomData<fn() -> T>,
}

/// Calls the function `name` of the same tenant.
///
/// ```no_run
/// # fn example() -> Result<(), faaslet::ChainError> {
/// let small: Vec<u32> = faaslet::chain("shrink", &[1, 2, 3])?.wait()?;
/// # Ok(()) }
/// ```
pub fn chain<T: Decode>(
    name: &str,
    input: &(impl Encode + ?Sized),
) -> Result<Chained<T>, ChainError> {
    Chained::begin(sys::call(name, &input.encode()?))
}

/// Calls a function of this module that is exported by `#[faaslet::function]`, by its name.
pub fn chain_export<T: Decode>(
    name: &str,
    input: &(impl Encode + ?Sized),
) -> Result<Chained<T>, ChainError> {
    Chained::begin(sys::call_export(name, &input.encode()?))
}

/// Calls a function of this module, or a closure that captures nothing, in a fork of its own.
///
/// The answer is what the function returns, as with [`std::thread::spawn`]: for a function that
/// returns a `Result`, waiting gives that `Result`.
///
/// ```no_run
/// fn sum(part: Vec<u64>) -> u64 {
///     part.iter().sum()
/// }
///
/// # fn example() -> Result<(), faaslet::ChainError> {
/// let (left, right) = (vec![1, 2], vec![3, 4]);
/// let left = faaslet::chain_fn(sum, &left)?;
/// let right = faaslet::chain_fn(sum, &right)?;
/// let total = left.wait()? + right.wait()?;
/// # Ok(()) }
/// ```
///
/// What the callee would have to share with the caller does not compile:
///
/// ```compile_fail
/// let base = 1;
/// let call = faaslet::chain_fn(move |n: u64| n + base, &2);
/// ```
pub fn chain_fn<F, I, T>(function: F, input: &I) -> Result<Chained<T>, ChainError>
where
    F: Fn(I) -> T + Copy + 'static,
    I: Encode + Decode,
    T: Encode + Decode,
{
    Chained::begin(sys::call_entry(sys::entry_of(function), &input.encode()?))
}

/// Waits for all calls and gives their answers in the same order.
///
/// The first that has no answer ends the wait; the answers of the others are given up.
pub fn join_all<T: Decode>(
    calls: impl IntoIterator<Item = Chained<T>>,
) -> Result<Vec<T>, ChainError> {
    calls.into_iter().map(Chained::wait).collect()
}

impl<T> Chained<T> {
    fn begin(handle: Result<i32, Status>) -> Result<Self, ChainError> {
        Ok(Self { handle: handle.map_err(ChainError::Status)?, answer: PhantomData })
    }
}

impl<T: Decode> Chained<T> {
    /// Waits for the answer, as long as this call's own deadline allows.
    pub fn wait(self) -> Result<T, ChainError> {
        self.outcome(NO_LIMIT)
    }

    /// Waits for the answer no longer than `limit`; `None` when the call still runs.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn example(call: faaslet::Chained<u64>) -> Result<(), faaslet::ChainError> {
    /// let answer = match call.wait_timeout(Duration::from_millis(50))? {
    ///     Some(answer) => answer,
    ///     None => {
    ///         faaslet::warn!("slow");
    ///         call.wait()?
    ///     }
    /// };
    /// # Ok(()) }
    /// ```
    pub fn wait_timeout(&self, limit: Duration) -> Result<Option<T>, ChainError> {
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        match self.outcome(limit_ms) {
            Err(ChainError::Status(Status::TimedOut)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn outcome(&self, limit_ms: i64) -> Result<T, ChainError> {
        let outcome = sys::wait(self.handle, limit_ms).map_err(ChainError::Status)?;
        let body = sys::result(self.handle).map_err(ChainError::Status)?;
        let message = |body: Vec<u8>| String::from_utf8_lossy(&body).into_owned();
        match outcome {
            Outcome::Returned => T::decode(body).map_err(ChainError::Output),
            Outcome::Failed => Err(ChainError::Failed(message(body))),
            Outcome::Trapped => Err(ChainError::Trapped(message(body))),
            Outcome::TimedOut => Err(ChainError::TimedOut),
            Outcome::Refused => Err(ChainError::Refused(message(body))),
            Outcome::Lost => Err(ChainError::Lost),
        }
    }
}

impl<T> Drop for Chained<T> {
    fn drop(&mut self) {
        sys::release(self.handle);
    }
}

impl From<EncodeError> for ChainError {
    fn from(error: EncodeError) -> Self {
        Self::Input(error)
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(message) => write!(f, "the chained call failed: {message}"),
            Self::Trapped(trace) => write!(f, "the chained call trapped: {trace}"),
            Self::TimedOut => f.write_str("the chained call ran into its deadline"),
            Self::Refused(message) => write!(f, "the chained call was refused: {message}"),
            Self::Lost => {
                f.write_str("the process of the chained call died; it may be tried again")
            }
            Self::Status(status) => {
                write!(f, "the host refused the chained call: {}", sys::text(*status))
            }
            Self::Input(error) => write!(f, "the input of the chained call: {error}"),
            Self::Output(error) => write!(f, "the answer of the chained call: {error}"),
        }
    }
}

impl std::error::Error for ChainError {}

//! The tenant's values of state, read and written by a program outside of functions.
//!
//! ```no_run
//! # async fn run(client: faaslet_net::client::Client) -> Result<(), faaslet_net::client::StateError> {
//! use faaslet_net::client::{Condition, PutOptions};
//! let state = client.state();
//! let made = state.put("greeting", "hello").await?;
//! let only_if = PutOptions { condition: Condition::Is(made.version), ..PutOptions::default() };
//! state.put_with("greeting", "good day", only_if).await?;
//! assert_eq!(&state.get("greeting").await?.bytes[..], b"good day");
//! # Ok(()) }
//! ```
//!
//! A change whose answer did not come ([`StateError::is_unknown`]) may have been made: read the
//! value, or give a condition, before it is tried again. A put of up to 6 MiB is one version; a
//! longer one is several, and its condition is checked with the first.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use faaslet_proto::state::names_from_bytes;
use faaslet_proto::state::{StateAnswer, StateFailure, StateOp, StateReply, StateVersion};

use super::app::{Answered, What};
use super::{CallError, Client, output};

pub use faaslet_proto::state::{StateCondition as Condition, StateSpec as Spec, StateStat as Stat};

/// Longest that one request waits for a change; [`State::watch`] asks again.
const WATCH: Duration = Duration::from_secs(30);
/// Names that are asked for at once.
const LISTED: u32 = 256;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub struct State<'c>(&'c Client);

/// A value, or a range of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is, as of the version that was read.
    pub stat: Stat,
    /// The bytes that were asked for.
    pub bytes: Bytes,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct PutOptions {
    /// Where the bytes go; nothing for a value that is nothing but them.
    pub at: Option<u64>,
    /// What a value is made as that is not there.
    pub spec: Spec,
    /// What must hold.
    pub condition: Condition,
}

/// Why a request for state has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It was refused.
    #[error("{message}")]
    Refused {
        /// Why, for programs.
        failure: StateFailure,
        /// Why, for people.
        message: String,
    },
    /// It was not run, or nobody knows.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The monitor answered something else.
    #[error("expected an answer to what was asked: is the monitor of another release?")]
    Protocol,
}

impl StateError {
    /// What was refused for a reason of the value, by kind.
    #[must_use]
    pub fn failure(&self) -> Option<StateFailure> {
        match self {
            Self::Refused { failure, .. } => Some(*failure),
            _ => None,
        }
    }

    /// Whether a change may have been made.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Refused { failure: StateFailure::Unknown, .. }
                | Self::Call(
                    CallError::Unknown { .. } | CallError::Lost { .. } | CallError::TimedOut { .. }
                )
        )
    }
}

impl Client {
    /// The tenant's values of state.
    #[must_use]
    pub fn state(&self) -> State<'_> {
        State(self)
    }
}

impl State<'_> {
    async fn ask(
        &self,
        key: &str,
        op: StateOp,
        payload: Bytes,
        within: Option<Duration>,
    ) -> Result<StateReply, StateError> {
        match self.0.submit(What::State(op), key, payload, within).await? {
            Answered::State(StateReply { answer: StateAnswer::Failed(failure), payload }) => {
                let message = String::from_utf8_lossy(&payload).into_owned();
                Err(StateError::Refused { failure, message })
            }
            Answered::State(reply) => Ok(reply),
            // Refused by the session: an output it is not.
            Answered::Call(reply) => {
                Err(output(reply).err().map_or(StateError::Protocol, Into::into))
            }
        }
    }

    async fn value(
        &self,
        key: &str,
        op: StateOp,
        payload: Bytes,
        within: Option<Duration>,
    ) -> Result<(Stat, Bytes), StateError> {
        let StateReply { answer, payload } = self.ask(key, op, payload, within).await?;
        match answer {
            StateAnswer::Value(stat) => Ok((stat, payload)),
            _ => Err(StateError::Protocol),
        }
    }

    /// All of a value.
    pub async fn get(&self, key: &str) -> Result<Value, StateError> {
        self.get_range(key, 0..u64::MAX, None).await
    }

    /// A range of a value, cut off where it ends; of one version, the newest where none is named.
    /// A value that is read in several parts and changes meanwhile more often than it keeps
    /// versions is `Collected`.
    pub async fn get_range(
        &self,
        key: &str,
        range: Range<u64>,
        version: Option<StateVersion>,
    ) -> Result<Value, StateError> {
        let (mut from, mut at) = (range.start, version);
        let mut parts = BytesMut::new();
        loop {
            let bytes = range.end.saturating_sub(from);
            let op = StateOp::Get { at, from, bytes };
            let (stat, part) = self.value(key, op, Bytes::new(), None).await?;
            from += part.len() as u64;
            let done = part.is_empty() || from >= range.end.min(stat.len);
            if done && parts.is_empty() {
                return Ok(Value { stat, bytes: part });
            }
            parts.extend_from_slice(&part);
            if done {
                return Ok(Value { stat, bytes: parts.freeze() });
            }
            at = Some(stat.version);
        }
    }

    /// What a value is.
    pub async fn stat(&self, key: &str) -> Result<Stat, StateError> {
        Ok(self.value(key, StateOp::Stat, Bytes::new(), None).await?.0)
    }

    /// Waits until a value has another version than `known`, and says what it is then.
    pub async fn watch(&self, key: &str, known: StateVersion) -> Result<Stat, StateError> {
        loop {
            let op = StateOp::Watch { known, wait_ms: WATCH.as_millis() as u32 };
            let (stat, _) = self.value(key, op, Bytes::new(), Some(2 * WATCH)).await?;
            if stat.version != known {
                return Ok(stat);
            }
        }
    }

    /// The value becomes these bytes; one that is not there is made as [`Spec::default`].
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Stat, StateError> {
        self.put_with(key, bytes, PutOptions::default()).await
    }

    /// Writes as the options say.
    pub async fn put_with(
        &self,
        key: &str,
        bytes: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<Stat, StateError> {
        let PutOptions { at, spec, condition } = options;
        let op = StateOp::Put { at, spec, condition };
        Ok(self.value(key, op, bytes.into(), None).await?.0)
    }

    /// Appends bytes as one version; where they stand. With `spec`, a value that is not there is
    /// made.
    pub async fn append(
        &self,
        key: &str,
        bytes: impl Into<Bytes>,
        spec: Option<Spec>,
    ) -> Result<u64, StateError> {
        match self.ask(key, StateOp::Append { spec }, bytes.into(), None).await?.answer {
            StateAnswer::Appended { at, .. } => Ok(at),
            _ => Err(StateError::Protocol),
        }
    }

    /// Deletes a value, if it is at this version.
    pub async fn remove(
        &self,
        key: &str,
        expected: Option<StateVersion>,
    ) -> Result<(), StateError> {
        match self.ask(key, StateOp::Remove { expected }, Bytes::new(), None).await?.answer {
            StateAnswer::Removed => Ok(()),
            _ => Err(StateError::Protocol),
        }
    }

    /// Names that begin with `prefix`, in order, from behind `after` on; whether there are more.
    pub async fn list(&self, prefix: &str, after: &str) -> Result<(Vec<String>, bool), StateError> {
        let op = StateOp::List { limit: LISTED };
        let after = Bytes::copy_from_slice(after.as_bytes());
        let StateReply { answer, payload } = self.ask(prefix, op, after, None).await?;
        let StateAnswer::Listed { more } = answer else { return Err(StateError::Protocol) };
        Ok((names_from_bytes(&payload).ok_or(StateError::Protocol)?, more))
    }
}

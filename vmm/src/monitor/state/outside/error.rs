//! How a use of state from outside fails.

use faaslet_state::message::Failure;
use faaslet_state::session::SessionError;
use faaslet_state::{Rule, Version};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutsideError {
    /// The owner refused, or did not answer.
    #[error("{key}: {error}")]
    Session {
        /// The value.
        key: String,
        /// Why.
        error: SessionError,
    },
    /// A precondition does not hold.
    #[error("{key}: expected {expected}; found {}: read it and try again", found.map_or("none".to_owned(), |found| format!("version {found}")))]
    Precondition {
        /// The value.
        key: String,
        /// What was expected.
        expected: String,
        /// What is there.
        found: Option<Version>,
    },
    /// Bytes cannot be put over a value with another rule.
    #[error(
        "{key}: expected a value that is merged by `replace`; it is merged by {rule:?}: append to it, or delete it first"
    )]
    Rule {
        /// The value.
        key: String,
        /// Its rule.
        rule: Rule,
    },
    /// A range that is none of the value.
    #[error(
        "{key}: expected a range within {len} bytes, from a whole element of {width} on; found one from {from} on"
    )]
    Range {
        /// The value.
        key: String,
        /// Its length.
        len: u64,
        /// Bytes of an element.
        width: u64,
        /// Where the range begins.
        from: u64,
    },
    /// Too much at once.
    #[error(
        "{key}: expected at most {limit} bytes, as they are one version; found {found}: send it in parts"
    )]
    TooLong {
        /// The value.
        key: String,
        /// The limit.
        limit: u64,
        /// How many.
        found: u64,
    },
    /// As many wait for a change as may.
    #[error("expected at most {limit} watches of the tenant at once: let some end")]
    TooManyWatches {
        /// The limit.
        limit: usize,
    },
    /// An owner answered something else.
    #[error("expected another kind of answer of a value's owner: are all hosts of one release?")]
    Protocol,
    /// The monitor ends.
    #[error("the monitor is about to stop")]
    Ended,
}

impl OutsideError {
    pub(super) fn of(key: &str, error: SessionError) -> Self {
        let key = key.chars().take(faaslet_state::key::MAX_KEY_BYTES).collect();
        match error {
            SessionError::Refused(Failure::Conflict { expected, found }) => Self::Precondition {
                key,
                expected: format!("version {expected}"),
                found: Some(found),
            },
            error => Self::Session { key, error },
        }
    }
}

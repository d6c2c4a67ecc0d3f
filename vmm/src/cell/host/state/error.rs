//! Why a call for state is refused: a status, and words that name key and limit.

use std::fmt::Display;

use faaslet_abi::Status;
use faaslet_snapshot::slot::MapWindowError;
use faaslet_state::message::Failure;
use faaslet_state::{Key, KeyError, SessionError, SpecError};
use faaslet_tier::{LockError, TierError};

use crate::cell::stop::Stop;

/// See the module.
#[derive(Debug)]
pub(super) enum Refused {
    /// The function is told.
    Status(Status, String),
    /// The call ends.
    Stop(Stop),
}

impl Refused {
    pub(super) fn new(status: Status, text: impl Display) -> Self {
        Self::Status(status, text.to_string())
    }

    /// About a value.
    pub(super) fn of(key: &Key, status: Status, text: impl Display) -> Self {
        Self::Status(status, format!("value {key}: {text}"))
    }

    pub(super) fn denied() -> Self {
        let text = "expected a call: there is no state while a function is initialised, \
                    nor where no host shares any";
        Self::new(Status::Denied, text)
    }

    /// An owner's refusal, or what became of the request.
    pub(super) fn session(key: &str, error: &SessionError) -> Self {
        let status = match error {
            SessionError::Refused(failure) => of_failure(failure),
            SessionError::Unknown => Status::Unknown,
            SessionError::Deadline | SessionError::NoOwner { .. } => Status::Unavailable,
            SessionError::Full { .. } => Status::Busy,
        };
        Self::new(status, format_args!("value {key}: {error}"))
    }

    pub(super) fn lock(key: &Key, error: LockError) -> Self {
        let status = match error {
            LockError::Twice { .. } => Status::Invalid,
            LockError::NotHeld { .. } => Status::LockLost,
            LockError::Full => Status::Busy,
        };
        Self::of(key, status, error)
    }

    pub(super) fn window(key: &Key, error: &MapWindowError) -> Self {
        let status = match error {
            MapWindowError::Window(_) | MapWindowError::System { .. } => Status::NoRoom,
            _ => Status::Invalid,
        };
        Self::of(key, status, error)
    }

    /// An answer that does not belong to the question.
    pub(super) fn unexpected(key: &str) -> Self {
        let text = format!("value {key}: expected another answer of its owner: report this");
        Self::new(Status::Unavailable, text)
    }
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<TierError> for Refused {
    fn from(error: TierError) -> Self {
        let status = match &error {
            TierError::Gone { .. } => Status::Changed,
            TierError::Locked { .. } => Status::Locked,
            TierError::NoRoom { .. } | TierError::System { .. } => Status::NoRoom,
            TierError::Range { .. } | TierError::Length { .. } => Status::TooLarge,
            TierError::Invalid { .. } => Status::Invalid,
            TierError::TooMany { .. } | TierError::Queue { .. } | TierError::Absent { .. } => {
                Status::Busy
            }
            TierError::Malformed { .. } => Status::Unavailable,
        };
        Self::new(status, error)
    }
}

impl From<KeyError> for Refused {
    fn from(error: KeyError) -> Self {
        let status = match error {
            KeyError::Long { .. } => Status::TooLarge,
            _ => Status::Invalid,
        };
        Self::new(status, error)
    }
}

impl From<SpecError> for Refused {
    fn from(error: SpecError) -> Self {
        Self::new(Status::Invalid, error)
    }
}

fn of_failure(failure: &Failure) -> Status {
    match failure {
        Failure::NotFound => Status::NotFound,
        Failure::Lost => Status::StateLost,
        Failure::OtherSpec { .. } | Failure::OtherValue { .. } => Status::Changed,
        Failure::Length { .. } => Status::TooLarge,
        Failure::Conflict { .. } => Status::Conflict,
        Failure::LockLost { .. } | Failure::NotLocked => Status::LockLost,
        Failure::Locked { .. } => Status::Locked,
        Failure::LockTimeout { .. } => Status::TimedOut,
        Failure::Stale => Status::Unknown,
        Failure::Collected { .. } => Status::Collected,
        Failure::Limit { .. } => Status::Busy,
        Failure::Malformed { .. } => Status::Invalid,
        Failure::NotOwner { .. } | Failure::Ended | Failure::Storage { .. } => Status::Unavailable,
    }
}

//! Why something with state did not work.

use faaslet_abi::Status;

/// Why something with state did not work: its key, the host's status, and the host's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError {
    key: String,
    status: Status,
    text: String,
}

impl StateError {
    pub(super) fn new(key: &str, status: Status) -> Self {
        Self { key: key.to_owned(), status, text: super::sys::error() }
    }

    pub(super) fn with(key: &str, status: Status, text: impl Into<String>) -> Self {
        Self { key: key.to_owned(), status, text: text.into() }
    }

    /// The value's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What the host answered; [`Status::Conflict`] and [`Status::StateLost`] among it.
    pub fn status(&self) -> Status {
        self.status
    }
}

impl std::error::Error for StateError {}

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = match self.text.as_str() {
            "" => crate::sys::state_text(self.status),
            text => text,
        };
        write!(f, "value {:?}: {words}", self.key)
    }
}

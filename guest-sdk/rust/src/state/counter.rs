//! One number that many add to.

use super::{Options, Rule, StateError, Vector};

/// A number that functions of all hosts add to. No addition is lost, and no lock is needed:
/// additions of this host are one step each, and pushes add differences up.
#[derive(Debug)]
pub struct Counter(Vector<i64>);

impl Counter {
    /// Opens the counter under `key`, and makes one at 0 if there is none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(key: impl Into<String>) -> Result<Self, StateError> {
        Self::open_with(Options::new(key))
    }

    /// The same, durable: [`Counter::push`] returns once it survives the loss of power.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn durable(key: impl Into<String>) -> Result<Self, StateError> {
        Self::open_with(Options::new(key).durable())
    }

    fn open_with(options: Options<i64>) -> Result<Self, StateError> {
        options.rule(Rule::Sum).max_len(1).len(1).open().map(Self)
    }

    /// Adds to it, on this host.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn add(&self, amount: i64) -> Result<(), StateError> {
        self.0.merge(0, &[amount])
    }

    /// What it is, as far as this host knows.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn get(&self) -> Result<i64, StateError> {
        Ok(self.0.read(0, 1)?.first().copied().unwrap_or(0))
    }

    /// Sends what this host added.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn push(&self) -> Result<(), StateError> {
        self.0.push().map(drop)
    }

    /// Brings what other hosts added, and says what it is.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn pull(&self) -> Result<i64, StateError> {
        self.0.pull()?;
        self.get()
    }
}

//! Bytes.

use faaslet_abi::state::Version;

use super::{Options, StateError, Vector};

/// A value of bytes; a [`Vector`] of `u8` with the names that bytes have.
#[derive(Debug)]
pub struct Bytes(Vector<u8>);

impl Bytes {
    /// Says what the value under `key` is like; give it to [`Bytes::open_with`].
    pub fn named(key: impl Into<String>) -> Options<u8> {
        Options::new(key)
    }

    /// Opens the value, and makes it if there is none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(key: impl Into<String>) -> Result<Self, StateError> {
        Self::named(key).open().map(Self)
    }

    /// Opens the value that these options say.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open_with(options: &Options<u8>) -> Result<Self, StateError> {
        options.open().map(Self)
    }

    /// All its bytes.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn get(&self) -> Result<Vec<u8>, StateError> {
        self.0.value().read_from(0)
    }

    /// Puts these bytes in the place of all it has, here and at the owner.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn set(&self, bytes: &[u8]) -> Result<Version, StateError> {
        self.0.write(0, bytes)?;
        if self.0.len()? > bytes.len() {
            self.0.resize(bytes.len())?;
        }
        self.0.push()
    }

    /// Appends at the owner; returns where the bytes stand.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn append(&self, bytes: &[u8]) -> Result<u64, StateError> {
        self.0.value().append(bytes)
    }
}

impl std::ops::Deref for Bytes {
    type Target = Vector<u8>;
    fn deref(&self) -> &Vector<u8> {
        &self.0
    }
}

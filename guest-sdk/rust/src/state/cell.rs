//! One value of any type.

use std::marker::PhantomData;

use faaslet_abi::Status;
use faaslet_abi::state::Version;
use serde::{Serialize, de::DeserializeOwned};

use super::{Options, StateError, Vector};

/// How often [`Cell::update`] tries again when others are faster.
const MAX_TRIES: usize = 1000;
/// Bytes of the length before the text.
const LENGTH_BYTES: usize = 8;

/// One value of any type with serde's traits, kept as JSON, changed by compare and set: two
/// functions that change it at the same time, wherever they run, do so one after the other.
#[derive(Debug)]
pub struct Cell<T> {
    bytes: Vector<u8>,
    of: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Cell<T> {
    /// Opens the cell under `key`, and makes an empty one if there is none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(key: impl Into<String>) -> Result<Self, StateError> {
        Options::new(key).open().map(Self::of)
    }

    /// The same, durable.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn durable(key: impl Into<String>) -> Result<Self, StateError> {
        Options::new(key).durable().open().map(Self::of)
    }

    /// Opens the cell under `key`, which is there.
    ///
    /// # Errors
    /// [`Status::NotFound`] when there is none; see [`StateError`].
    pub fn existing(key: impl Into<String>) -> Result<Self, StateError> {
        Vector::existing(&key.into()).map(Self::of)
    }

    fn of(bytes: Vector<u8>) -> Self {
        Self { bytes, of: PhantomData }
    }

    /// What it holds, as its owner knows it; nothing if nothing was ever set.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn get(&self) -> Result<Option<T>, StateError> {
        self.load().map(|(value, _)| value)
    }

    /// Puts a value in the place of whatever it holds.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn set(&self, value: &T) -> Result<(), StateError> {
        self.update(|_| Some(self.encoded(value))).map(drop)
    }

    /// Changes what it holds: `change` gets it and returns what takes its place, and runs again
    /// when another was faster. Returns what it holds now.
    ///
    /// # Errors
    /// [`Status::Busy`] when others were faster every time; see [`StateError`].
    pub fn modify(&self, mut change: impl FnMut(Option<T>) -> T) -> Result<T, StateError> {
        let mut result = None;
        self.update(|held| {
            let value = change(held);
            let encoded = self.encoded(&value);
            result = Some(value);
            Some(encoded)
        })?;
        result.ok_or_else(|| self.bytes.value().refused(Status::Invalid))
    }

    /// Takes what it holds away.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn take(&self) -> Result<Option<T>, StateError> {
        self.update(|held| held.is_some().then(|| Ok(Vec::new())))
    }

    /// Compare and set until it works; returns what it held. Nothing is changed where `change`
    /// returns nothing.
    fn update(
        &self,
        mut change: impl FnMut(Option<T>) -> Option<Result<Vec<u8>, StateError>>,
    ) -> Result<Option<T>, StateError> {
        for _ in 0..MAX_TRIES {
            let lock = self.bytes.lock(super::Lock::LocalWrite)?;
            let (held, version) = self.load()?;
            let kept = held.as_ref().map(serde_json::to_vec).and_then(Result::ok);
            let Some(text) = change(held) else { return Ok(None) };
            self.store(&text?)?;
            match self.bytes.push_if(version) {
                Ok(_) => {
                    let held = kept.and_then(|text| serde_json::from_slice(&text).ok());
                    return Ok(held);
                }
                Err(error) if error.status() == Status::Conflict => self.forget()?,
                Err(error) => return Err(error),
            }
            drop(lock);
        }
        let text = format!("others changed it first, {MAX_TRIES} times");
        Err(StateError::with(self.bytes.value().key(), Status::Busy, text))
    }

    fn load(&self) -> Result<(Option<T>, Version), StateError> {
        let seen = self.bytes.at(None)?;
        let version = seen.version()?;
        let bytes = seen.read(0, seen.len()?)?;
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok((None, version));
        };
        let text = rest.get(..u64::from_le_bytes(*length) as usize).unwrap_or_default();
        if text.is_empty() {
            return Ok((None, version));
        }
        let value = serde_json::from_slice(text).map_err(|error| {
            let text = format!("expected another type; {error}");
            StateError::with(self.bytes.value().key(), Status::Changed, text)
        })?;
        Ok((Some(value), version))
    }

    fn store(&self, text: &[u8]) -> Result<(), StateError> {
        self.bytes.write(0, &[&(text.len() as u64).to_le_bytes()[..], text].concat())
    }

    /// Puts this host's copy back to what the owner has.
    fn forget(&self) -> Result<(), StateError> {
        let seen = self.bytes.at(None)?;
        let bytes = seen.read(0, seen.len()?)?;
        self.bytes.pull()?;
        self.bytes.write(0, &bytes)
    }

    fn encoded(&self, value: &T) -> Result<Vec<u8>, StateError> {
        serde_json::to_vec(value).map_err(|error| {
            let text = format!("it cannot be written as JSON: {error}");
            StateError::with(self.bytes.value().key(), Status::Invalid, text)
        })
    }
}

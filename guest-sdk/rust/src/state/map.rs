//! A value for each name.

use std::marker::PhantomData;

use faaslet_abi::Status;
use serde::{Serialize, de::DeserializeOwned};

use super::{Cell, StateError, delete, keys};

/// Values by name, each a [`Cell`] under `key/name`: functions that change different names do not
/// meet.
#[derive(Debug)]
pub struct Map<T> {
    prefix: String,
    of: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Map<T> {
    /// The map under `key`.
    pub fn open(key: &str) -> Self {
        Self { prefix: format!("{key}/"), of: PhantomData }
    }

    /// The cell of a name.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn entry(&self, name: &str) -> Result<Cell<T>, StateError> {
        Cell::open(format!("{}{name}", self.prefix))
    }

    /// What a name holds.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn get(&self, name: &str) -> Result<Option<T>, StateError> {
        let held = Cell::existing(format!("{}{name}", self.prefix)).and_then(|cell| cell.get());
        match held {
            Err(error) if error.status() == Status::NotFound => Ok(None),
            held => held,
        }
    }

    /// Puts a value under a name.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn insert(&self, name: &str, value: &T) -> Result<(), StateError> {
        self.entry(name)?.set(value)
    }

    /// Takes a name away; whether it was there.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn remove(&self, name: &str) -> Result<bool, StateError> {
        match delete(&format!("{}{name}", self.prefix)) {
            Ok(()) => Ok(true),
            Err(error) if error.status() == Status::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The names, in order.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn names(&self) -> Result<Vec<String>, StateError> {
        let keys = keys(&self.prefix)?;
        Ok(keys.into_iter().map(|key| key[self.prefix.len()..].to_owned()).collect())
    }
}

//! Records in one order for all hosts.

use super::{Options, StateError, Vector};

/// Bytes of a record's length.
const LENGTH_BYTES: usize = 4;

/// Records that are appended by functions of all hosts, in one order: the owner's.
#[derive(Debug)]
pub struct Log(Vector<u8>);

impl Log {
    /// Opens the log under `key`, and makes an empty one if there is none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(key: impl Into<String>) -> Result<Self, StateError> {
        Options::new(key).open().map(Self)
    }

    /// The same, durable: [`Log::append`] returns once the record survives the loss of power.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn durable(key: impl Into<String>) -> Result<Self, StateError> {
        Options::new(key).durable().open().map(Self)
    }

    /// Appends a record; returns its position, from which [`Log::read`] reads on.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn append(&self, record: &[u8]) -> Result<u64, StateError> {
        let length = u32::try_from(record.len())
            .map_err(|_| self.0.value().refused(faaslet_abi::Status::TooLarge))?;
        self.0.value().append(&[&length.to_le_bytes(), record].concat())
    }

    /// The records from a position on (0 is the first), and the position after them.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn read(&self, from: u64) -> Result<(Vec<Vec<u8>>, u64), StateError> {
        self.0.pull()?;
        let bytes = self.0.value().read_from(from)?;
        let (mut records, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some((length, tail)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let length = u32::from_le_bytes(*length) as usize;
            let Some((record, tail)) = tail.split_at_checked(length) else { break };
            records.push(record.to_vec());
            rest = tail;
        }
        Ok((records, from + (bytes.len() - rest.len()) as u64))
    }
}

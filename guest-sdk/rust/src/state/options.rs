//! How a value is made when it is not there yet.

use std::marker::PhantomData;

use faaslet_abi::state::{RENEW, Spec};

use super::{Element, StateError, Vector, value::Value};

/// Largest length of a value unless it is told another: what a mapping can hold.
const DEFAULT_QUOTA_BYTES: u64 = 1 << 28;

/// How changes of two hosts are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    /// The later push of an element wins.
    #[default]
    Replace = 0,
    /// Differences add up.
    Sum = 1,
    /// The smallest stays.
    Min = 2,
    /// The largest stays.
    Max = 3,
    /// Bitwise and, for integers.
    And = 4,
    /// Bitwise or, for integers.
    Or = 5,
    /// Bits that changed are flipped, for integers.
    Xor = 6,
}

/// What a value of `T`s is made as; [`Options::open`] makes it unless it is there. One that is
/// there and was made otherwise is an error ([`faaslet_abi::Status::Changed`]).
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct Options<T> {
    pub(super) key: String,
    pub(super) spec: Spec,
    /// Length that a new value gets, in bytes.
    pub(super) len: Option<u64>,
    element: PhantomData<T>,
}

impl<T: Element> Options<T> {
    pub(super) fn new(key: impl Into<String>) -> Self {
        let spec = Spec { quota_bytes: DEFAULT_QUOTA_BYTES, element: T::NUMBER, ..Spec::default() };
        Self { key: key.into(), spec, len: None, element: PhantomData }
    }

    /// How changes are merged; [`Rule::Replace`] unless it is said.
    pub fn rule(mut self, rule: Rule) -> Self {
        self.spec.rule = rule as u8;
        self
    }

    /// Every push is acknowledged once it survives the loss of power.
    pub fn durable(mut self) -> Self {
        self.spec.durability = 1;
        self
    }

    /// Makes the value anew, empty, if its owner has lost it.
    pub fn renew(mut self) -> Self {
        self.spec.flags |= RENEW;
        self
    }

    /// Keeps at least so many versions, and all that are younger than `age_s` seconds.
    pub fn keep(mut self, versions: u32, age_s: u32) -> Self {
        self.spec.keep_versions = versions;
        self.spec.keep_age_s = age_s;
        self
    }

    /// At least so many elements: a shorter value grows to it, with zeros.
    pub fn len(mut self, elements: usize) -> Self {
        self.len = Some(elements as u64 * size_of::<T>() as u64);
        self
    }

    /// At most so many elements, ever; 256 MiB of them unless it is said.
    pub fn max_len(mut self, elements: u64) -> Self {
        self.spec.quota_bytes = elements.saturating_mul(size_of::<T>() as u64);
        self
    }

    /// Opens the value, and makes it if there is none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(&self) -> Result<Vector<T>, StateError> {
        self.value().map(Vector::of)
    }

    pub(super) fn value(&self) -> Result<Value, StateError> {
        let value = Value::open(&self.key, Some(&self.spec))?;
        if let Some(len) = self.len {
            value.grow(len)?;
        }
        Ok(value)
    }
}

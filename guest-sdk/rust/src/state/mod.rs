//! State: values of the tenant that outlive calls, shared by functions.
//!
//! A value is an array of numbers or bytes under a key. What is mapped or read lies in memory of
//! this host that all its functions share; [`Vector::pull`] brings what other hosts pushed,
//! [`Vector::push`] sends what this one changed. How two hosts' changes are merged is the value's
//! [`Rule`].
//!
//! ```
//! use faaslet::state::{Rule, Vector};
//!
//! #[faaslet::main]
//! fn train(gradients: Vec<f32>) -> Result<f32, faaslet::Error> {
//!     let weights = Vector::<f32>::named("weights").rule(Rule::Sum).len(1 << 16).open()?;
//!     let mapped = weights.map()?;
//!     for (at, gradient) in gradients.iter().enumerate() {
//!         mapped.set(at, mapped.get(at) - 0.1 * gradient);
//!     }
//!     weights.push()?;
//!     Ok(mapped.get(0))
//! }
//! # fn main() {
//! # use faaslet::test::Call;
//! # assert_eq!(Call::new().json(&[10.0]).run(faaslet_main).returned(), Ok(-1.0));
//! # }
//! ```
//!
//! | type | is | merged by |
//! | --- | --- | --- |
//! | [`Bytes`] | bytes | `replace`, byte by byte |
//! | [`Vector`] | numbers of one type | any rule |
//! | [`Matrix`] | a vector in rows | any rule |
//! | [`SparseMatrix`] | compressed rows, written once | nothing: it does not change |
//! | [`Counter`] | one number | `sum` |
//! | [`Log`] | records, appended in one order for all hosts | the owner's order |
//! | [`Map`] | a value for each name | compare and set |
//! | [`Cell`] | one value of any type with serde's traits | compare and set |
//!
//! # Locks
//!
//! [`Vector::lock`] and its siblings give a [`Guard`]. Dropped, it gives the lock back; a global
//! write lock takes back what was written under it and not pushed, so end with [`Guard::push`].

mod bytes;
mod cell;
mod counter;
mod error;
mod guard;
mod log;
mod map;
mod mapped;
mod matrix;
mod options;
mod sparse;
mod value;
mod vector;

pub use bytes::Bytes;
pub use cell::Cell;
pub use counter::Counter;
pub use error::StateError;
pub use faaslet_abi::state::{Lock, Version};
pub use guard::Guard;
pub use log::Log;
pub use map::Map;
pub use mapped::Mapped;
pub use matrix::Matrix;
pub use options::{Options, Rule};
pub use sparse::{Rows, SparseMatrix};
pub use vector::{Snapshot, Vector};

pub use crate::sys::element::Element;
use crate::sys::state as sys;

/// The keys of the tenant's values that begin with `prefix`, in order.
///
/// # Errors
/// See [`StateError`].
pub fn keys(prefix: &str) -> Result<Vec<String>, StateError> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let after = keys.last().map_or("", String::as_str);
        let names = sys::list(prefix, after).map_err(|status| StateError::new(prefix, status))?;
        let mut rest = names.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
            let (name, tail) = tail.split_at(length);
            keys.push(String::from_utf8_lossy(name).into_owned());
            rest = tail;
        }
        if names.is_empty() {
            return Ok(keys);
        }
    }
}

/// Deletes a value.
///
/// # Errors
/// See [`StateError`].
pub fn delete(key: &str) -> Result<(), StateError> {
    sys::delete(key).map_err(|status| StateError::new(key, status))
}

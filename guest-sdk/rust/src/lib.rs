//! Write functions for faaslet in Rust.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Person {
//!     name: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Greeting {
//!     text: String,
//! }
//!
//! #[faaslet::main]
//! fn greet(person: Person) -> Result<Greeting, faaslet::Error> {
//!     if person.name.is_empty() {
//!         return Err(faaslet::Error::new("expected a name, found an empty one"));
//!     }
//!     faaslet::info!("greeting {}", person.name);
//!     Ok(Greeting { text: format!("Hello, {}!", person.name) })
//! }
//! # fn main() {}
//! ```
//!
//! # Input and output
//!
//! A function takes one input or none, and returns a value or a `Result`. Any type with serde's
//! traits is JSON; [`Raw`] is bytes as they are, [`Text`] is text as it is; [`Request`] and
//! [`Response`] are HTTP. The text of an `Err` reaches the caller as the failure's message. A panic
//! reaches it as a trap, and its message is in the log.
//!
//! # State of the image
//!
//! Every call runs in a fork of the image that was taken after `#[faaslet::init]`, and is thrown
//! away afterwards: what a call writes, no other call sees. What is costly to make, make once:
//!
//! ```
//! use std::sync::LazyLock;
//!
//! static WORDS: LazyLock<Vec<String>> =
//!     LazyLock::new(|| include_str!("lib.rs").split_whitespace().map(String::from).collect());
//!
//! #[faaslet::init]
//! fn init() {
//!     LazyLock::force(&WORDS);
//! }
//!
//! #[faaslet::main]
//! fn count() -> usize {
//!     WORDS.len()
//! }
//! # fn main() {}
//! ```
//!
//! A generator of random numbers that is seeded there is part of the image as well: it gives every
//! call the same numbers, unless a function marked `#[faaslet::after_restore]` seeds it anew.
//!
//! # Calling other functions
//!
//! [`chain`] calls a function of the same tenant, [`chain_fn`] a function of this module, both
//! without an async runtime; [`Chained`] is the call under way.
//!
//! # Tests on your own machine
//!
//! A function is plain Rust and builds for your own machine too, where the module `test` takes the
//! host's place: `cargo test` is all it needs.

mod chain;
mod codec;
#[doc(hidden)]
pub mod entry;
mod error;
mod http;
mod identity;
mod log;
pub mod state;
mod sys;
#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use chain::{ChainError, Chained, chain, chain_export, chain_fn, join_all};
pub use codec::{Decode, DecodeError, Encode, EncodeError, Raw, Text};
pub use error::Error;
pub use faaslet_abi::{Level, Status};
pub use faaslet_macros::{after_restore, function, init, main, warm};
pub use http::{Request, Response};
pub use identity::{CallId, Identity, identity};
pub use log::log;

/// The functions in the documents are ones.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../README.md")]
    struct Guide;
    #[doc = include_str!("../../STATE.md")]
    struct State;
}

//! Tests of functions on your own machine, with plain `cargo test`.
//!
//! `#[faaslet::main]` makes, beside your function, the entry `faaslet_main` that the host calls;
//! a test calls it in the same way.
//!
//! ```
//! #[faaslet::main]
//! fn double(number: u64) -> Result<u64, faaslet::Error> {
//!     let factor: u64 = faaslet::chain("factor", "double")?.wait()?;
//!     faaslet::info!("times {factor}");
//!     number.checked_mul(factor).ok_or(faaslet::Error::new("too large"))
//! }
//!
//! # fn main() {
//! use faaslet::test::Call;
//!
//! let call = Call::new().stub("factor", |_of: String| Ok(2_u64));
//! let answer = call.json(&21).run(faaslet_main);
//! assert_eq!(answer.returned(), Ok(42));
//! assert_eq!(answer.logs(), ["times 2"]);
//!
//! let answer = call.json(&u64::MAX).run(faaslet_main);
//! assert_eq!(answer.failure(), Some("too large"));
//! # }
//! ```
//!
//! Functions of the module that are called with [`crate::chain_fn`] run as they are; those of
//! [`crate::chain_export`] are named with [`Call::export`]. All chained calls run when they are
//! started, in the memory of the test: it does not show when a function wrongly relies on memory
//! that a fork would not share. Call your own `init()` first if the function needs what it makes;
//! statics keep their values from one test to the next.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::resume_unwind;
use std::rc::Rc;

use faaslet_abi::{Identity, Level, Outcome, Status};

use crate::codec::{Decode, Encode};
use crate::entry::Entry;
use crate::sys::native::{Context, Stub, World, run};
use crate::{ChainError, DecodeError};

/// A call to make, with everything that the host would give it.
#[derive(Clone)]
pub struct Call {
    input: Vec<u8>,
    request: Option<String>,
    tenant: String,
    function: String,
    attempt: u32,
    stubs: HashMap<String, Stub>,
    exports: HashMap<String, Entry>,
}

/// How a call ended, and what it left behind.
#[derive(Clone, Debug)]
pub struct Answer {
    output: Result<Vec<u8>, String>,
    status: Option<u16>,
    headers: Vec<(String, String)>,
    logs: Vec<(Level, String)>,
}

impl Default for Call {
    fn default() -> Self {
        Self::new()
    }
}

impl Call {
    /// A call without input, of the function `function` of the tenant `tenant`.
    pub fn new() -> Self {
        Self {
            input: Vec::new(),
            request: None,
            tenant: "tenant".to_owned(),
            function: "function".to_owned(),
            attempt: 1,
            stubs: HashMap::new(),
            exports: HashMap::new(),
        }
    }

    /// The same with these bytes as its input.
    #[must_use]
    pub fn input(&self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { input: bytes.into(), ..self.clone() }
    }

    /// The same with this value as its input, as JSON.
    ///
    /// # Panics
    /// When it cannot be written as JSON.
    #[must_use]
    pub fn json(&self, value: &(impl Encode + ?Sized)) -> Self {
        match value.encode() {
            Ok(bytes) => self.input(bytes),
            Err(error) => panic!("the input of the test: {error}"),
        }
    }

    /// The same as an HTTP request: `.request("GET", "/picture?width=20")`.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Self {
        Self { request: Some(format!("{method} {target}\r\n")), ..self.clone() }
    }

    /// The same with one header more in its HTTP request.
    #[must_use]
    pub fn header(&self, name: &str, value: &str) -> Self {
        let head = self.request.as_deref().unwrap_or("POST /\r\n");
        Self { request: Some(format!("{head}{name}: {value}\r\n")), ..self.clone() }
    }

    /// The same as another function of another tenant, as [`crate::identity`] shows it.
    #[must_use]
    pub fn named(&self, tenant: &str, function: &str) -> Self {
        Self { tenant: tenant.to_owned(), function: function.to_owned(), ..self.clone() }
    }

    /// The same as a later attempt.
    #[must_use]
    pub fn attempt(&self, attempt: u32) -> Self {
        Self { attempt, ..self.clone() }
    }

    /// The same with `stub` in the place of the function `name` that it chains. An `Err` is how
    /// the chained call ends.
    #[must_use]
    pub fn stub<I: Decode, O: Encode>(
        &self,
        name: &str,
        stub: impl Fn(I) -> Result<O, ChainError> + 'static,
    ) -> Self {
        let mut with_stub = self.clone();
        with_stub.stubs.insert(name.to_owned(), Rc::new(move |input| outcome_of(&stub, input)));
        with_stub
    }

    /// The same with this entry of the module under its exported name, for
    /// [`crate::chain_export`]: `.export("part", part_entry)`.
    #[must_use]
    pub fn export(&self, name: &str, entry: Entry) -> Self {
        let mut with_export = self.clone();
        with_export.exports.insert(name.to_owned(), entry);
        with_export
    }

    /// Makes the call. A panic of the function is one of the test.
    pub fn run(&self, entry: Entry) -> Answer {
        let world = Rc::new(RefCell::new(World::new(self.stubs.clone(), self.exports.clone())));
        let context = Context {
            input: self.input.clone(),
            head: self.request.clone().unwrap_or_default().into_bytes(),
            tenant: self.tenant.clone(),
            function: self.function.clone(),
            identity: Identity { call_id: [0; 16], attempt: self.attempt, depth: 0 },
            world: Rc::clone(&world),
            ..Context::default()
        };
        let (returned, context) = run(context, entry);
        let output = match returned {
            Ok(0) => Ok(context.output),
            Ok(_) => Err(context.error),
            Err(panic) => resume_unwind(panic),
        };
        let logs = std::mem::take(&mut world.borrow_mut().logs);
        Answer { output, status: context.status, headers: context.headers, logs }
    }
}

/// How a stub ends, in the terms of the host.
fn outcome_of<I: Decode, O: Encode>(
    stub: &impl Fn(I) -> Result<O, ChainError>,
    input: &[u8],
) -> Result<(Outcome, Vec<u8>), Status> {
    let output = I::decode(input.to_vec())
        .map_err(|error| ChainError::Failed(format!("bad input: {error}")))
        .and_then(stub)
        .and_then(|output| Ok(output.encode()?.into_owned()));
    match output {
        Ok(bytes) => Ok((Outcome::Returned, bytes)),
        Err(ChainError::Failed(message)) => Ok((Outcome::Failed, message.into_bytes())),
        Err(ChainError::Trapped(trace)) => Ok((Outcome::Trapped, trace.into_bytes())),
        Err(ChainError::TimedOut) => Ok((Outcome::TimedOut, Vec::new())),
        Err(ChainError::Refused(message)) => Ok((Outcome::Refused, message.into_bytes())),
        Err(ChainError::Lost) => Ok((Outcome::Lost, Vec::new())),
        Err(ChainError::Status(status)) => Err(status),
        Err(error) => Ok((Outcome::Failed, error.to_string().into_bytes())),
    }
}

impl Answer {
    /// What the function returned, or the message of its failure.
    ///
    /// # Panics
    /// When the output is not a `T`.
    pub fn returned<T: Decode>(&self) -> Result<T, String> {
        let bytes = self.output.clone()?;
        let value: Result<T, DecodeError> = T::decode(bytes);
        Ok(value.unwrap_or_else(|error| panic!("the output of the function: {error}")))
    }

    /// The bytes of the output; none after a failure.
    pub fn output(&self) -> &[u8] {
        self.output.as_deref().unwrap_or_default()
    }

    /// The message of the failure.
    pub fn failure(&self) -> Option<&str> {
        self.output.as_ref().err().map(String::as_str)
    }

    /// The status of the HTTP response, when the function set one.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The value of the first header `name` of the HTTP response, in capitals or not.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// The lines of the log, of chained functions of this module too.
    pub fn logs(&self) -> Vec<&str> {
        self.logs.iter().map(|(_, line)| line.as_str()).collect()
    }

    /// The lines of the log with this level.
    pub fn logs_of(&self, level: Level) -> Vec<&str> {
        let lines = self.logs.iter().filter(|(of, _)| *of == level);
        lines.map(|(_, line)| line.as_str()).collect()
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stubs: Vec<_> = self.stubs.keys().collect();
        f.debug_struct("Call")
            .field("input", &String::from_utf8_lossy(&self.input))
            .field("request", &self.request)
            .field("stubs", &stubs)
            .finish_non_exhaustive()
    }
}

//! What the attributes expand to calls of. Not for use by hand: it may change with any version.

use std::fmt::Display;

use faaslet_abi::Level;

use crate::codec::{Decode, Encode};
use crate::http::{Request, Response};
use crate::sys;

/// An entry of a module, as the host calls it: 0 is success.
pub type Entry = extern "C-unwind" fn() -> i32;

/// What an entry returns when the function failed.
const FAILED: i32 = 1;

/// What a function can take.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the input of a function",
    label = "not an input",
    note = "derive `serde::Deserialize` for it to have it from JSON, or use `faaslet::Raw`, `faaslet::Text` or `faaslet::Request`",
    note = "it must own what it holds: `String`, not `&str`"
)]
pub trait Input: Sized {
    /// The input of this call.
    fn take() -> Result<Self, String>;
}

/// What a function can answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the output of a function",
    label = "not an output",
    note = "derive `serde::Serialize` for it to have it as JSON, or use `faaslet::Raw`, `faaslet::Text` or `faaslet::Response`"
)]
pub trait Output {
    /// Makes it this call's output.
    fn give(self) -> Result<(), String>;
}

impl<T: Decode> Input for T {
    fn take() -> Result<Self, String> {
        T::decode(sys::input()).map_err(|error| format!("bad input: {error}"))
    }
}

impl Input for Request {
    fn take() -> Result<Self, String> {
        Request::parse(&sys::request_head(), sys::input())
    }
}

impl<T: Encode> Output for T {
    fn give(self) -> Result<(), String> {
        let bytes = self.encode().map_err(|error| error.to_string())?;
        if let Some(content_type) = T::CONTENT_TYPE
            && !bytes.is_empty()
            && sys::has_request()
        {
            sys::add_header("content-type", content_type).map_err(|status| {
                format!("expected a response with a content type: {}", sys::text(status))
            })?;
        }
        give_bytes(&bytes)
    }
}

impl Output for Response {
    fn give(self) -> Result<(), String> {
        self.send_head()?;
        give_bytes(&self.body)
    }
}

fn give_bytes(bytes: &[u8]) -> Result<(), String> {
    sys::set_output(bytes).map_err(|status| {
        format!("an output of {} bytes was refused: {}", bytes.len(), sys::text(status))
    })
}

/// Runs a function as an entry.
pub fn answer(function: impl FnOnce() -> Result<(), String>) -> i32 {
    match function() {
        Ok(()) => 0,
        Err(message) => {
            sys::set_error(&message);
            FAILED
        }
    }
}

/// Tells a function that returns a `Result` from one that does not, for any name of the type:
/// `(&value).kind().finish(value)` finds this trait before the next one.
pub trait KindOfResult {
    /// How to finish it.
    fn kind(&self) -> Fallible {
        Fallible
    }
}

/// As [`KindOfResult`], for all other types.
pub trait KindOfValue {
    /// How to finish it.
    fn kind(&self) -> Infallible {
        Infallible
    }
}

impl<T, E> KindOfResult for Result<T, E> {}
impl<T> KindOfValue for &T {}

/// Finishes functions that return a `Result`.
#[derive(Debug)]
pub struct Fallible;

/// Finishes functions that return a value.
#[derive(Debug)]
pub struct Infallible;

impl Fallible {
    /// Answers, or says why not.
    pub fn finish<T: Output, E: Display>(self, returned: Result<T, E>) -> Result<(), String> {
        returned.map_err(|error| format!("{error:#}"))?.give()
    }

    /// Ends a hook.
    pub fn end<E: Display>(self, name: &str, returned: Result<(), E>) {
        if let Err(error) = returned {
            panic!("{name} failed: {error:#}");
        }
    }
}

impl Infallible {
    /// Answers.
    pub fn finish<T: Output>(self, returned: T) -> Result<(), String> {
        returned.give()
    }

    /// Ends a hook.
    pub fn end(self, _name: &str, (): ()) {}
}

/// Runs once, before everything else: constructors, the panic hook, and room in the heap.
pub fn start(headroom_bytes: usize) {
    sys::call_constructors();
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a value that is not text");
        match panic.location() {
            Some(place) => sys::log(Level::Error, &format!("panicked at {place}: {message}")),
            None => sys::log(Level::Error, &format!("panicked: {message}")),
        }
    }));
    leave_headroom(headroom_bytes);
}

/// Makes the heap grow now, so that calls rarely grow it.
fn leave_headroom(bytes: usize) {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
}

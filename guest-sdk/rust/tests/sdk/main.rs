//! The SDK as an author uses it: through the attributes, on the native stand-in for the host.
#![allow(clippy::unwrap_used)]
// An entry owns its input, and shows how it answers, whether it needs to or not.
#![allow(clippy::needless_pass_by_value, clippy::unnecessary_wraps)]

mod chaining;
mod http;
mod imports;
mod io;
mod state;

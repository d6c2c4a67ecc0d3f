//! The SDK as an author uses it: through the attributes, on the native stand-in for the host.

mod chaining;
mod http;
mod imports;
mod io;

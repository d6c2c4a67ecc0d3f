//! What one Faaslet may use. Each limit has a default, and hitting it is an error that names it.

use serde::{Deserialize, Serialize};

/// Longest name of a function or tenant, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// Workers of a cell for forks of images that are not whole: a page that is not here stops the whole
/// thread that meets it, and these stop nobody else. So many pages are asked for at a time.
pub const FILLING_WORKERS: usize = 4;

/// Longest log line; the rest of it is cut.
pub const MAX_LOG_LINE_BYTES: usize = 4 * 1024;

/// Log lines kept for one call until the worker takes them.
pub const MAX_LOG_LINES: usize = 256;

/// Chained calls that one call may have open.
pub const MAX_OPEN_CHAINS: usize = 1024;

/// Response headers that a function may set, all together.
pub const MAX_RESPONSE_HEAD_BYTES: usize = 16 * 1024;

/// Longest message of a failure.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// Limits of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Linear memory.
    pub memory_bytes: usize,
    /// Output of a call.
    pub output_bytes: usize,
    /// Results of chained calls that one call holds at the same time.
    pub result_bytes: usize,
    /// Calls of this function that run at the same time on a host; at least 1.
    pub concurrency: usize,
    /// Length of a chain of calls.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            output_bytes: 64 << 20,
            result_bytes: 128 << 20,
            concurrency: 1024,
            depth: 64,
        }
    }
}

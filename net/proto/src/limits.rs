//! Every bound of the protocol, by name.

use std::time::Duration;

/// Largest input or output of one call.
pub const MAX_CALL_BYTES: u64 = 64 << 20;
/// Largest piece of an input or output in one frame; what is larger goes in several frames.
pub const MAX_FRAGMENT_BYTES: usize = 32 << 10;
/// Largest head of a frame.
pub const MAX_HEAD_BYTES: usize = 1 << 10;
/// Longest name of a function.
pub const MAX_NAME_BYTES: usize = 256;
/// Longest key of a value of state.
pub const MAX_KEY_BYTES: usize = 512;
/// Most bytes of a value in one answer.
pub const MAX_READ_BYTES: u64 = 8 << 20;
/// Longest credential in a hello.
pub const MAX_TOKEN_BYTES: usize = 512;
/// Longest sentence that goes with a refusal, a farewell or the end of a connection.
pub const MAX_REASON_BYTES: usize = 512;
/// Most bytes of small frames gathered before they are handed to the transport.
pub const MAX_BATCH_BYTES: usize = 32 << 10;
/// Payloads up to this size are copied beside their head instead of queued by reference.
pub const MAX_COPIED_BYTES: usize = 1 << 10;

/// What a server grants one connection; told to the client in the welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that have no reply yet.
    pub max_in_flight: u32,
    /// Largest input of one call.
    pub max_input_bytes: u64,
    /// Largest output of one call.
    pub max_output_bytes: u64,
    /// Inputs of the calls that have no reply yet, together.
    pub max_inputs_bytes: u64,
    /// Replies that the client has not read yet, together.
    pub max_unread_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_in_flight: 1024,
            max_input_bytes: MAX_CALL_BYTES,
            max_output_bytes: MAX_CALL_BYTES,
            max_inputs_bytes: 2 * MAX_CALL_BYTES,
            max_unread_bytes: 2 * MAX_CALL_BYTES,
        }
    }
}

/// How long each end waits for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the other end's half of the greeting.
    pub greeting: Duration,
    /// For progress of what was begun: the rest of a frame or an input, or the reading of replies.
    pub stall: Duration,
    /// For anything at all, while no call is in flight.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(5),
            stall: Duration::from_secs(30),
            idle: Duration::from_mins(10),
        }
    }
}

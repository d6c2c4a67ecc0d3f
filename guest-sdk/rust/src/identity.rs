//! Who a call is.

use std::fmt;

use crate::sys;

/// Who a call is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The tenant that the function belongs to.
    pub tenant: String,
    /// The function's name.
    pub function: String,
    /// The call, as the log and the caller name it.
    pub call_id: CallId,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How many calls lie between this one and the one from outside.
    pub depth: u32,
}

/// The id of a call, unique over all hosts; shown as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub [u8; 16]);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Who this call is.
pub fn identity() -> Identity {
    let faaslet_abi::Identity { call_id, attempt, depth } = sys::identity();
    Identity {
        tenant: sys::tenant(),
        function: sys::function(),
        call_id: CallId(call_id),
        attempt,
        depth,
    }
}

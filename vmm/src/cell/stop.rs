//! Why a Faaslet stopped before its entry returned, as host functions and the epoch tell it.

/// Raised as a trap by the host side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The call's deadline passed.
    #[error("the call's deadline passed")]
    Deadline,
    /// The same, while it waited for something of others.
    #[error("the call's deadline passed while it waited: {0}")]
    Late(String),
    /// The caller is gone or asked to stop.
    #[error("the call was cancelled")]
    Cancelled,
    /// A page of the image could not be had.
    #[error(
        "a page of its image could not be had from any source; nothing of this call counts; the \
         monitor's log says why; try again when a host that has the image is up"
    )]
    Lost,
    /// `proc_exit` of WASI.
    #[error("exit with status {0}")]
    Exit(u32),
}

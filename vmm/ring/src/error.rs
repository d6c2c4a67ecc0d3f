//! What can go wrong, one enum per operation.

use std::io;

/// A peer broke the rules of the ring. Final: the ring answers nothing else from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An index went back, passed the ring's content, or was not a multiple of 8.
    #[error(
        "the peer set the ring's {which} index to {found}, expected a multiple of 8 between {low} \
         and {high}: end the cell and start it anew"
    )]
    Index {
        /// `head` or `tail`.
        which: &'static str,
        /// What was found.
        found: u64,
        /// The smallest index that would have been right.
        low: u64,
        /// The largest one.
        high: u64,
    },
    /// A record's header has bits that mean nothing.
    #[error(
        "the peer wrote the record header {found:#018x}, of which only the low 33 bits may be set: \
         end the cell and start it anew"
    )]
    Header {
        /// What was found.
        found: u64,
    },
    /// A record claims more bytes than were announced, or than a record may have.
    #[error(
        "the peer wrote a record of {length} bytes where at most {available} were announced: end \
         the cell and start it anew"
    )]
    Truncated {
        /// Length in the header.
        length: u64,
        /// Most that could be there.
        available: u64,
    },
    /// A fragment that is not the last of its message is not full, so a message could go on for
    /// ever.
    #[error(
        "the peer wrote a fragment of {length} bytes, expected {expected} in every fragment but \
         the last: end the cell and start it anew"
    )]
    Fragment {
        /// Length in the header.
        length: u64,
        /// Length of a full fragment in this ring.
        expected: u64,
    },
    /// A message went over [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES).
    #[error("the peer sent a message of more than {max} bytes: end the cell and start it anew")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// The bell rang more often than there was news: the peer tries to keep us busy.
    #[error(
        "the peer rang the bell {rung} times, expected at most {expected} for what it sent: end \
         the cell and start it anew"
    )]
    Bell {
        /// Rings so far.
        rung: u64,
        /// Most that the news so far can explain.
        expected: u64,
    },
}

/// [`MonitorEnd::create`](crate::MonitorEnd::create) failed.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The capacity is not one a ring can have.
    #[error(
        "a ring of {found} bytes was asked for, expected a power of two between {min} and {max}: \
         use the default"
    )]
    Capacity {
        /// What was asked for.
        found: usize,
        /// The smallest.
        min: usize,
        /// The largest.
        max: usize,
    },
    /// The kernel refused.
    #[error("cannot {what} for a ring: {source}; check the limits of memory and open files")]
    Os {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// [`CellEnd::attach`](crate::CellEnd::attach) refused what it was given.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The memory is not a memfd whose size is fixed.
    #[error(
        "the ring's memory has the seals {found:#x}, expected at least {expected:#x} (shrink, \
         grow, seal): hand over the descriptors that creating the ring gave"
    )]
    Seals {
        /// Seals found, as in `F_GET_SEALS`; -1 if it can have none.
        found: i32,
        /// Seals needed.
        expected: i32,
    },
    /// The memory has a size that no ring has.
    #[error(
        "the ring's memory has {found} bytes, expected 4096 + 2 × a power of two between {min} and \
         {max}: hand over the descriptors that creating the ring gave"
    )]
    Size {
        /// Size found.
        found: u64,
        /// Smallest capacity.
        min: usize,
        /// Largest capacity.
        max: usize,
    },
    /// The kernel refused.
    #[error("cannot {what} a ring: {source}; check the limits of memory and open files")]
    Os {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// A message was not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Longer than any message may be.
    #[error("a message of {bytes} bytes is over the limit of {max}: send less")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The peer takes nothing and the backlog is full.
    #[error(
        "the peer left {waiting} bytes untaken and {bytes} more pass the limit of {max}: try again \
         when it makes room, or give it up"
    )]
    Full {
        /// Bytes in the backlog.
        waiting: usize,
        /// Bytes of this message.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The peer broke the rules.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// [`CellEnd::wait`](crate::CellEnd::wait) failed.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The peer broke the rules.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The futex call failed, which a seccomp filter without `futex` would cause.
    #[error("cannot wait for the ring: {0}; allow the futex system call")]
    Os(#[from] io::Error),
}

/// [`Bell::take`](crate::Bell::take) or [`AsyncBell::rung`](crate::AsyncBell::rung) failed.
#[derive(Debug, thiserror::Error)]
pub enum BellError {
    /// The cell rings without news.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The eventfd cannot be read or registered.
    #[error("cannot use the bell of a ring: {0}; end the cell and start it anew")]
    Os(#[from] io::Error),
}

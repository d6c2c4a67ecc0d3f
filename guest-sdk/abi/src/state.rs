//! State: values of the tenant that functions read, write, map, push and pull.
//!
//! A value is opened by its key and then known by a handle of this call. Offsets and lengths of
//! values are 64-bit; those of guest memory 32-bit. A call that may have to ask another host holds
//! no thread while it waits, and waits at most until the call's deadline.

/// Names of the host calls for state, with their signatures as a guest sees them.
pub mod import {
    /// `(key: i32, key_len: i32, spec: i32) -> i32`: opens a value and returns a handle. `spec`
    /// points to a [`super::Spec`] to make the value if there is none, or is 0 for one that must
    /// be there.
    pub const OPEN: &str = "state_open";
    /// `(handle: i32) -> i32`: forgets a handle; what it mapped stays mapped.
    pub const CLOSE: &str = "state_close";
    /// `(handle: i32, out: i32) -> i32`: fills a [`super::Stat`]; as far as this host knows.
    pub const STAT: &str = "state_stat";
    /// `(handle: i32, offset: i64, ptr: i32, len: i32) -> i32`: copies bytes of the value out,
    /// pulling absent chunks first; returns how many, fewer at the end of the value.
    pub const READ: &str = "state_read";
    /// `(handle: i32, offset: i64, ptr: i32, len: i32) -> i32`: copies bytes into the value on this
    /// host; it grows here to hold them, and at the owner with the next push.
    pub const WRITE: &str = "state_write";
    /// `(handle: i32, offset: i64, ptr: i32, len: i32) -> i32`: merges whole elements into the
    /// value on this host by its rule, each atomically (`sum` adds, `min` takes the smaller one,
    /// `replace` stores, and so on); it grows as with [`WRITE`].
    pub const MERGE: &str = "state_merge";
    /// `(handle: i32, offset: i64, len: i32, mode: i32, out: i32) -> i32`: maps bytes of the value
    /// into memory, pulling absent chunks first, and writes the address (u32) of the byte at
    /// `offset` to `out`. `mode` is a [`super::MapMode`].
    pub const MAP: &str = "state_map";
    /// `(addr: i32) -> i32`: unmaps what was mapped at this address.
    pub const UNMAP: &str = "state_unmap";
    /// `(handle: i32, offset: i64, len: i64) -> i32`: brings newer chunks of a range; a negative
    /// `len` means to the end.
    pub const PULL: &str = "state_pull";
    /// `(handle: i32, offset: i64, len: i64, expected: i32, out: i32) -> i32`: sends what changed
    /// in a range. `expected` points to a [`super::Version`] that must be the newest, or is 0;
    /// the new version is written to `out` unless that is 0.
    pub const PUSH: &str = "state_push";
    /// `(handle: i32, len: i64) -> i32`: sets the length, here and at the owner.
    pub const RESIZE: &str = "state_resize";
    /// `(handle: i32, ptr: i32, len: i32, out: i32) -> i32`: appends at the owner; the position
    /// (u64) is written to `out` unless that is 0.
    pub const APPEND: &str = "state_append";
    /// `(handle: i32, kind: i32, timeout_ms: i64) -> i32`: takes a lock ([`super::Lock`]); 1 when
    /// the last writer abandoned a global lock, otherwise 0. A negative timeout waits until the
    /// call's deadline.
    pub const LOCK: &str = "state_lock";
    /// `(handle: i32, kind: i32) -> i32`: gives a lock back.
    pub const UNLOCK: &str = "state_unlock";
    /// `(key: i32, key_len: i32) -> i32`: deletes a value at its owner.
    pub const DELETE: &str = "state_delete";
    /// `(prefix: i32, prefix_len: i32, after: i32, after_len: i32, ptr: i32, len: i32) -> i32`:
    /// writes keys with a prefix, after a key, in order, each with a u16 of its length before it,
    /// as many as fit; returns the bytes written, 0 when there are no more.
    pub const LIST: &str = "state_list";
    /// `(handle: i32, version: i32) -> i32`: opens a version ([`super::Version`]; all zeros for
    /// the newest) that never changes, for reading and mapping; returns a handle.
    pub const OPEN_VERSION: &str = "state_open_version";
    /// `(handle: i32, ptr: i32, len: i32) -> i32`: writes the versions that can be opened
    /// ([`super::Version`]s, oldest first), as many as fit; returns how many there are.
    pub const VERSIONS: &str = "state_versions";
    /// `(addr: i32, expected: i32, timeout_ms: i64) -> i32`: waits until [`NOTIFY`] wakes the
    /// mapped word at `addr`, if it holds `expected`; 0 when woken, 1 when it holds another value.
    pub const WAIT: &str = "state_wait";
    /// `(addr: i32, count: i32) -> i32`: wakes at most `count` of those who wait on the mapped
    /// word at `addr`, on this host, and returns how many.
    pub const NOTIFY: &str = "state_notify";
    /// `(ptr: i32, len: i32) -> i32`: copies the text of this call's last refused state call, which
    /// names key and limit; returns its whole length.
    pub const ERROR: &str = "state_error";
    /// `(handle: i32, len: i64) -> i32`: makes the value at least so long, here and at the owner;
    /// one that is longer there stays so.
    pub const GROW: &str = "state_grow";

    /// Every name.
    pub const ALL: &[&str] = &[
        OPEN,
        CLOSE,
        STAT,
        READ,
        WRITE,
        MERGE,
        MAP,
        UNMAP,
        PULL,
        PUSH,
        RESIZE,
        APPEND,
        LOCK,
        UNLOCK,
        DELETE,
        LIST,
        OPEN_VERSION,
        VERSIONS,
        WAIT,
        NOTIFY,
        ERROR,
        GROW,
    ];
}

/// A version of a value; all zeros is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct Version {
    /// Epoch of the shard.
    pub epoch: u64,
    /// Number within the epoch.
    pub n: u64,
}

/// What a value is made as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Spec {
    /// Largest length in bytes.
    pub quota_bytes: u64,
    /// 1 to 4 for unsigned integers of 1, 2, 4, 8 bytes, 5 to 8 for signed, 9 and 10 for floats
    /// of 4 and 8; 0 for 4.
    pub element: u8,
    /// 0 replace, 1 sum, 2 min, 3 max, 4 and, 5 or, 6 xor.
    pub rule: u8,
    /// 0 memory, 1 durable.
    pub durability: u8,
    /// Bit 0: a value that was lost is made anew.
    pub flags: u8,
    /// Newest versions that are kept; 0 for the default.
    pub keep_versions: u32,
    /// Versions younger than this are kept too, in seconds.
    pub keep_age_s: u32,
    /// Zero.
    pub reserved: u32,
}

/// [`Spec::flags`]: a value that was lost is made anew, empty.
pub const RENEW: u8 = 1;

/// A value as this host knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stat {
    /// Its length on this host, in bytes.
    pub len: u64,
    /// The newest version that this host has seen.
    pub version: Version,
    /// As it was made.
    pub spec: Spec,
}

/// How bytes of a value are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum MapMode {
    /// Stores are seen by this Faaslet alone and are never pushed: a private copy.
    Read = 0,
    /// Loads and stores go to the value itself, shared by all Faaslets of the host.
    Write = 1,
}

/// Which lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Lock {
    /// Among Faaslets of this host, shared.
    LocalRead = 0,
    /// Among Faaslets of this host, exclusive.
    LocalWrite = 1,
    /// Among all hosts, shared.
    GlobalRead = 2,
    /// Among all hosts, exclusive.
    GlobalWrite = 3,
}

impl MapMode {
    /// The mode with this number, if there is one.
    #[must_use]
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            _ => None,
        }
    }
}

impl Lock {
    /// The lock with this number, if there is one.
    #[must_use]
    pub const fn from_i32(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::LocalRead),
            1 => Some(Self::LocalWrite),
            2 => Some(Self::GlobalRead),
            3 => Some(Self::GlobalWrite),
            _ => None,
        }
    }
}

const _: () = assert!(core::mem::size_of::<Version>() == 16);
const _: () = assert!(core::mem::size_of::<Spec>() == 24);
const _: () = assert!(core::mem::size_of::<Stat>() == 48);

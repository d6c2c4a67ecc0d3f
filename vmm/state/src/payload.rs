//! Layout of the bytes beside a head: changes, chunks and names. Little-endian, without padding.
//!
//! ```text
//! changes (push)          repeated: chunk u32 │ runs u32 │ runs × (first u16, last u16) │ values
//!                         a run is elements first..=last of the chunk; values are the runs'
//!                         elements one after the other. With `sum` and `xor` they are differences.
//!                         Bytes behind the last whole element are runs of their own, see `tail`.
//! chunks (pull)           repeated: chunk u32 │ kind u8 │ version (u64, u64) │ len u32 │ body
//!                         kind 0 zeros (no body), 1 whole (len bytes), 2 changes since the
//!                         range's `since` (as above, values absolute, len bytes of them)
//! names (list)            repeated: len u16 │ UTF-8
//! ```

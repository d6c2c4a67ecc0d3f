//! Guest memory as the calls see it: copies in, copies out, and what goes wrong.
//!
//! What it is: the trait that the engine's owner implements, and typed reads and writes over it.
//! What it is not: memory. No reference into guest memory exists here, because it can be shared
//! with other Faaslets and change at any moment; a value is read once and then trusted.

use thiserror::Error;

use crate::abi::{Errno, IOVEC_BYTES};

/// A range that does not lie in the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "guest range {addr:#x}+{len:#x} is outside the guest's memory: the module passed a bad pointer"
)]
pub struct Fault {
    /// First byte of the range.
    pub addr: u32,
    /// How many bytes it has.
    pub len: u32,
}

/// The guest's memory. Implementors check every range against what the guest may touch.
pub trait GuestMemory {
    /// Whether `addr..addr + len` lies in the memory, without touching it.
    fn check(&self, addr: u32, len: u32) -> Result<(), Fault>;
    /// Copies from guest memory into `buf`.
    fn read(&self, addr: u32, buf: &mut [u8]) -> Result<(), Fault>;
    /// Copies `bytes` into guest memory.
    fn write(&self, addr: u32, bytes: &[u8]) -> Result<(), Fault>;
}

/// Why a call ends the guest instead of returning to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Trap {
    /// A bad pointer. The standard wants a trap, not an error number.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A pointer that is not a multiple of what it points to.
    #[error(
        "guest pointer {addr:#x} must be a multiple of {align}: the module passed a bad pointer"
    )]
    Misaligned {
        /// The pointer.
        addr: u32,
        /// What it must be a multiple of.
        align: u32,
    },
    /// A number or bit that the standard does not have. It wants a trap, not an error number.
    #[error("{value:#x} is no {what} of WASI preview 1: the module passed a bad argument")]
    Argument {
        /// What it should have been.
        what: &'static str,
        /// What was passed.
        value: u64,
    },
    /// `proc_exit` with a status that WASI does not have.
    #[error("exit status {0} is outside of 0..126: exit with a smaller one")]
    ExitStatus(u32),
    /// One call asked for more random bytes than a call may take.
    #[error("{len} random bytes asked for at once, at most {max} are given: ask for fewer")]
    RandomTooLarge {
        /// Bytes asked for.
        len: u32,
        /// Bytes that one call may take.
        max: u32,
    },
}

/// How a call fails: a number for the guest, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The guest is told.
    Errno(Errno),
    /// The guest ends.
    Trap(Trap),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<Trap> for Failure {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Trap(Trap::Fault(fault))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Errno(crate::errno::from_io(&error))
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::from(std::io::Error::from(error))
    }
}

/// What a call came to. [`settle`] makes it what an import returns.
pub type Call<T = ()> = Result<T, Failure>;

/// The value that the import returns to the guest, or the trap that ends it.
pub fn settle(call: Call) -> Result<i32, Trap> {
    match call {
        Ok(()) => Ok(0),
        Err(Failure::Errno(errno)) => Ok(i32::from(errno.number())),
        Err(Failure::Trap(trap)) => Err(trap),
    }
}

/// One buffer of a scattered read or a gathered write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    pub(crate) addr: u32,
    pub(crate) len: u32,
}

/// Most buffers that one call looks at.
pub(crate) const MAX_IOVECS: u32 = 65_536;
/// Most bytes that one call moves, as Wasmtime has it.
pub(crate) const MAX_TRANSFER_BYTES: u32 = 128 << 20;
/// Most bytes of a path, its end mark included, as Linux has it.
pub(crate) const MAX_PATH_BYTES: u32 = 4096;
/// Buffers read from guest memory at once.
const IOVECS_AT_ONCE: u32 = 16;

fn aligned(addr: u32, align: u32) -> Result<(), Trap> {
    if addr.is_multiple_of(align) { Ok(()) } else { Err(Trap::Misaligned { addr, align }) }
}

/// `base + index * bytes`, which a range that was checked cannot overflow.
pub(crate) fn element(base: u32, index: u32, bytes: u32) -> Result<u32, Fault> {
    let fault = Fault { addr: base, len: bytes };
    index.checked_mul(bytes).and_then(|offset| base.checked_add(offset)).ok_or(fault)
}

/// Writes `bytes`. Where there are none, the pointer may lead anywhere.
pub(crate) fn write_bytes<M: GuestMemory + ?Sized>(mem: &M, addr: u32, bytes: &[u8]) -> Call {
    if !bytes.is_empty() {
        mem.write(addr, bytes)?;
    }
    Ok(())
}

/// Whether `len` bytes can be written at `addr`, before something is done that cannot be undone.
pub(crate) fn check_bytes<M: GuestMemory + ?Sized>(mem: &M, addr: u32, len: u32) -> Call {
    if len > 0 {
        mem.check(addr, len)?;
    }
    Ok(())
}

pub(crate) fn write_u32<M: GuestMemory + ?Sized>(mem: &M, addr: u32, value: u32) -> Call {
    aligned(addr, 4)?;
    Ok(mem.write(addr, &value.to_le_bytes())?)
}

pub(crate) fn write_u64<M: GuestMemory + ?Sized>(mem: &M, addr: u32, value: u64) -> Call {
    aligned(addr, 8)?;
    Ok(mem.write(addr, &value.to_le_bytes())?)
}

/// Writes a record whose largest field has `align` bytes.
pub(crate) fn write_record<M: GuestMemory + ?Sized>(
    mem: &M,
    addr: u32,
    align: u32,
    bytes: &[u8],
) -> Call {
    aligned(addr, align)?;
    Ok(mem.write(addr, bytes)?)
}

/// Reads a record whose largest field has `align` bytes.
pub(crate) fn read_record<M: GuestMemory + ?Sized, const N: usize>(
    mem: &M,
    addr: u32,
    align: u32,
) -> Call<[u8; N]> {
    aligned(addr, align)?;
    let mut bytes = [0; N];
    mem.read(addr, &mut bytes)?;
    Ok(bytes)
}

/// The first buffer that is not empty, as Wasmtime takes only that one; an empty one if none is.
pub(crate) fn first_buffer<M: GuestMemory + ?Sized>(
    mem: &M,
    iovs: u32,
    count: u32,
) -> Call<Buffer> {
    if count > MAX_TRANSFER_BYTES / IOVEC_BYTES {
        return Err(Errno::Nomem.into());
    }
    let mut batch = [0; (IOVECS_AT_ONCE * IOVEC_BYTES) as usize];
    let mut index = 0;
    while index < count {
        if index >= MAX_IOVECS {
            return Err(Errno::Inval.into());
        }
        let many = (count - index).min(IOVECS_AT_ONCE);
        aligned(iovs, 4)?;
        let batch = &mut batch[..(many * IOVEC_BYTES) as usize];
        read_iovecs(mem, element(iovs, index, IOVEC_BYTES)?, batch)?;
        if let Some(buffer) = batch.chunks_exact(IOVEC_BYTES as usize).find_map(not_empty) {
            return bounded(buffer);
        }
        index += many;
    }
    Ok(Buffer { addr: 0, len: 0 })
}

/// Reads a batch; where its end is out of bounds, as much as is not, so that a buffer before a
/// bad one still counts.
fn read_iovecs<M: GuestMemory + ?Sized>(mem: &M, addr: u32, batch: &mut [u8]) -> Call {
    if mem.read(addr, batch).is_ok() {
        return Ok(());
    }
    batch.fill(0);
    for (index, iovec) in (0..).zip(batch.chunks_exact_mut(IOVEC_BYTES as usize)) {
        mem.read(element(addr, index, IOVEC_BYTES)?, iovec)?;
        if not_empty(iovec).is_some() {
            return Ok(());
        }
    }
    Ok(())
}

fn not_empty(iovec: &[u8]) -> Option<Buffer> {
    let (addr, len) = (le_u32(iovec, 0), le_u32(iovec, 4));
    (len > 0).then_some(Buffer { addr, len })
}

fn bounded(buffer: Buffer) -> Call<Buffer> {
    if buffer.len > MAX_TRANSFER_BYTES { Err(Errno::Nomem.into()) } else { Ok(buffer) }
}

/// A path or another text.
pub(crate) fn read_path<M: GuestMemory + ?Sized>(mem: &M, addr: u32, len: u32) -> Call<String> {
    mem.check(addr, len)?;
    if len >= MAX_PATH_BYTES {
        return Err(Errno::Nametoolong.into());
    }
    let mut bytes = vec![0; len as usize];
    mem.read(addr, &mut bytes)?;
    String::from_utf8(bytes).map_err(|_| Errno::Ilseq.into())
}

pub(crate) fn le_u32(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

pub(crate) fn le_u64(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

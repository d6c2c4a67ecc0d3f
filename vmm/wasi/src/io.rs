//! The calls that move bytes: reads, writes, and the entries of a directory.
//!
//! Guest memory is never the buffer of a system call: bytes pass through a bounded buffer of
//! ours. As in Wasmtime a call moves the first buffer that is not empty, and guests come again.

use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt as _;

use cap_std::fs::Metadata;
use rustix::io::{ReadWriteFlags, pwritev2};

use crate::Wasi;
use crate::abi::{DIRENT_BYTES, Errno};
use crate::console::{Console, Stdio};
use crate::listing::{DirEntry, Listing};
use crate::memory::{Buffer, Call, GuestMemory, check_bytes, first_buffer, write_bytes, write_u32};
use crate::table::{Descriptor, Kind};

/// Bytes that pass through our own buffer at once, and the most that one `fd_pread` reads.
const CHUNK_BYTES: u32 = 64 << 10;
/// Bytes for which that buffer is on the stack.
const SMALL_CHUNK_BYTES: usize = 512;

/// Where a read or a write takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the descriptor's own position, which moves.
    Position,
    /// At this one.
    Offset(u64),
}

#[allow(missing_docs, reason = "the names are the standard's own")]
impl<C: Console> Wasi<C> {
    pub fn fd_read<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        nread: u32,
    ) -> Call {
        self.read(mem, fd, (iovs, iovs_len), At::Position, nread)
    }

    pub fn fd_pread<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        offset: u64,
        nread: u32,
    ) -> Call {
        self.read(mem, fd, (iovs, iovs_len), At::Offset(offset), nread)
    }

    pub fn fd_write<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        nwritten: u32,
    ) -> Call {
        self.write(mem, fd, (iovs, iovs_len), At::Position, nwritten)
    }

    pub fn fd_pwrite<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        offset: u64,
        nwritten: u32,
    ) -> Call {
        self.write(mem, fd, (iovs, iovs_len), At::Offset(offset), nwritten)
    }

    pub fn fd_readdir<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        buf: u32,
        buf_len: u32,
        cookie: u64,
        used: u32,
    ) -> Call {
        let mut listing = self.listing_at(fd, cookie)?;
        check_bytes(mem, buf, buf_len)?;
        let mut done = 0;
        while done < buf_len {
            let next = listing.position() + 1;
            let Some(entry) = listing.peek()? else { break };
            let record = dirent(entry, next);
            let part = record.len().min((buf_len - done) as usize);
            mem.write(buf + done, &record[..part])?;
            done += part as u32;
            if part == record.len() {
                listing.advance();
            }
        }
        if let Some(kept) = self.listing_slot(fd) {
            *kept = Some(listing);
        }
        write_u32(mem, used, done)
    }

    fn read<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        (iovs, iovs_len): (u32, u32),
        at: At,
        nread: u32,
    ) -> Call {
        let buffer = first_buffer(mem, iovs, iovs_len)?;
        let done = match (self.kind(fd)?, at) {
            (Kind::Stdio(Stdio::Input), At::Position) => self.read_input(mem, buffer)?,
            (Kind::Stdio(Stdio::Input), At::Offset(_)) => return Err(Errno::Spipe.into()),
            (Kind::File, at) => self.read_file(mem, fd, buffer, at)?,
            _ => return Err(Errno::Badf.into()),
        };
        write_u32(mem, nread, done)
    }

    fn write<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        (iovs, iovs_len): (u32, u32),
        at: At,
        nwritten: u32,
    ) -> Call {
        let buffer = first_buffer(mem, iovs, iovs_len)?;
        let done = match (self.kind(fd)?, at) {
            (Kind::Stdio(stream @ (Stdio::Output | Stdio::Error)), At::Position) => {
                self.print(mem, stream, buffer)?
            }
            (Kind::Stdio(Stdio::Output | Stdio::Error), At::Offset(_)) => {
                return Err(Errno::Spipe.into());
            }
            (Kind::File, at) => self.write_file(mem, fd, buffer, at)?,
            _ => return Err(Errno::Badf.into()),
        };
        write_u32(mem, nwritten, done)
    }

    /// The open listing of `fd` if it stands at `cookie`, else a new one moved there.
    fn listing_at(&mut self, fd: u32, cookie: u64) -> Result<Box<Listing>, Errno> {
        let from = self.dir(fd)?;
        self.table();
        let open = self.listing_slot(fd).and_then(Option::take);
        if let Some(open) = open.filter(|open| cookie > 0 && open.position() == cookie) {
            return Ok(open);
        }
        let listing = Listing::open(from.dir);
        let mut listing = listing.map_err(|error| crate::errno::from_io(&error))?;
        listing.skip_to(cookie)?;
        Ok(Box::new(listing))
    }

    fn listing_slot(&mut self, fd: u32) -> Option<&mut Option<Box<Listing>>> {
        match self.table().get_mut(fd)? {
            Descriptor::Folder { listing, .. } => Some(listing),
            Descriptor::Dir(open) => Some(&mut open.listing),
            _ => None,
        }
    }

    fn read_input<M: GuestMemory + ?Sized>(&mut self, mem: &M, buffer: Buffer) -> Call<u32> {
        let mut chunk = vec![0; buffer.len.min(CHUNK_BYTES) as usize];
        if chunk.is_empty() {
            return Ok(0);
        }
        let len = self.console.read_input(&mut chunk)?;
        write_bytes(mem, buffer.addr, &chunk[..len])?;
        Ok(len as u32)
    }

    fn print<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        stream: Stdio,
        buffer: Buffer,
    ) -> Call<u32> {
        outgoing(mem, buffer, |bytes| self.console.print(stream, bytes).map(|()| bytes.len()))
    }

    fn read_file<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        buffer: Buffer,
        at: At,
    ) -> Call<u32> {
        let file = self.file(fd)?;
        let (start, buffer) = match at {
            At::Position => {
                mem.check(buffer.addr, buffer.len)?;
                (file.offset, buffer)
            }
            At::Offset(offset) => (offset, Buffer { len: buffer.len.min(CHUNK_BYTES), ..buffer }),
        };
        let done = incoming(mem, buffer, |chunk, done| {
            let offset = start.checked_add(u64::from(done)).ok_or(Errno::Overflow)?;
            file.file.read_at(chunk, offset).map_err(|error| crate::errno::from_io(&error))
        })?;
        if at == At::Position {
            file.offset = start.checked_add(u64::from(done)).ok_or(Errno::Overflow)?;
        }
        Ok(done)
    }

    fn write_file<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        buffer: Buffer,
        at: At,
    ) -> Call<u32> {
        let file = self.file(fd)?;
        let mut offset = match at {
            At::Position => file.offset,
            At::Offset(offset) => offset,
        };
        let append = file.mode.append;
        let host = &file.file;
        let done = outgoing(mem, buffer, |bytes| {
            let len = if append { append_to(host, bytes) } else { host.write_at(bytes, offset) };
            let len = len.map_err(|error| crate::errno::from_io(&error))?;
            offset = offset.checked_add(len as u64).ok_or(Errno::Overflow)?;
            Ok(len)
        })?;
        if at == At::Position {
            file.offset = if append { Metadata::from_file(&file.file)?.len() } else { offset };
        }
        Ok(done)
    }
}

/// Writes at the end of `file`, wherever that is by now.
fn append_to(file: &File, bytes: &[u8]) -> std::io::Result<usize> {
    Ok(pwritev2(file, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND)?)
}

/// Fills `buffer` from `source` (which is told how far it is) until that gives less than asked.
fn incoming<M: GuestMemory + ?Sized>(
    mem: &M,
    buffer: Buffer,
    mut source: impl FnMut(&mut [u8], u32) -> Result<usize, Errno>,
) -> Call<u32> {
    let mut chunk = vec![0; buffer.len.min(CHUNK_BYTES) as usize];
    let mut done = 0;
    loop {
        let many = (buffer.len - done).min(CHUNK_BYTES) as usize;
        let len = match source(&mut chunk[..many], done) {
            Ok(len) => len,
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => return Ok(done),
        };
        write_bytes(mem, buffer.addr + done, &chunk[..len])?;
        done += len as u32;
        if len < many || done == buffer.len {
            return Ok(done);
        }
    }
}

/// Hands `buffer` to `sink` until that takes less than it was given.
fn outgoing<M: GuestMemory + ?Sized>(
    mem: &M,
    buffer: Buffer,
    mut sink: impl FnMut(&[u8]) -> Result<usize, Errno>,
) -> Call<u32> {
    mem.check(buffer.addr, buffer.len)?;
    let mut small = [0; SMALL_CHUNK_BYTES];
    let mut large = Vec::new();
    let chunk = if buffer.len as usize <= SMALL_CHUNK_BYTES {
        &mut small[..buffer.len as usize]
    } else {
        large.resize(buffer.len.min(CHUNK_BYTES) as usize, 0);
        &mut large[..]
    };
    let mut done = 0;
    loop {
        let many = (buffer.len - done).min(CHUNK_BYTES) as usize;
        mem.read(buffer.addr + done, &mut chunk[..many])?;
        let len = match sink(&chunk[..many]) {
            Ok(len) => len,
            Err(errno) if done == 0 => return Err(errno.into()),
            Err(_) => return Ok(done),
        };
        done += len as u32;
        if len < many || done == buffer.len {
            return Ok(done);
        }
    }
}

/// `dirent`: next cookie at 0, inode at 8, length of the name at 16, type at 20, then the name.
fn dirent(entry: &DirEntry, next: u64) -> Vec<u8> {
    let mut record = vec![0; DIRENT_BYTES];
    record[0..8].copy_from_slice(&next.to_le_bytes());
    record[8..16].copy_from_slice(&entry.inode.to_le_bytes());
    record[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
    record[20] = entry.filetype as u8;
    record.extend_from_slice(entry.name.as_bytes());
    record
}

//! The calls that take a path.

use std::sync::Arc;

use crate::Wasi;
use crate::abi::{Errno, fdflags, oflags, rights};
use crate::arguments::{bits, follows, known_rights};
use crate::console::Console;
use crate::host::{self, Entry, How};
use crate::memory::{Call, GuestMemory, read_path, write_bytes, write_record, write_u32};
use crate::open_files::Mode;
use crate::stat::{filestat, times};
use crate::table::{Descriptor, From, Kind, OpenDir, OpenedFile};

#[allow(missing_docs, reason = "the names are the standard's own")]
#[allow(clippy::too_many_arguments, reason = "the signatures are the standard's own")]
impl<C: Console> Wasi<C> {
    pub fn path_create_directory<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Call {
        let (from, path) = self.changed(mem, fd, path, path_len)?;
        Ok(from.dir.create_dir(path)?)
    }

    pub fn path_filestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        flags: u32,
        path: u32,
        path_len: u32,
        filestat: u32,
    ) -> Call {
        let follow = follows(flags)?;
        let (from, path) = self.named(mem, fd, path, path_len)?;
        let meta =
            if follow { from.dir.metadata(path)? } else { from.dir.symlink_metadata(path)? };
        write_record(mem, filestat, 8, &self::filestat(&meta))
    }

    pub fn path_filestat_set_times<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        flags: u32,
        path: u32,
        path_len: u32,
        atim: u64,
        mtim: u64,
        fst_flags: u32,
    ) -> Call {
        let follow = follows(flags)?;
        let times = times(atim, mtim, fst_flags, self.clock.realtime_ns())?;
        let (from, path) = self.changed(mem, fd, path, path_len)?;
        Ok(host::set_times_at(&from.dir, &path, follow, times)?)
    }

    pub fn path_link<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        old_fd: u32,
        old_flags: u32,
        old_path: u32,
        old_path_len: u32,
        new_fd: u32,
        new_path: u32,
        new_path_len: u32,
    ) -> Call {
        let follow = follows(old_flags)?;
        let (old, new) = (self.dir(old_fd)?, self.dir(new_fd)?);
        let [old_path, new_path] = both(mem, [(old_path, old_path_len), (new_path, new_path_len)])?;
        old.writable()?;
        new.writable()?;
        if follow {
            return Err(Errno::Inval.into());
        }
        Ok(old.dir.hard_link(old_path, &new.dir, new_path)?)
    }

    pub fn path_open<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        dirflags: u32,
        path: u32,
        path_len: u32,
        oflags: u32,
        rights_base: u64,
        rights_inheriting: u64,
        fdflags: u32,
        opened: u32,
    ) -> Call {
        let follow = follows(dirflags)?;
        let oflags = bits("oflags", oflags, oflags::ALL)?;
        known_rights(rights_base, rights_inheriting)?;
        let fdflags = bits("fdflags", fdflags, fdflags::ALL)?;
        let path = read_path(mem, path, path_len)?;
        if self.kind(fd)? == Kind::File {
            return Err(Errno::Notdir.into());
        }
        let from = self.dir(fd)?;
        if fdflags & (fdflags::DSYNC | fdflags::RSYNC | fdflags::SYNC) != 0 {
            return Err(Errno::Notsup.into());
        }
        self.table().has_room()?;
        let mode = Mode {
            read: rights_base & rights::FD_READ != 0,
            write: rights_base & rights::FD_WRITE != 0,
            append: fdflags & fdflags::APPEND != 0,
            nonblock: fdflags & fdflags::NONBLOCK != 0,
        };
        let (entry, mode) = host::open(&from, &path, How { oflags, follow, mode })?;
        let place = self.place(fd, path)?;
        let descriptor = match entry {
            Entry::Dir(dir) => {
                Descriptor::Dir(OpenDir { dir: Arc::new(dir), place, mode, listing: None })
            }
            Entry::File(file, filetype) => {
                Descriptor::File(OpenedFile { file, filetype, place, mode, offset: 0 })
            }
        };
        let number = self.table().insert(descriptor)?;
        write_u32(mem, opened, number)
    }

    pub fn path_readlink<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        path: u32,
        path_len: u32,
        buf: u32,
        buf_len: u32,
        used: u32,
    ) -> Call {
        let (from, path) = self.named(mem, fd, path, path_len)?;
        let target = from.dir.read_link(path)?;
        let target = target.to_str().ok_or(Errno::Ilseq)?.as_bytes();
        let part = &target[..target.len().min(buf_len as usize)];
        write_bytes(mem, buf, part)?;
        write_u32(mem, used, part.len() as u32)
    }

    pub fn path_remove_directory<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Call {
        let (from, path) = self.changed(mem, fd, path, path_len)?;
        Ok(from.dir.remove_dir(path)?)
    }

    pub fn path_rename<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        old_path: u32,
        old_path_len: u32,
        new_fd: u32,
        new_path: u32,
        new_path_len: u32,
    ) -> Call {
        let (old, new) = (self.dir(fd)?, self.dir(new_fd)?);
        let [old_path, new_path] = both(mem, [(old_path, old_path_len), (new_path, new_path_len)])?;
        old.writable()?;
        new.writable()?;
        Ok(old.dir.rename(old_path, &new.dir, new_path)?)
    }

    pub fn path_symlink<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        old_path: u32,
        old_path_len: u32,
        fd: u32,
        new_path: u32,
        new_path_len: u32,
    ) -> Call {
        let from = self.dir(fd)?;
        let target = read_path(mem, old_path, old_path_len)?;
        let new_path = read_path(mem, new_path, new_path_len)?;
        from.writable()?;
        Ok(from.dir.symlink(target, new_path)?)
    }

    pub fn path_unlink_file<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Call {
        let (from, path) = self.changed(mem, fd, path, path_len)?;
        Ok(from.dir.remove_file(path)?)
    }

    /// A directory, and a path beneath it.
    fn named<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Call<(From, String)> {
        Ok((self.dir(fd)?, read_path(mem, path, path_len)?))
    }

    /// The same, for a call that changes what is beneath.
    fn changed<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Call<(From, String)> {
        let (from, path) = self.named(mem, fd, path, path_len)?;
        from.writable()?;
        Ok((from, path))
    }
}

/// Two paths, in the order in which a call has them.
fn both<M: GuestMemory + ?Sized>(mem: &M, [old, new]: [(u32, u32); 2]) -> Call<[String; 2]> {
    Ok([read_path(mem, old.0, old.1)?, read_path(mem, new.0, new.1)?])
}

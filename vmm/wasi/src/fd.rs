//! The calls on a descriptor that move no bytes: its state, its table, its metadata.

use cap_std::fs::Metadata;
use rustix::fs::{Advice, fadvise};
use std::num::NonZeroU64;

use crate::abi::{Errno, Filetype, PRESTAT_BYTES, fdflags, rights};
use crate::arguments::{bits, known_rights, number_up_to};
use crate::console::{Console, Stdio};
use crate::memory::{Call, GuestMemory, write_bytes, write_record, write_u64};
use crate::stat::{fdstat, fdstat_opened, filestat, filestat_stdio, times};
use crate::table::{Descriptor, Kind};
use crate::{Wasi, host};

/// Highest number of `advice`.
const ADVICE_MAX: u8 = 5;
/// Highest number of `whence`.
const WHENCE_MAX: u8 = 2;

#[allow(unused_variables, reason = "parameters have the names of the standard")]
#[allow(missing_docs, reason = "the names are the standard's own")]
impl<C: Console> Wasi<C> {
    pub fn fd_advise<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        offset: u64,
        len: u64,
        advice: u32,
    ) -> Call {
        let advice = match number_up_to("advice", advice, ADVICE_MAX)? {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            _ => Advice::NoReuse,
        };
        Ok(fadvise(&self.file(fd)?.file, offset, NonZeroU64::new(len), advice)?)
    }

    pub fn fd_allocate<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        offset: u64,
        len: u64,
    ) -> Call {
        self.file(fd)?;
        Err(Errno::Notsup.into())
    }

    pub fn fd_close<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32) -> Call {
        self.table().remove(fd)?;
        Ok(())
    }

    pub fn fd_datasync<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32) -> Call {
        Ok(self.file(fd)?.file.sync_data()?)
    }

    pub fn fd_sync<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32) -> Call {
        Ok(self.file(fd)?.file.sync_all()?)
    }

    pub fn fd_fdstat_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        fdstat: u32,
    ) -> Call {
        let bytes = match self.kind(fd)? {
            Kind::Stdio(stream) => {
                let base = if stream == Stdio::Input { rights::FD_READ } else { rights::FD_WRITE };
                self::fdstat(self.stdio_type(stream), 0, base, base)
            }
            Kind::Folder(_) => {
                self::fdstat(Filetype::Directory, 0, rights::FOLDER, rights::FOLDER_INHERITING)
            }
            Kind::Dir | Kind::File => match self.table().get_mut(fd) {
                Some(Descriptor::Dir(open)) => fdstat_opened(Filetype::Directory, open.mode),
                Some(Descriptor::File(open)) => fdstat_opened(open.filetype, open.mode),
                _ => return Err(Errno::Badf.into()),
            },
        };
        write_record(mem, fdstat, 8, &bytes)
    }

    pub fn fd_fdstat_set_flags<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        flags: u32,
    ) -> Call {
        let flags = bits("fdflags", flags, fdflags::ALL)?;
        let file = self.file(fd)?;
        if flags & (fdflags::DSYNC | fdflags::RSYNC | fdflags::SYNC) != 0 {
            return Err(Errno::Inval.into());
        }
        file.mode.append = flags & fdflags::APPEND != 0;
        file.mode.nonblock = flags & fdflags::NONBLOCK != 0;
        Ok(())
    }

    pub fn fd_fdstat_set_rights<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        base: u64,
        inheriting: u64,
    ) -> Call {
        known_rights(base, inheriting)?;
        match self.kind(fd)? {
            Kind::Stdio(_) => Err(Errno::Badf.into()),
            Kind::Folder(_) | Kind::Dir | Kind::File => Err(Errno::Notsup.into()),
        }
    }

    pub fn fd_filestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        filestat: u32,
    ) -> Call {
        let bytes = match self.kind(fd)? {
            Kind::Stdio(stream) => filestat_stdio(self.stdio_type(stream)),
            Kind::Folder(_) | Kind::Dir => self::filestat(&self.dir(fd)?.dir.dir_metadata()?),
            Kind::File => self::filestat(&Metadata::from_file(&self.file(fd)?.file)?),
        };
        write_record(mem, filestat, 8, &bytes)
    }

    pub fn fd_filestat_set_size<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        size: u64,
    ) -> Call {
        let file = self.file(fd)?;
        if file.place.read_only {
            return Err(Errno::Perm.into());
        }
        Ok(file.file.set_len(size)?)
    }

    pub fn fd_filestat_set_times<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        atim: u64,
        mtim: u64,
        flags: u32,
    ) -> Call {
        let times = times(atim, mtim, flags, self.clock.realtime_ns())?;
        match self.kind(fd)? {
            Kind::Stdio(_) => Err(Errno::Badf.into()),
            Kind::File => {
                let file = self.file(fd)?;
                if file.place.read_only {
                    return Err(Errno::Perm.into());
                }
                Ok(host::set_times(&file.file, times)?)
            }
            Kind::Folder(_) | Kind::Dir => {
                let from = self.dir(fd)?;
                from.writable()?;
                Ok(host::set_times(&*from.dir, times)?)
            }
        }
    }

    pub fn fd_prestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        prestat: u32,
    ) -> Call {
        let Kind::Folder(index) = self.kind(fd)? else { return Err(Errno::Badf.into()) };
        let mut bytes = [0; PRESTAT_BYTES];
        let len = self.guest_path(index)?.len() as u32;
        bytes[4..8].copy_from_slice(&len.to_le_bytes());
        write_record(mem, prestat, 4, &bytes)
    }

    pub fn fd_prestat_dir_name<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Call {
        let Kind::Folder(index) = self.kind(fd)? else { return Err(Errno::Notdir.into()) };
        let name = self.guest_path(index)?;
        if name.len() > path_len as usize {
            return Err(Errno::Nametoolong.into());
        }
        write_bytes(mem, path, name.as_bytes())
    }

    pub fn fd_renumber<M: GuestMemory + ?Sized>(&mut self, mem: &M, from: u32, to: u32) -> Call {
        Ok(self.table().renumber(from, to)?)
    }

    pub fn fd_seek<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        offset: i64,
        whence: u32,
        position: u32,
    ) -> Call {
        let whence = number_up_to("whence", whence, WHENCE_MAX)?;
        self.seekable(fd)?;
        let file = self.file(fd)?;
        let base = match whence {
            0 => 0,
            1 => file.offset,
            _ => Metadata::from_file(&file.file)?.len(),
        };
        file.offset = base.checked_add_signed(offset).ok_or(Errno::Inval)?;
        write_u64(mem, position, file.offset)
    }

    pub fn fd_tell<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, position: u32) -> Call {
        self.seekable(fd)?;
        let offset = self.file(fd)?.offset;
        write_u64(mem, position, offset)
    }

    /// A standard stream has no position.
    fn seekable(&mut self, fd: u32) -> Result<(), Errno> {
        match self.kind(fd)? {
            Kind::Stdio(_) => Err(Errno::Spipe),
            _ => Ok(()),
        }
    }

    fn stdio_type(&self, stream: Stdio) -> Filetype {
        if self.console.is_terminal(stream) { Filetype::CharacterDevice } else { Filetype::Unknown }
    }

    fn guest_path(&self, folder: u32) -> Result<&str, Errno> {
        let granted = self.config.preopens.get(folder as usize).ok_or(Errno::Badf)?;
        Ok(&granted.guest_path)
    }
}

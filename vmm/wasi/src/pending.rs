//! Not written yet.
#![allow(unused_variables, missing_docs, clippy::unused_self)]
use crate::{Call, Console, Errno, GuestMemory, Step, Trap, Wasi};

impl<C: Console> Wasi<C> {
    pub fn fd_advise<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, offset: u64, len: u64, advice: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_allocate<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, offset: u64, len: u64) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_close<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_datasync<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_fdstat_get<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, fdstat: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_fdstat_set_flags<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, flags: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_fdstat_set_rights<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, base: u64, inheriting: u64) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_filestat_get<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, filestat: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_filestat_set_size<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, size: u64) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_filestat_set_times<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, atim: u64, mtim: u64, flags: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_pread<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_prestat_get<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, prestat: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_prestat_dir_name<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, path: u32, path_len: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_pwrite<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_read<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, iovs: u32, iovs_len: u32, nread: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_readdir<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, buf: u32, buf_len: u32, cookie: u64, used: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_renumber<M: GuestMemory + ?Sized>(&mut self, mem: &M, from: u32, to: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_seek<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, offset: i64, whence: u32, position: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_sync<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_tell<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, position: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn fd_write<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, iovs: u32, iovs_len: u32, nwritten: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_create_directory<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, path: u32, path_len: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_filestat_get<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, flags: u32, path: u32, path_len: u32, filestat: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_filestat_set_times<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, flags: u32, path: u32, path_len: u32, atim: u64, mtim: u64, fst_flags: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_link<M: GuestMemory + ?Sized>(&mut self, mem: &M, old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_open<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32, rights_base: u64, rights_inheriting: u64, fdflags: u32, opened: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_readlink<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, used: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_remove_directory<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, path: u32, path_len: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_rename<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, old_path: u32, old_path_len: u32, new_fd: u32, new_path: u32, new_path_len: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_symlink<M: GuestMemory + ?Sized>(&mut self, mem: &M, old_path: u32, old_path_len: u32, fd: u32, new_path: u32, new_path_len: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn path_unlink_file<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, path: u32, path_len: u32) -> Call { Err(Errno::Notsup.into()) }
    pub fn poll_oneoff<M: GuestMemory + ?Sized>(&mut self, mem: &M, subscriptions: u32, events: u32, count: u32, nevents: u32) -> Result<Step, Trap> { Ok(Step::Done(Errno::Notsup)) }
}

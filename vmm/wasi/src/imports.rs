//! The table of the 46 imports, for whoever binds them to an engine.

/// Gives every import of WASI preview 1 to a macro: its kind, its name and its parameters with
/// their Wasm types (`u32` is `i32`, `u64` and `i64` are `i64`).
///
/// Each is a method of [`Wasi`](crate::Wasi) of that name, which takes the guest's memory first.
/// The kinds:
///
/// - `call`: returns [`Call`](crate::Call); [`settle`](crate::settle) makes it the `i32` that
///   the import returns, or a trap.
/// - `wait`: returns `Result<Step, Trap>`; a [`Step`](crate::Step) says what to wait for before the
///   import returns its `i32`.
/// - `exit`: returns `Result<Exit, Trap>`; the import returns nothing and the guest ends.
///
/// ```
/// macro_rules! count {
///     ([$total:ident] $($kind:ident $name:ident($($param:ident: $ty:ty),*);)*) => {
///         let $total = [$(stringify!($name)),*].len();
///     };
/// }
/// faaslet_wasi::for_each_import!(count, total);
/// assert_eq!(total, 46);
/// ```
#[macro_export]
macro_rules! for_each_import {
    ($callback:ident $(, $argument:tt)*) => {
        $callback! {
            [$($argument)*]
            call args_get(argv: u32, argv_buf: u32);
            call args_sizes_get(count: u32, bytes: u32);
            call environ_get(environ: u32, environ_buf: u32);
            call environ_sizes_get(count: u32, bytes: u32);
            call clock_res_get(id: u32, resolution: u32);
            call clock_time_get(id: u32, precision: u64, time: u32);
            call fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
            call fd_allocate(fd: u32, offset: u64, len: u64);
            call fd_close(fd: u32);
            call fd_datasync(fd: u32);
            call fd_fdstat_get(fd: u32, fdstat: u32);
            call fd_fdstat_set_flags(fd: u32, flags: u32);
            call fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
            call fd_filestat_get(fd: u32, filestat: u32);
            call fd_filestat_set_size(fd: u32, size: u64);
            call fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32);
            call fd_pread(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nread: u32);
            call fd_prestat_get(fd: u32, prestat: u32);
            call fd_prestat_dir_name(fd: u32, path: u32, path_len: u32);
            call fd_pwrite(fd: u32, iovs: u32, iovs_len: u32, offset: u64, nwritten: u32);
            call fd_read(fd: u32, iovs: u32, iovs_len: u32, nread: u32);
            call fd_readdir(fd: u32, buf: u32, buf_len: u32, cookie: u64, used: u32);
            call fd_renumber(from: u32, to: u32);
            call fd_seek(fd: u32, offset: i64, whence: u32, position: u32);
            call fd_sync(fd: u32);
            call fd_tell(fd: u32, position: u32);
            call fd_write(fd: u32, iovs: u32, iovs_len: u32, nwritten: u32);
            call path_create_directory(fd: u32, path: u32, path_len: u32);
            call path_filestat_get(fd: u32, flags: u32, path: u32, path_len: u32, filestat: u32);
            call path_filestat_set_times(
                fd: u32, flags: u32, path: u32, path_len: u32, atim: u64, mtim: u64, fst_flags: u32
            );
            call path_link(
                old_fd: u32, old_flags: u32, old_path: u32, old_path_len: u32,
                new_fd: u32, new_path: u32, new_path_len: u32
            );
            call path_open(
                fd: u32, dirflags: u32, path: u32, path_len: u32, oflags: u32,
                rights_base: u64, rights_inheriting: u64, fdflags: u32, opened: u32
            );
            call path_readlink(
                fd: u32, path: u32, path_len: u32, buf: u32, buf_len: u32, used: u32
            );
            call path_remove_directory(fd: u32, path: u32, path_len: u32);
            call path_rename(
                fd: u32, old_path: u32, old_path_len: u32,
                new_fd: u32, new_path: u32, new_path_len: u32
            );
            call path_symlink(
                old_path: u32, old_path_len: u32, fd: u32, new_path: u32, new_path_len: u32
            );
            call path_unlink_file(fd: u32, path: u32, path_len: u32);
            wait poll_oneoff(subscriptions: u32, events: u32, count: u32, nevents: u32);
            exit proc_exit(status: u32);
            call proc_raise(signal: u32);
            wait sched_yield();
            call random_get(buf: u32, buf_len: u32);
            call sock_accept(fd: u32, flags: u32, accepted: u32);
            call sock_recv(
                fd: u32, iovs: u32, iovs_len: u32, flags: u32, nread: u32, roflags: u32
            );
            call sock_send(fd: u32, iovs: u32, iovs_len: u32, flags: u32, nsent: u32);
            call sock_shutdown(fd: u32, how: u32);
        }
    };
}

//! Calls with a pointer that leads nowhere: each ends the program.

use crate::raw::{CREAT, DATA, Iovec, READ, WRITE, at, opened, to, wasi, write};

/// Beyond any memory that this program has.
const NOWHERE: i32 = -64;
/// In memory, but not a multiple of anything.
const ODD: i32 = 1025;

pub fn run(name: &str) {
    println!("{name}");
    let mut word = 0_u64;
    let word_at = to(&mut word);
    let file = opened("trap.txt", CREAT, READ | WRITE, 0);
    write(file, b"12345678");
    let bad = Iovec { buf: NOWHERE, len: 128 };
    let empty = Iovec { buf: NOWHERE, len: 0 };
    let good = Iovec { buf: word_at, len: 8 };
    unsafe {
        match name {
            "args_get" => wasi::args_get(NOWHERE, NOWHERE),
            "args_get-odd" => wasi::args_get(ODD, word_at),
            "args_sizes_get" => wasi::args_sizes_get(NOWHERE, word_at),
            "environ_get" => wasi::environ_get(NOWHERE, NOWHERE),
            "environ_sizes_get" => wasi::environ_sizes_get(word_at, NOWHERE),
            "clock_res_get" => wasi::clock_res_get(0, NOWHERE),
            "clock_time_get" => wasi::clock_time_get(0, 0, NOWHERE),
            "clock_time_get-odd" => wasi::clock_time_get(0, 0, ODD),
            "fd_fdstat_get" => wasi::fd_fdstat_get(1, NOWHERE),
            "fd_filestat_get" => wasi::fd_filestat_get(file, NOWHERE),
            "fd_pread" => wasi::fd_pread(file, at(&bad), 1, 0, word_at),
            "fd_pread-end" => wasi::fd_pread(file, at(&bad), 1, 100, word_at),
            "fd_read-end" => wasi::fd_read(file, at(&bad), 1, word_at),
            "fd_prestat_get" => wasi::fd_prestat_get(DATA, NOWHERE),
            "fd_prestat_dir_name" => wasi::fd_prestat_dir_name(DATA, NOWHERE, 64),
            "fd_pwrite" => wasi::fd_pwrite(file, at(&bad), 1, 0, word_at),
            "fd_read" => wasi::fd_read(file, NOWHERE, 1, word_at),
            "fd_read-buffer" => wasi::fd_read(0, at(&bad), 1, word_at),
            "fd_readdir" => wasi::fd_readdir(DATA, NOWHERE, 128, 0, word_at),
            "fd_readdir-result" => wasi::fd_readdir(DATA, word_at, 8, 0, NOWHERE),
            "fd_seek" => wasi::fd_seek(file, 0, 0, NOWHERE),
            "fd_tell" => wasi::fd_tell(file, NOWHERE),
            "fd_write" => wasi::fd_write(1, at(&bad), 1, word_at),
            "fd_write-iovs" => wasi::fd_write(1, -8, 2, word_at),
            "fd_write-odd" => wasi::fd_write(1, ODD, 1, word_at),
            "fd_write-result" => wasi::fd_write(file, at(&good), 1, NOWHERE),
            "path_open" => wasi::path_open(DATA, 0, NOWHERE, 128, 0, READ, READ, 0, word_at),
            "path_open-result" => {
                wasi::path_open(DATA, 0, at("trapped"), 7, CREAT, WRITE, 0, 0, NOWHERE)
            }
            "path_create_directory" => wasi::path_create_directory(DATA, NOWHERE, 128),
            "path_filestat_get" => wasi::path_filestat_get(DATA, 0, at("dir"), 3, NOWHERE),
            "path_readlink" => wasi::path_readlink(DATA, at("link"), 4, NOWHERE, 128, word_at),
            "path_rename" => wasi::path_rename(DATA, at("dir"), 3, DATA, NOWHERE, 128),
            "path_symlink" => wasi::path_symlink(NOWHERE, 128, DATA, at("t"), 1),
            "path_link" => wasi::path_link(DATA, 0, NOWHERE, 128, DATA, at("t"), 1),
            "path_unlink_file" => wasi::path_unlink_file(DATA, NOWHERE, 128),
            "path_remove_directory" => wasi::path_remove_directory(DATA, NOWHERE, 128),
            "path_filestat_set_times" => {
                wasi::path_filestat_set_times(DATA, 0, NOWHERE, 128, 0, 0, 4)
            }
            "poll_oneoff" => wasi::poll_oneoff(NOWHERE, word_at, 2, word_at),
            "poll_oneoff-odd" => wasi::poll_oneoff(ODD, word_at, 2, word_at),
            "random_get-empty" => wasi::random_get(NOWHERE, 0),
            "fd_readdir-empty" => wasi::fd_readdir(DATA, NOWHERE, 0, 0, word_at),
            "path_open-empty" => wasi::path_open(DATA, 0, NOWHERE, 0, 0, READ, READ, 0, word_at),
            "path_readlink-empty" => wasi::path_readlink(DATA, at("link"), 4, NOWHERE, 0, word_at),
            "fd_write-none" => wasi::fd_write(1, NOWHERE, 0, word_at),
            "fd_write-none-odd" => wasi::fd_write(1, ODD, 0, word_at),
            "fd_write-empty" => wasi::fd_write(1, at(&empty), 1, word_at),
            "poll_oneoff-none" => wasi::poll_oneoff(NOWHERE, NOWHERE, 0, NOWHERE),
            "random_get" => wasi::random_get(NOWHERE, 128),
            "random_get-long" => wasi::random_get(word_at, (64 << 20) + 1),
            "clock_res_get-4" => wasi::clock_res_get(4, word_at),
            "clock_time_get-minus" => wasi::clock_time_get(-1, 0, word_at),
            "fd_advise-6" => wasi::fd_advise(file, 0, 0, 6),
            "fd_advise-255" => wasi::fd_advise(file, 0, 0, 255),
            "fd_fdstat_set_flags-32" => wasi::fd_fdstat_set_flags(file, 32),
            "fd_fdstat_set_rights-40" => wasi::fd_fdstat_set_rights(file, 1 << 40, READ),
            "fd_filestat_set_times-16" => wasi::fd_filestat_set_times(file, 0, 0, 16),
            "fd_seek-3" => wasi::fd_seek(file, 0, 3, word_at),
            "path_open-oflags" => wasi::path_open(DATA, 0, at("x"), 1, 16, 0, 0, 0, word_at),
            "path_open-fdflags" => wasi::path_open(DATA, 0, at("x"), 1, 0, 0, 0, 32, word_at),
            "path_open-lookup" => wasi::path_open(DATA, 2, at("x"), 1, 0, 0, 0, 0, word_at),
            "path_open-rights" => wasi::path_open(DATA, 0, at("x"), 1, 0, 1 << 30, 0, 0, word_at),
            "path_open-inherit" => wasi::path_open(DATA, 0, at("x"), 1, 0, 0, 1 << 30, 0, word_at),
            "path_filestat_get-lookup" => wasi::path_filestat_get(DATA, 2, at("x"), 1, word_at),
            "path_filestat_set_times-16" => {
                wasi::path_filestat_set_times(DATA, 0, at("x"), 1, 0, 0, 16)
            }
            "path_link-lookup" => wasi::path_link(DATA, 2, at("x"), 1, DATA, at("y"), 1),
            "proc_raise-31" => wasi::proc_raise(31),
            "proc_raise-200" => wasi::proc_raise(200),
            "proc_exit-126" => wasi::proc_exit(126),
            "proc_exit-minus" => wasi::proc_exit(-1),
            _ => panic!("no trap of this name"),
        }
    };
    println!("not trapped");
}

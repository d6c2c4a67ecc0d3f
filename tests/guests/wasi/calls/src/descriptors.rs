//! Calls on a descriptor that move no bytes.

use crate::raw::{
    APPEND, CREAT, DATA, DIRECTORY, DSYNC, NONBLOCK, NOTHING, OTHER, READ, RSYNC, SYNC, TRUNC,
    WRITE, at, close, fdstat, filestat, opened, path_filestat, read, seek, tell, to, wasi, write,
};
use crate::show;

pub fn run() {
    prestats();
    fdstats();
    flags_and_rights();
    filestats();
    sizes();
    times();
    positions();
    advice_and_sync();
    closing();
    renumbering();
}

fn prestats() {
    for fd in [0, 1, DATA, OTHER, 5, NOTHING, -1] {
        let mut prestat = [0_i32; 2];
        let errno = unsafe { wasi::fd_prestat_get(fd, to(&mut prestat)) };
        show!("fd_prestat_get", format!("descriptor {fd}"), errno, "{prestat:?}");
    }
    for (fd, len) in [(DATA, 5), (DATA, 4), (DATA, 0), (DATA, 9), (OTHER, 6), (0, 9), (NOTHING, 9)]
    {
        let mut name = [b'.'; 9];
        let errno = unsafe { wasi::fd_prestat_dir_name(fd, to(&mut name), len) };
        let name = String::from_utf8_lossy(&name).into_owned();
        show!("fd_prestat_dir_name", format!("descriptor {fd}, {len} bytes"), errno, "{name}");
    }
    let dir = opened("dir", DIRECTORY, READ, 0);
    let mut prestat = [-1_i32; 2];
    let errno = unsafe { wasi::fd_prestat_get(dir, to(&mut prestat)) };
    show!("fd_prestat_get", "opened directory", errno);
    let errno = unsafe { wasi::fd_prestat_dir_name(dir, to(&mut [0_u8; 9]), 9) };
    show!("fd_prestat_dir_name", "opened directory", errno);
    close(dir);
}

fn show_fdstat(case: &str, fd: i32) {
    let (errno, stat) = fdstat(fd);
    show!(
        "fd_fdstat_get",
        case,
        errno,
        "type {} flags {} rights {:#x} {:#x}",
        stat.filetype,
        stat.flags,
        stat.base,
        stat.inheriting
    );
}

fn fdstats() {
    show_fdstat("input", 0);
    show_fdstat("output", 1);
    show_fdstat("error stream", 2);
    show_fdstat("folder", DATA);
    show_fdstat("nothing", NOTHING);
    let cases: [(&str, &str, i32, i64, i32); 9] = [
        ("file to read", "hello.txt", 0, READ, 0),
        ("file to write", "stat.txt", CREAT, WRITE, 0),
        ("file both ways", "stat.txt", 0, READ | WRITE, 0),
        ("file neither way", "hello.txt", 0, 0, 0),
        ("file created, neither way", "stat2.txt", CREAT, 0, 0),
        ("file to append", "stat.txt", 0, WRITE, APPEND),
        ("file that does not block", "hello.txt", 0, READ, NONBLOCK),
        ("directory", "dir", DIRECTORY, READ, 0),
        ("directory to append", "dir", DIRECTORY, READ, APPEND | NONBLOCK),
    ];
    for (case, path, oflags, rights, fdflags) in cases {
        let fd = opened(path, oflags, rights, fdflags);
        show_fdstat(case, fd);
        close(fd);
    }
}

fn flags_and_rights() {
    let file = opened("flags.txt", CREAT | TRUNC, READ | WRITE, 0);
    for flags in [APPEND, NONBLOCK, APPEND | NONBLOCK, DSYNC, RSYNC, SYNC, 0] {
        let errno = unsafe { wasi::fd_fdstat_set_flags(file, flags) };
        show!("fd_fdstat_set_flags", format!("{flags}"), errno, "now {}", fdstat(file).1.flags);
    }
    for (case, fd) in [("input", 0), ("output", 1), ("folder", DATA), ("nothing", NOTHING)] {
        let errno = unsafe { wasi::fd_fdstat_set_flags(fd, APPEND) };
        show!("fd_fdstat_set_flags", case, errno);
    }
    for (case, fd) in
        [("file", file), ("input", 0), ("output", 1), ("folder", DATA), ("nothing", NOTHING)]
    {
        show!("fd_fdstat_set_rights", case, unsafe { wasi::fd_fdstat_set_rights(fd, READ, READ) });
    }
    close(file);
}

fn show_filestat(case: &str, fd: i32) {
    let (errno, stat) = filestat(fd);
    let size = if stat.filetype == 3 { 0 } else { stat.size };
    show!(
        "fd_filestat_get",
        case,
        errno,
        "device {} inode {} type {} links {} size {size} changed {}",
        stat.dev,
        stat.ino != 0,
        stat.filetype,
        if stat.filetype == 3 { 0 } else { stat.nlink },
        stat.mtim > 0
    );
}

fn filestats() {
    for (case, fd) in
        [("input", 0), ("output", 1), ("error stream", 2), ("folder", DATA), ("nothing", NOTHING)]
    {
        show_filestat(case, fd);
    }
    for path in ["hello.txt", "dir", "link"] {
        let fd = opened(path, 0, READ, 0);
        show_filestat(path, fd);
        let same = filestat(fd).1.ino == path_filestat(DATA, 1, path).1.ino;
        show!("fd_filestat_get", format!("{path}, by path"), 0, "same inode {same}");
        close(fd);
    }
    let same = filestat(DATA).1.ino == filestat(OTHER).1.ino;
    show!("fd_filestat_get", "two folders", 0, "same inode {same}");
}

fn sizes() {
    let file = opened("size.txt", CREAT | TRUNC, READ | WRITE, 0);
    write(file, b"0123456789");
    for size in [4, 20, 0, 8, -1, i64::MIN] {
        let errno = unsafe { wasi::fd_filestat_set_size(file, size) };
        let position = tell(file).1;
        show!(
            "fd_filestat_set_size",
            format!("to {size}"),
            errno,
            "size {} position {position}",
            filestat(file).1.size
        );
    }
    close(file);
    let file = opened("hello.txt", 0, READ, 0);
    show!("fd_filestat_set_size", "read only", unsafe { wasi::fd_filestat_set_size(file, 1) });
    close(file);
    for (case, fd) in [("input", 0), ("folder", DATA), ("nothing", NOTHING)] {
        show!("fd_filestat_set_size", case, unsafe { wasi::fd_filestat_set_size(fd, 1) });
    }
}

const ATIM: i32 = 1;
const ATIM_NOW: i32 = 2;
const MTIM: i32 = 4;
const MTIM_NOW: i32 = 8;
const LONG_AGO: i64 = 1_000_000_007_123_456_789;

fn times() {
    let file = opened("times.txt", CREAT | TRUNC, READ | WRITE, 0);
    for flags in [ATIM | MTIM, MTIM, ATIM, 0, MTIM_NOW, ATIM_NOW, ATIM | ATIM_NOW, MTIM | MTIM_NOW]
    {
        unsafe { wasi::fd_filestat_set_times(file, 1, 2, ATIM | MTIM) };
        let errno = unsafe { wasi::fd_filestat_set_times(file, LONG_AGO, LONG_AGO + 1, flags) };
        let stat = filestat(file).1;
        show!(
            "fd_filestat_set_times",
            format!("flags {flags}"),
            errno,
            "{} {}",
            age(stat.atim),
            age(stat.mtim)
        );
    }
    unsafe { wasi::fd_filestat_set_times(file, LONG_AGO, LONG_AGO, ATIM | MTIM) };
    close(file);
    let file = opened("hello.txt", 0, READ, 0);
    let errno = unsafe { wasi::fd_filestat_set_times(file, LONG_AGO, LONG_AGO, MTIM) };
    show!("fd_filestat_set_times", "opened to read", errno, "{}", age(filestat(file).1.mtim));
    close(file);
    let dir = opened("empty", DIRECTORY, READ, 0);
    let errno = unsafe { wasi::fd_filestat_set_times(dir, LONG_AGO, LONG_AGO, MTIM) };
    show!("fd_filestat_set_times", "directory", errno, "{}", age(filestat(dir).1.mtim));
    close(dir);
    for (case, fd) in [("input", 0), ("output", 1), ("nothing", NOTHING)] {
        let errno = unsafe { wasi::fd_filestat_set_times(fd, 0, 0, MTIM) };
        show!("fd_filestat_set_times", case, errno);
    }
}

/// A time that was set, or whether it is a new one.
pub fn age(time: u64) -> String {
    if time > 1_577_836_800_000_000_000 { "now".into() } else { time.to_string() }
}

fn positions() {
    let file = opened("position.txt", CREAT | TRUNC, READ | WRITE, 0);
    write(file, b"0123456789");
    show!("fd_tell", "after a write", tell(file).0, "{}", tell(file).1);
    for (offset, whence) in [
        (0, 0),
        (4, 0),
        (-1, 0),
        (2, 1),
        (-3, 1),
        (-100, 1),
        (0, 2),
        (-4, 2),
        (5, 2),
        (-11, 2),
        (i64::MAX, 0),
        (1, 1),
        (i64::MIN, 1),
        (i64::MAX, 2),
    ] {
        let (errno, position) = seek(file, offset, whence);
        show!("fd_seek", format!("{offset} from {whence}"), errno, "{position} {}", tell(file).1);
    }
    seek(file, 7, 0);
    let mut rest = [0_u8; 8];
    let (errno, done) = read(file, &mut rest);
    show!("fd_seek", "then a read", errno, "{done} {:?} {}", &rest[..3], tell(file).1);
    close(file);
    for (case, fd) in [("input", 0), ("output", 1), ("folder", DATA), ("nothing", NOTHING)] {
        show!("fd_seek", case, seek(fd, 0, 1).0);
        show!("fd_tell", case, tell(fd).0);
    }
    let dir = opened("dir", DIRECTORY, READ, 0);
    show!("fd_seek", "directory", seek(dir, 0, 1).0);
    show!("fd_tell", "directory", tell(dir).0);
    close(dir);
}

fn advice_and_sync() {
    let file = opened("advice.txt", CREAT | TRUNC, READ | WRITE, 0);
    write(file, b"0123456789");
    for advice in [0, 1, 2, 3, 4, 5] {
        let errno = unsafe { wasi::fd_advise(file, 0, 10, advice) };
        show!("fd_advise", format!("advice {advice}"), errno);
    }
    show!("fd_advise", "whole file", unsafe { wasi::fd_advise(file, 0, 0, 1) });
    show!("fd_advise", "negative", unsafe { wasi::fd_advise(file, -1, -1, 1) });
    show!("fd_allocate", "file", unsafe { wasi::fd_allocate(file, 0, 100) });
    show!("fd_sync", "file", unsafe { wasi::fd_sync(file) });
    show!("fd_datasync", "file", unsafe { wasi::fd_datasync(file) });
    close(file);
    let dir = opened("dir", DIRECTORY, READ, 0);
    for (case, fd) in
        [("input", 0), ("output", 1), ("folder", DATA), ("directory", dir), ("nothing", NOTHING)]
    {
        show!("fd_advise", case, unsafe { wasi::fd_advise(fd, 0, 0, 0) });
        show!("fd_allocate", case, unsafe { wasi::fd_allocate(fd, 0, 0) });
        show!("fd_sync", case, unsafe { wasi::fd_sync(fd) });
        show!("fd_datasync", case, unsafe { wasi::fd_datasync(fd) });
    }
    close(dir);
}

fn closing() {
    let (a, b) = (opened("hello.txt", 0, READ, 0), opened("hello.txt", 0, READ, 0));
    let c = opened("hello.txt", 0, READ, 0);
    show!("path_open", "three numbers", 0, "{a} {b} {c}");
    show!("fd_close", "first", close(a));
    show!("fd_close", "first again", close(a));
    show!("fd_close", "third", close(c));
    let (d, e) = (opened("hello.txt", 0, READ, 0), opened("hello.txt", 0, READ, 0));
    show!("path_open", "numbers given back", 0, "{d} {e}");
    let f = opened("hello.txt", 0, READ, 0);
    show!("path_open", "a new number", 0, "{f}");
    for fd in [b, d, e, f] {
        show!("fd_close", format!("{fd}"), close(fd));
    }
    for fd in [NOTHING, -1, i32::MAX, i32::MIN] {
        show!("fd_close", format!("{fd}"), close(fd));
    }
}

fn renumbering() {
    let (a, b) = (opened("hello.txt", 0, READ, 0), opened("hello.txt", 0, READ, 0));
    seek(a, 7, 0);
    show!("fd_renumber", "one onto the other", unsafe { wasi::fd_renumber(a, b) });
    show!("fd_renumber", "the first is gone", tell(a).0);
    show!("fd_renumber", "the second is the first", tell(b).0, "{}", tell(b).1);
    show!("fd_renumber", "onto itself", unsafe { wasi::fd_renumber(b, b) }, "{}", tell(b).1);
    show!("fd_renumber", "nothing", unsafe { wasi::fd_renumber(NOTHING, b) });
    show!("fd_renumber", "onto nothing", unsafe { wasi::fd_renumber(b, NOTHING) });
    show!("fd_renumber", "nothing onto itself", unsafe { wasi::fd_renumber(NOTHING, NOTHING) });
    show!("fd_renumber", "a folder", unsafe { wasi::fd_renumber(OTHER, b) });
    let mut prestat = [0_i32; 2];
    let errno = unsafe { wasi::fd_prestat_get(b, to(&mut prestat)) };
    show!("fd_renumber", "a folder, moved", errno, "{prestat:?}");
    let next = opened("hello.txt", 0, READ, 0);
    show!("fd_renumber", "the number given next", 0, "{next}");
    show!("fd_renumber", "the folder, back", unsafe { wasi::fd_renumber(b, OTHER) });
    if next != OTHER {
        close(next);
    }
    let errno = unsafe { wasi::fd_prestat_get(OTHER, at(&prestat)) };
    show!("fd_renumber", "the folder, back in place", errno);
}

//! Reads and writes.

use crate::raw::{
    APPEND, CREAT, DATA, DIRECTORY, Iovec, NONBLOCK, NOTHING, READ, TRUNC, WRITE, at, close,
    filestat, iovec, iovec_mut, opened, read, seek, tell, to, wasi, write,
};
use crate::show;

pub fn run() {
    input();
    writes();
    appends();
    reads();
    at_offsets();
    scattered();
    large();
    refused();
}

fn pread(fd: i32, bytes: &mut [u8], offset: i64) -> (i32, i32) {
    let (iov, mut done) = (iovec_mut(bytes), -1_i32);
    (unsafe { wasi::fd_pread(fd, at(&iov), 1, offset, to(&mut done)) }, done)
}

fn pwrite(fd: i32, bytes: &[u8], offset: i64) -> (i32, i32) {
    let (iov, mut done) = (iovec(bytes), -1_i32);
    (unsafe { wasi::fd_pwrite(fd, at(&iov), 1, offset, to(&mut done)) }, done)
}

fn input() {
    let mut bytes = [0_u8; 8];
    let mut all = Vec::new();
    loop {
        let (errno, done) = read(0, &mut bytes);
        assert_eq!(errno, 0, "reading the input");
        if done == 0 {
            break;
        }
        all.extend_from_slice(&bytes[..done as usize]);
    }
    show!("fd_read", "input", 0, "{:?}", String::from_utf8_lossy(&all));
    show!("fd_read", "input, at its end", read(0, &mut bytes).0, "{}", read(0, &mut bytes).1);
    show!("fd_pread", "input", pread(0, &mut bytes, 0).0);
    show!("fd_write", "input", write(0, b"x").0);
    show!("fd_pwrite", "input", pwrite(0, b"x", 0).0);
}

fn writes() {
    let file = opened("write.txt", CREAT | TRUNC, READ | WRITE, 0);
    for (case, bytes) in [("ten bytes", &b"0123456789"[..]), ("no bytes", b""), ("more", b"abc")] {
        let (errno, done) = write(file, bytes);
        show!("fd_write", case, errno, "{done} position {}", tell(file).1);
    }
    seek(file, 20, 0);
    let (errno, done) = write(file, b"beyond");
    show!("fd_write", "beyond the end", errno, "{done} size {}", filestat(file).1.size);
    seek(file, 2, 0);
    let (errno, done) = write(file, b"XY");
    show!("fd_write", "in the middle", errno, "{done} position {}", tell(file).1);
    close(file);
    let file = opened("hello.txt", 0, READ, 0);
    show!("fd_write", "opened to read", write(file, b"x").0);
    show!("fd_write", "opened to read, no bytes", write(file, b"").0);
    close(file);
}

fn appends() {
    let file = opened("append.txt", CREAT | TRUNC, READ | WRITE, APPEND);
    write(file, b"one");
    seek(file, 0, 0);
    let (errno, done) = write(file, b"two");
    show!("fd_write", "appending", errno, "{done} position {}", tell(file).1);
    let (errno, done) = pwrite(file, b"three", 0);
    show!("fd_pwrite", "appending", errno, "{done} position {}", tell(file).1);
    unsafe { wasi::fd_fdstat_set_flags(file, 0) };
    let (errno, done) = pwrite(file, b"ONE", 0);
    show!("fd_pwrite", "no longer appending", errno, "{done} size {}", filestat(file).1.size);
    seek(file, 3, 0);
    unsafe { wasi::fd_fdstat_set_flags(file, APPEND | NONBLOCK) };
    let (errno, done) = write(file, b"four");
    show!("fd_write", "appending again", errno, "{done} position {}", tell(file).1);
    close(file);
}

fn reads() {
    let file = opened("hello.txt", 0, READ, 0);
    let mut bytes = [0_u8; 8];
    for case in ["first", "second", "at the end"] {
        let (errno, done) = read(file, &mut bytes);
        let seen = String::from_utf8_lossy(&bytes[..done.max(0) as usize]).into_owned();
        show!("fd_read", case, errno, "{done} {seen:?} position {}", tell(file).1);
    }
    show!("fd_read", "no bytes", read(file, &mut []).0, "{}", read(file, &mut []).1);
    close(file);
    let file = opened("write.txt", 0, WRITE, 0);
    show!("fd_read", "opened to write", read(file, &mut bytes).0);
    close(file);
}

fn at_offsets() {
    let file = opened("offset.txt", CREAT | TRUNC, READ | WRITE, 0);
    write(file, b"0123456789");
    for offset in [0, 4, 9, 10, 100, -1, i64::MAX] {
        let mut bytes = [0_u8; 4];
        let (errno, done) = pread(file, &mut bytes, offset);
        show!(
            "fd_pread",
            format!("at {offset}"),
            errno,
            "{done} {bytes:?} position {}",
            tell(file).1
        );
    }
    for offset in [2, 15, -1] {
        let (errno, done) = pwrite(file, b"xyz", offset);
        show!(
            "fd_pwrite",
            format!("at {offset}"),
            errno,
            "{done} position {} size {}",
            tell(file).1,
            filestat(file).1.size
        );
    }
    show!("fd_pread", "no bytes", pread(file, &mut [], 3).0, "{}", pread(file, &mut [], 3).1);
    show!("fd_pread", "no bytes, far out", pread(file, &mut [], 300).0);
    show!("fd_pwrite", "no bytes", pwrite(file, b"", 3).0, "{}", pwrite(file, b"", 3).1);
    close(file);
}

fn scattered() {
    let file = opened("scattered.txt", CREAT | TRUNC, READ | WRITE, 0);
    let iovs = [iovec(b""), iovec(b"first"), iovec(b"second")];
    let mut done = -1_i32;
    let errno = unsafe { wasi::fd_write(file, at(&iovs), 3, to(&mut done)) };
    show!("fd_write", "three buffers, the first empty", errno, "{done}");
    let errno = unsafe { wasi::fd_write(file, at(&iovs), 1, to(&mut done)) };
    show!("fd_write", "one empty buffer", errno, "{done}");
    let errno = unsafe { wasi::fd_write(file, at(&iovs), 0, to(&mut done)) };
    show!("fd_write", "no buffer", errno, "{done}");
    seek(file, 0, 0);
    let (mut a, mut b) = ([0_u8; 3], [0_u8; 3]);
    let iovs = [iovec_mut(&mut []), iovec_mut(&mut a), iovec_mut(&mut b)];
    let errno = unsafe { wasi::fd_read(file, at(&iovs), 3, to(&mut done)) };
    show!("fd_read", "three buffers, the first empty", errno, "{done} {a:?} {b:?}");
    let errno = unsafe { wasi::fd_read(file, at(&iovs), 0, to(&mut done)) };
    show!("fd_read", "no buffer", errno, "{done}");
    let overlapping = [iovec_mut(&mut a[0..2]), iovec_mut(&mut a[1..3])];
    let errno = unsafe { wasi::fd_pread(file, at(&overlapping), 2, 0, to(&mut done)) };
    show!("fd_pread", "overlapping buffers", errno, "{done} {a:?}");
    let bad_later = [iovec(b"good"), Iovec { buf: -16, len: 100 }];
    let errno = unsafe { wasi::fd_write(file, at(&bad_later), 2, to(&mut done)) };
    show!("fd_write", "a bad buffer after a good one", errno, "{done}");
    let errno = unsafe { wasi::fd_write(file, at(&bad_later), i32::MAX, to(&mut done)) };
    show!("fd_write", "2147483647 buffers", errno);
    let errno = unsafe { wasi::fd_write(file, at(&bad_later), -1, to(&mut done)) };
    show!("fd_write", "4294967295 buffers", errno);
    let errno = unsafe { wasi::fd_read(file, at(&bad_later), -1, to(&mut done)) };
    show!("fd_read", "4294967295 buffers", errno);
    let many: Vec<Iovec> = (0..2000).map(|_| iovec(b"")).chain([iovec(b"end")]).collect();
    let errno = unsafe { wasi::fd_write(file, at(&many[..]), 2001, to(&mut done)) };
    show!("fd_write", "2000 empty buffers and one", errno, "{done}");
    close(file);
}

fn large() {
    let file = opened("large.bin", CREAT | TRUNC, READ | WRITE, 0);
    let bytes: Vec<u8> = (0..300_001_u32).map(|index| (index % 251) as u8).collect();
    let (errno, done) = write(file, &bytes);
    show!("fd_write", "300001 bytes", errno, "{done} position {}", tell(file).1);
    let mut back = vec![0_u8; 300_010];
    let (errno, done) = pread(file, &mut back, 0);
    show!("fd_pread", "300010 bytes", errno, "{done} equal {}", back[..300_001] == bytes[..]);
    seek(file, 0, 0);
    let (errno, done) = read(file, &mut back[..65_536]);
    show!("fd_read", "65536 bytes", errno, "{done} equal {}", back[..65_536] == bytes[..65_536]);
    close(file);
}

fn refused() {
    let dir = opened("dir", DIRECTORY, READ, 0);
    let mut bytes = [0_u8; 4];
    for (case, fd) in [
        ("output", 1),
        ("error stream", 2),
        ("folder", DATA),
        ("directory", dir),
        ("nothing", NOTHING),
    ] {
        show!("fd_read", case, read(fd, &mut bytes).0);
        show!("fd_pread", case, pread(fd, &mut bytes, 0).0);
        show!("fd_pwrite", case, pwrite(fd, b"x", 0).0);
        if fd > 2 {
            show!("fd_write", case, write(fd, b"x").0);
        }
    }
    close(dir);
}

//! The calls that take a path, and every way out of a folder that a path could be.

use crate::descriptors::age;
use crate::raw::{
    APPEND, CREAT, DATA, DIRECTORY, DSYNC, EXCL, FOLLOW, NOTHING, OTHER, READ, RSYNC, SYNC, TRUNC,
    WRITE, at, close, filestat, open, opened, path_filestat, read, to, wasi, write,
};
use crate::show;

/// Paths that lead out of the folder, or try to.
const OUTWARD: [&str; 14] = [
    "..",
    "../outside.txt",
    "dir/../../outside.txt",
    "/etc/passwd",
    "/",
    "out",
    "outdir/outside.txt",
    "abs",
    "absdir/passwd",
    "dir/deep/../../../outside.txt",
    "./../outside.txt",
    "outdir",
    "dir/..",
    "dir/../hello.txt",
];

/// Paths that are odd.
const ODD: [&str; 20] = [
    "",
    ".",
    "./",
    "dir/",
    "dir/.",
    "./hello.txt",
    "hello.txt/",
    "hello.txt/.",
    "hello.txt/x",
    "missing",
    "missing/",
    "missing/x",
    "dangling",
    "dangling/",
    "loop",
    "link",
    "link/",
    "dirlink",
    "dirlink/",
    "dirlink/inner.txt",
];

pub fn run() {
    opens();
    open_flags();
    stats();
    times();
    folders();
    links();
    symlinks();
    renames();
    unlinks();
    odd_text();
}

fn show_open(case: &str, fd: i32, flags: i32, path: &str, oflags: i32, rights: i64, fdflags: i32) {
    let (errno, file) = open(fd, flags, path, oflags, rights, fdflags);
    let kind = if errno == 0 { filestat(file).1.filetype } else { 0 };
    show!("path_open", case, errno, "kind {kind}");
    if errno == 0 {
        close(file);
    }
}

fn opens() {
    for path in OUTWARD.iter().chain(&ODD) {
        for flags in [0, FOLLOW] {
            show_open(&format!("{path:?} follow {flags}"), DATA, flags, path, 0, READ, 0);
            let case = format!("{path:?} follow {flags}, to write");
            show_open(&case, DATA, flags, path, 0, WRITE, 0);
            let case = format!("{path:?} follow {flags}, a directory");
            show_open(&case, DATA, flags, path, DIRECTORY, READ, 0);
        }
    }
    for path in ["..", "../outside.txt", "../new", "out", "/new", "abs", "outdir/new", "absdir/new"]
    {
        for oflags in [CREAT, CREAT | EXCL, CREAT | TRUNC] {
            let case = format!("{path:?} oflags {oflags}, to create");
            show_open(&case, DATA, FOLLOW, path, oflags, WRITE, 0);
        }
    }
    let file = opened("hello.txt", 0, READ, 0);
    for (case, fd) in [("input", 0), ("output", 1), ("file", file), ("nothing", NOTHING)] {
        show_open(&format!("from {case}"), fd, 0, "hello.txt", 0, READ, 0);
    }
    close(file);
    let dir = opened("dir", DIRECTORY, READ, 0);
    for path in ["inner.txt", "..", "../hello.txt", "deep/x", "deep/../inner.txt"] {
        show_open(&format!("{path:?} from a directory"), dir, 0, path, 0, READ, 0);
    }
    close(dir);
}

fn open_flags() {
    let cases: [(&str, &str, i32, i64, i32); 19] = [
        ("create", "new1", CREAT, WRITE, 0),
        ("create what is there", "new1", CREAT, WRITE, 0),
        ("create anew what is there", "new1", CREAT | EXCL, WRITE, 0),
        ("create anew", "new2", CREAT | EXCL, WRITE, 0),
        ("anew without create", "new3", EXCL, READ, 0),
        ("anew without create, there", "new1", EXCL, READ, 0),
        ("truncate, to read", "new1", TRUNC, READ, 0),
        ("create and truncate", "new4", CREAT | TRUNC, READ, 0),
        ("create, no rights", "new5", CREAT, 0, 0),
        ("create beneath nothing", "missing/new", CREAT, WRITE, 0),
        ("create a directory", "new6", CREAT | DIRECTORY, READ, 0),
        ("directory, truncate", "dir", TRUNC | DIRECTORY, READ, 0),
        ("directory to write", "dir", DIRECTORY, WRITE, 0),
        ("directory both ways", "dir", 0, READ | WRITE, 0),
        ("append", "new1", 0, WRITE, APPEND),
        ("data in sync", "new1", 0, WRITE, DSYNC),
        ("reads in sync", "new1", 0, WRITE, RSYNC),
        ("in sync", "new1", 0, WRITE, SYNC),
        ("create through a dangling link", "dangling", CREAT, WRITE, 0),
    ];
    for (case, path, oflags, rights, fdflags) in cases {
        show_open(case, DATA, 0, path, oflags, rights, fdflags);
    }
    let file = opened("truncated.txt", CREAT, WRITE, 0);
    write(file, b"some text");
    close(file);
    let file = opened("truncated.txt", TRUNC, READ, 0);
    show!("path_open", "truncated", 0, "size {}", filestat(file).1.size);
    show!("path_open", "truncated, then written", write(file, b"x").0);
    close(file);
    show_open("dangling, followed and created", DATA, FOLLOW, "dangling", CREAT, WRITE, 0);
    let mut bytes = [0_u8; 5];
    let link = opened("link", 0, READ, 0);
    show!("path_open", "read through a link", read(link, &mut bytes).0, "{bytes:?}");
    close(link);
}

fn stats() {
    for path in OUTWARD.iter().chain(&ODD) {
        for flags in [0, FOLLOW] {
            let (errno, stat) = path_filestat(DATA, flags, path);
            let size = if stat.filetype == 3 { 0 } else { stat.size };
            show!(
                "path_filestat_get",
                format!("{path:?} follow {flags}"),
                errno,
                "type {} size {size}",
                stat.filetype
            );
        }
    }
    for fd in [0, 1, NOTHING] {
        show!("path_filestat_get", format!("from {fd}"), path_filestat(fd, 0, "hello.txt").0);
    }
}

fn set_times(fd: i32, flags: i32, path: &str, time: i64, set: i32) -> i32 {
    unsafe {
        wasi::path_filestat_set_times(fd, flags, at(path), path.len() as i32, time, time + 1, set)
    }
}

fn times() {
    const TIME: i64 = 1_200_000_000_000_000_005;
    close(opened("times2.txt", CREAT, WRITE, 0));
    for set in [5, 1, 4, 0, 8, 2, 3, 12] {
        set_times(DATA, 0, "times2.txt", 10, 5);
        let errno = set_times(DATA, 0, "times2.txt", TIME, set);
        let stat = path_filestat(DATA, 0, "times2.txt").1;
        let case = format!("flags {set}");
        show!("path_filestat_set_times", case, errno, "{} {}", age(stat.atim), age(stat.mtim));
    }
    set_times(DATA, 0, "times2.txt", TIME, 5);
    for path in OUTWARD.iter().chain(&ODD) {
        for flags in [0, FOLLOW] {
            if path.starts_with(['.', '/']) && path.len() < 3 {
                continue;
            }
            let errno = set_times(DATA, flags, path, TIME, 4);
            let mtim = path_filestat(DATA, flags, path).1.mtim;
            let case = format!("{path:?} follow {flags}");
            show!("path_filestat_set_times", case, errno, "{}", age(mtim));
        }
    }
    show!("path_filestat_set_times", "from nothing", set_times(NOTHING, 0, "link", TIME, 4));
}

fn make(fd: i32, path: &str) -> i32 {
    unsafe { wasi::path_create_directory(fd, at(path), path.len() as i32) }
}

fn remove(fd: i32, path: &str) -> i32 {
    unsafe { wasi::path_remove_directory(fd, at(path), path.len() as i32) }
}

fn unlink(fd: i32, path: &str) -> i32 {
    unsafe { wasi::path_unlink_file(fd, at(path), path.len() as i32) }
}

fn folders() {
    for path in [
        "made",
        "made",
        "made/inner",
        "made2/",
        "missing/made",
        "hello.txt/made",
        "hello.txt",
        "..",
        "../made",
        "/made",
        "outdir/made",
        "absdir/made",
        "dangling",
        "link",
        ".",
        "",
        "made/..",
        "made3/.",
        "dirlink/made",
    ] {
        show!("path_create_directory", format!("{path:?}"), make(DATA, path));
    }
    show!("path_create_directory", "from nothing", make(NOTHING, "made4"));
    show!("path_create_directory", "from the output", make(1, "made4"));
    for path in [
        "made",
        "made/inner",
        "made",
        "made",
        "made2/",
        "hello.txt",
        "..",
        "../made",
        "/etc",
        "outdir",
        "outdir/made",
        "absdir",
        "link",
        "dirlink",
        "dirlink/",
        ".",
        "",
        "dir",
        "dirlink/made",
        "dangling",
        "dir/..",
    ] {
        show!("path_remove_directory", format!("{path:?}"), remove(DATA, path));
    }
    show!("path_remove_directory", "from nothing", remove(NOTHING, "made4"));
}

fn link(old_fd: i32, flags: i32, old: &str, new_fd: i32, new: &str) -> i32 {
    unsafe {
        wasi::path_link(old_fd, flags, at(old), old.len() as i32, new_fd, at(new), new.len() as i32)
    }
}

fn links() {
    show!("path_link", "file", link(DATA, 0, "hello.txt", DATA, "hard"));
    let (file, hard) = (path_filestat(DATA, 0, "hello.txt").1, path_filestat(DATA, 0, "hard").1);
    show!("path_link", "same file", 0, "{} links {}", file.ino == hard.ino, hard.nlink);
    show!("path_link", "over a file", link(DATA, 0, "hello.txt", DATA, "hard"));
    show!("path_link", "into the other folder", link(DATA, 0, "hello.txt", OTHER, "hard"));
    show!("path_link", "following", link(DATA, FOLLOW, "link", DATA, "hard2"));
    show!("path_link", "of a link", link(DATA, 0, "link", DATA, "hard3"));
    show!("path_link", "of a link, kind", 0, "{}", path_filestat(DATA, 0, "hard3").1.filetype);
    show!("path_link", "of a directory", link(DATA, 0, "dir", DATA, "hard4"));
    show!("path_link", "of nothing", link(DATA, 0, "missing", DATA, "hard5"));
    for path in ["../outside.txt", "/etc/passwd", "outdir/outside.txt", "..", "", "hello.txt/"] {
        show!("path_link", format!("of {path:?}"), link(DATA, 0, path, DATA, "hard7"));
        show!("path_link", format!("as {path:?}"), link(DATA, 0, "hello.txt", DATA, path));
    }
    show!("path_link", "from nothing", link(NOTHING, 0, "hello.txt", DATA, "hard8"));
    show!("path_link", "to nothing", link(DATA, 0, "hello.txt", NOTHING, "hard8"));
}

fn symlink(target: &str, fd: i32, path: &str) -> i32 {
    unsafe { wasi::path_symlink(at(target), target.len() as i32, fd, at(path), path.len() as i32) }
}

fn readlink(fd: i32, path: &str, size: usize) -> (i32, i32, String) {
    let (mut buf, mut used) = (vec![b'.'; size], -1_i32);
    let errno = unsafe {
        wasi::path_readlink(
            fd,
            at(path),
            path.len() as i32,
            to(&mut buf[..]),
            size as i32,
            to(&mut used),
        )
    };
    (errno, used, String::from_utf8_lossy(&buf).into_owned())
}

fn symlinks() {
    for (target, path) in [
        ("hello.txt", "sym1"),
        ("hello.txt", "sym1"),
        ("missing", "sym2"),
        ("../outside.txt", "sym3"),
        ("/etc/passwd", "sym4"),
        ("", "sym5"),
        ("hello.txt", "../sym6"),
        ("hello.txt", "/sym7"),
        ("hello.txt", "missing/sym8"),
        ("hello.txt", "sym9/"),
        ("hello.txt", "dir"),
        ("hello.txt", ""),
        ("../hello.txt", "dir/sym10"),
        ("hello.txt", "outdir/sym11"),
        (".", "sym12"),
    ] {
        show!("path_symlink", format!("{path:?} to {target:?}"), symlink(target, DATA, path));
    }
    show!("path_symlink", "from nothing", symlink("hello.txt", NOTHING, "sym13"));
    for path in [
        "sym1",
        "sym2",
        "sym3",
        "dir/sym10",
        "link",
        "dangling",
        "out",
        "abs",
        "hello.txt",
        "dir",
        "missing",
        "loop",
        "..",
        "../x",
        "/x",
        "",
        "link/",
        "outdir/x",
        "dirlink/inner.txt",
    ] {
        let (errno, used, text) = readlink(DATA, path, 20);
        show!("path_readlink", format!("{path:?}"), errno, "{used} {text}");
    }
    for size in [0, 1, 8, 9, 10] {
        let (errno, used, text) = readlink(DATA, "link", size);
        show!("path_readlink", format!("{size} bytes"), errno, "{used} {text}");
    }
    show!("path_readlink", "from nothing", readlink(NOTHING, "link", 9).0);
    let (errno, file) = open(DATA, FOLLOW, "sym3", 0, READ, 0);
    show!("path_open", "through a link that was made to leave", errno, "{}", file >= 0);
}

fn rename(old_fd: i32, old: &str, new_fd: i32, new: &str) -> i32 {
    unsafe {
        wasi::path_rename(old_fd, at(old), old.len() as i32, new_fd, at(new), new.len() as i32)
    }
}

fn renames() {
    for name in ["r1", "r2", "r3"] {
        let file = opened(name, CREAT, WRITE, 0);
        write(file, name.as_bytes());
        close(file);
    }
    make(DATA, "rd1");
    make(DATA, "rd2");
    make(DATA, "rd2/inner");
    for (old, new) in [
        ("r1", "r4"),
        ("r1", "r5"),
        ("r2", "r4"),
        ("r4", "r4"),
        ("r4", "rd1"),
        ("rd1", "r4"),
        ("rd1", "rd3"),
        ("rd3", "rd2"),
        ("rd2", "rd3"),
        ("rd3", "rd3/inner/x"),
        ("rd3", "rd4/"),
        ("rd4/", "rd5"),
        ("r4/", "r6"),
        ("r4", "r6/"),
        ("r4", "missing/x"),
        ("link", "renamed"),
        ("r3", "../r3"),
        ("../outside.txt", "r7"),
        ("/etc/passwd", "r7"),
        ("r3", "/r3"),
        ("outdir/outside.txt", "r7"),
        ("r3", "outdir/r3"),
        ("..", "r8"),
        ("r3", ".."),
        (".", "r8"),
        ("", "r8"),
        ("r3", ""),
        ("dir/..", "r8"),
    ] {
        show!("path_rename", format!("{old:?} to {new:?}"), rename(DATA, old, DATA, new));
    }
    show!("path_rename", "back", rename(DATA, "renamed", DATA, "link"));
    show!("path_rename", "into the other folder", rename(DATA, "r3", OTHER, "r3"));
    show!("path_rename", "from nothing", rename(NOTHING, "r4", DATA, "r9"));
    show!("path_rename", "to nothing", rename(DATA, "r4", NOTHING, "r9"));
}

fn unlinks() {
    close(opened("u1", CREAT, WRITE, 0));
    for path in [
        "u1",
        "u1",
        "sym1",
        "sym2",
        "dir",
        "dir/",
        "hello.txt/",
        "..",
        "../outside.txt",
        "/etc/passwd",
        "outdir/outside.txt",
        ".",
        "",
        "dirlink",
        "hard",
        "missing/x",
        "sym12",
    ] {
        show!("path_unlink_file", format!("{path:?}"), unlink(DATA, path));
    }
    show!("path_unlink_file", "from nothing", unlink(NOTHING, "u1"));
    let file = opened("u2", CREAT, READ | WRITE, 0);
    write(file, b"still here");
    show!("path_unlink_file", "an open file", unlink(DATA, "u2"), "size {}", filestat(file).1.size);
    close(file);
}

fn odd_text() {
    let long = "x".repeat(256);
    let longer = "x/".repeat(3000);
    let spaced = " leading and trailing ";
    for path in [long.as_str(), longer.as_str(), "nul\0byte", spaced, "Ünïcode", "new\nline"] {
        let shown: String = path.chars().take(10).collect();
        show_open(&format!("{shown:?} {}", path.len()), DATA, 0, path, CREAT, WRITE, 0);
        let errno = path_filestat(DATA, 0, path).0;
        show!("path_filestat_get", format!("{shown:?} {}", path.len()), errno);
    }
    let bytes = [b'a', 0xff, 0xfe];
    let mut opened = -1_i32;
    let errno =
        unsafe { wasi::path_open(DATA, 0, at(&bytes), 3, CREAT, WRITE, 0, 0, to(&mut opened)) };
    show!("path_open", "not UTF-8", errno);
    show!("path_unlink_file", "not UTF-8", unsafe { wasi::path_unlink_file(DATA, at(&bytes), 3) });
    let errno = unsafe { wasi::path_create_directory(DATA, at(&bytes), 3) };
    show!("path_create_directory", "not UTF-8", errno);
}

//! `fd_readdir`.

use crate::raw::{
    DATA, DIRECTORY, NOTHING, READ, at, close, filestat, opened, path_filestat, to, wasi,
};
use crate::show;

const HEAD: usize = 24;

struct Dirent {
    next: u64,
    inode: u64,
    name: String,
    filetype: u8,
}

pub fn run() {
    let dir = opened("many", DIRECTORY, READ, 0);
    let (errno, used, all) = list(dir, 0, 64 << 10);
    let mut names: Vec<_> =
        all.iter().map(|entry| format!("{}:{}", entry.name, entry.filetype)).collect();
    let dots = names.iter().take(2).cloned().collect::<Vec<_>>();
    names.sort();
    show!("fd_readdir", "all at once", errno, "{used} {names:?}");
    show!("fd_readdir", "the first two", errno, "{dots:?}");
    let counted = all.iter().zip(1..).all(|(entry, next)| entry.next == next);
    show!("fd_readdir", "cookies count", 0, "{counted}");
    let named = all
        .iter()
        .skip(2)
        .all(|entry| entry.inode == path_filestat(DATA, 0, &format!("many/{}", entry.name)).1.ino);
    show!("fd_readdir", "inodes", 0, "as by path {named} {}", all[0].inode == filestat(dir).1.ino);
    for cookie in [1, 2, 3, all.len() as i64 - 1, all.len() as i64, 1000, -1] {
        let (errno, _, rest) = list(dir, cookie, 64 << 10);
        let expected = all.iter().skip(cookie.max(0) as usize);
        let same = rest.iter().zip(expected).all(|(a, b)| a.name == b.name && a.next == b.next);
        show!("fd_readdir", format!("from {cookie}"), errno, "{} same {same}", rest.len());
    }
    small_buffers(dir, &all);
    close(dir);
    kinds();
    refused();
}

/// Walks with a buffer that is too small for most entries, growing it when nothing fits.
fn small_buffers(dir: i32, all: &[Dirent]) {
    for size in [0, 1, 23, 24, 25, 26, 60] {
        let (errno, used, entries) = list(dir, 0, size);
        show!("fd_readdir", format!("{size} bytes"), errno, "{used} {}", entries.len());
    }
    let (mut cookie, mut names) = (0, Vec::new());
    loop {
        let (errno, used, entries) = list(dir, cookie, 100);
        assert_eq!(errno, 0, "walking");
        if let Some(last) = entries.last() {
            cookie = last.next as i64;
        }
        names.extend(entries.into_iter().map(|entry| entry.name));
        if used < 100 {
            break;
        }
    }
    let same = names.iter().eq(all.iter().map(|entry| &entry.name));
    show!("fd_readdir", "walk by 100 bytes", 0, "{} same {same}", names.len());
}

fn kinds() {
    let (errno, _, mut entries) = list(DATA, 0, 64 << 10);
    entries.retain(|entry| {
        ["hello.txt", "dir", "link", "dangling", "empty", "out", "."].contains(&entry.name.as_str())
    });
    let mut kinds: Vec<_> =
        entries.iter().map(|entry| format!("{}:{}", entry.name, entry.filetype)).collect();
    kinds.sort();
    show!("fd_readdir", "kinds", errno, "{kinds:?}");
    let dir = opened("empty", DIRECTORY, READ, 0);
    let (errno, used, entries) = list(dir, 0, 1024);
    show!("fd_readdir", "empty directory", errno, "{used} {}", entries.len());
    close(dir);
}

fn refused() {
    let file = opened("hello.txt", 0, READ, 0);
    for (case, fd) in [("input", 0), ("output", 1), ("file", file), ("nothing", NOTHING)] {
        show!("fd_readdir", case, list(fd, 0, 1024).0);
    }
    close(file);
}

/// Lists once; entries that did not fit whole are left out.
fn list(fd: i32, cookie: i64, size: usize) -> (i32, i32, Vec<Dirent>) {
    let (mut buf, mut used) = (vec![0_u8; size], -1_i32);
    let errno =
        unsafe { wasi::fd_readdir(fd, to(&mut buf[..]), size as i32, cookie, to(&mut used)) };
    let _ = at(&buf[..]);
    let mut rest = &buf[..used.max(0) as usize];
    let mut entries = Vec::new();
    while rest.len() >= HEAD {
        let word = |from: usize| u64::from_le_bytes(rest[from..from + 8].try_into().unwrap());
        let len = word(16) as u32 as usize;
        let Some(name) = rest.get(HEAD..HEAD + len) else { break };
        entries.push(Dirent {
            next: word(0),
            inode: word(8),
            name: String::from_utf8_lossy(name).into_owned(),
            filetype: rest[20],
        });
        rest = &rest[HEAD + len..];
    }
    (errno, used, entries)
}

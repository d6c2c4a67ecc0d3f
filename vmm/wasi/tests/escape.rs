//! Folders keep guests in: no path leaves one, and nothing changes beneath a read-only one.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

mod direct;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use direct::{
    BYTES, CREAT, DATA, DIRECTORY, FOLLOW, Faaslet, PATH, PATH2, READ, RESULT, TRUNC, WRITE, errno,
};
use faaslet_wasi::Errno;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

/// `data/dir/file` in a folder that also has a `secret`.
fn fixture() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("data/dir")).unwrap();
    fs::write(root.path().join("data/dir/file"), "contents").unwrap();
    fs::write(root.path().join("secret"), "secret").unwrap();
    root
}

#[test]
fn no_path_leaves_a_folder() {
    let root = fixture();
    let data = root.path().join("data");
    let absolute = root.path().join("secret");
    symlink("../secret", data.join("out")).unwrap();
    symlink(&absolute, data.join("abs")).unwrap();
    symlink("..", data.join("up")).unwrap();
    symlink("dir/../up", data.join("chain")).unwrap();
    let mut faaslet = Faaslet::new(&[("/data", &data, false)]);
    for path in [
        "../secret",
        "dir/../../secret",
        "./../secret",
        "out",
        "abs",
        "up/secret",
        "chain/secret",
        "dir/../out",
        absolute.to_str().unwrap(),
        "..",
        "up",
        "/",
    ] {
        for rights in [READ, WRITE, READ | WRITE] {
            for oflags in [0, CREAT, TRUNC, DIRECTORY] {
                let opened = faaslet.open(DATA, path, oflags, rights, 0);
                assert!(opened.is_err(), "{path} with {oflags} and {rights} was opened");
            }
        }
        let len = faaslet.path(path);
        let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
        let stat = errno(wasi.path_filestat_get(mem, DATA, FOLLOW, PATH, len, RESULT));
        assert_ne!(stat, Errno::Success, "{path} was found");
    }
    assert_eq!(fs::read_to_string(absolute).unwrap(), "secret");
}

/// What a change beneath `fd` comes to, by name of the call.
fn changes(faaslet: &mut Faaslet, fd: u32) -> Vec<(&'static str, Errno)> {
    let len = faaslet.path("dir/file");
    faaslet.mem.put(PATH2, b"new");
    let file = faaslet.open(fd, "dir/file", 0, READ, 0).unwrap();
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    let mut seen = vec![
        ("path_create_directory", errno(wasi.path_create_directory(mem, fd, PATH2, 3))),
        ("path_unlink_file", errno(wasi.path_unlink_file(mem, fd, PATH, len))),
        ("path_remove_directory", errno(wasi.path_remove_directory(mem, fd, PATH, 3))),
        ("path_rename", errno(wasi.path_rename(mem, fd, PATH, len, fd, PATH2, 3))),
        ("path_link", errno(wasi.path_link(mem, fd, 0, PATH, len, fd, PATH2, 3))),
        ("path_symlink", errno(wasi.path_symlink(mem, PATH, len, fd, PATH2, 3))),
        (
            "path_filestat_set_times",
            errno(wasi.path_filestat_set_times(mem, fd, 0, PATH, len, 1, 1, 5)),
        ),
        ("fd_filestat_set_times of a file", errno(wasi.fd_filestat_set_times(mem, file, 1, 1, 5))),
        ("fd_filestat_set_times of a folder", errno(wasi.fd_filestat_set_times(mem, fd, 1, 1, 5))),
        ("fd_filestat_set_size", errno(wasi.fd_filestat_set_size(mem, file, 1))),
    ];
    for (name, oflags, rights) in
        [("write", 0, WRITE), ("create", CREAT, READ), ("truncate", TRUNC, READ)]
    {
        for path in ["dir/file", "new"] {
            seen.push((name, faaslet.open(fd, path, oflags, rights, 0).err().unwrap()));
        }
    }
    seen
}

#[test]
fn nothing_changes_beneath_a_read_only_folder() {
    let root = fixture();
    let data = root.path().join("data");
    fs::create_dir(data.join("dir/dir")).unwrap();
    fs::write(data.join("dir/dir/file"), "contents").unwrap();
    let before = fs::metadata(data.join("dir/file")).unwrap().modified().unwrap();
    let mut faaslet = Faaslet::new(&[("/data", &data, true)]);
    let dir = faaslet.open(DATA, "dir", DIRECTORY, READ, 0).unwrap();
    for fd in [DATA, dir] {
        for (name, errno) in changes(&mut faaslet, fd) {
            assert_eq!(errno, Errno::Perm, "{name} beneath {fd}");
        }
    }
    assert_eq!(fs::read_to_string(data.join("dir/file")).unwrap(), "contents");
    assert_eq!(fs::metadata(data.join("dir/file")).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

#[test]
fn nothing_moves_between_a_read_only_folder_and_another() {
    let root = fixture();
    let (data, other) = (root.path().join("data"), root.path().join("other"));
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "").unwrap();
    let mut faaslet = Faaslet::new(&[("/data", &data, true), ("/other", &other, false)]);
    let other_fd = DATA + 1;
    let len = faaslet.path("dir/file");
    faaslet.mem.put(PATH2, b"file");
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    for call in [
        wasi.path_rename(mem, DATA, PATH, len, other_fd, PATH2, 4),
        wasi.path_rename(mem, other_fd, PATH2, 4, DATA, PATH, len),
        wasi.path_link(mem, DATA, 0, PATH, len, other_fd, PATH2, 4),
        wasi.path_link(mem, other_fd, 0, PATH2, 4, DATA, PATH, len),
    ] {
        assert_eq!(errno(call), Errno::Perm);
    }
}

/// A path whose middle changes between a folder and a link that leads out, while a guest opens it
/// again and again.
#[test]
fn a_race_with_links_does_not_leave_a_folder() {
    const ROUNDS: u32 = 20_000;
    let root = fixture();
    let data = root.path().join("data");
    fs::create_dir(data.join("inside")).unwrap();
    fs::write(data.join("inside/secret"), "inside").unwrap();
    symlink("..", data.join("outward")).unwrap();
    let done = AtomicBool::new(false);
    let mut seen = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| swap(&data, &done));
        let mut faaslet = Faaslet::new(&[("/data", &data, false)]);
        for _ in 0..ROUNDS {
            if let Ok(fd) = faaslet.open(DATA, "inside/secret", 0, READ, 0) {
                assert_eq!(faaslet.read(fd, 16).unwrap(), b"inside");
                assert_eq!(faaslet.close(fd), Errno::Success);
                seen += 1;
            }
        }
        done.store(true, Ordering::Release);
    });
    assert!(seen > 0, "the folder was never there");
}

/// Lets `inside` and `outward` trade places until `done`.
fn swap(data: &Path, done: &AtomicBool) {
    let (inside, outward) = (data.join("inside"), data.join("outward"));
    while !done.load(Ordering::Acquire) {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(CWD, &inside, CWD, &outward, flags).unwrap();
    }
}

#[test]
fn a_pipe_holds_nobody() {
    let root = fixture();
    let data = root.path().join("data");
    mknodat(CWD, data.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let mut faaslet = Faaslet::new(&[("/data", &data, false)]);
    assert_eq!(faaslet.open(DATA, "pipe", 0, WRITE, 0), Err(Errno::Nxio));
    let fd = faaslet.open(DATA, "pipe", 0, READ, 0).unwrap();
    assert_eq!(faaslet.read(fd, 4), Err(Errno::Spipe));
}

#[test]
fn deleting_while_listing_misses_nothing() {
    const FILES: usize = 500;
    const BUF_LEN: u32 = 256;
    let root = fixture();
    let data = root.path().join("data");
    fs::remove_dir_all(data.join("dir")).unwrap();
    for index in 0..FILES {
        fs::write(data.join(format!("file-{index}")), "").unwrap();
    }
    let mut faaslet = Faaslet::new(&[("/data", &data, false)]);
    let mut cookie = 0;
    loop {
        let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
        assert_eq!(
            errno(wasi.fd_readdir(mem, DATA, BYTES, BUF_LEN, cookie, RESULT)),
            Errno::Success
        );
        let used = mem.word(RESULT);
        let mut at = 0;
        while at + 24 <= used {
            let len = mem.word(BYTES + at + 16);
            if at + 24 + len > used {
                break;
            }
            cookie = mem.long(BYTES + at);
            let name = mem.get(BYTES + at + 24, len as usize);
            if !name.starts_with(b".") {
                mem.put(PATH, &name);
                assert_eq!(errno(wasi.path_unlink_file(mem, DATA, PATH, len)), Errno::Success);
            }
            at += 24 + len;
        }
        if used < BUF_LEN {
            break;
        }
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
}

//! The system calls that WASI needs, no more: every kind of call works on a thread on which all
//! others fail. A sandbox around a cell can be as tight as this list.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

mod direct;

use std::collections::BTreeMap;
use std::fs;

use direct::{
    BYTES, CREAT, DATA, DIRECTORY, FOLLOW, Faaslet, PATH, PATH2, READ, RESULT, WRITE, errno,
};
use faaslet_wasi::{Call, Errno};
use seccompiler::{SeccompAction, SeccompFilter, TargetArch};

/// What the calls themselves need. `openat2` is the only one that opens, always with
/// `RESOLVE_BENEATH`; clocks are read without a system call.
const NEEDED: &[libc::c_long] = &[
    libc::SYS_openat2,
    libc::SYS_statx,
    libc::SYS_close,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_pwritev2,
    libc::SYS_getdents64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fadvise64,
    libc::SYS_utimensat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_getrandom,
];

/// What any thread of a program needs: memory, locks, and its own end.
const THREAD: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigprocmask,
    libc::SYS_exit,
    libc::SYS_write,
];

/// Lets every system call but `allowed` fail on this thread from now on.
fn forbid_all_but(allowed: impl Iterator<Item = libc::c_long>) {
    let rules: BTreeMap<_, _> = allowed.map(|it| (it, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let arch: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

fn ok(name: &str, call: Call) {
    assert_eq!(errno(call), Errno::Success, "{name}");
}

#[test]
fn the_list_is_enough() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    fs::write(root.path().join("dir/file"), "contents").unwrap();
    let mut bake = Faaslet::new(&[("/data", root.path(), false)]);
    bake.open(DATA, "dir/file", 0, READ, 0).unwrap();
    let files = bake.wasi.snapshot_files().unwrap();
    let forked = Faaslet::fork(&[("/data", root.path(), false)], &files);
    let fresh = Faaslet::new(&[("/data", root.path(), false)]);
    let filtered = std::thread::spawn(move || {
        forbid_all_but(NEEDED.iter().chain(THREAD).copied());
        exercise(fresh);
        let mut forked = forked;
        assert_eq!(forked.read(DATA + 1, 99).unwrap(), b"contents");
    });
    filtered.join().expect("a call needs a system call that is not on the list");
}

#[test]
fn the_list_is_tight() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    fs::write(root.path().join("dir/file"), "contents").unwrap();
    // Not taken: `openat2`, whose absence a process remembers, and the seeding of a thread's
    // generator, which cannot fail.
    let kept = [libc::SYS_openat2, libc::SYS_getrandom];
    for taken in NEEDED.iter().copied().filter(|it| !kept.contains(it)) {
        let fresh = Faaslet::new(&[("/data", root.path(), false)]);
        let filtered = std::thread::spawn(move || {
            rand::random::<u64>();
            forbid_all_but(NEEDED.iter().chain(THREAD).copied().filter(|&it| it != taken));
            let _quiet = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| exercise(fresh)))
                .expect_err("fails");
        });
        // Closing has no error that could be seen.
        assert!(filtered.join().is_ok() || taken == libc::SYS_close, "{taken} is not needed");
        let _ = fs::remove_dir_all(root.path().join("made"));
        for name in ["new", "moved", "hard", "sym"] {
            let _ = fs::remove_file(root.path().join(name));
        }
    }
}

/// Every kind of call, each of which must work.
fn exercise(mut faaslet: Faaslet) {
    let file = faaslet.open(DATA, "new", CREAT, READ | WRITE, 0).unwrap();
    assert_eq!(faaslet.write(file, b"contents"), Ok(8));
    faaslet.seek(file, 0);
    assert_eq!(faaslet.read(file, 99).unwrap(), b"contents");
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    ok("fd_fdstat_set_flags", wasi.fd_fdstat_set_flags(mem, file, 1));
    assert_eq!(faaslet.write(file, b" and more"), Ok(9));
    descriptors(&mut faaslet, file);
    paths(&mut faaslet);
    let dir = faaslet.open(DATA, "dir", DIRECTORY, READ, 0).unwrap();
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    ok("fd_readdir", wasi.fd_readdir(mem, dir, BYTES, 4096, 0, RESULT));
    assert!(mem.word(RESULT) > 60, "the directory has three entries");
    ok("fd_filestat_set_times", wasi.fd_filestat_set_times(mem, dir, 1, 1, 5));
    ok("fd_filestat_get", wasi.fd_filestat_get(mem, dir, RESULT));
    ok("fd_close", wasi.fd_close(mem, dir));
    ok("random_get", wasi.random_get(mem, BYTES, 64));
    ok("clock_time_get", wasi.clock_time_get(mem, 0, 0, RESULT));
    ok("clock_time_get", wasi.clock_time_get(mem, 1, 0, RESULT));
    ok("clock_res_get", wasi.clock_res_get(mem, 1, RESULT));
    assert!(mem.long(RESULT) < 1_000_000_000, "the resolution was not read");
}

fn descriptors(faaslet: &mut Faaslet, file: u32) {
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    ok("fd_advise", wasi.fd_advise(mem, file, 0, 0, 1));
    ok("fd_sync", wasi.fd_sync(mem, file));
    ok("fd_datasync", wasi.fd_datasync(mem, file));
    ok("fd_filestat_set_size", wasi.fd_filestat_set_size(mem, file, 3));
    ok("fd_filestat_set_times", wasi.fd_filestat_set_times(mem, file, 1, 1, 5));
    ok("fd_filestat_get", wasi.fd_filestat_get(mem, file, RESULT));
    ok("fd_fdstat_get", wasi.fd_fdstat_get(mem, file, RESULT));
    ok("fd_close", wasi.fd_close(mem, file));
}

fn paths(faaslet: &mut Faaslet) {
    let path = |faaslet: &Faaslet, first: &str, second: &str| {
        faaslet.mem.put(PATH, first.as_bytes());
        faaslet.mem.put(PATH2, second.as_bytes());
        (first.len() as u32, second.len() as u32)
    };
    let (a, b) = path(faaslet, "made", "made/inner");
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    ok("path_create_directory", wasi.path_create_directory(mem, DATA, PATH, a));
    ok("path_create_directory", wasi.path_create_directory(mem, DATA, PATH2, b));
    ok("path_remove_directory", wasi.path_remove_directory(mem, DATA, PATH2, b));
    ok("path_remove_directory", wasi.path_remove_directory(mem, DATA, PATH, a));
    let (a, b) = path(faaslet, "new", "moved");
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    ok("path_rename", wasi.path_rename(mem, DATA, PATH, a, DATA, PATH2, b));
    let (a, b) = path(faaslet, "moved", "hard");
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    ok("path_link", wasi.path_link(mem, DATA, 0, PATH, a, DATA, PATH2, b));
    ok("path_unlink_file", wasi.path_unlink_file(mem, DATA, PATH2, b));
    let (a, b) = path(faaslet, "moved", "sym");
    let (wasi, mem) = (&mut faaslet.wasi, &faaslet.mem);
    ok("path_symlink", wasi.path_symlink(mem, PATH, a, DATA, PATH2, b));
    ok("path_readlink", wasi.path_readlink(mem, DATA, PATH2, b, BYTES, 99, RESULT));
    for flags in [0, FOLLOW] {
        let times = wasi.path_filestat_set_times(mem, DATA, flags, PATH2, b, 1, 1, 5);
        ok("path_filestat_set_times", times);
        ok("path_filestat_get", wasi.path_filestat_get(mem, DATA, flags, PATH2, b, RESULT));
    }
    ok("path_unlink_file", wasi.path_unlink_file(mem, DATA, PATH2, b));
    ok("path_unlink_file", wasi.path_unlink_file(mem, DATA, PATH, a));
}

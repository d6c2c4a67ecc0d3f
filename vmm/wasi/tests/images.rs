//! Descriptors as part of an image: recorded at the end of a bake, reopened by forks.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

mod direct;

use std::fs;
use std::path::Path;

use direct::{CREAT, DATA, DIRECTORY, Faaslet, PATH2, READ, RESULT, WRITE, errno};
use faaslet_wasi::{Errno, NotSnapshottable, OpenFiles, Opened, Stdio};
use tempfile::TempDir;

const APPEND: u32 = 1;

fn fixture() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    fs::write(root.path().join("file"), "0123456789").unwrap();
    fs::write(root.path().join("dir/inner"), "inner").unwrap();
    root
}

/// Through the bytes that an image holds.
fn stored(files: &OpenFiles) -> OpenFiles {
    let bytes = files.encode();
    let decoded = OpenFiles::decode(&bytes).unwrap();
    assert_eq!(&decoded, files);
    assert_eq!(decoded.encode(), bytes);
    decoded
}

#[test]
fn a_fork_reads_on_where_the_bake_stopped() {
    let root = fixture();
    let folders = [("/data", root.path(), false)];
    let mut bake = Faaslet::new(&folders);
    let file = bake.open(DATA, "file", 0, READ, 0).unwrap();
    assert_eq!(bake.read(file, 4).unwrap(), b"0123");
    let files = stored(&bake.wasi.snapshot_files().unwrap());
    drop(bake);
    for _ in 0..2 {
        let mut fork = Faaslet::fork(&folders, &files);
        assert_eq!(fork.write(1, b"printed").unwrap(), 7);
        assert!(!fork.wasi.has_file_table(), "a print made the table of descriptors");
        assert_eq!(fork.read(file, 4).unwrap(), b"4567");
        assert!(fork.wasi.has_file_table());
    }
}

#[test]
fn numbers_directories_and_modes_survive() {
    let root = fixture();
    let folders = [("/data", root.path(), false)];
    let mut bake = Faaslet::new(&folders);
    let gone = bake.open(DATA, "file", 0, READ, 0).unwrap();
    let dir = bake.open(DATA, "dir", DIRECTORY, READ, 0).unwrap();
    let inner = bake.open(dir, "inner", 0, READ | WRITE, 0).unwrap();
    let log = bake.open(DATA, "log", CREAT, WRITE, APPEND).unwrap();
    assert_eq!(bake.close(gone), Errno::Success);
    bake.write(log, b"one").unwrap();
    bake.seek(inner, 2);
    let files = stored(&bake.wasi.snapshot_files().unwrap());
    drop(bake);
    let mut fork = Faaslet::fork(&folders, &files);
    assert_eq!(fork.read(gone, 1), Err(Errno::Badf));
    assert_eq!(fork.write(inner, b"NN").unwrap(), 2);
    assert_eq!(fork.write(log, b"two").unwrap(), 3);
    assert_eq!(fork.open(dir, "inner", 0, READ, 0).unwrap(), gone, "the number given back");
    assert_eq!(fork.open(dir, "inner", 0, READ, 0).unwrap(), log + 1, "a new number");
    assert_eq!(fs::read_to_string(root.path().join("dir/inner")).unwrap(), "inNNr");
    assert_eq!(fs::read_to_string(root.path().join("log")).unwrap(), "onetwo");
}

#[test]
fn a_fork_creates_and_truncates_nothing() {
    let root = fixture();
    let folders = [("/data", root.path(), false)];
    let mut bake = Faaslet::new(&folders);
    let file = bake.open(DATA, "made", CREAT | direct::TRUNC, READ | WRITE, 0).unwrap();
    bake.write(file, b"made at the bake").unwrap();
    bake.seek(file, 0);
    let files = stored(&bake.wasi.snapshot_files().unwrap());
    let mut fork = Faaslet::fork(&folders, &files);
    assert_eq!(fork.read(file, 99).unwrap(), b"made at the bake");
    fs::remove_file(root.path().join("made")).unwrap();
    let mut fork = Faaslet::fork(&folders, &files);
    assert_eq!(fork.read(file, 99), Err(Errno::Badf));
    assert!(!root.path().join("made").exists());
}

#[test]
fn what_cannot_be_reopened_is_lost_and_said_once() {
    let root = fixture();
    let empty = tempfile::tempdir().unwrap();
    let mut bake = Faaslet::new(&[("/data", root.path(), false)]);
    let read = bake.open(DATA, "file", 0, READ, 0).unwrap();
    let write = bake.open(DATA, "file", 0, READ | WRITE, 0).unwrap();
    let dir = bake.open(DATA, "dir", DIRECTORY, READ, 0).unwrap();
    let files = stored(&bake.wasi.snapshot_files().unwrap());

    let mut elsewhere = Faaslet::fork(&[("/data", empty.path(), false)], &files);
    assert_eq!(elsewhere.read(read, 4), Err(Errno::Badf));
    assert_eq!(elsewhere.read(read, 4), Err(Errno::Badf));
    let lines = elsewhere.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("/data/file"), "{lines:?}");
    assert_eq!(elsewhere.close(read), Errno::Success);

    let mut read_only = Faaslet::fork(&[("/data", root.path(), true)], &files);
    assert_eq!(read_only.read(write, 4), Err(Errno::Badf));
    assert_eq!(read_only.read(read, 4).unwrap(), b"0123");

    let mut no_folder = Faaslet::fork(&[], &files);
    assert_eq!(no_folder.open(DATA, "file", 0, READ, 0), Err(Errno::Badf));
    assert_eq!(no_folder.open(dir, "inner", 0, READ, 0), Err(Errno::Badf));
    assert_eq!(no_folder.write(2, b"still printing\n").unwrap(), 15);
    assert_eq!(no_folder.lines().len(), 3);

    fs::remove_dir_all(root.path().join("dir")).unwrap();
    fs::write(root.path().join("dir"), "a file now").unwrap();
    let mut changed = Faaslet::fork(&[("/data", root.path(), false)], &files);
    assert_eq!(changed.open(dir, "inner", 0, READ, 0), Err(Errno::Badf));
}

#[test]
fn folders_keep_their_numbers_when_grants_come_in_another_order() {
    let (one, two) = (fixture(), tempfile::tempdir().unwrap());
    let mut bake = Faaslet::new(&[("/one", one.path(), false), ("/two", two.path(), false)]);
    let files = stored(&bake.wasi.snapshot_files().unwrap());
    let mut fork =
        Faaslet::fork(&[("/two", two.path(), false), ("/one", one.path(), false)], &files);
    assert!(fork.open(DATA, "file", 0, READ, 0).is_ok());
    assert_eq!(fork.open(DATA + 1, "file", 0, READ, 0), Err(Errno::Noent));
}

#[test]
fn moved_streams_stay_moved() {
    let root = fixture();
    let folders = [("/data", root.path(), false)];
    let mut bake = Faaslet::new(&folders);
    let file = bake.open(DATA, "file", 0, READ | WRITE, 0).unwrap();
    assert_eq!(errno(bake.wasi.fd_renumber(&bake.mem, file, 1)), Errno::Success);
    let files = stored(&bake.wasi.snapshot_files().unwrap());
    assert_eq!(files.files()[0].what, Opened::Stdio(Stdio::Input));
    let mut fork = Faaslet::fork(&folders, &files);
    assert_eq!(fork.write(1, b"into the file").unwrap(), 13);
    assert_eq!(fs::read_to_string(root.path().join("file")).unwrap(), "into the file");
    assert!(fork.wasi.console().output().is_empty());
}

#[test]
fn a_second_bake_on_top_of_an_image_keeps_what_it_did_not_touch() {
    let root = fixture();
    let folders = [("/data", root.path(), false)];
    let mut bake = Faaslet::new(&folders);
    let file = bake.open(DATA, "file", 0, READ, 0).unwrap();
    bake.seek(file, 3);
    let files = stored(&bake.wasi.snapshot_files().unwrap());
    let mut again = Faaslet::fork(&folders, &files);
    assert_eq!(again.wasi.snapshot_files().unwrap(), files);
    again.seek(file, 5);
    assert_ne!(again.wasi.snapshot_files().unwrap(), files);
}

#[test]
fn a_bake_that_touches_nothing_holds_nothing() {
    let mut bake = Faaslet::new(&[]);
    bake.write(1, b"printed").unwrap();
    let files = bake.wasi.snapshot_files().unwrap();
    assert_eq!(files, OpenFiles::default());
    assert!(!bake.wasi.has_file_table());
}

#[test]
fn a_file_that_a_fork_would_not_find_is_an_error_that_names_it() {
    let root = fixture();
    let folders = [("/data", root.path(), false)];
    let unlink = |bake: &mut Faaslet| {
        let len = bake.path("file");
        errno(bake.wasi.path_unlink_file(&bake.mem, DATA, direct::PATH, len))
    };
    let mut bake = Faaslet::new(&folders);
    let file = bake.open(DATA, "file", 0, READ, 0).unwrap();
    assert_eq!(unlink(&mut bake), Errno::Success);
    let error = bake.wasi.snapshot_files().unwrap_err();
    assert!(matches!(error, NotSnapshottable::Gone { number, .. } if number == file), "{error}");
    assert!(error.to_string().contains("/data/file"), "{error}");

    fs::write(root.path().join("file"), "another").unwrap();
    let error = bake.wasi.snapshot_files().unwrap_err();
    let expected = NotSnapshottable::Changed { number: file, path: "/data/file".into() };
    assert_eq!(error, expected);
    assert_eq!(bake.close(file), Errno::Success);
    assert!(bake.wasi.snapshot_files().is_ok());
}

#[test]
fn a_path_that_grew_too_long_is_an_error() {
    let root = fixture();
    let mut bake = Faaslet::new(&[("/data", root.path(), false)]);
    let way = format!("{}dir", "./".repeat(1500));
    let dir = bake.open(DATA, &way, DIRECTORY, READ, 0).unwrap();
    bake.wasi.snapshot_files().unwrap();
    let file = bake.open(dir, &format!("{}inner", "./".repeat(1500)), 0, READ, 0).unwrap();
    let error = bake.wasi.snapshot_files().unwrap_err();
    assert!(
        matches!(&error, NotSnapshottable::PathTooLong { number, .. } if *number == file),
        "{error}"
    );
}

/// The layout is frozen: an image of an older release must open.
#[test]
fn the_layout_is_frozen() {
    let root = fixture();
    let mut bake = Faaslet::new(&[("/data", root.path(), false)]);
    let file = bake.open(DATA, "file", 0, READ | WRITE, APPEND).unwrap();
    bake.seek(file, 0x0102);
    assert_eq!(bake.close(0), Errno::Success);
    let bytes = bake.wasi.snapshot_files().unwrap().encode();
    #[rustfmt::skip]
    let expected: &[u8] = &[
        5, 0, 0, 0,  4, 0, 0, 0,
        1, 0, 0, 0,  1, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        2, 0, 0, 0,  2, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        3, 0, 0, 0,  3, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  5, 0, 0, 0,  0, 0, 0, 0,
        b'/', b'd', b'a', b't', b'a',
        4, 0, 0, 0,  4, 7, 0, 0,  2, 1, 0, 0, 0, 0, 0, 0,  5, 0, 0, 0,  4, 0, 0, 0,
        b'/', b'd', b'a', b't', b'a', b'f', b'i', b'l', b'e',
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn damaged_bytes_are_refused() {
    let root = fixture();
    let mut bake = Faaslet::new(&[("/data", root.path(), false)]);
    bake.open(DATA, "file", 0, READ, 0).unwrap();
    bake.open(DATA, "dir", DIRECTORY, READ, 0).unwrap();
    let bytes = bake.wasi.snapshot_files().unwrap().encode();
    for len in 0..bytes.len() {
        assert!(OpenFiles::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(OpenFiles::decode(&longer).is_err());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            // Another list or an error, and never the same list.
            if let Ok(files) = OpenFiles::decode(&flipped) {
                assert_eq!(files.encode(), flipped, "bit {bit} of byte {at}");
            }
        }
    }
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(OpenFiles::decode(&huge).is_err());
}

/// A hostile list (an image from elsewhere) opens nothing outside of the granted folders.
#[test]
fn a_list_from_elsewhere_leaves_no_folder() {
    let root = fixture();
    let data = root.path().join("dir");
    let mut bake = Faaslet::new(&[("/data", &data, false)]);
    let file = bake.open(DATA, "inner", 0, READ, 0).unwrap();
    let bytes = bake.wasi.snapshot_files().unwrap().encode();
    let paths: [&[u8]; 3] = [b"../fi", b"/etc/", b"../.."];
    for path in paths {
        let mut hostile = bytes.clone();
        let at = hostile.len() - 5;
        hostile[at..].copy_from_slice(path);
        let files = OpenFiles::decode(&hostile).unwrap();
        let mut fork = Faaslet::fork(&[("/data", Path::new(&data), false)], &files);
        assert_eq!(fork.read(file, 1), Err(Errno::Badf));
    }
    let _ = (PATH2, RESULT);
}

//! Files: hashed, written once, bounded, never torn.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use super::{leftovers, put, store};
use crate::{BlobError, BlobKind, Hash, PutError};

#[test]
fn a_file_is_named_by_its_content_and_kept_once() {
    let (_folder, store) = store();
    let hash = put(&store, BlobKind::Module, "content");
    assert_eq!(hash, Hash::of(b"content"));
    assert_eq!(put(&store, BlobKind::Module, "content"), hash);
    assert_eq!(store.blobs(BlobKind::Module).unwrap(), [(hash, 7)]);
    assert!(!store.has_blob(BlobKind::Image, hash));
    let mut content = String::new();
    store.open_blob_checked(BlobKind::Module, hash).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
    assert_eq!(leftovers(&store), 0);
    let path = store.blob_path(BlobKind::Module, hash);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o400);
}

#[test]
fn an_empty_file_and_a_large_one() {
    let (_folder, store) = store();
    for bytes in [0, 1, (256 << 10) - 1, 256 << 10, (3 << 20) + 1] {
        let content = vec![7; bytes];
        let hash = store.put_blob(BlobKind::Image, None, &mut &content[..]).unwrap();
        let mut found = Vec::new();
        store.open_blob_checked(BlobKind::Image, hash).unwrap().read_to_end(&mut found).unwrap();
        assert!(found == content);
    }
}

#[test]
fn content_that_was_announced_otherwise_is_refused() {
    let (_folder, store) = store();
    let error =
        store.put_blob(BlobKind::Module, Some(Hash([0; 32])), &mut &b"other"[..]).unwrap_err();
    assert!(matches!(error, PutError::Mismatch { .. }), "{error}");
    assert_eq!(leftovers(&store), 0);
    assert!(store.blobs(BlobKind::Module).unwrap().is_empty());
    store.put_blob(BlobKind::Module, Some(Hash::of(b"this")), &mut &b"this"[..]).unwrap();
}

#[test]
fn content_without_end_is_refused_at_the_limit() {
    let (_folder, store) = store();
    let error = store.put_blob(BlobKind::Module, None, &mut io::repeat(1)).unwrap_err();
    assert!(matches!(error, PutError::TooLong { .. }), "{error}");
    assert_eq!(leftovers(&store), 0);
}

/// A reader that breaks off.
struct Broken(u32);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0 += 1;
        match self.0 {
            1 => Err(io::ErrorKind::Interrupted.into()),
            2 => Ok(buffer.len()),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

#[test]
fn a_sender_that_vanishes_leaves_nothing() {
    let (_folder, store) = store();
    let error = store.put_blob(BlobKind::Module, None, &mut Broken(0)).unwrap_err();
    assert!(matches!(error, PutError::Source { .. }), "{error}");
    assert_eq!(leftovers(&store), 0);
    assert!(store.blobs(BlobKind::Module).unwrap().is_empty());
}

#[test]
fn a_damaged_file_is_told_from_an_absent_one_and_put_right_by_writing_it_again() {
    let (_folder, store) = store();
    let hash = put(&store, BlobKind::Artefact, "content");
    let path = store.blob_path(BlobKind::Artefact, hash);
    for position in 0..7 {
        let mut content = b"content".to_vec();
        content[position] ^= 0x10;
        fs::remove_file(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = store.open_blob_checked(BlobKind::Artefact, hash).unwrap_err();
        assert!(matches!(error, BlobError::Damaged { .. }), "{error}");
        assert_eq!(put(&store, BlobKind::Artefact, "content"), hash);
        store.open_blob_checked(BlobKind::Artefact, hash).unwrap();
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, "cut").unwrap();
    store.open_blob_checked(BlobKind::Artefact, hash).unwrap_err();
    assert_eq!(put(&store, BlobKind::Artefact, "content"), hash);
    store.open_blob_checked(BlobKind::Artefact, hash).unwrap();
    fs::remove_file(&path).unwrap();
    let error = store.open_blob_checked(BlobKind::Artefact, hash).unwrap_err();
    assert!(matches!(error, BlobError::Absent { .. }), "{error}");
}

#[test]
fn a_label_finds_a_file_until_it_goes() {
    let (_folder, store) = store();
    let label = Hash::of(b"module, engine, processor");
    assert_eq!(store.by_label(BlobKind::Artefact, label).unwrap(), None);
    let hash = put(&store, BlobKind::Artefact, "code");
    store.set_label(BlobKind::Artefact, label, hash).unwrap();
    assert_eq!(store.by_label(BlobKind::Artefact, label).unwrap(), Some(hash));
    assert_eq!(store.by_label(BlobKind::Image, label).unwrap(), None);
    fs::remove_file(store.blob_path(BlobKind::Artefact, hash)).unwrap();
    assert_eq!(store.by_label(BlobKind::Artefact, label).unwrap(), None);
}

#[test]
fn many_threads_put_the_same_and_different_files() {
    let (_folder, store) = store();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..20 {
                    put(store, BlobKind::Plan, &format!("shared {n}"));
                    put(store, BlobKind::Plan, &format!("own {thread} {n}"));
                }
            });
        }
    });
    let blobs = store.blobs(BlobKind::Plan).unwrap();
    assert_eq!(blobs.len(), 20 + 4 * 20);
    for (hash, _) in blobs {
        store.open_blob_checked(BlobKind::Plan, hash).unwrap();
    }
    assert_eq!(leftovers(&store), 0);
}

#[test]
fn a_text_that_is_no_hash_is_refused() {
    let hash = Hash::of(b"x");
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for text in ["", "12", &"g".repeat(64), &"0".repeat(63), "../../etc/passwd"] {
        text.parse::<Hash>().unwrap_err();
    }
}

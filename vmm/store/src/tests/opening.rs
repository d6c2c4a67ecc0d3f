//! Opening: twice, old, new, damaged, not writable.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{deploy, function, leftovers, seed, store, store_with_tenant};
use crate::db::{self, Db, DbError, META};
use crate::{OpenError, Store};

#[test]
fn a_second_open_is_refused_and_names_the_process() {
    let (folder, first) = store();
    let error = Store::open(folder.path()).unwrap_err();
    let OpenError::Locked { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, std::process::id().to_string());
    drop(first);
    Store::open(folder.path()).unwrap();
}

#[test]
fn everything_is_there_after_reopening_and_leftovers_are_not() {
    let (folder, store) = store_with_tenant();
    assert_eq!(deploy(&store, "f", "one"), 1);
    let before = store.current(&function("f")).unwrap();
    fs::write(folder.path().join("tmp/modules-0"), "torn").unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.current(&function("f")).unwrap(), before);
    assert_eq!(leftovers(&store), 0);
    assert_eq!(store.tenants().unwrap().len(), 1);
}

#[test]
fn the_folder_is_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("deep/inside");
    let _store = Store::open(&inside).unwrap();
    for path in [inside.clone(), inside.join("modules"), inside.join("tmp")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path:?} has mode {mode:o}");
    }
}

/// Writes another schema version into a store.
fn with_schema(schema: u64) -> OpenError {
    let (folder, store) = store();
    drop(store);
    let db = Db::open(&folder.path().join("faaslet.redb"), 0).unwrap();
    db.write::<_, DbError>(|write| Ok(Ok(db::put(write, META, "schema", &schema)?))).unwrap();
    drop(db);
    Store::open(folder.path()).unwrap_err()
}

#[test]
fn an_older_store_is_refused_with_what_can_be_done() {
    let error = with_schema(0);
    assert!(matches!(error, OpenError::Older { found: 0, .. }), "{error}");
    assert!(error.to_string().contains("--dir"), "{error}");
}

#[test]
fn a_newer_store_is_refused() {
    let error = with_schema(99);
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("below")).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
}

#[test]
fn a_database_that_is_none_is_a_typed_error() {
    for content in [&b"x"[..], &[0; 4096], &vec![0xff; 100_000]] {
        let (folder, store) = store();
        drop(store);
        fs::write(folder.path().join("faaslet.redb"), content).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    }
}

/// A torn database never opens as a whole one: cut anywhere, it is refused or complete.
#[test]
fn a_database_that_is_cut_is_refused() {
    let (folder, store) = store_with_tenant();
    deploy(&store, "f", "one");
    drop(store);
    let path = folder.path().join("faaslet.redb");
    let whole = fs::read(&path).unwrap();
    for cut in [1, 100, 320, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        match Store::open(folder.path()) {
            Ok(store) => drop(store.current(&function("f")).unwrap()),
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{error}"),
        }
    }
}

/// With bytes flipped, a database is refused, or opens and reads without a panic.
#[test]
fn a_database_with_flipped_bytes_is_no_panic() {
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let (folder, store) = store_with_tenant();
    deploy(&store, "f", "one");
    drop(store);
    let path = folder.path().join("faaslet.redb");
    let whole = fs::read(&path).unwrap();
    let used: Vec<_> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let mut refused = 0;
    for _ in 0..200 {
        let mut flipped = whole.clone();
        flipped[used[rng.random_range(0..used.len())]] ^= 1 << rng.random_range(0..8);
        fs::write(&path, flipped).unwrap();
        match Store::open(folder.path()) {
            Ok(store) => {
                let _either = store.versions(&function("f"));
                let _either = store.functions(None);
                let _either = store.tenants();
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(refused > 0, "200 flips and all went unnoticed");
}

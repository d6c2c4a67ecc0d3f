//! A store on a small disk of its own, filled to the last byte, and one that cannot be written.
//!
//! The disk is a tmpfs in a mount namespace of this process, which needs root, or a kernel that
//! lets users have namespaces; where neither is given, the test says so and does nothing.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use faaslet_store::{
    BlobKind, DbError, DeployError, Deployment, FunctionName, GcRule, Hash, Mode, Name, OpenError,
    Options, PutError, Store, TenantError, TenantLimits,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

const DISK_BYTES: u64 = 24 << 20;

/// What files leave for records on a disk this small.
const RESERVE_BYTES: u64 = 1 << 20;

/// A test on an empty disk.
type Test = fn(&Path);

fn main() {
    let namespace = unshare(CloneFlags::CLONE_NEWNS)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS));
    if let Err(error) = namespace {
        println!("skipped: no mount namespace for this user ({error})");
        return;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    let tests: [(&str, Test); 5] = [
        ("files leave room for records", files_leave_room),
        ("a file that finds no room leaves nothing", no_room_for_a_file),
        ("a full disk refuses records and recovers", no_room_for_records),
        ("a commit that meets a full disk recovers", no_room_in_a_commit),
        ("a folder that cannot be written is refused", read_only),
    ];
    for (name, test) in tests {
        let disk = tempfile::tempdir().unwrap();
        let size = format!("size={DISK_BYTES}");
        mount(Some("tmpfs"), disk.path(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))
            .unwrap();
        test(disk.path());
        umount2(disk.path(), MntFlags::MNT_DETACH).unwrap();
        println!("{name}: ok");
    }
}

/// A large file that other users of the disk write.
fn fill(disk: &Path) {
    let mut file = File::create(disk.join("filler")).unwrap();
    let mut chunk = vec![1; 1 << 20];
    loop {
        match file.write_all(&chunk) {
            Ok(()) => {}
            Err(error) if chunk.len() > 1 => {
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                chunk.truncate(chunk.len() / 2);
            }
            Err(_) => return,
        }
    }
}

fn unfill(disk: &Path) {
    fs::remove_file(disk.join("filler")).unwrap();
}

fn acme() -> Name {
    Name::new("acme").unwrap()
}

fn put(store: &Store, bytes: usize, seed: u8) -> Result<Hash, PutError> {
    store.put_blob(BlobKind::Module, None, &mut &vec![seed; bytes][..])
}

/// Deploys a function made of one small file.
fn deploy(store: &Store, name: &str) -> Result<u64, DeployError> {
    let [module, artefact, plan] = [BlobKind::Module, BlobKind::Artefact, BlobKind::Plan]
        .map(|kind| store.put_blob(kind, None, &mut &b"small"[..]).unwrap_or(Hash::of(b"small")));
    let deployment = Deployment {
        module,
        artefact,
        plan,
        image: None,
        base: None,
        engine: Hash::default(),
        mode: Mode::Fresh,
        memory_bytes: 1,
        timeout_ms: 1,
        concurrency: 1,
        folders: Vec::new(),
        args: Vec::new(),
        kept: None,
    };
    store.deploy(&FunctionName::new("acme", name).unwrap(), &deployment, None)
}

fn open(disk: &Path) -> Store {
    let options = Options { reserve_bytes: RESERVE_BYTES, ..Options::default() };
    Store::open_with(&disk.join("store"), options).unwrap()
}

fn files_leave_room(disk: &Path) {
    let store = open(disk);
    let refused = (0..u8::MAX).find_map(|seed| put(&store, 512 << 10, seed).err());
    assert!(matches!(refused, Some(PutError::DiskFull { .. })), "{refused:?}");
    store.add_tenant(&acme(), TenantLimits::default()).unwrap();
}

fn no_room_for_a_file(disk: &Path) {
    let store = open(disk);
    store.add_tenant(&acme(), TenantLimits::default()).unwrap();
    let error = put(&store, 2 * DISK_BYTES as usize, 1).unwrap_err();
    assert!(matches!(error, PutError::DiskFull { .. }), "{error}");
    assert_eq!(fs::read_dir(disk.join("store/tmp")).unwrap().count(), 0);
    assert!(store.blobs(BlobKind::Module).unwrap().is_empty());
    assert_eq!(deploy(&store, "f").unwrap(), 1);
    fill(disk);
    let error = put(&store, 1, 2).unwrap_err();
    assert!(matches!(error, PutError::DiskFull { .. }), "{error}");
    unfill(disk);
    put(&store, 1, 2).unwrap();
    // Without a reserve the kernel refuses, and the outcome is the same.
    drop(store);
    let options = Options { min_free_bytes: 0, reserve_bytes: 0, ..Options::default() };
    let store = Store::open_with(&disk.join("store"), options).unwrap();
    let error = put(&store, 2 * DISK_BYTES as usize, 3).unwrap_err();
    assert!(matches!(error, PutError::DiskFull { .. }), "{error}");
    assert_eq!(fs::read_dir(disk.join("store/tmp")).unwrap().count(), 0);
    put(&store, 1 << 20, 3).unwrap();
}

fn no_room_for_records(disk: &Path) {
    let store = open(disk);
    store.add_tenant(&acme(), TenantLimits::default()).unwrap();
    deploy(&store, "f").unwrap();
    put(&store, 8 << 20, 1).unwrap();
    fill(disk);
    let error = deploy(&store, "g").unwrap_err();
    assert!(matches!(error, DeployError::Db(DbError::DiskFull { .. })), "{error}");
    assert!(error.to_string().contains("faaslet gc"), "{error}");
    let error = store.add_tenant(&Name::new("other").unwrap(), TenantLimits::default());
    assert!(matches!(error, Err(TenantError::Db(DbError::DiskFull { .. }))));
    assert_eq!(store.functions(None).unwrap().len(), 1);
    // A collection makes room on a disk without any: the large file that nobody names goes.
    let rule = GcRule { grace: std::time::Duration::ZERO, ..GcRule::default() };
    assert_eq!(store.gc(&rule).unwrap().freed_bytes, 8 << 20);
    assert_eq!(deploy(&store, "g").unwrap(), 1);
    unfill(disk);
}

/// Without the reserve, the database itself meets the full disk, again and again.
fn no_room_in_a_commit(disk: &Path) {
    let options = Options { min_free_bytes: 0, reserve_bytes: 0, ..Options::default() };
    let store = Store::open_with(&disk.join("store"), options.clone()).unwrap();
    store.add_tenant(&acme(), TenantLimits::default()).unwrap();
    deploy(&store, "f0").unwrap();
    let mut acknowledged = 1;
    let mut refused = 0;
    for round in 0..5 {
        fill(disk);
        for n in 0..400 {
            match deploy(&store, &format!("f{round}-{n}")) {
                Ok(_) => acknowledged += 1,
                Err(
                    DeployError::Db(DbError::DiskFull { .. }) | DeployError::MissingBlob { .. },
                ) => {
                    refused += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        unfill(disk);
        deploy(&store, &format!("after{round}")).unwrap();
        acknowledged += 1;
        assert_eq!(store.functions(None).unwrap().len(), acknowledged);
    }
    drop(store);
    let store = Store::open_with(&disk.join("store"), options).unwrap();
    assert_eq!(store.functions(None).unwrap().len(), acknowledged);
    println!("  {acknowledged} acknowledged, {refused} refused");
    assert!(refused > 0, "the disk was never full");
}

fn read_only(disk: &Path) {
    drop(Store::open(&disk.join("store")).unwrap());
    let remount = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, disk, None::<&str>, remount, None::<&str>).unwrap();
    for folder in ["store", "other"] {
        let error = Store::open(&disk.join(folder)).unwrap_err();
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
}

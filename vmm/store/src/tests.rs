//! Tests of the store in one process.
#![allow(clippy::unwrap_used)]

mod blobs;
mod functions;
mod gc;
mod opening;
mod partial;
mod tenants;

use tempfile::TempDir;

use crate::{BlobKind, Deployment, FunctionName, Hash, ImageRef, Mode, Name, Store, TenantLimits};

/// A new store in a folder that goes with the test.
fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

/// The seed of a randomised test: given by `FAASLET_SEED`, else new; printed either way.
fn seed() -> u64 {
    let given = std::env::var("FAASLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("FAASLET_SEED={seed}");
    seed
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn function(text: &str) -> FunctionName {
    FunctionName::new("acme", text).unwrap()
}

/// A store with the tenant `acme`.
fn store_with_tenant() -> (TempDir, Store) {
    let (folder, store) = store();
    store.add_tenant(&name("acme"), TenantLimits::default()).unwrap();
    (folder, store)
}

fn put(store: &Store, kind: BlobKind, content: &str) -> Hash {
    store.put_blob(kind, None, &mut content.as_bytes()).unwrap()
}

/// Puts the files of a deployment, told apart by `content`.
fn deployment(store: &Store, content: &str) -> Deployment {
    let put = |kind: BlobKind| put(store, kind, &format!("{kind} {content}"));
    Deployment {
        module: put(BlobKind::Module),
        artefact: put(BlobKind::Artefact),
        plan: put(BlobKind::Plan),
        image: Some(ImageRef { id: Hash([1; 32]), blob: put(BlobKind::Image) }),
        base: None,
        engine: Hash::default(),
        kept: None,
        mode: Mode::Fork,
        memory_bytes: 64 << 20,
        timeout_ms: 1000,
        concurrency: 8,
        folders: Vec::new(),
        args: Vec::new(),
    }
}

fn deploy(store: &Store, text: &str, content: &str) -> u64 {
    store.deploy(&function(text), &deployment(store, content), None).unwrap()
}

/// Files under `tmp/`.
fn leftovers(store: &Store) -> usize {
    std::fs::read_dir(store.folder().join("tmp")).unwrap().count()
}

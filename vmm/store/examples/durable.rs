//! Measures what durability costs here: opening, deploying, and looking up a token.
//!
//! `cargo run --release -p faaslet-store --example durable [FOLDER]`
#![allow(clippy::unwrap_used)]

use std::env;
use std::path::Path;
use std::time::{Duration, Instant};

use faaslet_store::{
    BlobKind, Deployment, FunctionName, Hash, ImageRef, Mode, Name, Role, Store, TenantLimits,
};

const ROUNDS: u32 = 100;
const FUNCTIONS: u32 = 1_000;
const IMAGE_BYTES: usize = 2 << 20;

fn main() {
    let folder = tempfile::tempdir_in(env::args().nth(1).unwrap_or_else(|| ".".into())).unwrap();
    let store = time("open, new", || Store::open(folder.path()).unwrap());
    let acme = Name::new("acme").unwrap();
    let limits = TenantLimits { functions: 2 * FUNCTIONS, ..TenantLimits::default() };
    store.add_tenant(&acme, limits).unwrap();
    let mut times = Vec::new();
    for n in 0..ROUNDS {
        let begin = Instant::now();
        deploy(&store, n, true);
        times.push(begin.elapsed());
    }
    print("deploy with a 2 MiB image, p50", median(&mut times));
    let mut times: Vec<_> = (0..FUNCTIONS).map(|n| deploy(&store, n, false)).collect();
    print("records of a deployment alone, p50", median(&mut times));
    let token = store.add_token(&Role::Tenant(acme)).unwrap();
    let mut times = Vec::new();
    for _ in 0..10_000 {
        let begin = Instant::now();
        assert!(store.authenticate(token.reveal()).unwrap().is_some());
        times.push(begin.elapsed());
    }
    print("look up a token, p50", median(&mut times));
    drop(store);
    reopen(folder.path());
}

fn reopen(folder: &Path) {
    let store = time("open again, 1,000 functions", || Store::open(folder).unwrap());
    let functions = time("list 1,000 functions", || store.functions(None).unwrap());
    assert_eq!(functions.len(), FUNCTIONS as usize);
    time("plan a collection", || store.gc_plan(&faaslet_store::GcRule::default()).unwrap());
}

/// Deploys function `n`; returns what the records alone took.
fn deploy(store: &Store, n: u32, new_image: bool) -> Duration {
    let number = if new_image { n } else { 0 };
    let put = |kind, bytes: usize| {
        let mut content = vec![1; bytes];
        content[..4].copy_from_slice(&number.to_le_bytes());
        store.put_blob(kind, None, &mut &content[..]).unwrap()
    };
    let image = put(BlobKind::Image, IMAGE_BYTES);
    let deployment = Deployment {
        module: put(BlobKind::Module, 100_000),
        artefact: put(BlobKind::Artefact, 300_000),
        plan: put(BlobKind::Plan, 10_000),
        image: Some(ImageRef { id: image, blob: image }),
        base: None,
        engine: Hash::default(),
        kept: None,
        mode: Mode::Fork,
        memory_bytes: 1 << 20,
        timeout_ms: 1_000,
        concurrency: 1,
        folders: Vec::new(),
        args: Vec::new(),
    };
    let begin = Instant::now();
    store.deploy(&FunctionName::new("acme", &format!("f{n}")).unwrap(), &deployment, None).unwrap();
    begin.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn time<T>(what: &str, body: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = body();
    print(what, begin.elapsed());
    done
}

fn print(what: &str, time: Duration) {
    println!("{what:<36} {:>10.3} ms", time.as_secs_f64() * 1e3);
}

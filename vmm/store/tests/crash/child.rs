//! The process that writes until it is killed.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use faaslet_store::{BlobKind, Name, Options, Step, Store, TenantLimits};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::model::{Model, Op, bytes, deployment, gc_rule, name, settings};

/// Environment: the folder, which also says that this is the child.
pub(crate) const FOLDER: &str = "FAASLET_CRASH_FOLDER";
/// Environment: the seed.
pub(crate) const SEED: &str = "FAASLET_CRASH_SEED";
/// Environment: the step to die at, and the how manieth time.
pub(crate) const STEP: &str = "FAASLET_CRASH_STEP";

const FUNCTIONS: u32 = 4;

static DIE_AT: OnceLock<(String, u32)> = OnceLock::new();
static REACHED: AtomicU32 = AtomicU32::new(0);

pub(crate) fn run(folder: &Path) {
    if let Ok(step) = env::var(STEP) {
        let (step, count) = step.split_once(' ').unwrap();
        DIE_AT.set((step.to_owned(), count.parse().unwrap())).unwrap();
    }
    let mut rng = StdRng::seed_from_u64(env::var(SEED).unwrap().parse().unwrap());
    let options = Options { at_step, ..Options::default() };
    let store = Store::open_with(folder, options).unwrap();
    let acme = Name::new("acme").unwrap();
    if store.tenant(&acme).is_err() {
        store.add_tenant(&acme, TenantLimits::default()).unwrap();
    }
    loop {
        let op = choose(&store, &mut rng);
        say(&format!("begin {op}"));
        act(&store, &op);
        say("done");
    }
}

fn at_step(step: Step) {
    let Some((name, count)) = DIE_AT.get() else { return };
    if *name == format!("{step:?}") && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *count {
        kill(Pid::this(), Signal::SIGKILL).unwrap();
    }
}

fn say(line: &str) {
    // The test may have stopped listening and be about to kill us.
    let _either = writeln!(io::stdout(), "{line}");
}

fn choose(store: &Store, rng: &mut StdRng) -> Op {
    let function = rng.random_range(0..FUNCTIONS);
    let found = Model::of(store);
    let Some(there) = found.functions.get(&function) else {
        return Op::Deploy(function, rng.random_range(0..1_000));
    };
    let versions: Vec<_> = there.versions.keys().copied().collect();
    match rng.random_range(0..20) {
        0..=2 => Op::Gc,
        3..=4 => Op::Rollback(function, versions[rng.random_range(0..versions.len())]),
        5..=7 => Op::Settings(function, rng.random_range(1..1_000)),
        8 => Op::Remove(function),
        // Contents repeat now and then, so that files are shared between versions.
        _ => Op::Deploy(function, rng.random_range(0..1_000)),
    }
}

fn act(store: &Store, op: &Op) {
    match *op {
        Op::Deploy(function, content) => {
            let made = deployment(content);
            let mut kinds = vec![BlobKind::Module, BlobKind::Artefact, BlobKind::Plan];
            kinds.extend(made.image.map(|_| BlobKind::Image));
            for kind in kinds {
                store.put_blob(kind, None, &mut &bytes(kind, content)[..]).unwrap();
            }
            store.deploy(&name(function), &made, None).unwrap();
        }
        Op::Rollback(function, version) => store.rollback(&name(function), version).unwrap(),
        Op::Settings(function, number) => {
            store.set_settings(&name(function), &settings(number)).unwrap();
        }
        Op::Remove(function) => store.remove_function(&name(function)).unwrap(),
        Op::Gc => drop(store.gc(&gc_rule()).unwrap()),
    }
}

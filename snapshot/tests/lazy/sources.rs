//! Sources that lie, fail, stall or die: each is named, and the next one gives the chunk.

use std::sync::Arc;
use std::thread;

use faaslet_snapshot::source::Source;

use super::ground::{Ground, expected, file, memory, page};
use super::script::{Act, Script};

const PAGE: usize = 4 * 16;

/// A fork that reads a page of chunk 4, with one source that does this before one that is good.
fn beside_a_good_one(act: Act) -> (Ground, [Arc<Script>; 2]) {
    let file = file(&memory());
    let scripts = [Script::new("first", &file, &[act]), Script::new("second", &file, &[Act::Give])];
    let sources = scripts.iter().map(|script| Arc::clone(script) as Arc<dyn Source>).collect();
    let ground = Ground::new(1, sources);
    let slot = ground.fork(0);
    assert_eq!(page(&slot, PAGE), expected(&ground.memory, PAGE), "{act:?}");
    assert!(ground.told.lost.lock().unwrap().is_empty());
    (ground, scripts)
}

#[test]
fn one_that_gives_what_is_not_the_images_is_named_and_never_asked_again() {
    for act in [Act::Damage, Act::Misname, Act::Swap, Act::Cut] {
        let (ground, [bad, good]) = beside_a_good_one(act);
        let left_out = ground.told.left_out.lock().unwrap().clone();
        assert!(matches!(&left_out[..], [why] if why.starts_with("first: ")), "{left_out:?}");
        ground.fill();
        assert_eq!((bad.asked().len(), good.asked().len()), (1, 2), "{act:?}");
    }
}

#[test]
fn one_that_fails_is_asked_after_the_others() {
    for act in [Act::Fail, Act::Nothing, Act::Panic] {
        let (ground, [bad, good]) = beside_a_good_one(act);
        assert_eq!(ground.told.failed.lock().unwrap().len(), 1, "{act:?}");
        assert!(ground.told.left_out.lock().unwrap().is_empty());
        ground.fill();
        assert_eq!((bad.asked().len(), good.asked().len()), (1, 2), "{act:?}");
    }
}

#[test]
fn one_that_stalls_leaves_time_for_the_next() {
    let file = file(&memory());
    let stalls = Script::new("stalls", &file, &[Act::Stall]);
    let gives = Script::new("gives", &file, &[Act::Give]);
    let patience = std::time::Duration::from_secs(2);
    let sources: Vec<Arc<dyn Source>> = vec![Arc::clone(&stalls) as _, Arc::clone(&gives) as _];
    let ground = Ground::patient(1, sources, patience);
    let slot = ground.fork(0);
    assert_eq!(page(&slot, PAGE), expected(&ground.memory, PAGE));
    assert_eq!(*ground.told.failed.lock().unwrap(), ["stalls: it did not answer in time"]);
}

#[test]
fn one_that_dies_in_the_middle_of_a_fault_does_not_end_it() {
    let file = file(&memory());
    let dies = Script::new("dies", &file, &[Act::Die]);
    let gives = Script::new("gives", &file, &[Act::Give]);
    let ground = Ground::new(1, vec![Arc::clone(&dies) as _, Arc::clone(&gives) as _]);
    thread::scope(|scope| {
        let fork = scope.spawn(|| page(&ground.fork(0), PAGE));
        dies.wait_asked(1);
        assert!(gives.asked().is_empty());
        dies.end();
        assert_eq!(fork.join().unwrap(), expected(&ground.memory, PAGE));
    });
    assert_eq!(ground.told.failed.lock().unwrap().len(), 1);
}

//! Pages that cannot be had: whoever computes with them is told before the fault ends.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use faaslet_snapshot::source::Source;

use super::ground::{CHUNKS, Ground, expected, file, memory, page};
use super::script::{Act, Script};

fn ground(workers: usize, acts: &[Act]) -> (Ground, Arc<Script>) {
    let script = Script::new("a host", &file(&memory()), acts);
    (Ground::new(workers, vec![Arc::clone(&script) as Arc<dyn Source>]), script)
}

/// A page of chunk 4, and where it lies.
const PAGE: usize = 4 * 16;
const ADDRESS: u32 = (PAGE * 4096) as u32;

#[test]
fn a_read_of_a_page_that_cannot_be_had_is_refused_and_so_is_every_one_after_it() {
    for act in [Act::Fail, Act::Damage, Act::Panic] {
        let (ground, _) = ground(2, &[act]);
        let slot = ground.fork(0);
        let mut bytes = [0xaa; 8];
        assert!(slot.read(ADDRESS, &mut bytes).is_err(), "{act:?}: found {bytes:?}");
        assert!(slot.memory().lost());
        assert!(slot.read(16 * 4096, &mut bytes).is_err(), "a page of zeros, {act:?}");
        let lost = ground.told.lost.lock().unwrap().clone();
        assert!(lost[0].contains("chunk 4") && lost[0].contains("a host"), "{lost:?}");
        assert!(ground.told.ended.lock().unwrap().is_empty());
        // Another worker's forks have nothing to do with it.
        let other = ground.fork(1);
        assert_eq!(page(&other, 16), [0; 4096]);
    }
}

#[test]
fn the_next_call_on_the_worker_begins_anew_and_the_image_was_not_filled_with_zeros() {
    let (ground, _) = ground(1, &[Act::Fail, Act::Give]);
    let mut slot = ground.fork(0);
    assert!(slot.read(ADDRESS, &mut [0; 8]).is_err());
    assert!(ground.watches[0].settle(), "the call before was lost");
    assert!(!ground.watches[0].settle());
    slot.poison();
    slot.remap().unwrap();
    assert_eq!(page(&slot, PAGE), expected(&ground.memory, PAGE));
}

#[test]
fn a_worker_that_stores_where_others_see_it_is_not_let_go_on() {
    let (ground, _) = ground(1, &[Act::Fail]);
    let (watch, told) = (Arc::clone(&ground.watches[0]), Arc::clone(&ground.told));
    let (enter, entered) = std::sync::mpsc::sync_channel(1);
    // This thread never comes back: its fault is not answered, as in a cell that is killed.
    thread::spawn(move || {
        let (slot, _writable) = (ground.fork(0), watch.writable());
        enter.send(()).unwrap();
        let read = slot.read(ADDRESS, &mut [0; 8]);
        panic!("the fault ended: {read:?}");
    });
    entered.recv().unwrap();
    while told.ended.lock().unwrap().is_empty() {
        thread::yield_now();
    }
    assert!(told.lost.lock().unwrap().is_empty());
}

#[test]
fn a_source_that_stalls_for_ever_costs_the_fault_no_more_than_its_limit() {
    let script = Script::new("stalls", &file(&memory()), &[Act::Stall]);
    let patience = Duration::from_millis(200);
    let ground = Ground::patient(8, vec![script as Arc<dyn Source>], patience);
    thread::scope(|scope| {
        for worker in 0..8 {
            let ground = &ground;
            scope.spawn(move || assert!(ground.fork(worker).read(ADDRESS, &mut [0; 8]).is_err()));
        }
    });
    assert_eq!(ground.told.lost.lock().unwrap().len(), 8);
}

#[test]
fn a_line_that_lies_about_its_slot_gets_nothing_of_the_image() {
    let (ground, script) = ground(1, &[Act::Give]);
    let slot = ground.fork(0);
    let lies = [(99, slot.base().addr().get()), (7, usize::MAX), (7, 0)];
    for (page, (image, base)) in (0..).zip(lies) {
        ground.watches[0].enter(image, base as u64);
        let read = slot.read(ADDRESS + page * 4096, &mut [0; 8]);
        assert!(read.is_err(), "image {image} at {base:#x}");
        ground.watches[0].settle();
    }
    assert!(script.asked().is_empty());
}

#[test]
fn a_copy_over_many_absent_pages_in_host_code_waits_for_each() {
    let (ground, _) = ground(1, &[Act::Give]);
    let slot = ground.fork(0);
    let mut bytes = vec![0; CHUNKS * 65_536 - 100];
    slot.read(50, &mut bytes).unwrap();
    assert_eq!(bytes, ground.memory[50..50 + bytes.len()]);
}

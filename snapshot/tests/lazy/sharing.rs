//! What forks of an image on its way here see and share.

use std::sync::{Arc, Barrier};
use std::thread;

use faaslet_snapshot::image::layout::CHUNK_BYTES;
use faaslet_snapshot::lazy::FileSource;
use faaslet_snapshot::slot::{MapError, Slot};
use faaslet_snapshot::source::{Source, Urgency};

use super::ground::{CHUNKS, Ground, expected, file, memory, page, scanner};
use super::script::{Act, Script};

fn ground(workers: usize, acts: &[Act]) -> (Ground, Arc<Script>) {
    let script = Script::new("a host", &file(&memory()), acts);
    (Ground::new(workers, vec![Arc::clone(&script) as Arc<dyn Source>]), script)
}

#[test]
fn a_fork_reads_the_whole_image_and_each_chunk_was_fetched_once() {
    let (ground, script) = ground(1, &[Act::Give]);
    let slot = ground.fork(0);
    for number in (0..CHUNKS * 16).rev() {
        assert_eq!(page(&slot, number), expected(&ground.memory, number), "page {number}");
    }
    let mut chunks: Vec<u32> = script.asked().into_iter().flat_map(|(chunks, _)| chunks).collect();
    chunks.sort_unstable();
    let stored: Vec<u32> = (0..CHUNKS as u32).filter(|chunk| *chunk != 1).collect();
    assert_eq!(chunks, stored, "the chunk of zeros is never asked for, the others once");
    assert!(ground.lazy.whole().is_some());
}

#[test]
fn sixty_four_forks_on_one_absent_page_cause_one_fetch() {
    const FORKS: usize = 64;
    let (ground, script) = ground(FORKS, &[Act::Give]);
    let barrier = Barrier::new(FORKS);
    thread::scope(|scope| {
        for worker in 0..FORKS {
            let (ground, barrier) = (&ground, &barrier);
            scope.spawn(move || {
                let slot = ground.fork(worker);
                barrier.wait();
                assert_eq!(page(&slot, 4 * 16), expected(&ground.memory, 4 * 16));
            });
        }
    });
    assert_eq!(script.asked(), [(vec![4], Urgency::Fault)]);
    assert_eq!(ground.lazy.progress().here, 1);
}

#[test]
fn a_page_of_zeros_needs_no_source() {
    let (ground, script) = ground(1, &[Act::Panic]);
    let mut slot = ground.fork(0);
    assert_eq!(page(&slot, 16 + 5), [0; 4096], "of a chunk of zeros");
    assert_eq!(page(&slot, 2 * 16 + 1), [0; 4096], "of a chunk that has others");
    slot.write(16 * 4096, b"stored over zeros").unwrap();
    slot.reset(&mut scanner()).unwrap();
    assert_eq!(page(&slot, 16), [0; 4096]);
    assert!(script.asked().is_empty());
}

#[test]
fn what_a_call_wrote_over_pages_that_came_late_is_put_back() {
    let (ground, _) = ground(1, &[Act::Give]);
    let (mut slot, mut scanner) = (ground.fork(0), scanner());
    for round in 0..3_u8 {
        slot.enter(&scanner);
        for number in [0, 15, 2 * 16, 2 * 16 + 1, 7 * 16, 11 * 16 + 15] {
            slot.write((number * 4096 + 9) as u32, &[round | 1; 100]).unwrap();
        }
        slot.reset(&mut scanner).unwrap();
        for number in [0, 15, 2 * 16, 2 * 16 + 1, 7 * 16, 11 * 16 + 15] {
            assert_eq!(page(&slot, number), expected(&ground.memory, number), "page {number}");
        }
    }
    ground.fill();
    slot.verify(&mut scanner).unwrap();
}

#[test]
fn a_whole_image_is_mapped_without_a_pager_and_an_unfinished_one_is_not() {
    let (ground, _) = ground(1, &[Act::Give]);
    let mut plain = Slot::reserve(ground.fork(0).layout()).unwrap();
    assert!(matches!(plain.map(ground.image.memory()), Err(MapError::NotWhole)));
    assert!(ground.image.memory().become_whole().is_err(), "not all of it is here");
    ground.fill();
    ground.image.memory().become_whole().unwrap();
    plain.map(ground.image.memory()).unwrap();
    for number in 0..CHUNKS * 16 {
        assert_eq!(page(&plain, number), expected(&ground.memory, number), "page {number}");
    }
    plain.verify(&mut scanner()).unwrap();
}

#[test]
fn nobody_can_write_through_what_a_cell_gets() {
    let (ground, _) = ground(1, &[Act::Give]);
    let file = std::fs::File::from(ground.lazy.fd().try_clone_to_owned().unwrap());
    let written = std::os::unix::fs::FileExt::write_all_at(&file, b"x", 0);
    assert!(written.is_err());
    assert!(file.set_len(CHUNK_BYTES as u64).is_err());
}

#[test]
fn chunks_ahead_come_in_one_request_and_those_that_are_likely_first() {
    let (ground, script) = ground(1, &[Act::Give]);
    assert_eq!(ground.lazy.absent_of(&[9, 1, 3, 99]), [9, 3], "one of zeros is never absent");
    assert_eq!(ground.lazy.absent(3), [0, 2, 3]);
    let deadline = std::time::Instant::now() + super::ground::PATIENCE;
    ground.lazy.fetch_ahead(&[9, 3, 0, 2], deadline).unwrap();
    ground.lazy.fetch_ahead(&[9, 3], deadline).unwrap();
    assert_eq!(script.asked(), [(vec![9, 3, 0, 2], Urgency::Ahead)]);
    let slot = ground.fork(0);
    assert_eq!(page(&slot, 9 * 16), expected(&ground.memory, 9 * 16));
    assert_eq!(page(&slot, 5 * 16), expected(&ground.memory, 5 * 16));
    assert_eq!(ground.lazy.touched(), [(5, 1)], "what was here did not fault");
}

#[test]
fn the_file_of_an_image_is_a_source() {
    let mut at_rest = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut at_rest, &file(&memory())).unwrap();
    let source = Arc::new(FileSource::new(at_rest, "the file"));
    let ground = Ground::new(1, vec![source]);
    let slot = ground.fork(0);
    for number in 0..CHUNKS * 16 {
        assert_eq!(page(&slot, number), expected(&ground.memory, number), "page {number}");
    }
}

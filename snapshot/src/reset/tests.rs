//! What the kernel does to a slot's pages behind everybody's back.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use super::*;
use crate::bytes::HOST_PAGE;
use crate::dirty::Pagemap;
use crate::layout::Layout;
use crate::memory::MemoryImage;

const HUGE_PAGE: Bytes = Bytes(2 << 20);
/// Something else in the process may fault between two readings of the counters; not this often.
const MAX_TRIES: usize = 1_000;

/// A slot whose image is one page and then nothing but zeros, and where a huge page would fit.
fn slot_with_room_for_a_huge_page() -> (Slot, Bytes) {
    let mut bytes = vec![0; 3 * HUGE_PAGE.as_usize()];
    bytes[..HOST_PAGE.as_usize()].fill(1);
    let mut slot = Slot::reserve(&Layout::default()).unwrap();
    slot.map(&MemoryImage::from_bytes(&bytes).unwrap()).unwrap();
    let first = slot.base().addr().get() as u64 + HUGE_PAGE.0;
    (slot, Bytes(HUGE_PAGE.0 + first.next_multiple_of(HUGE_PAGE.0) - first))
}

#[test]
fn a_list_is_not_reused_over_pages_that_became_writable_without_a_fault() {
    let mut scanner = Scanner::new(Arc::new(Pagemap::open()));
    if !scanner.pagemap().only_faults() {
        return println!("huge pages cannot be forbidden here: lists are never reused");
    }
    let (mut slot, at) = slot_with_room_for_a_huge_page();
    let mut tries = 0..MAX_TRIES;
    loop {
        tries.next().unwrap();
        slot.enter(&scanner);
        slot.write(at.0 as u32, &[7]).unwrap();
        if slot.reset(&mut scanner).unwrap().method == ResetMethod::Reused {
            break;
        }
    }
    let huge = slot.shared.reservation.collapse(at, HUGE_PAGE);
    slot.enter(&scanner);
    for page in 1..HUGE_PAGE.host_pages().0 {
        slot.write((at.0 + page * HOST_PAGE.0) as u32, &[7]).unwrap();
    }
    slot.reset(&mut scanner).unwrap();
    slot.verify(&mut scanner).unwrap();
    assert!(!huge, "this process gets huge pages");
}

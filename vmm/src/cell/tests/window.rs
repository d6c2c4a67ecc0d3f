//! State in memory, as far as the layout must be right for it today: one shared page in the
//! windows of two live Faaslets.

use std::os::fd::{AsFd, OwnedFd};

use faaslet_abi::Outcome;
use faaslet_rewrite::reserved::WINDOW_BASE;
use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::slot::Sharing;
use memfd::{FileSeal, MemfdOptions};

use super::{Bench, call_export, scanner};
use crate::builder::drive;
use crate::cell::faaslet::ScannerCell;
use crate::cell::{Call, Faaslet, Limits};

const PAGE: Bytes = Bytes(4096);

/// Reads its input, 16 bytes: address, value; and does with them what the export says.
const GUEST: &str = r#"(module
  (import "faaslet_v1" "input_read" (func $in (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "output_set" (func $out (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory 2)
  (func $at (result i32)
    (drop (call $in (i32.const 0) (i32.const 0) (i32.const 16)))
    (i32.load (i32.const 0)))
  (func $value (result i64) (i64.load (i32.const 8)))
  (func $answer (param i64) (result i32)
    (i64.store (i32.const 16) (local.get 0))
    (call $out (i32.const 16) (i32.const 8)))
  (func (export "load") (result i32) (call $answer (i64.load (call $at))))
  (func (export "store") (i64.store (call $at) (call $value)))
  (func (export "add") (result i32) (call $answer (i64.atomic.rmw.add (call $at) (call $value))))
  (func (export "swap") (result i32)
    (call $answer (i64.atomic.rmw.cmpxchg (call $at) (i64.const 5) (call $value))))
  (func (export "fill") (memory.fill (call $at) (i32.wrap_i64 (call $value)) (i32.const 4096)))
  (func (export "copy_out") (memory.copy (i32.const 4096) (call $at) (i32.const 4096)))
  (func (export "copy_back") (memory.copy (call $at) (i32.const 4096) (i32.const 64)))
  (func (export "give") (result i32) (call $out (call $at) (i32.wrap_i64 (call $value))))
  (func (export "take") (result i32) (call $random (call $at) (i32.wrap_i64 (call $value))))
  (func (export "faaslet_main")))"#;

fn shared_page() -> OwnedFd {
    let file = MemfdOptions::default().allow_sealing(true).create("test").unwrap();
    file.as_file().set_len(PAGE.0).unwrap();
    file.add_seals(&[FileSeal::SealShrink, FileSeal::SealGrow]).unwrap();
    file.into_file().into()
}

fn ran(
    faaslet: &mut Faaslet,
    scanner: &ScannerCell,
    name: &str,
    at: u32,
    value: u64,
) -> (Outcome, Vec<u8>) {
    let mut input = u64::from(at).to_le_bytes().to_vec();
    input.extend_from_slice(&value.to_le_bytes());
    let call: Call = call_export(name, &input);
    let ran = drive(faaslet.run(call, scanner));
    (ran.answer.outcome, ran.answer.body)
}

#[track_caller]
fn word(faaslet: &mut Faaslet, scanner: &ScannerCell, name: &str, at: u32, value: u64) -> u64 {
    let (outcome, body) = ran(faaslet, scanner, name, at, value);
    assert_eq!(outcome, Outcome::Returned, "{name}: {}", String::from_utf8_lossy(&body));
    body.try_into().map_or(0, u64::from_le_bytes)
}

#[test]
fn two_faaslets_see_each_other_s_stores_in_a_page_they_share_and_a_reset_leaves_no_trace() {
    let mut bench = Bench::new(1);
    let number = bench.add_text("shares", GUEST, Limits::default());
    let (scanner, fd) = (scanner(), shared_page());
    let (mut one, mut two) = (bench.fork(number), bench.fork(number));
    for round in 1..=3_u64 {
        let at = one.map_window(fd.as_fd(), Bytes::ZERO, PAGE, Sharing::Shared).unwrap();
        assert_eq!(u64::from(at), WINDOW_BASE);
        assert_eq!(two.map_window(fd.as_fd(), Bytes::ZERO, PAGE, Sharing::Shared).unwrap(), at);
        // Plain stores, atomics, bulk operations and the host's own copies reach the same bytes.
        word(&mut one, &scanner, "store", at + 64, 5);
        assert_eq!(word(&mut two, &scanner, "load", at + 64, 0), 5);
        assert_eq!(word(&mut two, &scanner, "add", at + 64, 10), 5);
        assert_eq!(word(&mut one, &scanner, "add", at + 64, 1), 15);
        assert_eq!(word(&mut two, &scanner, "swap", at + 64, 1), 16, "not 5, not swapped");
        assert_eq!(word(&mut one, &scanner, "load", at + 64, 0), 16);
        word(&mut two, &scanner, "fill", at, 0xab);
        word(&mut one, &scanner, "copy_out", at, 0);
        assert_eq!(word(&mut one, &scanner, "load", 4096, 0), 0xabab_abab_abab_abab);
        word(&mut one, &scanner, "store", 4096, round);
        word(&mut one, &scanner, "copy_back", at, 0);
        assert_eq!(word(&mut two, &scanner, "load", at, 0), round);
        assert_eq!(ran(&mut two, &scanner, "give", at, 8).1, round.to_le_bytes());
        assert_eq!(word(&mut two, &scanner, "take", at + 8, 16), 0);
        let drawn = word(&mut one, &scanner, "load", at + 8, 0);
        assert_eq!(drawn, word(&mut two, &scanner, "load", at + 8, 0));
        // The reset of one takes nothing from the other.
        one.reset(&scanner).unwrap();
        one.verify(&scanner).unwrap();
        assert_eq!(word(&mut two, &scanner, "load", at, 0), round);
        let (outcome, _) = ran(&mut one, &scanner, "give", at, 8);
        assert_eq!(outcome, Outcome::Failed, "the host refuses a range that is no longer there");
        one.reset(&scanner).unwrap();
        two.reset(&scanner).unwrap();
        two.verify(&scanner).unwrap();
    }
}

#[test]
fn a_window_ends_where_its_last_region_does() {
    let mut bench = Bench::new(1);
    let number = bench.add_text("shares", GUEST, Limits::default());
    let (scanner, fd) = (scanner(), shared_page());
    let last = PAGE.0 as u32 - 8;
    for (name, at, value) in [
        ("load", last + 1, 0),
        ("load", PAGE.0 as u32, 0),
        ("store", PAGE.0 as u32, 1),
        ("fill", 1, 1),
        ("copy_out", 1, 0),
        ("fill", 0x4000_0000 - 4096, 1),
    ] {
        let mut faaslet = bench.fork(number);
        let base = faaslet.map_window(fd.as_fd(), Bytes::ZERO, PAGE, Sharing::Shared).unwrap();
        assert_eq!(ran(&mut faaslet, &scanner, "load", base + last, 0).0, Outcome::Returned);
        let (outcome, body) = ran(&mut faaslet, &scanner, name, base + at, value);
        let body = String::from_utf8_lossy(&body);
        assert_eq!(outcome, Outcome::Trapped, "{name} {at:#x}: {body}");
        assert!(body.contains("out of bounds"), "{body}");
    }
    // And nothing is there before it is mapped.
    let mut faaslet = bench.fork(number);
    for name in ["load", "store", "fill", "copy_out"] {
        assert_eq!(ran(&mut faaslet, &scanner, name, WINDOW_BASE as u32, 0).0, Outcome::Trapped);
    }
}

#[test]
fn a_private_copy_is_seen_by_nobody_else() {
    let mut bench = Bench::new(1);
    let number = bench.add_text("shares", GUEST, Limits::default());
    let (scanner, fd) = (scanner(), shared_page());
    let (mut one, mut two) = (bench.fork(number), bench.fork(number));
    let at = one.map_window(fd.as_fd(), Bytes::ZERO, PAGE, Sharing::Shared).unwrap();
    two.map_window(fd.as_fd(), Bytes::ZERO, PAGE, Sharing::PrivateCopy).unwrap();
    word(&mut one, &scanner, "store", at, 3);
    assert_eq!(word(&mut two, &scanner, "load", at, 0), 3);
    word(&mut two, &scanner, "store", at, 4);
    assert_eq!(word(&mut one, &scanner, "load", at, 0), 3);
    two.reset(&scanner).unwrap();
    two.map_window(fd.as_fd(), Bytes::ZERO, PAGE, Sharing::PrivateCopy).unwrap();
    assert_eq!(word(&mut two, &scanner, "load", at, 0), 3);
}

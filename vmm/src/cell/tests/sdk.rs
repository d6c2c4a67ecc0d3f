//! Chained calls of the Rust SDK in a cell: fan-out and join, time limits, letting go, outcomes.
//!
//! They need `tests/guests/build.sh`.

use std::collections::HashSet;

use super::{Bench, built, call, returned};
use crate::cell::Limits;

/// A bench with the guest as function 0 and `echo` beside it.
fn bench(limits: Limits) -> Bench {
    let module = built("chains-rs");
    let mut bench = Bench::new(256);
    bench.tick();
    bench.add("chains", &module, limits);
    bench.add("echo", &super::guest("echo"), Limits::default());
    bench
}

#[test]
fn a_fan_out_is_joined_and_every_child_is_a_fork_of_its_own() {
    let mut bench = bench(Limits::default());
    for _ in 0..3 {
        let sum: u64 = (0..200).map(|number| number * number).sum();
        assert_eq!(returned(&bench.run(0, call(b"fan"))), sum.to_string());
    }
    assert_eq!(returned(&bench.run(0, call(b"by name"))), "by name");
    bench.assert_clean();
}

#[test]
fn a_wait_with_a_limit_ends_without_an_answer_and_a_later_one_has_it() {
    let mut bench = bench(Limits::default());
    let said = returned(&bench.run(0, call(b"timeouts")));
    assert_eq!(said, r#"None None Some("slept 1") "slept 300""#);
    bench.assert_clean();
}

#[test]
fn calls_that_are_dropped_make_room_for_others() {
    let mut bench = bench(Limits::default());
    assert_eq!(returned(&bench.run(0, call(b"release"))), "50");
    while bench.worker.counts().running > 0 {
        bench.turn();
    }
    bench.assert_clean();
}

#[test]
fn every_outcome_has_its_text_and_a_chain_ends_at_its_depth() {
    let mut bench = bench(Limits { depth: 9, ..Limits::default() });
    let said = returned(&bench.run(0, call(b"outcomes")));
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "the chained call failed: no: why");
    assert!(lines[1].starts_with("the chained call trapped: "), "{said}");
    for part in [
        "expected a function nobody; the tenant has none of this name",
        "the answer of the chained call: expected JSON of `u64`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("the host refused the chained call").count(), 2, "{said}");
    assert_eq!(returned(&bench.run(0, call(b"deep"))), "8");
    bench.assert_clean();
}

#[test]
fn a_call_holds_results_up_to_its_limit_and_no_further() {
    let limits = Limits { result_bytes: 5 << 20, ..Limits::default() };
    let mut bench = bench(limits);
    for _ in 0..2 {
        let said = returned(&bench.run(0, call(b"hoard")));
        assert!(said.starts_with("5 true "), "{said}");
        assert!(said.contains("expected at most 5242880 (result_bytes)"), "{said}");
    }
    bench.assert_clean();
}

#[test]
fn the_heap_of_an_image_has_room_for_a_call() {
    let mut bench = Bench::new(8);
    for (name, grown) in [("room-c", 0), ("no-room-c", 1)] {
        let function = bench.add(name, &built(name), Limits::default());
        let kib: usize = returned(&bench.run(function, call(b""))).parse().unwrap();
        assert_eq!(kib.min(1), grown, "{name} grew by {kib} KiB");
    }
    bench.assert_clean();
}

#[test]
fn a_generator_repeats_in_every_fork_unless_it_is_seeded_after_the_restore() {
    const CALLS: usize = 100;
    let mut bench = Bench::new(8);
    for (name, different) in [("seeded-c", 1), ("reseeded-c", CALLS)] {
        let function = bench.add(name, &built(name), Limits::default());
        let numbers: HashSet<_> =
            (0..CALLS).map(|_| returned(&bench.run(function, call(b"")))).collect();
        assert_eq!(numbers.len(), different, "{name}");
    }
    bench.assert_clean();
}

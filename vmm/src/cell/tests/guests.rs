//! The text guests, each for what its first lines say, forked and fresh.

use std::time::{Duration, Instant};

use faaslet_abi::Outcome;

use super::{Bench, call, text};
use crate::cell::{Call, Mode};

/// Calls the guest a few times with an input; each must answer the same.
fn always(name: &str, input: &[u8], expected: &[u8]) {
    let mut bench = Bench::with(&[name]);
    for mode in [Mode::Fork, Mode::Fork, Mode::Fresh, Mode::Fork, Mode::Fresh] {
        let answer = bench.run(0, Call { mode, ..call(input) });
        assert_eq!(answer.outcome, Outcome::Returned, "{name} {mode:?}: {}", text(&answer));
        assert_eq!(answer.body, expected, "{name} {mode:?}");
    }
}

#[test]
fn guests_answer_the_same_in_every_fork_and_fresh() {
    always("noop", b"", b"");
    always("echo", b"what comes in goes out", b"what comes in goes out");
    always("counter", b"", b"11");
    always("segments", b"", b"active start late");
    always("init-heavy", b"", &[0x26, 0x78, 0xc1, 0x20, 0x8f, 0x82, 0xc1, 0x0a]);
    always("dirty", &200u32.to_le_bytes(), b"");
    always("grow", &17u32.to_le_bytes(), b"");
    always("table", b"", b"");
    always("command", b"through the standard streams", b"through the standard streams");
    always("init-chain", b"", b"6");
    always("spin", &100u32.to_le_bytes(), b"");
}

#[test]
fn entries_run_in_order_and_after_restore_in_forks_alone() {
    let mut bench = Bench::with(&["order"]);
    for _ in 0..3 {
        assert_eq!(text(&bench.run(0, call(b""))), "sifwrm");
    }
    assert_eq!(text(&bench.run(0, Call { mode: Mode::Fresh, ..call(b"") })), "sifm");
}

#[test]
fn chained_calls_by_name_export_and_index_answer_and_unknown_ones_are_refused() {
    let mut bench = Bench::with(&["chain", "echo"]);
    assert_eq!(text(&bench.run(0, call(b"ehi"))), "0child:hi");
    assert_eq!(text(&bench.run(0, call(b"thi"))), "0child:hi");
    let unknown = text(&bench.run(0, call(b"nx")));
    assert!(unknown.starts_with('4'), "{unknown}");
}

#[test]
fn a_trap_poisons_its_slot_and_the_next_call_finds_a_clean_one() {
    let mut bench = Bench::with(&["trap", "counter"]);
    for kind in *b"umdocnstrfbi" {
        let answer = bench.run(0, call(&[kind]));
        assert_eq!(answer.outcome, Outcome::Trapped, "{}: {}", kind as char, text(&answer));
        assert!(text(&answer).contains("  0: "), "no backtrace: {}", text(&answer));
        assert_eq!(text(&bench.run(1, call(b""))), "11");
    }
}

#[test]
fn an_endless_loop_ends_at_its_deadline_and_lets_others_run_meanwhile() {
    let mut bench = Bench::with(&["loop", "echo"]);
    bench.tick();
    let deadline = Instant::now() + Duration::from_millis(300);
    for number in [1, 2] {
        bench.submit(0, number, Call::making(deadline));
    }
    bench.submit(1, 3, call(b"short"));
    let order: Vec<_> = (0..3).map(|_| bench.next()).map(|(n, a)| (n, a.outcome)).collect();
    assert_eq!(order[0], (3, Outcome::Returned));
    assert!(order[1..].iter().all(|(_, outcome)| *outcome == Outcome::TimedOut), "{order:?}");
}

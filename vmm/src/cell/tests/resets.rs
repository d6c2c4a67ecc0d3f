//! After every reset the slot equals its image: many calls of many modules, each slot compared
//! whole before the next call gets it.

use faaslet_abi::Outcome;

use super::scribble::{self, Program, Shape};
use super::{Bench, Limits, Random, call, guest, number, returned, seed, smith};
use crate::cell::{Answer, Call};

/// Resets in one run; `FAASLET_RESETS` sets another number (`make soak`: a million).
const RESETS: u64 = 100_000;
/// Modules that are made of [`scribble`].
const SCRIBBLERS: u64 = 30;
/// Modules that nobody would write.
const SMITHS: u64 = 16;
/// The most calls that are under way at the same time.
const MAX_AT_ONCE: u64 = 4;

/// What is called, and how.
enum Kind {
    Text(&'static str),
    Scribble(Shape, u64, Vec<u8>),
    Smith,
}

/// What the calls of a run did.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    wide: u64,
    traps: u64,
    grew: u64,
    host_wrote: u64,
    tables: u64,
}

const TEXTS: [&str; 16] = [
    "noop",
    "echo",
    "counter",
    "dirty",
    "grow",
    "table",
    "trap",
    "eat",
    "random",
    "clock",
    "order",
    "segments",
    "segments-dropped",
    "command",
    "init-heavy",
    "chain",
];

fn modules(bench: &mut Bench, random: &mut Random) -> Vec<Kind> {
    let limits = Limits { memory_bytes: 8 << 20, ..Limits::default() };
    let mut kinds = Vec::new();
    for name in TEXTS {
        bench.add(name, &guest(name), limits);
        kinds.push(Kind::Text(name));
    }
    for number in 0..SCRIBBLERS {
        let shape = Shape {
            pages: 2 + random.below(if number.is_multiple_of(10) { 40 } else { 4 }) as u32,
            growth: random.below(4) as u32,
            tables: number.is_multiple_of(5),
            functions: number.is_multiple_of(3),
        };
        let (text, globals) = scribble::module(shape, random);
        let number = bench.add_text(&format!("scribble-{number}"), &text, limits);
        // Read before any fork: what every call must find.
        let memory = bench.fresh(number).memory();
        kinds.push(Kind::Scribble(shape, globals, memory));
    }
    let mut smiths = 0;
    while smiths < SMITHS {
        let Some(module) = smith::module(random.next()) else { continue };
        if bench.try_add(&format!("smith-{smiths}"), &module, limits).is_ok() {
            kinds.push(Kind::Smith);
            smiths += 1;
        }
    }
    kinds
}

/// One call, what it will do, and the sum that it must find.
struct Sent {
    number: u64,
    call: Call,
    program: Option<Program>,
    expected: Option<u64>,
    name: Option<&'static str>,
}

fn next(kind: &Kind, random: &mut Random) -> Sent {
    let mut sent = Sent { number: 0, call: call(b""), program: None, expected: None, name: None };
    match kind {
        Kind::Text(name) => {
            sent.name = Some(name);
            let small = |random: &mut Random| (random.below(30) as u32).to_le_bytes().to_vec();
            sent.call.input = match *name {
                "dirty" | "grow" => small(random),
                "trap" => vec![b"umdocnsttfbi"[random.below(12) as usize]],
                "chain" => [b"ehi", b"thi"][random.below(2) as usize].to_vec(),
                _ => random.bytes(20),
            };
        }
        Kind::Scribble(shape, globals, memory) => {
            let program = scribble::program(*shape, random);
            sent.expected = Some(sum(*globals, memory, program.sum));
            sent.call.input.clone_from(&program.input);
            sent.program = Some(program);
        }
        Kind::Smith => {}
    }
    sent
}

/// The sum as the guest makes it, over the memory that it should have.
fn sum(globals: u64, memory: &[u8], (at, words): (u32, u32)) -> u64 {
    let mut sum = globals;
    for word in memory[at as usize..].chunks_exact(8).take(words as usize) {
        sum = sum.wrapping_mul(31).wrapping_add(u64::from_le_bytes(word.try_into().unwrap()));
    }
    sum
}

fn check(sent: &Sent, answer: &Answer, seen: &mut Seen) {
    seen.calls += 1;
    let Some(program) = &sent.program else { return check_text(sent, answer, seen) };
    let expected = if program.traps { Outcome::Trapped } else { Outcome::Returned };
    assert_eq!(answer.outcome, expected, "{program:?}: {}", super::text(answer));
    seen.wide += u64::from(program.wide);
    seen.traps += u64::from(program.traps);
    seen.grew += u64::from(program.grows);
    seen.host_wrote += u64::from(program.host_writes);
    seen.tables += u64::from(program.tables);
    if !program.traps {
        let found = u64::from_le_bytes(answer.body[..8].try_into().unwrap());
        assert_eq!(Some(found), sent.expected, "a call found another memory than the image's");
    }
}

fn check_text(sent: &Sent, answer: &Answer, seen: &mut Seen) {
    match sent.name {
        None => {
            let ended = [Outcome::Returned, Outcome::Failed, Outcome::Trapped];
            assert!(ended.contains(&answer.outcome), "{}", super::text(answer));
            seen.traps += u64::from(answer.outcome == Outcome::Trapped);
        }
        Some("trap" | "segments-dropped") => {
            assert_eq!(answer.outcome, Outcome::Trapped);
            seen.traps += 1;
        }
        Some(name) => {
            let text = returned(answer);
            assert!(name != "counter" || text == "11", "{text}");
            let wide = name == "eat" || name == "dirty" && sent.call.input[0] > 16;
            seen.wide += u64::from(wide);
            seen.grew += u64::from(name == "grow" || name == "eat");
            seen.tables += u64::from(name == "table");
        }
    }
}

/// Sends some calls at once, to one function or several, and waits for all.
fn round(bench: &mut Bench, kinds: &[Kind], random: &mut Random, seen: &mut Seen) {
    let mut sent = Vec::new();
    for number in 0..=random.below(MAX_AT_ONCE) {
        let at = random.below(kinds.len() as u64);
        let mut one = next(&kinds[at as usize], random);
        one.number = number;
        bench.submit(at as u32, number, one.call.clone());
        sent.push((at, one));
    }
    for _ in 0..sent.len() {
        let (number, answer) = bench.next();
        check(&sent[number as usize].1, &answer, seen);
    }
    bench.settle();
    let functions: Vec<_> = sent.iter().map(|(at, _)| at).collect();
    assert_eq!(bench.worker.resets().1, 0, "a slot of functions {functions:?} was not put back");
}

#[test]
fn after_every_reset_the_slot_equals_its_image() {
    let seed = seed();
    let resets = number("FAASLET_RESETS").unwrap_or(RESETS);
    println!("FAASLET_SEED={seed} FAASLET_RESETS={resets}");
    let mut random = Random(seed);
    let mut bench = Bench::new(96);
    let kinds = modules(&mut bench, &mut random);
    assert!(kinds.len() > 50);
    let mut seen = Seen::default();
    while bench.worker.resets().0 < resets {
        round(&mut bench, &kinds, &mut random, &mut seen);
    }
    println!(
        "{} modules, {seen:?}, {:?} resets and mismatches",
        kinds.len(),
        bench.worker.resets()
    );
    assert!(seen.wide * 5 >= seen.calls, "fewer than a fifth write over 16 pages: {seen:?}");
    assert!(
        seen.traps.min(seen.grew).min(seen.host_wrote).min(seen.tables) * 100 > seen.calls,
        "{seen:?}"
    );
}

#[test]
fn an_audit_finds_a_byte_that_a_reset_left_and_no_call_sees_it() {
    let mut bench = Bench::with(&["counter"]);
    assert_eq!(returned(&bench.run(0, call(b""))), "11");
    assert_eq!(bench.worker.resets(), (1, 0));
    bench.worker.audit().tamper.set(Some(|faaslet| {
        let memory = faaslet.parts().0.data().guest_memory();
        memory.write(4096, b"7").unwrap();
    }));
    assert_eq!(returned(&bench.run(0, call(b""))), "11");
    assert_eq!(bench.worker.resets(), (2, 1));
    assert_eq!(returned(&bench.run(0, call(b""))), "11");
    assert_eq!(bench.worker.resets(), (3, 2));
}

#[test]
fn an_audit_finds_a_global_and_a_size_that_a_reset_left() {
    use wasmtime::Val;
    let mut bench = Bench::with(&["counter", "grow"]);
    returned(&bench.run(0, call(b"")));
    bench.worker.audit().tamper.set(Some(|faaslet| {
        let (store, instance) = faaslet.parts();
        let global = instance.get_global(&mut *store, "faaslet:g:0");
        if let Some(global) = global {
            global.set(&mut *store, Val::I32(49)).unwrap();
        } else {
            let size = instance.get_global(&mut *store, "faaslet:size").unwrap();
            size.set(&mut *store, Val::I64(3 << 16)).unwrap();
        }
    }));
    assert_eq!(returned(&bench.run(0, call(b""))), "11");
    assert_eq!(bench.worker.resets(), (2, 1));
    returned(&bench.run(1, call(b"")));
    assert_eq!(bench.worker.resets(), (3, 2));
}

#[test]
fn an_audit_samples_one_in_so_many() {
    let mut bench = Bench::with(&["noop"]);
    bench.worker.audit().set_one_in(5);
    bench.worker.audit().tamper.set(Some(|faaslet| {
        faaslet.parts().0.data().guest_memory().write(0, b"x").unwrap();
    }));
    for _ in 0..17 {
        returned(&bench.run(0, call(b"")));
    }
    assert_eq!(bench.worker.resets(), (17, 3));
    // Twice as seldom after a slot of 2 MiB.
    bench.worker.audit().set_one_in(3);
    let large = bench.add_text(
        "large",
        r#"(module (memory 32) (func (export "faaslet_main")))"#,
        Limits::default(),
    );
    for (calls, mismatches) in [(3, 4), (4, 4), (1, 5)] {
        for _ in 0..calls {
            returned(&bench.run(large, call(b"")));
        }
        assert_eq!(bench.worker.resets().1, mismatches);
    }
    bench.worker.audit().set_one_in(0);
    for _ in 0..10 {
        returned(&bench.run(0, call(b"")));
    }
    assert_eq!(bench.worker.resets(), (35, 5));
}

/// An image of 2 MiB of which the last page is data.
const LARGE: &str = r#"(module (memory 32) (data (i32.const 2097088) "end")
  (func (export "faaslet_main")))"#;

#[test]
fn an_audit_of_a_large_slot_is_made_in_slices_up_to_its_last_page() {
    let mut bench = Bench::new(2);
    let large = bench.add_text("large", LARGE, Limits::default());
    bench.worker.audit().set_one_in(2);
    bench.worker.audit().tamper.set(Some(|faaslet| {
        faaslet.parts().0.data().guest_memory().write(2_097_090, b"x").unwrap();
    }));
    returned(&bench.run(large, call(b"")));
    bench.submit(large, 1, call(b""));
    bench.next();
    let slices = std::iter::from_fn(|| bench.turn().then_some(())).count();
    assert!(slices >= 16, "{slices}");
    assert_eq!(bench.worker.resets(), (2, 1));
    assert_eq!(bench.worker.counts().idle, 1);
}

#[test]
fn a_call_takes_a_slot_in_the_middle_of_its_audit() {
    let mut bench = Bench::new(2);
    let limits = Limits { concurrency: 1, ..Limits::default() };
    let large = bench.add_text("large", LARGE, limits);
    bench.worker.audit().set_one_in(2);
    returned(&bench.run(large, call(b"")));
    for number in 0..5 {
        bench.submit(large, number, call(b""));
        assert_eq!(bench.worker.counts().queued, 0);
        // One to the answer, one for the reset with a slice behind it.
        assert!(bench.turn() && bench.turn());
        returned(&bench.worker.outside().answers.pop_front().unwrap().1);
        assert!(bench.turn(), "the audit is not over");
        assert_eq!(bench.worker.counts().idle, 1);
    }
    // Its slot goes to another function, and what is left of the audit with it.
    let other = bench.add("noop", &guest("noop"), Limits::default());
    bench.worker.remove(large);
    assert_eq!(bench.worker.counts().slots, 0);
    assert!(!bench.turn());
    returned(&bench.run(other, call(b"")));
    bench.assert_clean();
}

/// Prints; for the comment of `AUDIT_ONE_IN`. Run it by name, with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn what_an_audit_costs() {
    for (pages, wide) in [(2, 3), (33, 3), (333, 3), (333, 200)] {
        let text = format!(
            r#"(module (memory {pages}) (func (export "faaslet_main") (local $n i32)
                (loop $l
                  (i32.store (i32.mul (local.get $n) (i32.const 4096)) (i32.const 1))
                  (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
                    (i32.const {})))))
              (func (export "faaslet_init") (memory.fill (i32.const 0) (i32.const 7) (i32.const {}))))"#,
            wide.min(pages * 16),
            pages * 65536
        );
        let mut bench = Bench::new(2);
        let number = bench.add_text("audited", &text, Limits::default());
        let mut medians = [1, 0].map(|one_in| {
            bench.worker.audit().set_one_in(one_in);
            let mut times: Vec<_> = (0..1001)
                .map(|_| {
                    let started = std::time::Instant::now();
                    returned(&bench.run(number, call(b"")));
                    started.elapsed().as_nanos()
                })
                .collect();
            times.sort_unstable();
            times[500]
        });
        let audit = medians[0].saturating_sub(medians[1]);
        medians.sort_unstable();
        println!(
            "{pages} pages, {wide} dirty: call and reset {} ns, an audit {audit} ns",
            medians[0]
        );
    }
}

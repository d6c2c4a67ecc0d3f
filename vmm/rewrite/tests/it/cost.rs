//! What the range checks cost, printed and not asserted:
//!
//! ```text
//! cargo test --release -p faaslet-rewrite --test it -- --ignored --nocapture cost
//! ```

use std::time::{Duration, Instant};

use faaslet_rewrite::{Contract, Limits, rewrite_under};
use wasmtime::{Instance, OptLevel, Val};

use crate::world::{Engines, Outcome, World};

const CASES: [(&str, &str); 8] = [
    ("memory.copy of 16 B", "(memory.copy (local.get $to) (i32.const 8192) (local.get $16))"),
    ("memory.copy of 4 KiB", "(memory.copy (local.get $to) (i32.const 8192) (local.get $4096))"),
    (
        "memory.copy of 16 B, constant",
        "(memory.copy (local.get $to) (i32.const 8192) (i32.const 16))",
    ),
    ("memory.fill of 16 B", "(memory.fill (local.get $to) (i32.const 1) (local.get $16))"),
    ("memory.fill of 4 KiB", "(memory.fill (local.get $to) (i32.const 1) (local.get $4096))"),
    ("memory.init of 16 B", "(memory.init $d (local.get $to) (i32.const 0) (local.get $16))"),
    ("memory.size", "(local.set $to (i32.and (memory.size) (i32.const 16)))"),
    ("memory.grow by 0", "(local.set $to (i32.and (memory.grow (i32.const 0)) (i32.const 16)))"),
];
const ITERATIONS: i32 = 200_000;
const ROUNDS: usize = 20;

fn module(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(module (memory 4) (data $d "0123456789abcdef")
        (func (export "run") (param $n i32) (param $16 i32) (param $4096 i32) (local $to i32)
            (loop $again {body}
                (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                (br_if $again (local.get $n)))))"#
    );
    wat::parse_str(text).expect("valid text")
}

fn once(world: &mut World, instance: Instance) -> Duration {
    let args = [Val::I32(ITERATIONS), Val::I32(16), Val::I32(4096)];
    let start = Instant::now();
    assert_eq!(world.call(instance, "run", &args), Outcome::Returned(vec![]));
    start.elapsed()
}

#[test]
#[ignore = "prints figures"]
fn cost_of_the_checks() {
    let engines = Engines::new(OptLevel::Speed);
    for (name, body) in CASES {
        let wasm = module(body);
        let of = rewrite_under(&wasm, &Limits::default(), Contract::Open).expect("accepted");
        let (mut plain, mut rewritten) = (engines.plain(), engines.rewritten());
        let original = plain.instantiate_plain(&wasm).expect("instantiates");
        let instance = rewritten.instantiate_rewritten(&of).expect("boots");
        let mut best = [Duration::MAX; 2];
        for _ in 0..ROUNDS {
            best[0] = best[0].min(once(&mut plain, original));
            best[1] = best[1].min(once(&mut rewritten, instance));
        }
        let [before, after] = best.map(|t| t.as_secs_f64() * 1e9 / f64::from(ITERATIONS));
        println!("{name:<32} {before:>8.2} ns, rewritten {after:>8.2} ns: {:.2}x", after / before);
    }
}

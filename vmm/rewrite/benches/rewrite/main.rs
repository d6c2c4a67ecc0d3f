//! The rewrite of a small module and of one of a mebibyte.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::time::Duration;

use criterion::{Criterion, Throughput};
use faaslet_rewrite::{Contract, Limits, rewrite_under};
use synthetic::synthetic;

/// Data segments, a bulk operation and a start function: everything that the rewrite changes.
const SMALL: &str = r#"(module
    (memory 2) (global (mut i32) (i32.const 1)) (data (i32.const 16) "some bytes")
    (func $start (memory.fill (i32.const 64) (i32.const 7) (i32.const 64))) (start $start)
    (func (export "faaslet_main") (result i32) (memory.grow (i32.const 0))))"#;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("rewrite");
    let modules = [("small", wat::parse_str(SMALL).unwrap()), ("1MiB", synthetic(1))];
    for (name, module) in modules {
        group.throughput(Throughput::Bytes(module.len() as u64));
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| rewrite_under(&module, &Limits::default(), Contract::Open).unwrap().wasm);
        });
    }
    group.finish();
    criterion.final_summary();
}

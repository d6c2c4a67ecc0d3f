//! What monitor and cell say to each other, encoded, and checked to be read in place.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use faaslet_vmm::wire::{self, CallHead, FromCell, ToCell};

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("wire");
    let (call, mut out) = (call(), Vec::new());
    group.bench_function("call_encode", |bencher| {
        bencher.iter(|| wire::encode(black_box(&call), &mut out).unwrap());
    });
    let message = [&out[..], b"input"].concat();
    group.bench_function("call_decode", |bencher| {
        bencher.iter(|| {
            let (head, payload) = wire::split(black_box(&message)).unwrap();
            black_box(wire::to_cell(head).unwrap());
            payload.len()
        });
    });
    let answer = FromCell::Answer {
        number: 7,
        outcome: 0,
        refusal: 0,
        status: 200,
        headers_bytes: 0,
        ran_ns: 1,
    };
    group.bench_function("answer_encode", |bencher| {
        bencher.iter(|| wire::encode(black_box(&answer), &mut out).unwrap());
    });
    let message = out;
    group.bench_function("answer_decode", |bencher| {
        bencher.iter(|| {
            let (head, payload) = wire::split(black_box(&message)).unwrap();
            black_box(wire::from_cell(head).unwrap());
            payload.len()
        });
    });
    group.finish();
    criterion.final_summary();
}

fn call() -> ToCell {
    ToCell::Call(CallHead {
        number: 7,
        id: [3; 16],
        attempt: 1,
        depth: 0,
        function: 2,
        mode: 1,
        deadline_us: 1_000_000,
        request_bytes: 0,
    })
}

//! A message to the cell and back, both ends on one thread: what the rings cost when nobody
//! sleeps. `examples/round_trip.rs` has two processes, and what waking costs.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use criterion::Criterion;
use faaslet_ring::{Capacity, CellEnd, MonitorEnd};

const MESSAGE_BYTES: [usize; 3] = [64, 1024, 64 * 1024];

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("ring");
    for bytes in MESSAGE_BYTES {
        let (mut monitor, fds) = MonitorEnd::create(Capacity::default()).unwrap();
        let mut cell = CellEnd::attach(fds).unwrap();
        let (sent, mut got) = (vec![7; bytes], Vec::new());
        group.bench_function(format!("round_trip_{bytes}B"), |bencher| {
            bencher.iter(|| {
                monitor.to_cell.send(&[&sent]).unwrap();
                assert!(cell.try_recv(&mut got).unwrap());
                cell.send(&[&got]).unwrap();
                assert!(monitor.from_cell.try_recv(&mut got).unwrap());
            });
        });
        assert_eq!(got, sent);
    }
    group.finish();
    criterion.final_summary();
}

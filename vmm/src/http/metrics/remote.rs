//! What is counted of functions that travel between hosts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::monitor::RemoteCounts;

pub(super) fn register(registry: &mut Registry, counts: &RemoteCounts) {
    let rows = [
        ("remote_finds", "Functions that were looked for on other hosts", counts.finds),
        ("remote_copies", "Copies of other hosts' functions, made or renewed", counts.copies),
        ("remote_pulled_bytes", "Bytes of files that came from other hosts", counts.pulled_bytes),
        ("remote_served_bytes", "Bytes of files that went to other hosts", counts.served_bytes),
        ("remote_bad_pieces", "Pieces from other hosts that failed their check", counts.bad_pieces),
        ("remote_left_out", "Hosts that were left out of a transfer", counts.left_out),
    ];
    for (name, help, value) in rows {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
}

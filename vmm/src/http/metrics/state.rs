//! What is counted of state.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Tenant;
use crate::monitor::state::{GROUP_SIZES, KINDS};
use crate::monitor::{Measures, StateMeasure};

/// Name, meaning and value of what is counted for a tenant.
type OfTenant = (&'static str, &'static str, fn(&StateMeasure) -> u64);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    tenant: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Group {
    batches: String,
}

const COUNTERS: [OfTenant; 6] = [
    ("state_pushed_bytes", "Bytes sent to owners of values", |state| state.count.pushed_bytes),
    ("state_pulled_bytes", "Bytes that owners sent", |state| state.count.pulled_bytes),
    ("state_failures", "Requests for state that were refused or not answered", |state| {
        state.count.failed
    }),
    ("state_conflicts", "Of these, for another version than expected", |state| {
        state.count.conflicts
    }),
    ("state_locks", "Global locks that were asked for", |state| state.count.lock_waits),
    ("state_lock_wait_us", "Microseconds until those were granted or refused", |state| {
        state.count.lock_wait.as_micros() as u64
    }),
];
const GAUGES: [OfTenant; 2] = [
    ("state_values", "Values that this host owns", |state| state.values),
    ("state_bytes", "Bytes of those, older versions included", |state| state.bytes),
];

pub(super) fn register(registry: &mut Registry, measures: &Measures) {
    let label = |state: &StateMeasure| Tenant { tenant: state.tenant.clone() };
    for (name, help, value) in COUNTERS {
        let family = Family::<Tenant, Counter>::default();
        for state in &measures.states {
            family.get_or_create(&label(state)).inc_by(value(state));
        }
        registry.register(name, help, family);
    }
    for (name, help, value) in GAUGES {
        let family = Family::<Tenant, Gauge>::default();
        for state in &measures.states {
            family.get_or_create(&label(state)).set(value(state) as i64);
        }
        registry.register(name, help, family);
    }
    let requests = Family::<Request, Counter>::default();
    for state in &measures.states {
        for (kind, count) in KINDS.into_iter().zip(state.count.requests) {
            let tenant = state.tenant.clone();
            requests.get_or_create(&Request { tenant, kind }).inc_by(count);
        }
    }
    registry.register("state_requests", "Requests for state, by kind", requests);
    disk(registry, measures);
}

fn disk(registry: &mut Registry, measures: &Measures) {
    let groups = Family::<Group, Counter>::default();
    let sizes = GROUP_SIZES.map(|size| size.to_string()).into_iter().chain(["more".to_owned()]);
    for (batches, count) in sizes.zip(measures.state_disk.groups) {
        groups.get_or_create(&Group { batches }).inc_by(count);
    }
    let help = "Writes of state to the disk, by the most changes that went into one";
    registry.register("state_disk_writes", help, groups);
    let counts = [
        ("state_disk_changes", "Changes that are on the disk", measures.state_disk.batches),
        ("state_disk_failures", "Writes that failed", measures.state_disk.failed_groups),
    ];
    for (name, help, value) in counts {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
}

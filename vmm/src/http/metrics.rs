//! What is counted, for Prometheus: read when it is asked for, kept nowhere.

mod remote;
mod state;

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::monitor::{BOUNDS_US, CellMeasure, FunctionMeasure, Measures, OUTCOMES, Snapshot};

/// Name, meaning and value of what a cell counts.
type OfCell = (&'static str, &'static str, fn(&CellMeasure) -> u64);
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Calls {
    tenant: String,
    function: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Run {
    tenant: String,
    function: String,
}

/// Run times of functions, as histograms: those of several monitors and of any time can be summed.
#[derive(Debug)]
struct RunTimes(Vec<(Run, Snapshot)>);

impl Collector for RunTimes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let (unit, kind) = (Unit::Seconds, MetricType::Histogram);
        let mut encoder =
            encoder.encode_descriptor("run", "Run time of calls.", Some(&unit), kind)?;
        for (labels, stats) in &self.0 {
            let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(stats.by_run_time).collect();
            let (sum, calls) = (stats.run_us as f64 / 1e6, stats.calls);
            let mut family = encoder.encode_family(labels)?;
            family.encode_histogram::<NoLabelSet>(sum, calls, &buckets, None)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tenant {
    tenant: String,
}

/// All of it as text.
pub(super) fn text(measures: &Measures) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("faaslet");
    host(&mut registry, measures);
    functions(&mut registry, &measures.functions);
    cells(&mut registry, &measures.cells);
    state::register(&mut registry, measures);
    if let Some(counts) = &measures.remote {
        remote::register(&mut registry, counts);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn host(registry: &mut Registry, measures: &Measures) {
    let gauges = [
        ("calls_in_flight", "Calls that have begun and not ended", measures.in_flight),
        ("cells", "Cells that run", measures.cells.len() as u64),
        ("functions", "Functions that can be called", measures.functions.len() as u64),
        ("images_filling", "Images that are called before they are whole", measures.filling),
        ("image_chunks_absent", "Chunks of those that are not here", measures.absent_chunks),
        ("store_bytes", "Bytes of modules, code and images on disk", measures.store_bytes),
        ("images", "Images in memory", measures.images.images),
        ("image_bytes", "Bytes of those", measures.images.bytes),
    ];
    for (name, help, value) in gauges {
        let gauge: Gauge = Gauge::default();
        gauge.set(value as i64);
        registry.register(name, help, gauge);
    }
    let counters = [
        ("image_drops", "Functions that were dropped from memory", measures.images.dropped),
        ("image_dropped_bytes", "Bytes of their images", measures.images.dropped_bytes),
    ];
    for (name, help, value) in counters {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
}

fn functions(registry: &mut Registry, functions: &[FunctionMeasure]) {
    let calls = Family::<Calls, Counter>::default();
    let mut run = Vec::new();
    for measure in functions {
        let (tenant, function) = (&measure.tenant, &measure.function);
        for (outcome, count) in OUTCOMES.into_iter().zip(measure.stats.by_outcome) {
            let labels = Calls { tenant: tenant.clone(), function: function.clone(), outcome };
            calls.get_or_create(&labels).inc_by(count);
        }
        let labels = Run { tenant: tenant.clone(), function: function.clone() };
        run.push((labels, measure.stats));
    }
    registry.register("calls", "Calls that ended, by the way they ended", calls);
    registry.register_collector(Box::new(RunTimes(run)));
}

fn cells(registry: &mut Registry, cells: &[CellMeasure]) {
    let gauges: [OfCell; 7] = [
        ("cell_pagers", "1 where images are called before they are whole", |cell| {
            u64::from(cell.pager)
        }),
        ("slots", "Slots that hold an instance", |cell| u64::from(cell.counts.slots)),
        ("slots_idle", "Of these, idle ones", |cell| u64::from(cell.counts.idle)),
        ("calls_queued", "Calls that wait for a slot", |cell| u64::from(cell.counts.queued)),
        ("state_values", "Values in the local tier", |cell| cell.state.values),
        ("state_bytes", "Memory of the local tier", |cell| cell.state.bytes),
        ("state_unpushed_bytes", "Bytes that may not have been pushed", |cell| {
            cell.state.dirty_bytes
        }),
    ];
    for (name, help, value) in gauges {
        let family = Family::<Tenant, Gauge>::default();
        for cell in cells {
            let labels = Tenant { tenant: cell.tenant.clone() };
            family.get_or_create(&labels).set(value(cell) as i64);
        }
        registry.register(name, help, family);
    }
    let counters: [OfCell; 7] = [
        ("resets", "Resets done by cells that run", |cell| cell.counts.resets),
        ("reset_mismatches", "Sampled resets that differed from the image; must be 0", |cell| {
            cell.counts.mismatches
        }),
        ("state_pulled_bytes", "Bytes of state that came from owners", |cell| {
            cell.state.pulled_bytes
        }),
        ("state_pushed_bytes", "Bytes of changes that owners took", |cell| cell.state.pushed_bytes),
        ("state_hits", "Accesses to state that found it on the host", |cell| cell.state.hits),
        ("state_misses", "Those that had to ask an owner", |cell| cell.state.misses),
        ("state_lock_waits", "Locks that were not free at once", |cell| cell.state.lock_waits),
    ];
    for (name, help, value) in counters {
        let family = Family::<Tenant, Counter>::default();
        for cell in cells {
            family.get_or_create(&Tenant { tenant: cell.tenant.clone() }).inc_by(value(cell));
        }
        registry.register(name, help, family);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_times_are_a_histogram_whose_buckets_count_up_to_all_calls() {
        let mut stats = Snapshot { calls: 6, run_us: 3_000_000, ..Snapshot::default() };
        stats.by_run_time[0] = 1;
        stats.by_run_time[1] = 2;
        stats.by_run_time[BOUNDS_US.len()] = 3;
        let function = FunctionMeasure { tenant: "t".to_owned(), function: "f".to_owned(), stats };
        let measures = Measures { functions: vec![function], ..Measures::default() };
        let text = text(&measures).unwrap();
        let labels = r#"tenant="t",function="f""#;
        for line in [
            "# TYPE faaslet_run_seconds histogram".to_owned(),
            format!("faaslet_run_seconds_bucket{{le=\"0.000001\",{labels}}} 1"),
            format!("faaslet_run_seconds_bucket{{le=\"0.000002\",{labels}}} 3"),
            format!("faaslet_run_seconds_bucket{{le=\"60.0\",{labels}}} 3"),
            format!("faaslet_run_seconds_bucket{{le=\"+Inf\",{labels}}} 6"),
            format!("faaslet_run_seconds_count{{{labels}}} 6"),
            format!("faaslet_run_seconds_sum{{{labels}}} 3.0"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}

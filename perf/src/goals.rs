//! What the figures should be, in one table.

/// A bound of a figure, or of its ratio to its peer.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    RatioAtMost(f64),
    RatioAtLeast(f64),
}

use Bound::{AtLeast, AtMost, RatioAtLeast, RatioAtMost};

/// Rows that have a goal. Units are those of the rows.
const GOALS: &[(&str, &[Bound])] = &[
    ("fork.dirty3.p50", &[AtMost(1.2), RatioAtMost(0.3333)]),
    ("fork.dirty16.p50", &[AtMost(4.0)]),
    ("fork.noop.rate.core", &[AtLeast(600_000.0)]),
    ("fork.dirty3.rate.core", &[AtLeast(600_000.0)]),
    ("fork.noop.rate.two_cores.core", &[RatioAtLeast(1.8)]),
    ("fork.dirty3.rate.two_cores.core", &[RatioAtLeast(1.8)]),
    ("fresh.noop.start.p50", &[AtMost(40.0)]),
    ("live.forks", &[AtLeast(10_000.0)]),
    ("live.idle.pss", &[AtMost(16.0)]),
    ("live.suspended.pss", &[AtMost(24.0)]),
    ("fresh.memory", &[AtMost(200.0)]),
    ("chain.local.same", &[AtMost(2.0)]),
    ("chain.local.other", &[AtMost(8.0)]),
    ("call.quic.c1.p50", &[RatioAtMost(2.0)]),
    ("call.quic.one_core.c1.p50", &[RatioAtMost(2.0)]),
    ("call.quic.c64.rate", &[AtLeast(250_000.0)]),
    ("recognise.fork.overhead", &[AtMost(2.0)]),
    ("cold.first_call", &[AtMost(100.0)]),
    ("idle.monitor.pss", &[AtMost(8.0)]),
    ("idle.cell.pss", &[AtMost(8.0)]),
    ("remote.call.cached.p50", &[RatioAtMost(2.0)]),
    ("remote.call.cold.p50", &[AtMost(500.0)]),
    ("remote.ship.rate", &[AtLeast(4.0)]),
    ("lazy.fault.p50", &[AtMost(25.0)]),
    ("lazy.set.p50", &[AtMost(20.0)]),
    ("lazy.whole.fork.p50", &[RatioAtMost(1.1)]),
    ("state.read.64", &[AtMost(60.0)]),
    ("state.lock.local", &[AtMost(50.0)]),
    ("state.map.1mib", &[AtMost(5.0)]),
    ("state.load.mapped", &[RatioAtMost(1.05)]),
    ("state.push.find", &[AtMost(60.0)]),
    ("state.remote.push", &[RatioAtMost(1.5)]),
    ("state.remote.pull", &[RatioAtMost(1.5)]),
    ("state.remote.push.guest", &[RatioAtMost(2.0)]),
    ("state.remote.pull.guest", &[RatioAtMost(2.0)]),
    ("state.remote.stat.rate", &[AtLeast(250_000.0)]),
    ("state.durable.64.rate", &[RatioAtLeast(10.0)]),
];

/// Names of the rows that have a goal.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    GOALS.iter().map(|(name, _)| *name)
}

/// The goal of a row as text, and whether it is met; `None` inside when its peer was not measured.
pub(crate) fn judge(
    name: &str,
    value: f64,
    unit: &str,
    ratio: Option<f64>,
) -> Option<(String, Option<bool>)> {
    let (_, bounds) = GOALS.iter().find(|(row, _)| *row == name)?;
    let text: Vec<String> = bounds.iter().map(|bound| bound.text(unit)).collect();
    let met: Option<Vec<bool>> = bounds.iter().map(|bound| bound.met(value, ratio)).collect();
    Some((text.join(" and "), met.map(|met| met.iter().all(|met| *met))))
}

impl Bound {
    fn met(self, value: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            AtMost(bound) => Some(value <= bound),
            AtLeast(bound) => Some(value >= bound),
            RatioAtMost(bound) => ratio.map(|ratio| ratio <= bound),
            RatioAtLeast(bound) => ratio.map(|ratio| ratio >= bound),
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            AtMost(bound) => format!("≤ {bound} {unit}"),
            AtLeast(bound) => format!("≥ {bound} {unit}"),
            RatioAtMost(bound) => format!("≤ {bound:.2} of its peer"),
            RatioAtLeast(bound) => format!("≥ {bound:.2} of its peer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::GROUPS;

    #[test]
    fn every_goal_is_of_a_row_that_a_group_writes() {
        for name in names() {
            let writers = GROUPS.iter().filter(|group| group.writes(name)).count();
            assert_eq!(writers, 1, "{name} has a goal, and {writers} groups write it");
        }
    }

    #[test]
    fn a_row_has_one_goal() {
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), names().count());
    }

    #[test]
    fn a_goal_holds_in_all_its_parts_or_not_at_all() {
        let met =
            |value, ratio| judge("fork.dirty3.p50", value, "µs", ratio).and_then(|(_, met)| met);
        assert_eq!(met(1.1, Some(0.3)), Some(true));
        assert_eq!(met(1.1, Some(0.4)), Some(false));
        assert_eq!(met(1.3, Some(0.3)), Some(false));
        assert_eq!(met(1.1, None), None);
        assert!(judge("no.such.row", 1.0, "µs", None).is_none());
    }
}

//! The groups of measurements, in the order in which they run and stand in the table.

use anyhow::{Result, bail};

use crate::book::Book;
use crate::names::fits;
use crate::{
    bakes, calls, chain, chain_other, churn, first, fork, hogwild, lazy, live, micro, monitor,
    open, recognise, remote, state,
};

/// What is measured together.
pub(crate) struct Group {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What measures it.
    pub(crate) run: fn(&mut Book) -> Result<()>,
    /// The rows that it writes.
    pub(crate) rows: &'static [&'static str],
}

/// All of them.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "fork",
        run: fork::run,
        rows: &[
            "wasmtime.pooling|on_demand.noop|dirty3|dirty16.p50|p99",
            "process|fresh|fork.noop|dirty3|dirty16.p50|p99",
            "fork|fresh.noop|dirty3|dirty16.start.p50|p99",
            "fork.noop|dirty3|dirty16.rate",
            "fork.noop|dirty3|dirty16.rate.core|two_cores",
            "fork.noop|dirty3|dirty16.rate.two_cores.core",
            "sweep.pooling|on_demand|process.noop|dirty3|dirty16.*",
        ],
    },
    Group {
        name: "live",
        run: live::run,
        rows: &[
            "live.forks",
            "live.forks.each",
            "live.idle|suspended.pss|rss|tables|memory|mappings",
            "live.suspended.count",
            "fresh.count|pss|rss|tables|memory|mappings",
        ],
    },
    Group { name: "chain", run: chain::run, rows: &["chain.callee|of_one", "chain.local.same"] },
    Group {
        name: "chain_other",
        run: chain_other::run,
        rows: &["chain.local.other", "chain.pair", "chain.pair.core"],
    },
    Group {
        name: "bake",
        run: bakes::run,
        rows: &["bake.noop|recognise", "bake.noop|recognise.rewrite|compile|initialise|warm|image"],
    },
    Group {
        name: "recognise",
        run: recognise::run,
        rows: &[
            "recognise.native|inference|fork|fresh.p50|p99",
            "recognise.fork|fresh.around.p50|p99",
            "recognise.fork|fresh.overhead",
            "recognise.rate",
            "recognise.rate.two_cores",
        ],
    },
    Group {
        name: "call",
        run: calls::run,
        rows: &[
            "udp.p50|p99",
            "udp.one_core.p50|p99",
            "call.quic|http.c1|c64.p50|p99|rate",
            "call.quic|http.one_core.c1|c64.p50|p99|rate",
        ],
    },
    Group {
        name: "open",
        run: open::run,
        rows: &["call.quic|http.open.*.p50|p99", "call.quic|http.open.most"],
    },
    Group {
        name: "cold",
        run: monitor::run,
        rows: &["cold.monitor|connect|tenant|first_call", "idle.monitor|cell.pss"],
    },
    Group {
        name: "first",
        run: first::run,
        rows: &[
            "first.spawn|process|jail|engine|open|artefact|image|hand_over|fork|run|rest",
            "first.whole",
            "first.warm",
        ],
    },
    Group {
        name: "churn",
        run: churn::run,
        rows: &["churn.process|fresh|fork.*.p50|p99", "churn.process|fresh|fork.most"],
    },
    Group {
        name: "state",
        run: state::run,
        rows: &[
            "state.redis.unix|tcp.get|set.64|4kib|1mib",
            "state.redis.unix|tcp.get|set.pipelined",
            "state.redis.sweep.*.get|set",
            "state.redis.durable.one|64.rate",
            "state.read.64",
            "state.lock.local",
            "state.map|unmap.1mib",
            "state.map.1mib.first_read|first_write",
            "state.load.memory|mapped",
            "state.lock.1|2|16.rate",
            "state.lock.2|16.least|most",
            "state.push.find",
            "state.push.find.compare",
            "state.quinn|remote.push|pull",
            "state.quinn|remote.push|pull.rate",
            "state.remote.push|open|pull.guest",
            "state.remote.stat.rate",
            "state.durable.one",
            "state.durable.one|64.rate",
        ],
    },
    Group {
        name: "remote",
        run: remote::run,
        rows: &[
            "remote.echo.p50|p99",
            "remote.call.cold|cached|warm.p50|p99",
            "remote.ship|prewarm.rate",
        ],
    },
    Group {
        name: "lazy",
        run: lazy::run,
        rows: &[
            "lazy.round_trip|fault.p50|p99",
            "lazy.idle.round_trip|fault.p50|p99",
            "lazy.same_page",
            "lazy.set.p50|p99",
            "lazy.baked|whole.fork.p50|p99",
        ],
    },
    Group { name: "micro", run: micro::run, rows: &["micro.*.*"] },
    Group {
        name: "hogwild",
        run: hogwild::run,
        rows: &[
            "hogwild.plain.accuracy|time",
            "hogwild.replace|sum.1|2|4|8|16.accuracy|time|bytes|memory",
            "hogwild.redis.whole|ranges.1|2|4|8|16.accuracy|time|bytes|memory",
        ],
    },
];

impl Group {
    /// Whether it writes a row of this name.
    pub(crate) fn writes(&self, name: &str) -> bool {
        let load = name.strip_prefix("load.").and_then(|rest| rest.strip_prefix(self.name));
        matches!(load, Some("" | ".others")) || self.rows.iter().any(|pattern| fits(pattern, name))
    }
}

/// The groups of these names, in their own order; all of them without a name.
pub(crate) fn chosen(names: &[&str]) -> Result<Vec<&'static Group>> {
    let known = || GROUPS.iter().map(|group| group.name);
    if let Some(unknown) = names.iter().find(|name| known().all(|known| known != **name)) {
        bail!("expected a group of {}; found {unknown}", known().collect::<Vec<_>>().join(", "));
    }
    let wanted = |group: &&Group| names.is_empty() || names.contains(&group.name);
    Ok(GROUPS.iter().filter(wanted).collect())
}

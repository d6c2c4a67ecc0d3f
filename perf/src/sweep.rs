//! The settings of the peers: all are tried shortly on each work, all are shown, and the best of
//! each peer is what we are compared with.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::book::Book;
use crate::guests::Work;
use crate::measure;
use crate::native::{Native, Start};
use crate::wasmtimes::{Mapping, Peer, Pool};

/// Time of one setting.
const TRIAL: Duration = Duration::from_millis(60);

/// The best settings for a work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    pub(crate) pool: Pool,
    pub(crate) mapping: Mapping,
    pub(crate) start: Start,
}

/// Tries them all.
pub(crate) fn run(book: &mut Book, work: Work, module: &[u8], native: &Native) -> Result<Best> {
    let pool = best(book, "pooling", work, &Pool::all(), Pool::name, |pool| {
        let peer = Peer::pooling(pool, module, work.input())?;
        Ok(move || peer.call())
    })?;
    let mapping = best(book, "on_demand", work, &Mapping::all(), Mapping::name, |mapping| {
        let peer = Peer::on_demand(mapping, module, work.input())?;
        Ok(move || peer.call())
    })?;
    let start = best(book, "process", work, &Start::ALL, Start::name, |start| {
        Ok(move || native.call(start, work.pages))
    })?;
    Ok(Best { pool, mapping, start })
}

/// The setting with the lowest median; one that this machine does not have is passed over.
fn best<S: Copy, C: FnMut() -> Result<()>>(
    book: &mut Book,
    peer: &str,
    work: Work,
    settings: &[S],
    name: fn(S) -> String,
    with: impl Fn(S) -> Result<C>,
) -> Result<S> {
    let mut best: Option<(f64, S)> = None;
    for setting in settings {
        let Ok(call) = with(*setting) else { continue };
        let p50 = measure::times(TRIAL, call)?.p50_us();
        book.put(&format!("sweep.{peer}.{}.{}", work.name, name(*setting)), p50, "µs");
        if best.is_none_or(|(least, _)| p50 < least) {
            best = Some((p50, *setting));
        }
    }
    let (_, setting) = best.with_context(|| format!("no setting of {peer} works here"))?;
    Ok(setting)
}

//! `state`: what state costs that is on its host, that rests on the disk, and whose owner is
//! another host, beside Redis and bare QUIC in the same run.
//!
//! | | what is measured |
//! | --- | --- |
//! | [`rival`] | Redis: by unix socket and TCP, with each of its settings |
//! | [`local`] | a function's own ways to a value that is here |
//! | [`contended`] | the lock of a value on its host, wanted by several |
//! | [`changes`] | finding what a push has to send |
//! | [`remote`] | requests to an owner on another host |
//! | [`durable`] | pushes that are on the disk when they are acknowledged |

mod cell;
mod changes;
mod contended;
mod durable;
mod local;
mod remote;
mod requests;
mod rival;

use anyhow::Result;

use crate::book::Book;

/// Memory of a tier.
const BUDGET_BYTES: u64 = 64 << 20;

pub(crate) fn run(book: &mut Book) -> Result<()> {
    rival::run(book)?;
    local::run(book)?;
    contended::run(book)?;
    changes::run(book)?;
    remote::run(book)?;
    durable::run(book)
}

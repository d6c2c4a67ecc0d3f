//! The way of a call: from whoever asked, to the cell that has the function, and back.
//!
//! A function that its tenant's cell has already costs no task and waits for nothing. Otherwise a
//! task starts the cell, loads the function, and sends the call on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;

use super::config::MAX_TIMEOUT;
use super::functions::Deployed;
use super::link::{CallKey, CellLink, ChainOut, Reply};
use super::{Monitor, load};
use crate::cell::{Answer, Mode};
use crate::wire::CallHead;

/// A call as it arrives.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    /// Its id; a new one when all zeros.
    pub id: [u8; 16],
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Length of the chain before it.
    pub depth: u32,
    /// Which way it goes in; as deployed when absent.
    pub mode: Option<Mode>,
    /// When it is stopped; the function's own limit when absent.
    pub deadline: Option<Instant>,
    /// The HTTP request head behind it.
    pub request: Vec<u8>,
    /// What the function reads.
    pub input: bytes::Bytes,
}

/// Where a call went, so that it can be cancelled.
#[derive(Clone)]
pub struct Sent(Arc<CellLink>, CallKey);

impl Sent {
    /// Nobody waits for the call any more.
    pub fn cancel(&self) {
        self.0.cancel(self.1);
    }
}

/// What a call came to, beside its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No function of this name.
    NotFound,
    /// The monitor is draining.
    ShuttingDown,
}

impl Monitor {
    /// Calls a function. `reply` is called once, from whatever thread the answer comes to.
    ///
    /// # Errors
    /// A [`Refusal`], and `reply` is not called, when there is nothing to send the call to.
    pub fn call(
        self: &Arc<Self>,
        tenant: &str,
        name: &str,
        incoming: Incoming,
        reply: Reply,
    ) -> Result<Option<Sent>, Refusal> {
        if self.draining() {
            return Err(Refusal::ShuttingDown);
        }
        let deployed = self.functions.get(tenant, name).ok_or(Refusal::NotFound)?;
        let reply = self.counted(&deployed, reply);
        if let Some((link, number)) = deployed.loaded() {
            let key = send(&deployed, &link, number, &incoming, reply);
            return Ok(Some(Sent(link, key)));
        }
        let monitor = Arc::clone(self);
        self.runtime.spawn(async move {
            match load::loaded(&monitor, &deployed).await {
                Ok((link, number)) => {
                    let begun = Instant::now();
                    let reply: Reply = Box::new(move |answer| {
                        let answered_us = begun.elapsed().as_micros() as u64;
                        tracing::debug!(answered_us, "a call that waited for its cell");
                        reply(answer);
                    });
                    send(&deployed, &link, number, &incoming, reply);
                }
                Err(error) => reply(Answer::message(Outcome::Refused, error.to_string())),
            }
        });
        Ok(None)
    }

    /// Counts the call in, and out again with its answer.
    fn counted(self: &Arc<Self>, deployed: &Arc<Deployed>, reply: Reply) -> Reply {
        let (monitor, stats) = (Arc::clone(self), Arc::clone(&deployed.stats));
        monitor.in_flight.begin();
        Box::new(move |answer| {
            stats.count(answer.outcome, answer.ran);
            reply(answer);
            monitor.in_flight.end();
        })
    }

    /// A call of a function that the caller's cell does not have.
    pub(super) fn chain(self: &Arc<Self>, cell: &Arc<CellLink>, chain: ChainOut, reply: Reply) {
        let incoming = Incoming {
            attempt: 1,
            depth: chain.depth,
            deadline: Some(deadline_after(chain.left)),
            input: chain.input.into(),
            ..Incoming::default()
        };
        let refused = Arc::new(std::sync::Mutex::new(Some(reply)));
        let taken = Arc::clone(&refused);
        let once = move |answer| {
            let reply = taken.lock().ok().and_then(|mut reply| reply.take());
            if let Some(reply) = reply {
                reply(answer);
            }
        };
        let again = once.clone();
        if let Err(refusal) = self.call(cell.tenant(), &chain.name, incoming, Box::new(once)) {
            let text = match refusal {
                Refusal::NotFound => format!(
                    "expected a function {}; the tenant has none of this name; see `faaslet ps`",
                    chain.name
                ),
                Refusal::ShuttingDown => "the monitor is shutting down".to_owned(),
            };
            again(Answer::message(Outcome::Refused, text));
        }
    }
}

/// An instant so much later, and never beyond [`MAX_TIMEOUT`].
pub(super) fn deadline_after(left: Duration) -> Instant {
    Instant::now() + left.min(MAX_TIMEOUT)
}

fn send(
    deployed: &Deployed,
    link: &Arc<CellLink>,
    number: u32,
    incoming: &Incoming,
    reply: Reply,
) -> CallKey {
    let now = Instant::now();
    let asked = incoming.deadline.map(|at| at.saturating_duration_since(now));
    let left = asked.unwrap_or(deployed.timeout()).min(MAX_TIMEOUT);
    let head = CallHead {
        number: 0,
        id: if incoming.id == [0; 16] { rand::random() } else { incoming.id },
        attempt: incoming.attempt.max(1),
        depth: incoming.depth,
        function: number,
        mode: match incoming.mode {
            None => 0,
            Some(Mode::Fork) => 1,
            Some(Mode::Fresh) => 2,
        },
        deadline_us: left.as_micros() as u64,
        request_bytes: incoming.request.len() as u32,
    };
    link.call(head, [&incoming.request, &incoming.input], reply)
}

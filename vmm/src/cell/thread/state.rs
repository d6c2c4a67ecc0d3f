//! State on a worker's ring: requests to owners on their way to the monitor, and what comes back.

use std::collections::HashMap;
use std::time::Instant;

use faaslet_state::message::{Reply, Request};
use faaslet_state::{Epoch, SessionError};
use faaslet_tier::Task;

use super::{NotTold, ToOthers};
use crate::cell::local::{Ask, Replied};
use crate::cell::worker::Worker;
use crate::wire::{ArchivedStateEnd, FromCell};

/// Requests of one worker that may be at the monitor at the same time.
const MAX_ASKS_OUT: usize = 4096;

/// Requests that wait for their answers.
#[derive(Default)]
pub(super) struct Asks {
    waiting: HashMap<u64, (Task, u64)>,
    last: u64,
}

impl ToOthers {
    /// Sends a request to the monitor.
    pub(super) fn ask_monitor(&mut self, ask: Ask) -> Result<(), (Box<Ask>, SessionError)> {
        if ask.number != 0 && self.asks.waiting.len() >= MAX_ASKS_OUT {
            return Err((Box::new(ask), SessionError::Full { limit: MAX_ASKS_OUT }));
        }
        let number = if ask.number == 0 { 0 } else { self.asks.last + 1 };
        match self.push_ask(&ask, number) {
            Ok(()) if number == 0 => Ok(()),
            Ok(()) => {
                self.asks.last = number;
                self.asks.waiting.insert(number, (ask.task, ask.number));
                Ok(())
            }
            Err(error) => Err((Box::new(ask), error)),
        }
    }

    fn push_ask(&mut self, ask: &Ask, number: u64) -> Result<(), SessionError> {
        // The monitor knows whose it is, and the owner's epoch.
        let (tenant, epoch) = (String::new(), Epoch(0));
        let request = Request { tenant, key: ask.key.clone(), epoch, body: ask.body.clone() };
        let request = request.to_bytes()?;
        let left = ask.deadline.saturating_duration_since(Instant::now());
        let head = FromCell::State {
            number,
            deadline_us: left.as_micros() as u64,
            request_bytes: request.len() as u32,
        };
        self.tell(&head, &[&request, &ask.payload]).map_err(|error| match error {
            NotTold::Wire(_) => SessionError::Deadline,
            NotTold::Ring(_) => SessionError::Full { limit: MAX_ASKS_OUT },
        })
    }
}

/// The end of a request.
pub(super) fn answered(
    worker: &mut Worker<ToOthers>,
    number: u64,
    end: &ArchivedStateEnd,
    reply_bytes: usize,
    payload: &[u8],
) {
    let Some((task, number)) = worker.outside().asks.waiting.remove(&number) else { return };
    worker.replied(task, number, replied(end, reply_bytes, payload));
}

fn replied(end: &ArchivedStateEnd, reply_bytes: usize, payload: &[u8]) -> Replied {
    match end {
        ArchivedStateEnd::Answered => {
            let (reply, payload) = payload.split_at(reply_bytes.min(payload.len()));
            match Reply::from_bytes(reply)? {
                Reply::Failed(failure) => Err(failure.into()),
                reply => Ok((reply, payload.to_vec())),
            }
        }
        ArchivedStateEnd::Unknown => Err(SessionError::Unknown),
        ArchivedStateEnd::Deadline => Err(SessionError::Deadline),
        ArchivedStateEnd::NoOwner { hops } => Err(SessionError::NoOwner { hops: hops.to_native() }),
        ArchivedStateEnd::Full { limit } => {
            Err(SessionError::Full { limit: limit.to_native() as usize })
        }
    }
}

//! Answers on their way out: those that show something wait until it is stored.

use std::collections::{BTreeMap, VecDeque};

use super::record::{Batch, Ticket, batch_bytes};
use crate::message::{Failure, Reply};
use crate::payload::Payload;

/// What an owner wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send this answer.
    Reply {
        /// The caller's name for the request.
        token: u64,
        /// The head.
        reply: Reply,
        /// And what goes beside it.
        payload: Payload,
    },
    /// No answer may be given: close the stream, so that the caller asks again.
    Dropped {
        /// The caller's name for the request.
        token: u64,
    },
    /// Store this, after all before it; then call `persisted`, or `storage_failed`.
    Persist {
        /// Its number.
        ticket: Ticket,
        /// What to store, all or none.
        batch: Batch,
    },
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: VecDeque<Output>,
    /// Invariant: keys are above `settled`.
    held: BTreeMap<Ticket, Vec<(u64, Reply, Payload)>>,
    /// Bytes of batches above `settled`.
    unstored: BTreeMap<Ticket, u64>,
    unstored_bytes: u64,
    last: Ticket,
    settled: Ticket,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<Output> {
        self.ready.pop_front()
    }

    pub(super) fn settled(&self) -> Ticket {
        self.settled
    }

    pub(super) fn unstored_bytes(&self) -> u64 {
        self.unstored_bytes
    }

    /// The ticket of the next batch.
    pub(super) fn next_ticket(&self) -> Ticket {
        Ticket(self.last.0 + 1)
    }

    pub(super) fn persist(&mut self, batch: Batch) -> Ticket {
        self.last = self.next_ticket();
        let bytes = batch_bytes(&batch);
        self.unstored.insert(self.last, bytes);
        self.unstored_bytes += bytes;
        self.ready.push_back(Output::Persist { ticket: self.last, batch });
        self.last
    }

    /// Sends the answer once `after` is stored.
    pub(super) fn reply(
        &mut self,
        token: u64,
        reply: Reply,
        payload: Payload,
        after: Option<Ticket>,
    ) {
        match after.filter(|ticket| *ticket > self.settled) {
            Some(ticket) => self.held.entry(ticket).or_default().push((token, reply, payload)),
            None => self.ready.push_back(Output::Reply { token, reply, payload }),
        }
    }

    pub(super) fn drop_request(&mut self, token: u64) {
        self.ready.push_back(Output::Dropped { token });
    }

    pub(super) fn persisted(&mut self, ticket: Ticket) {
        if ticket <= self.settled || ticket > self.last {
            return;
        }
        self.settle(ticket);
        let later = self.held.split_off(&Ticket(ticket.0 + 1));
        for (token, reply, payload) in
            std::mem::replace(&mut self.held, later).into_values().flatten()
        {
            self.ready.push_back(Output::Reply { token, reply, payload });
        }
    }

    /// Takes back all batches from `ticket` on; whose answers become failures.
    pub(super) fn failed(&mut self, ticket: Ticket, why: &str) {
        self.persisted(Ticket(ticket.0.saturating_sub(1)));
        self.settle(self.last);
        self.ready.retain(
            |output| !matches!(output, Output::Persist { ticket: other, .. } if *other >= ticket),
        );
        for (token, ..) in std::mem::take(&mut self.held).into_values().flatten() {
            let reply = Reply::Failed(Failure::Storage { why: why.to_owned() });
            self.ready.push_back(Output::Reply { token, reply, payload: Payload::default() });
        }
    }

    fn settle(&mut self, ticket: Ticket) {
        self.settled = ticket;
        let later = self.unstored.split_off(&Ticket(ticket.0 + 1));
        let stored = std::mem::replace(&mut self.unstored, later);
        self.unstored_bytes -= stored.into_values().sum::<u64>();
    }
}

//! Whoever waits for the answer to a call.

use std::sync::Arc;
use std::time::Instant;

use super::Monitor;
use super::functions::{Deployed, Place};
use super::stats::Stats;
use crate::cell::{Answer, Refusal};

/// What ends with a call: the caller gets its answer.
pub type Reply = Box<dyn FnOnce(Answer) + Send>;

/// A caller that has been counted in, and is counted out with its answer.
pub(super) struct Caller {
    monitor: Arc<Monitor>,
    stats: Arc<Stats>,
    reply: Reply,
    /// Its place among the calls of its tenant.
    _place: Place,
}

impl Caller {
    /// Counts a call in.
    pub(super) fn new(
        monitor: &Arc<Monitor>,
        stats: &Arc<Stats>,
        place: Place,
        reply: Reply,
    ) -> Self {
        monitor.in_flight.begin();
        stats.begin();
        Self { monitor: Arc::clone(monitor), stats: Arc::clone(stats), reply, _place: place }
    }

    /// Has the log tell how long the answer takes from now on.
    pub(super) fn timed(self) -> Self {
        let (begun, reply) = (Instant::now(), self.reply);
        let reply = Box::new(move |answer| {
            let answered_us = begun.elapsed().as_micros() as u64;
            tracing::debug!(answered_us, "a call that waited for its cell");
            reply(answer);
        });
        Self { reply, ..self }
    }

    /// Counts it for a function that was not known when it came.
    pub(super) fn of(self, deployed: &Deployed) -> Self {
        deployed.stats.begin();
        self.stats.forget();
        Self { stats: Arc::clone(&deployed.stats), ..self }
    }

    /// Has the function remember how long the answer takes.
    pub(super) fn first_of(self, deployed: &Arc<Deployed>) -> Self {
        let (begun, reply, deployed) = (Instant::now(), self.reply, Arc::clone(deployed));
        let reply = Box::new(move |answer| {
            deployed.first_call_took(begun.elapsed());
            reply(answer);
        });
        Self { reply, ..self }
    }

    /// Gives the answer.
    pub(super) fn answer(self, answer: Answer) {
        self.stats.count(answer.outcome, answer.ran);
        (self.reply)(answer);
        self.monitor.in_flight.end();
    }

    /// Says that the call was not run.
    pub(super) fn refuse(self, refusal: Refusal, text: impl Into<String>) {
        self.answer(Answer::refused(refusal, text));
    }
}

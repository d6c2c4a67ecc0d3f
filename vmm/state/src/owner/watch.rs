//! Who waits for another version of a value than the one known, and how each is told.
//!
//! Invariant: a wait that stands knows the newest version, so no change goes by unseen: what is
//! made while its answer is on its way, the next request finds at once, as it names what it knows.

use std::time::{Duration, Instant};

use super::config::{Fault, MAX_WATCH, MAX_WATCHES};
use super::record::Id;
use super::value::Value;
use super::{Answer, Entry, Owner, Payload, alone};
use crate::message::{Failure, Reply};
use crate::version::Version;

/// The waits of one value.
#[derive(Debug, Default)]
pub(super) struct Watches(Vec<Watch>);

#[derive(Debug)]
struct Watch {
    known: Version,
    until: Instant,
    token: u64,
}

impl Watches {
    /// When the first wait is over.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.0.iter().map(|watch| watch.until).min()
    }

    /// Takes out those who are to be told.
    fn take(&mut self, which: impl Fn(&Watch) -> bool) -> Vec<u64> {
        self.0.extract_if(.., |watch| which(watch)).map(|watch| watch.token).collect()
    }
}

impl Owner {
    /// Answers when the value has another version than `known`, or when the time is over.
    pub(super) fn watch(
        &mut self,
        now: Instant,
        id: &Id,
        known: Version,
        wait_us: u64,
        token: u64,
    ) -> Answer {
        let entry = self.tenants.get(id).ok_or(Failure::NotFound)?;
        let stat = entry.value()?.stat();
        if stat.version != known || wait_us == 0 {
            return Ok(Some(alone(Reply::Value(stat))));
        }
        if entry.watches.0.len() >= MAX_WATCHES {
            let what = "watches of one value".to_owned();
            return Err(Failure::Limit { what, limit: MAX_WATCHES as u64 });
        }
        let until = now + Duration::from_micros(wait_us).min(MAX_WATCH);
        self.tenants.make(id).watches.0.push(Watch { known, until, token });
        self.wake(id);
        Ok(None)
    }

    /// The value has changed, or is gone: those who know another version are told.
    pub(super) fn tell_watches(&mut self, id: &Id) {
        self.tell_those(id, |watch, found| found != Some(watch.known));
    }

    /// Those whose time is over are told what there is.
    pub(super) fn expire_watches(&mut self, now: Instant, id: &Id) {
        self.tell_those(id, |watch, _| watch.until <= now);
    }

    fn tell_those(&mut self, id: &Id, which: impl Fn(&Watch, Option<Version>) -> bool) {
        let Some(entry) = self.tenants.get_mut(id).filter(|entry| !entry.watches.0.is_empty())
        else {
            return;
        };
        let version = entry.value().ok().map(Value::version);
        let tokens = entry.watches.take(|watch| which(watch, version));
        let after = entry.after.filter(|_| !self.config.leaves_out(Fault::IgnoreStorage));
        for token in tokens {
            self.outbox.reply(token, found(entry), Payload::default(), after);
        }
        self.wake(id);
    }
}

fn found(entry: &Entry) -> Reply {
    entry.value().map_or_else(Reply::Failed, |value| Reply::Value(value.stat()))
}

//! What the clients of a round did, in the form in which it is judged.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::history::{self, Entry, Op};

/// See the module.
#[derive(Default)]
pub(crate) struct Log {
    clock: AtomicU64,
    histories: Mutex<BTreeMap<String, Vec<Entry>>>,
    refused: AtomicU64,
}

impl Log {
    /// A point of the run, later than all before.
    pub(crate) fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Something was done; nobody knows whether, if it was not answered.
    pub(crate) fn record(&self, key: &str, op: Op, begun: u64, is_answered: bool) {
        let ended = is_answered.then(|| self.tick());
        let mut histories = self.histories.lock().unwrap();
        histories.entry(key.to_owned()).or_default().push(Entry { op, begun, ended });
    }

    /// Something was refused, and has not changed anything.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How much was done.
    pub(crate) fn done(&self) -> usize {
        self.histories.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Judges all of it; what it was, in words.
    pub(crate) fn judge(&self) -> (usize, String) {
        let histories = self.histories.lock().unwrap();
        if let Err(why) = history::check(&histories) {
            panic!("{why}");
        }
        let all = histories.values().flatten();
        let unknown = all.clone().filter(|entry| entry.ended.is_none()).count();
        let (done, refused) = (all.count(), self.refused.load(Ordering::Relaxed));
        let overlap = history::overlap(&histories);
        let said = format!(
            "{done} operations, {unknown} of them without an answer; {overlap} pairs at once; \
             {refused} refused"
        );
        (overlap, said)
    }
}

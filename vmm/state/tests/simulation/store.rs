//! A store of records that keeps what was persisted, refuses batches of an older epoch, and
//! outlives the owners that use it.

use std::collections::BTreeMap;

use faaslet_state::owner::{Batch, Id, Record};
use faaslet_state::{Chunk, message::SessionId};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Head(Id),
    Chunk(Id, Chunk),
    Done(Id, SessionId),
}

/// See the module's documentation.
#[derive(Default)]
pub struct Store {
    records: BTreeMap<Name, Record>,
    pub epoch: u64,
}

impl Store {
    /// Stores a batch of an owner in `epoch`; not if there is a later one.
    pub fn commit(&mut self, epoch: u64, batch: Batch) -> bool {
        if epoch != self.epoch {
            return false;
        }
        for record in batch {
            let (name, there) = match &record {
                Record::Head(id, head) => (Name::Head(id.clone()), head.is_some()),
                Record::Chunk(id, chunk, body) => (Name::Chunk(id.clone(), *chunk), body.is_some()),
                Record::Done(id, session, done) => {
                    (Name::Done(id.clone(), *session), done.is_some())
                }
            };
            if there {
                self.records.insert(name, record);
            } else {
                self.records.remove(&name);
            }
        }
        true
    }

    /// All records, heads before chunks.
    pub fn records(&self) -> Vec<Record> {
        self.records.values().cloned().collect()
    }
}

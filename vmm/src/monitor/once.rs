//! One at a time of each: whoever wants the same thing waits for the first, and finds it made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use faaslet_store::Hash;
use tokio::sync::Mutex as AsyncMutex;

use super::lock::lock;

/// Locks by what they are for, each here for as long as somebody holds or wants it.
#[derive(Debug, Default)]
pub(super) struct Once(Mutex<HashMap<Hash, Weak<AsyncMutex<()>>>>);

impl Once {
    /// The lock of one thing.
    pub(super) fn of(&self, what: Hash) -> Arc<AsyncMutex<()>> {
        let mut all = lock(&self.0);
        all.retain(|_, one| one.strong_count() > 0);
        if let Some(one) = all.get(&what).and_then(Weak::upgrade) {
            return one;
        }
        let one = Arc::new(AsyncMutex::new(()));
        all.insert(what, Arc::downgrade(&one));
        one
    }
}

//! How many bytes of bodies are held at once: over all requests, and of each tenant.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::api::Problem;

/// Bytes of bodies held at once, over all requests.
const MAX_HELD_BYTES: usize = 512 << 20;
/// Bytes of bodies held at once of one tenant: room is left for others.
const MAX_HELD_BYTES_EACH: usize = 192 << 20;

/// Bytes of bodies that may be held, over all requests, and of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Budget(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    /// Invariant: of tenants that hold something, and perhaps of some that did.
    each: Mutex<HashMap<String, Arc<AtomicUsize>>>,
}

/// The part of the budget that one tenant, or the operator, may use.
#[derive(Debug, Clone)]
pub struct Share {
    budget: Budget,
    own: Arc<AtomicUsize>,
}

/// What is held of a budget, given back when dropped.
#[derive(Debug)]
pub struct Held {
    share: Share,
    bytes: usize,
}

impl Held {
    /// Takes so much more, or says no.
    pub fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let add = |count: &AtomicUsize| count.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let (own, all) = (add(&self.share.own), add(&self.share.budget.0.all));
        self.bytes += bytes;
        let over = |most, whose: &str| {
            Err(Problem::overloaded(format!(
                "expected at most {most} bytes of bodies at once {whose}; there are more; try \
                 again soon"
            )))
        };
        match () {
            () if own > MAX_HELD_BYTES_EACH => over(MAX_HELD_BYTES_EACH, "of one tenant"),
            () if all > MAX_HELD_BYTES => over(MAX_HELD_BYTES, "of all tenants"),
            () => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for count in [&self.share.own, &self.share.budget.0.all] {
            count.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Budget {
    /// The share of a tenant, or of the operator, who has no name.
    pub fn share(&self, tenant: &str) -> Share {
        let mut each = self.0.each.lock().unwrap_or_else(PoisonError::into_inner);
        if !each.contains_key(tenant) {
            each.retain(|_, own| Arc::strong_count(own) > 1);
        }
        let own = Arc::clone(each.entry(tenant.to_owned()).or_default());
        Share { budget: self.clone(), own }
    }
}

impl Share {
    /// Nothing held yet.
    pub fn begin(&self) -> Held {
        Held { share: self.clone(), bytes: 0 }
    }
}

/// Bytes that count as held until the last copy of them is dropped.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes and what they hold, in one.
pub fn counted((bytes, held): (Bytes, Held)) -> Bytes {
    if bytes.is_empty() { bytes } else { Bytes::from_owner(Counted { bytes, _held: held }) }
}

impl Budget {
    /// Bytes held now.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.0.all.load(Ordering::Relaxed)
    }
}

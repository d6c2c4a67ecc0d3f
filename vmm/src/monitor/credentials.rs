//! Tokens that opened connections: when one is removed, its connections end.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use faaslet_net::server::{Closer, Credential};
use faaslet_store::{DbError, Role, Store, token_id};

use super::lock::lock;

/// See the module's documentation.
pub(super) struct Credentials {
    /// By the ids of their tokens. Invariant: of tokens that the store has.
    shown: Mutex<HashMap<String, Shown>>,
    removed: AtomicU64,
    closer: Closer,
}

struct Shown {
    role: Role,
    credential: Credential,
}

impl Credentials {
    /// None have been shown yet; `closer` ends the connections of those that will be.
    pub(super) fn new(closer: Closer) -> Self {
        Self { shown: Mutex::default(), removed: AtomicU64::new(0), closer }
    }

    /// Somebody shows a token to open a connection.
    pub(super) fn show(
        &self,
        store: &Store,
        token: &str,
    ) -> Result<Option<(Role, Credential)>, DbError> {
        // Held while the store looks: a token that is removed meanwhile is either not found any
        // more, or ended by `end`, which comes after.
        let mut shown = lock(&self.shown);
        let Some(role) = store.authenticate(token)? else { return Ok(None) };
        let entry = shown.entry(token_id(token));
        let entry = entry.or_insert(Shown { role, credential: Credential::default() });
        Ok(Some((entry.role.clone(), entry.credential.clone())))
    }

    /// Ends those that the store has removed, chosen by the token's id and role.
    pub(super) fn end(&self, which: impl Fn(&str, &Role) -> bool) {
        lock(&self.shown).retain(|id, shown| {
            let ends = which(id, &shown.role);
            if ends {
                shown.credential.end();
            }
            !ends
        });
        self.removed.fetch_add(1, Ordering::Release);
        self.closer.close_ended();
    }

    /// How often tokens were removed: while it is the same, a token that was right is right.
    pub(super) fn removed(&self) -> u64 {
        self.removed.load(Ordering::Acquire)
    }
}

//! How many files come in at once: each holds a thread that waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::Problem;

/// Uploads at once, over all tenants.
const MAX_UPLOADS: usize = 64;
/// Uploads at once of one tenant.
const MAX_UPLOADS_EACH: usize = 4;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub struct Uploads(Arc<Mutex<HashMap<String, usize>>>);

/// An upload that is counted until it ends.
#[derive(Debug)]
pub struct Upload {
    uploads: Uploads,
    tenant: String,
}

impl Uploads {
    /// Counts one more of a tenant, or of the operator, who has no name.
    pub fn begin(&self, tenant: &str) -> Result<Upload, Problem> {
        let mut each = self.each();
        let own = each.get(tenant).copied().unwrap_or(0);
        let all: usize = each.values().sum();
        let over = |most, whose| {
            let what = format!("expected at most {most} uploads at once {whose}; try again soon");
            Err(Problem::overloaded(what))
        };
        if own >= MAX_UPLOADS_EACH {
            return over(MAX_UPLOADS_EACH, "of one tenant");
        }
        if all >= MAX_UPLOADS {
            return over(MAX_UPLOADS, "of all tenants");
        }
        each.insert(tenant.to_owned(), own + 1);
        Ok(Upload { uploads: self.clone(), tenant: tenant.to_owned() })
    }

    fn each(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut each = self.uploads.each();
        let left = each.get(&self.tenant).map_or(0, |own| own - 1);
        if left == 0 {
            each.remove(&self.tenant);
        } else {
            each.insert(std::mem::take(&mut self.tenant), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_its_own_limit_and_all_have_one() {
        let uploads = Uploads::default();
        let mut held: Vec<_> = (0..MAX_UPLOADS_EACH).map(|_| uploads.begin("a").unwrap()).collect();
        assert_eq!(uploads.begin("a").unwrap_err().status, 429);
        held.pop();
        held.push(uploads.begin("a").unwrap());
        for number in MAX_UPLOADS_EACH..MAX_UPLOADS {
            held.push(uploads.begin(&number.to_string()).unwrap());
        }
        assert!(uploads.begin("b").unwrap_err().detail.contains("of all tenants"));
        drop(held);
        assert!(uploads.each().is_empty() && uploads.begin("b").is_ok());
    }
}

//! The cgroups of this monitor's cells and builders: their names, and what an earlier monitor of
//! the same folder left behind.
//!
//! ```text
//!  faaslet-FOLDER-cell-TENANT        FOLDER and TENANT are hashes
//!  faaslet-FOLDER-builder-NUMBER     the lowest number that no builder has
//! ```
//!
//! Names are the same after a restart, so a group whose processes have not all ended yet is used
//! again, and an empty one is found by its name.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use faaslet_sandbox::cgroup::{self, Cgroups};

use super::lock::lock;

/// Digits of each hash in a name.
const DIGITS: usize = 16;

/// See the module's documentation.
pub(super) struct Groups {
    /// Where groups are made.
    pub(super) cgroups: Cgroups,
    folder: String,
    builders: Arc<Mutex<BTreeSet<usize>>>,
}

impl Groups {
    /// Those of a monitor over `dir`; removes empty ones that an earlier one left.
    pub(super) fn new(dir: &Path) -> Self {
        let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
        let folder = digits(dir.as_os_str().as_encoded_bytes());
        let cgroups = cgroup::detect();
        let left = cgroups.remove_empty(&format!("{folder}-"));
        if left > 0 {
            tracing::info!(left, "removed cgroups of an earlier monitor");
        }
        Self { cgroups, folder, builders: Arc::default() }
    }

    /// The name of a tenant's cell.
    pub(super) fn cell(&self, tenant: &str) -> String {
        format!("{}-cell-{}", self.folder, digits(tenant.as_bytes()))
    }

    /// A name for one more builder.
    pub(super) fn builder(&self) -> BuilderName {
        let mut taken = lock(&self.builders);
        // Of so many numbers and one more, one is free.
        let number = (0..=taken.len()).find(|number| !taken.contains(number)).unwrap_or_default();
        taken.insert(number);
        let name = format!("{}-builder-{number}", self.folder);
        BuilderName { name, number, taken: Arc::clone(&self.builders) }
    }
}

fn digits(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGITS].to_owned()
}

/// A name that no other builder has until this is dropped.
pub(super) struct BuilderName {
    /// The text.
    pub(super) name: String,
    number: usize,
    taken: Arc<Mutex<BTreeSet<usize>>>,
}

impl Drop for BuilderName {
    fn drop(&mut self) {
        lock(&self.taken).remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(dir: &str) -> Groups {
        Groups::new(Path::new(dir))
    }

    #[test]
    fn names_are_the_same_after_a_restart_and_differ_between_folders_and_tenants() {
        let (one, again, other) = (groups("/no/a"), groups("/no/a"), groups("/no/b"));
        assert_eq!(one.cell("t"), again.cell("t"));
        assert_eq!(one.builder().name, again.builder().name);
        assert_ne!(one.cell("t"), one.cell("u"));
        assert_ne!(one.cell("t"), other.cell("t"));
        assert_ne!(one.builder().name, other.builder().name);
    }

    #[test]
    fn builders_at_the_same_time_have_different_names() {
        let groups = groups("/no/a");
        let (first, second) = (groups.builder(), groups.builder());
        assert_ne!(first.name, second.name);
        let free = first.name.clone();
        drop(first);
        assert_eq!(groups.builder().name, free, "a name is given again");
        assert!(free.len() <= cgroup::MAX_NAME_BYTES);
    }
}

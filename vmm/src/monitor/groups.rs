//! The cgroups of this monitor's cells and builders: their names, and what an earlier monitor of
//! the same folder left behind.
//!
//! ```text
//!  faaslet-FOLDER-cell-TENANT        FOLDER and TENANT are hashes
//!  faaslet-FOLDER-builders-TENANT    all builders of a tenant
//! ```
//!
//! Names are the same after a restart, so a group whose processes have not all ended yet is used
//! again, and an empty one is found by its name.

use std::path::Path;

use faaslet_sandbox::cgroup::{self, Cgroups};

/// Digits of each hash in a name.
const DIGITS: usize = 16;

/// See the module's documentation.
pub(super) struct Groups {
    /// Where groups are made.
    pub(super) cgroups: Cgroups,
    folder: String,
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
        Self { cgroups, folder }
    }

    /// The name of a tenant's cell.
    pub(super) fn cell(&self, tenant: &str) -> String {
        format!("{}-cell-{}", self.folder, digits(tenant.as_bytes()))
    }

    /// The name of a tenant's builders, all together.
    pub(super) fn builders(&self, tenant: &str) -> String {
        format!("{}-builders-{}", self.folder, digits(tenant.as_bytes()))
    }
}

fn digits(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGITS].to_owned()
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
        assert_eq!(one.builders("t"), again.builders("t"));
        assert_ne!(one.cell("t"), one.cell("u"));
        assert_ne!(one.cell("t"), other.cell("t"));
        assert_ne!(one.builders("t"), one.builders("u"));
        assert_ne!(one.builders("t"), other.builders("t"));
        assert_ne!(one.builders("t"), one.cell("t"));
        assert!(one.builders("t").len() <= cgroup::MAX_NAME_BYTES);
    }
}

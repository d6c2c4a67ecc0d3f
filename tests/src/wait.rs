//! Waiting for conditions.

use std::path::Path;
use std::time::{Duration, Instant};

/// How long a condition may take to hold; far longer than it ever does.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `holds`.
///
/// # Panics
/// When it does not hold within [`PATIENCE`]; `what` says what was expected.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    eventually_some(what, || holds().then_some(()));
}

/// Looks until there is something.
///
/// # Panics
/// When there is nothing within [`PATIENCE`]; `what` says what was expected.
pub fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "expected within {PATIENCE:?}: {what}");
        pause(LOOK);
    }
}

/// Lets some time pass: between two looks, or until a fault is injected.
pub fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Whether there is a process of this id that has not ended.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
    else {
        return false;
    };
    // "PID (NAME) STATE ...": the name may hold anything, so the last bracket counts.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

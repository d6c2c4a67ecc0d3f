//! Who waits, and who is woken.

/// Most tasks that wait in one queue: for a turn, a lock, or the words of a value.
pub const MAX_WAITERS: usize = 4096;

/// A call of this cell: it waits, holds locks and maps under this number, which is its caller's
/// to choose; no two calls that live at the same time have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task(pub u128);

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "call {:x}", self.0)
    }
}

/// Tasks whose wait is over: the caller lets them run, and each finds what it waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "these tasks wait until somebody wakes them"]
pub struct Wake(pub Vec<Task>);

impl Wake {
    /// Nobody.
    pub const fn nobody() -> Self {
        Self(Vec::new())
    }

    /// These and those.
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }
}

impl From<Option<Task>> for Wake {
    fn from(task: Option<Task>) -> Self {
        Self(task.into_iter().collect())
    }
}

impl IntoIterator for Wake {
    type Item = Task;
    type IntoIter = std::vec::IntoIter<Task>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {MAX_WAITERS} calls in a queue, and that many wait: try again later")]
pub struct QueueFull;

//! Where in the original module an instruction of the rewritten one was.

use serde::{Deserialize, Serialize};

/// Maps byte offsets in the rewritten module to offsets in the original, so that backtraces
/// symbolise against the original's names and DWARF. Its size follows the number of changed
/// instructions, not the size of the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetMap {
    /// Invariant: sorted by `new`, strictly.
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    new: u32,
    old: u32,
    kind: Kind,
}

/// How the offsets from a run's start to the next one's relate to the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Copied bytes: they advance together.
    Copied,
    /// Instructions that stand for the one at the run's old offset.
    StandsFor,
    /// Of the rewrite's own.
    Added,
}

impl OffsetMap {
    /// The offset in the original module of what is at `new_offset` in the rewritten one;
    /// `None` for what the rewrite added.
    pub fn original(&self, new_offset: u32) -> Option<u32> {
        let after = self.runs.partition_point(|run| run.new <= new_offset);
        let run = self.runs.get(after.checked_sub(1)?)?;
        match run.kind {
            Kind::Copied => Some(run.old + (new_offset - run.new)),
            Kind::StandsFor => Some(run.old),
            Kind::Added => None,
        }
    }

    /// Starts a run. Offsets grow from call to call; one that only continues the last is left
    /// out, and one that starts where the last did replaces it.
    pub(crate) fn push(&mut self, new: u32, old: u32, kind: Kind) {
        if self.runs.last().is_some_and(|last| last.new == new) {
            self.runs.pop();
        }
        let continues = |last: &Run| {
            last.kind == kind
                && match kind {
                    Kind::Copied => last.new.wrapping_sub(last.old) == new.wrapping_sub(old),
                    Kind::StandsFor => last.old == old,
                    Kind::Added => true,
                }
        };
        if !self.runs.last().is_some_and(continues) {
            self.runs.push(Run { new, old, kind });
        }
    }
}

//! Where in the original module an instruction of the rewritten one was.

use serde::{Deserialize, Serialize};

/// Maps byte offsets in the rewritten module to offsets in the original, so that backtraces
/// symbolise against the original's names and DWARF. Its size follows the number of changed
/// instructions, not the size of the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<Step>", try_from = "Vec<Step>")]
pub struct OffsetMap {
    /// Invariant: sorted by `new`, strictly.
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    new: u32,
    old: u32,
    kind: Kind,
}

/// How the offsets from a run's start to the next one's relate to the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            Kind::Copied => run.old.checked_add(new_offset - run.new),
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

/// A run as it is serialised: how far both offsets moved since the last one, and its kind. A
/// large module has a hundred thousand runs, whose moves are small numbers.
type Step = (u32, i64, u8);

impl From<OffsetMap> for Vec<Step> {
    fn from(map: OffsetMap) -> Self {
        let mut last = Run { new: 0, old: 0, kind: Kind::Added };
        let step = |run: Run| {
            let moved = (run.new - last.new, i64::from(run.old) - i64::from(last.old));
            last = run;
            (moved.0, moved.1, run.kind as u8)
        };
        map.runs.into_iter().map(step).collect()
    }
}

/// Why serialised offsets were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected run {index} of an offset map to lie behind the one before it and to be of a known \
     kind, found otherwise; the plan was damaged, so rewrite the module again"
)]
pub struct OffsetMapError {
    index: usize,
}

impl TryFrom<Vec<Step>> for OffsetMap {
    type Error = OffsetMapError;

    fn try_from(steps: Vec<Step>) -> Result<Self, Self::Error> {
        let mut runs: Vec<Run> = Vec::with_capacity(steps.len());
        let (mut new, mut old) = (0_u32, 0_i64);
        for (index, (forward, moved, kind)) in steps.into_iter().enumerate() {
            let mut run = || {
                new = new.checked_add(forward).filter(|_| forward > 0 || index == 0)?;
                old = old.checked_add(moved)?;
                Some(Run { new, old: u32::try_from(old).ok()?, kind: Kind::from_u8(kind)? })
            };
            runs.push(run().ok_or(OffsetMapError { index })?);
        }
        Ok(Self { runs })
    }
}

impl Kind {
    fn from_u8(number: u8) -> Option<Self> {
        [Self::Copied, Self::StandsFor, Self::Added].into_iter().find(|k| *k as u8 == number)
    }
}

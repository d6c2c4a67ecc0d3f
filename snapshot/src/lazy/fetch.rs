//! One request for some chunks, to one source after the other until all are here.

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::{BadChunk, Claim, FetchError, LazyImage, start_of, stored_bytes};
use crate::image::{check_chunk, runs};
use crate::memory::MemoryImageError;
use crate::source::{Request, Source, SourceError, Urgency, Wanted};

/// A source, and how it did so far.
pub(super) struct Candidate {
    source: Arc<dyn Source>,
    /// It gave what is not the image's: never asked again.
    out: AtomicBool,
    /// The last request to it failed: others are asked before it.
    failed: AtomicBool,
}

impl Candidate {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, out: AtomicBool::new(false), failed: AtomicBool::new(false) }
    }
}

/// What one source did with a request.
enum Gave {
    All,
    Failed(SourceError),
    Bad(BadChunk),
    Memory(MemoryImageError),
}

impl LazyImage {
    /// Brings all rows of a claim.
    pub(super) fn fetch(
        &self,
        claim: &Claim<'_>,
        urgency: Urgency,
        deadline: Instant,
    ) -> Result<(), FetchError> {
        let mut missing: Vec<usize> = claim.rows.clone();
        let mut tried = String::new();
        let order = self.order();
        for (nth, candidate) in order.iter().enumerate() {
            // Each has its share of the time that is left, so that a silent one leaves some.
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / (order.len() - nth) as u32;
            match self.ask(candidate, &mut missing, urgency, now + share) {
                Gave::All => {
                    candidate.failed.store(false, Ordering::Relaxed);
                    return Ok(());
                }
                Gave::Memory(error) => return Err(error.into()),
                gave => self.note(candidate, &gave, &mut tried),
            }
        }
        if tried.is_empty() {
            tried.push_str("no source is left");
        }
        let chunk = missing.first().map_or(0, |row| self.head.chunks()[*row].index);
        Err(FetchError::NoSource { image: self.id(), chunk, tried })
    }

    /// Sources that may be asked: those that answered last before those that did not.
    fn order(&self) -> Vec<&Candidate> {
        let may = |candidate: &&Candidate| !candidate.out.load(Ordering::Relaxed);
        let mut order: Vec<_> = self.candidates.iter().filter(may).collect();
        order.sort_by_key(|candidate| candidate.failed.load(Ordering::Relaxed));
        order
    }

    fn note(&self, candidate: &Candidate, gave: &Gave, tried: &mut String) {
        let name = candidate.source.name();
        let why = match gave {
            Gave::Bad(bad) => {
                candidate.out.store(true, Ordering::Relaxed);
                self.events.left_out(self.id(), name, bad);
                format!("it is left out: {bad}")
            }
            Gave::Failed(error) => {
                candidate.failed.store(true, Ordering::Relaxed);
                self.events.failed(self.id(), name, &error.to_string());
                error.to_string()
            }
            Gave::All | Gave::Memory(_) => return,
        };
        let comma = if tried.is_empty() { "" } else { "; " };
        tried.extend([comma, name, ": ", &why]);
    }

    /// Asks one source for what is missing; what it gives is missing no more.
    fn ask(
        &self,
        candidate: &Candidate,
        missing: &mut Vec<usize>,
        urgency: Urgency,
        deadline: Instant,
    ) -> Gave {
        let chunks: Vec<Wanted> = missing.iter().map(|row| self.wanted(*row)).collect();
        let request = Request { image: self.id(), chunks: &chunks, urgency, deadline };
        self.lock().progress.requests += 1;
        let mut wrong = None;
        let asked = catch_unwind(AssertUnwindSafe(|| {
            candidate.source.fetch(&request, &mut |chunk, bytes| match self
                .take(missing, chunk, bytes)
            {
                Ok(()) if missing.is_empty() => ControlFlow::Break(()),
                Ok(()) => ControlFlow::Continue(()),
                Err(gave) => {
                    wrong = Some(gave);
                    ControlFlow::Break(())
                }
            })
        }));
        match (wrong, asked) {
            (Some(gave), _) => gave,
            _ if missing.is_empty() => Gave::All,
            (None, Ok(Err(error))) => Gave::Failed(error),
            (None, Ok(Ok(()))) => {
                let text = format!("it gave {} chunks too few", missing.len());
                Gave::Failed(SourceError::Unreachable(text))
            }
            (None, Err(_)) => Gave::Failed(SourceError::Unreachable("it panicked".into())),
        }
    }

    fn wanted(&self, row: usize) -> Wanted {
        let (chunk, offset) = (&self.head.chunks()[row], self.offsets[row]);
        let bytes = stored_bytes(chunk) as u32;
        Wanted { chunk: chunk.index, offset, bytes, hash: chunk.hash }
    }

    /// Checks a chunk and puts it into the memory file.
    fn take(&self, missing: &mut Vec<usize>, chunk: u32, bytes: &[u8]) -> Result<(), Gave> {
        let asked = missing.iter().position(|row| self.head.chunks()[*row].index == chunk);
        let row = &self.head.chunks()[missing[asked.unwrap_or(0)]];
        if asked.is_none() || stored_bytes(row) != bytes.len() {
            return Err(Gave::Bad(BadChunk::Other {
                expected: row.index,
                bytes: stored_bytes(row) as u32,
                found: chunk,
                found_bytes: bytes.len(),
            }));
        }
        check_chunk(row, bytes).map_err(|error| Gave::Bad(error.into()))?;
        let mut rest = bytes;
        for run in runs(row.pages) {
            let (pages, after) = rest.split_at(run.len());
            let written = self.file.write_all_at(pages, start_of(row) + run.start as u64);
            written.map_err(|error| Gave::Memory(MemoryImageError::writing(error)))?;
            rest = after;
        }
        let number = missing.remove(asked.unwrap_or(0));
        self.arrived(number).map_err(Gave::Memory)
    }
}

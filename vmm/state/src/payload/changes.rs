//! Changes of chunks: read in place, and written from a comparison.

use std::ops::Range;

use super::{Cursor, PayloadError};
use crate::chunk::{CHUNK_BYTES, Chunk};

const CHUNK: usize = CHUNK_BYTES as usize;
/// chunk, runs, tails.
const HEAD_BYTES: usize = 8;
/// first, last.
const RUN_BYTES: usize = 4;

/// The changes of a push, checked: chunks in order, runs in order, apart, and within their chunk.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    bytes: &'a [u8],
    width: usize,
    count: usize,
}

/// What changed of one chunk.
#[derive(Clone, Copy, Debug)]
pub struct ChunkChanges<'a> {
    chunk: Chunk,
    width: usize,
    runs: &'a [u8],
    tails: &'a [u8],
    values: &'a [u8],
}

/// Values one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Where they stand, in bytes from the start of the chunk.
    pub at: usize,
    /// Whole elements, or bytes of a last partial one.
    pub values: &'a [u8],
}

impl Run<'_> {
    /// The bytes of the chunk that it is about.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.values.len()
    }
}

impl<'a> Changes<'a> {
    /// Checks the changes of a value whose elements are `width` bytes.
    ///
    /// # Errors
    /// The first thing that is not as the layout has it.
    pub fn parse(bytes: &'a [u8], width: u64) -> Result<Self, PayloadError> {
        let width = width as usize;
        let mut cursor = Cursor::new(bytes);
        let mut count = 0;
        let mut before = None;
        while !cursor.left.is_empty() {
            let start = cursor;
            let entry = read_entry(&mut cursor, width)?;
            if before >= Some(entry.chunk) {
                return Err(start.wrong("chunks in order", u64::from(entry.chunk.0)));
            }
            before = Some(entry.chunk);
            count += 1;
        }
        Ok(Self { bytes, width, count })
    }

    /// How many chunks changed.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Chunk by chunk, in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkChanges<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        let width = self.width;
        std::iter::from_fn(move || split_entry(&mut cursor, width).ok())
    }
}

impl<'a> ChunkChanges<'a> {
    /// Reads the one entry that `bytes` are.
    pub(super) fn parse(bytes: &'a [u8], width: usize) -> Result<Self, PayloadError> {
        let mut cursor = Cursor::new(bytes);
        let entry = read_entry(&mut cursor, width)?;
        if cursor.left.is_empty() {
            Ok(entry)
        } else {
            Err(cursor.wrong("the end of the changes", cursor.left.len() as u64))
        }
    }

    /// Which chunk.
    pub fn chunk(&self) -> Chunk {
        self.chunk
    }

    /// Bytes that the chunk must have for all of it.
    pub fn end(&self) -> usize {
        let last = |runs: &[u8], width| {
            runs.last_chunk::<RUN_BYTES>().map_or(0, |run| (split_run(*run).1 + 1) * width)
        };
        last(self.runs, self.width).max(last(self.tails, 1))
    }

    /// Runs of whole elements.
    pub fn runs(&self) -> impl Iterator<Item = Run<'a>> + use<'a> {
        runs(self.runs, self.values, self.width)
    }

    /// Bytes of a last partial element.
    pub fn tails(&self) -> impl Iterator<Item = Run<'a>> + use<'a> {
        let whole: usize = lens(self.runs, self.width).sum();
        runs(self.tails, &self.values[whole..], 1)
    }

    /// Whether it has bytes of a partial element.
    pub fn has_tails(&self) -> bool {
        !self.tails.is_empty()
    }

    /// Bytes of values in it.
    pub fn value_bytes(&self) -> usize {
        self.values.len()
    }
}

fn split_run(run: [u8; RUN_BYTES]) -> (usize, usize) {
    let [a, b, c, d] = run;
    (usize::from(u16::from_le_bytes([a, b])), usize::from(u16::from_le_bytes([c, d])))
}

fn pairs(runs: &[u8]) -> impl Iterator<Item = (usize, usize)> + use<'_> {
    runs.as_chunks::<RUN_BYTES>().0.iter().map(|run| split_run(*run))
}

fn lens(runs: &[u8], width: usize) -> impl Iterator<Item = usize> + use<'_> {
    pairs(runs).map(move |(first, last)| (last - first + 1) * width)
}

fn runs<'a>(
    runs: &'a [u8],
    mut values: &'a [u8],
    width: usize,
) -> impl Iterator<Item = Run<'a>> + use<'a> {
    pairs(runs).map(move |(first, last)| {
        let (run, rest) = values.split_at((last - first + 1) * width);
        values = rest;
        Run { at: first * width, values: run }
    })
}

/// Takes an entry apart by its counts; what its runs say has been checked, or is by the caller.
fn split_entry<'a>(
    cursor: &mut Cursor<'a>,
    width: usize,
) -> Result<ChunkChanges<'a>, PayloadError> {
    let (chunk, run_count, tail_count) = read_head(cursor)?;
    let runs = cursor.take(run_count * RUN_BYTES, "runs")?;
    let tails = cursor.take(tail_count * RUN_BYTES, "tails")?;
    let len = lens(runs, width).sum::<usize>() + lens(tails, 1).sum::<usize>();
    let values = cursor.take(len, "the values of the runs")?;
    Ok(ChunkChanges { chunk, width, runs, tails, values })
}

fn read_head(cursor: &mut Cursor<'_>) -> Result<(Chunk, usize, usize), PayloadError> {
    const WHAT: &str = "the head of a chunk's changes";
    let mut head = Cursor::new(cursor.take(HEAD_BYTES, WHAT)?);
    let chunk = Chunk(u32::from_le_bytes(head.array(WHAT)?));
    let runs = u16::from_le_bytes(head.array(WHAT)?);
    let tails = u16::from_le_bytes(head.array(WHAT)?);
    Ok((chunk, runs.into(), tails.into()))
}

fn read_entry<'a>(cursor: &mut Cursor<'a>, width: usize) -> Result<ChunkChanges<'a>, PayloadError> {
    let mut ahead = *cursor;
    let (_, run_count, tail_count) = read_head(&mut ahead)?;
    if run_count + tail_count == 0 {
        return Err(cursor.wrong("at least one run", 0));
    }
    let end = check_runs(&mut ahead, run_count, 0, width, CHUNK / width)?;
    // Tails are bytes of one element, behind all that is whole.
    let limit = match ahead.left.first_chunk::<RUN_BYTES>() {
        Some(first) if tail_count > 0 => (split_run(*first).0 / width + 1) * width,
        _ => CHUNK,
    };
    check_runs(&mut ahead, tail_count, end * width, 1, limit.min(CHUNK))?;
    split_entry(cursor, width)
}

/// Checks that runs begin at `from` or later, are in order, apart, and end by `limit`; where the
/// last ends.
fn check_runs(
    cursor: &mut Cursor<'_>,
    count: usize,
    from: usize,
    width: usize,
    limit: usize,
) -> Result<usize, PayloadError> {
    debug_assert!(limit * width <= CHUNK);
    let mut from = from;
    for _ in 0..count {
        let start = *cursor;
        let (first, last) = split_run(cursor.array("a run")?);
        if first < from {
            return Err(start.wrong("runs in order and apart", first as u64));
        }
        if last < first || last >= limit {
            return Err(start.wrong("a run that ends within its chunk", last as u64));
        }
        from = last + 1;
    }
    Ok(from)
}

/// Writes one entry of changes: first its runs, then its values.
pub(crate) struct EntryWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    runs: u16,
    tails: u16,
}

impl<'o> EntryWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>, chunk: Chunk) -> Self {
        let start = out.len();
        out.extend_from_slice(&chunk.0.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Self { out, start, runs: 0, tails: 0 }
    }

    /// Elements `range`, behind those before.
    pub(crate) fn run(&mut self, range: Range<usize>) {
        self.runs += 1;
        self.put(range);
    }

    /// Bytes `range` of a partial element; after all runs.
    pub(crate) fn tail(&mut self, range: Range<usize>) {
        self.tails += 1;
        self.put(range);
    }

    fn put(&mut self, range: Range<usize>) {
        self.out.extend_from_slice(&(range.start as u16).to_le_bytes());
        self.out.extend_from_slice(&((range.end - 1) as u16).to_le_bytes());
    }

    /// Ends the runs; `write` appends the values of each, told as bytes of the chunk and whether
    /// it is a run. Nothing is written, and `false` returned, without any run.
    pub(crate) fn finish(
        self,
        width: usize,
        mut write: impl FnMut(&mut Vec<u8>, Range<usize>, bool),
    ) -> bool {
        let Self { out, start, runs, tails } = self;
        if runs + tails == 0 {
            out.truncate(start);
            return false;
        }
        out[start + 4..start + 6].copy_from_slice(&runs.to_le_bytes());
        out[start + 6..start + HEAD_BYTES].copy_from_slice(&tails.to_le_bytes());
        for number in 0..usize::from(runs) + usize::from(tails) {
            let at = start + HEAD_BYTES + number * RUN_BYTES;
            let (first, last) = split_run([out[at], out[at + 1], out[at + 2], out[at + 3]]);
            let whole = number < usize::from(runs);
            let width = if whole { width } else { 1 };
            write(out, first * width..(last + 1) * width, whole);
        }
        true
    }
}

//! What differs between two states of a chunk, as an entry of changes.

use std::ops::Range;

use super::number::{Number, with_number};
use crate::chunk::Chunk;
use crate::payload::EntryWriter;
use crate::spec::{Rule, Spec};

/// Bytes that are compared at once while nothing differs, and then within them.
const STRIDES: [usize; 2] = [4096, 64];

/// Appends what changed between `base` and `copy`, two states of `chunk` of one length, as a push
/// sends it by the value's rule; whether anything did. What one has beyond the other's end is not
/// looked at.
pub fn diff(spec: &Spec, chunk: Chunk, base: &[u8], copy: &[u8], out: &mut Vec<u8>) -> bool {
    let rule = spec.rule();
    let all = 0..copy.len();
    with_number!(spec.element(), N => find::<N>(rule, chunk, &[all], base, copy, out))
}

/// The same, looking only within `ranges` of bytes: in order, apart, in whole elements but for a
/// last partial one. Outside of them the copy may hold anything.
pub fn diff_within(
    spec: &Spec,
    chunk: Chunk,
    ranges: &[Range<usize>],
    base: &[u8],
    copy: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let rule = spec.rule();
    with_number!(spec.element(), N => find::<N>(rule, chunk, ranges, base, copy, out))
}

/// Appends what changed between two states of `chunk` as the new elements themselves, whatever
/// the rule; whether anything did.
pub fn absolute(spec: &Spec, chunk: Chunk, old: &[u8], new: &[u8], out: &mut Vec<u8>) -> bool {
    let all = 0..new.len();
    with_number!(spec.element(), N => find::<N>(Rule::Replace, chunk, &[all], old, new, out))
}

fn find<N: Number>(
    rule: Rule,
    chunk: Chunk,
    ranges: &[Range<usize>],
    base: &[u8],
    copy: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    let len = base.len().min(copy.len());
    let (base, copy) = (&base[..len], &copy[..len]);
    let mut entry = EntryWriter::new(out, chunk);
    let whole = len - len % N::WIDTH;
    let differs = if rule == Rule::Sum { N::is_increased } else { N::is_replaced };
    for range in ranges {
        let (start, end) = (range.start.min(whole), range.end.min(whole));
        let (b, c, first) = (&base[start..end], &copy[start..end], start / N::WIDTH);
        runs::<N>(b, c, differs, |run| entry.run(first + run.start..first + run.end));
    }
    for range in ranges {
        let (start, end) = (range.start.clamp(whole, len), range.end.clamp(whole, len));
        runs::<u8>(&base[start..end], &copy[start..end], u8::is_replaced, |run| {
            entry.tail(start + run.start..start + run.end);
        });
    }
    entry.finish(N::WIDTH, |out, range, is_run| match rule {
        Rule::Sum if is_run => put::<N>(out, &base[range.clone()], &copy[range], N::minus),
        Rule::Xor if is_run => put::<N>(out, &base[range.clone()], &copy[range], N::xor),
        _ => out.extend_from_slice(&copy[range]),
    })
}

/// Appends `by(copy, base)` for each element.
fn put<N: Number>(out: &mut Vec<u8>, base: &[u8], copy: &[u8], by: impl Fn(N, N) -> N) {
    let start = out.len();
    out.extend_from_slice(copy);
    let pairs = out[start..].chunks_exact_mut(N::WIDTH).zip(base.chunks_exact(N::WIDTH));
    for (copy, base) in pairs {
        by(N::read(copy), N::read(base)).write(copy);
    }
}

/// Gives the runs of elements that differ, as longest ranges of their numbers.
fn runs<N: Number>(
    base: &[u8],
    copy: &[u8],
    differs: impl Fn(N, N) -> bool,
    mut run: impl FnMut(Range<usize>),
) {
    let mut pending = 0..0;
    unequal(base, copy, &STRIDES, 0, &mut |start, base, copy| {
        let first = start / N::WIDTH;
        let pairs = base.chunks_exact(N::WIDTH).zip(copy.chunks_exact(N::WIDTH));
        for (number, (base, copy)) in pairs.enumerate() {
            if !differs(N::read(base), N::read(copy)) {
                continue;
            }
            let at = first + number;
            if at != pending.end || pending.is_empty() {
                close(std::mem::replace(&mut pending, at..at), &mut run);
            }
            pending.end = at + 1;
        }
    });
    close(pending, &mut run);
}

fn close(pending: Range<usize>, run: &mut impl FnMut(Range<usize>)) {
    if !pending.is_empty() {
        run(pending);
    }
}

/// Calls `look` for the smallest blocks that are not equal.
fn unequal(
    base: &[u8],
    copy: &[u8],
    strides: &[usize],
    start: usize,
    look: &mut impl FnMut(usize, &[u8], &[u8]),
) {
    let Some((stride, finer)) = strides.split_first() else { return look(start, base, copy) };
    for (number, (base, copy)) in base.chunks(*stride).zip(copy.chunks(*stride)).enumerate() {
        if base != copy {
            unequal(base, copy, finer, start + number * stride, look);
        }
    }
}

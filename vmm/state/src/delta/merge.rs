//! Changes merged: by the owner into its chunk, by the sender into its base.

use super::lay::Elements;
use super::number::{Number, merged, with_number};
use crate::payload::ChunkChanges;
use crate::spec::{Rule, Spec};

/// Merges changes into a chunk of the owner by the value's rule. What lies beyond the chunk's end
/// is left out: see [`ChunkChanges::end`].
pub fn apply(spec: &Spec, chunk: &mut [u8], changes: &ChunkChanges<'_>) {
    let rule = spec.rule();
    with_number!(spec.element(), N => merge::<N>(rule, chunk, changes));
}

/// Lets the base take what was sent and is acknowledged. Whether the base is now what the owner
/// has, given that it was before: not so where, for example, a larger number was sent to a `min`.
#[must_use]
pub fn acknowledge(spec: &Spec, base: &mut [u8], changes: &ChunkChanges<'_>) -> bool {
    match spec.rule() {
        Rule::Replace | Rule::Sum | Rule::Xor => {
            apply(spec, base, changes);
            true
        }
        rule => with_number!(spec.element(), N => take::<N>(rule, base, changes)),
    }
}

/// Merges whole elements into memory that others write meanwhile, each atomically, from `at` on,
/// a multiple of their width.
pub fn merge_into(spec: &Spec, local: &impl Elements, at: usize, values: &[u8]) {
    let rule = spec.rule();
    with_number!(spec.element(), N => {
        for (number, value) in values.chunks_exact(N::WIDTH).enumerate() {
            merge_one(rule, local, at + number * N::WIDTH, N::read(value));
        }
    });
}

fn merge_one<N: Number>(rule: Rule, local: &impl Elements, at: usize, value: N) {
    let mut here = local.load(N::WIDTH, at);
    loop {
        let new = merged(rule, N::from_bits(here), value);
        match local.compare_exchange(N::WIDTH, at, here, new.bits()) {
            Ok(()) => return,
            Err(found) => here = found,
        }
    }
}

fn merge<N: Number>(rule: Rule, chunk: &mut [u8], changes: &ChunkChanges<'_>) {
    for run in changes.runs() {
        let Some(old) = chunk.get_mut(run.range()) else { continue };
        match rule {
            Rule::Replace => old.copy_from_slice(run.values),
            Rule::Sum => each(old, run.values, N::plus),
            Rule::Min => each(old, run.values, N::least),
            Rule::Max => each(old, run.values, N::most),
            Rule::And => each(old, run.values, N::and),
            Rule::Or => each(old, run.values, N::or),
            Rule::Xor => each(old, run.values, N::xor),
        }
    }
    for tail in changes.tails() {
        if let Some(old) = chunk.get_mut(tail.range()) {
            old.copy_from_slice(tail.values);
        }
    }
}

/// Puts the values of the changes themselves into the chunk.
pub(super) fn replace(chunk: &mut [u8], changes: &ChunkChanges<'_>) {
    for run in changes.runs().chain(changes.tails()) {
        if let Some(old) = chunk.get_mut(run.range()) {
            old.copy_from_slice(run.values);
        }
    }
}

fn each<N: Number>(old: &mut [u8], new: &[u8], by: impl Fn(N, N) -> N) {
    for (old, new) in old.chunks_exact_mut(N::WIDTH).zip(new.chunks_exact(N::WIDTH)) {
        by(N::read(old), N::read(new)).write(old);
    }
}

fn take<N: Number>(rule: Rule, base: &mut [u8], changes: &ChunkChanges<'_>) -> bool {
    let mut exact = true;
    for run in changes.runs() {
        let Some(old) = base.get_mut(run.range()) else { continue };
        for (old, sent) in old.chunks_exact_mut(N::WIDTH).zip(run.values.chunks_exact(N::WIDTH)) {
            let sent = N::read(sent);
            exact &= merged(rule, N::read(old), sent).bits() == sent.bits();
            sent.write(old);
        }
    }
    exact
}

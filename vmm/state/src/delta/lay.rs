//! What is newer at the owner, laid under what has changed here.

use super::merge::replace;
use super::number::{Number, merged, with_number};
use crate::payload::Body;
use crate::spec::{Rule, Spec};

/// Atomic access to the elements of a chunk that others write meanwhile. `at` is in bytes and a
/// multiple of `width`, which is 1, 2, 4 or 8; an element is the low bytes of the `u64`.
pub trait Elements {
    /// The element at `at`.
    fn load(&self, width: usize, at: usize) -> u64;
    /// Stores `new` if `current` is there.
    ///
    /// # Errors
    /// What is there instead.
    fn compare_exchange(&self, width: usize, at: usize, current: u64, new: u64) -> Result<(), u64>;
}

/// Blocks that are compared at once while nothing is newer.
const STRIDE: usize = 512;

/// Brings `local` and `base` to `newer`, what the owner has, element by element and atomically,
/// keeping what was changed in `local` since the base by the value's rule. The three are of one
/// chunk and of one length; what one has beyond the others' ends is not looked at.
pub fn lay_under(spec: &Spec, local: &impl Elements, base: &mut [u8], newer: &[u8]) {
    let len = base.len().min(newer.len());
    let whole = len - len % spec.element().width() as usize;
    let rule = spec.rule();
    with_number!(spec.element(), N => lay::<N>(rule, local, 0, &mut base[..whole], &newer[..whole]));
    lay::<u8>(Rule::Replace, local, whole, &mut base[whole..len], &newer[whole..len]);
}

/// Takes back what was changed from `base` to `changed`, element by element and atomically, where
/// nobody has changed it since; `changed` becomes `base`. The three are of one chunk.
pub fn take_back(spec: &Spec, local: &impl Elements, changed: &mut [u8], base: &[u8]) {
    let len = changed.len().min(base.len());
    let whole = len - len % spec.element().width() as usize;
    let (changed_whole, changed_rest) = changed[..len].split_at_mut(whole);
    with_number!(spec.element(), N => {
        lay::<N>(Rule::Replace, local, 0, changed_whole, &base[..whole]);
    });
    lay::<u8>(Rule::Replace, local, whole, changed_rest, &base[whole..len]);
}

fn lay<N: Number>(rule: Rule, local: &impl Elements, start: usize, base: &mut [u8], newer: &[u8]) {
    let blocks = base.chunks_mut(STRIDE).zip(newer.chunks(STRIDE)).enumerate();
    for (block, (base, newer)) in blocks.filter(|(_, (base, newer))| *base != *newer) {
        let elements = base.chunks_exact_mut(N::WIDTH).zip(newer.chunks_exact(N::WIDTH));
        for (number, (base, newer)) in elements.enumerate() {
            if base != newer {
                let at = start + block * STRIDE + number * N::WIDTH;
                lay_one(rule, local, at, N::read(base), N::read(newer));
                base.copy_from_slice(newer);
            }
        }
    }
}

fn lay_one<N: Number>(rule: Rule, local: &impl Elements, at: usize, base: N, newer: N) {
    let mut here = local.load(N::WIDTH, at);
    loop {
        let unchanged = here == base.bits();
        if !unchanged && rule == Rule::Replace {
            return;
        }
        let new = if unchanged { newer } else { under(rule, N::from_bits(here), base, newer) };
        match local.compare_exchange(N::WIDTH, at, here, new.bits()) {
            Ok(()) => return,
            Err(found) => here = found,
        }
    }
}

/// `here`, which differs from `base`, with what changed from `base` to `newer`.
fn under<N: Number>(rule: Rule, here: N, base: N, newer: N) -> N {
    match rule {
        Rule::Sum => here.plus(newer.minus(base)),
        Rule::Xor => here.xor(newer.xor(base)),
        _ => merged(rule, here, newer),
    }
}

/// The chunk of `len` bytes as the owner has it, from what it sent and, for changes, the chunk as
/// it was at `since`. What is not said is zero.
pub fn newer(since: &[u8], body: Body<'_>, len: usize) -> Vec<u8> {
    let mut newer = vec![0; len];
    let old = match body {
        Body::Zeros => &[],
        Body::Whole(bytes) => bytes,
        Body::Changes(_) => since,
    };
    let known = old.len().min(len);
    newer[..known].copy_from_slice(&old[..known]);
    if let Body::Changes(changes) = body {
        replace(&mut newer, &changes);
    }
    newer
}

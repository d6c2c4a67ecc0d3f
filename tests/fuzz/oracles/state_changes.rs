//! What must hold for any bytes that a host takes for the payload of a push or a pull; the fuzz
//! target `state_changes` and a bounded test of the state's crate both feed it.
//!
//! 1. Bytes are changes that lie within their chunks, or are refused; never a panic.
//! 2. Merging them with `replace` is what a loop over the runs does.
//! 3. What differs afterwards is found again, and nothing else.

use faaslet_state::payload::{Changes, names, pulled_chunks};
use faaslet_state::{CHUNK_BYTES, Chunk, Durability, Element, Rule, Spec, delta};

/// The first byte says of which elements the value is.
pub fn check(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let element = Element::ALL[usize::from(*first) % Element::ALL.len()];
    let width = element.width();
    assert!(pulled_chunks(bytes, width).count() <= bytes.len());
    assert!(names(bytes).count() <= bytes.len());
    let Ok(changes) = Changes::parse(bytes, width) else { return };
    let Ok(spec) = Spec::new(element, Rule::Replace, Durability::Memory, 1 << 20) else { return };
    for entry in changes.iter() {
        assert!(entry.end() as u64 <= CHUNK_BYTES);
        let old: Vec<u8> = (0..CHUNK_BYTES).map(|at| (at * 7) as u8).collect();
        let mut model = old.clone();
        for run in entry.runs().chain(entry.tails()) {
            for (at, value) in run.range().zip(run.values) {
                model[at] = *value;
            }
        }
        let mut new = old.clone();
        delta::apply(&spec, &mut new, &entry);
        assert!(new == model, "merged otherwise than by the model");
        let mut found = Vec::new();
        delta::diff(&spec, Chunk(0), &old, &new, &mut found);
        let again = Changes::parse(&found, width).expect("what is written can be read");
        let mut copy = old;
        again.iter().for_each(|entry| delta::apply(&spec, &mut copy, &entry));
        assert!(copy == new, "what differs was not found");
    }
}

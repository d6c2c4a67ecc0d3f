//! The budget: what goes, what stays, what is refused.

use faaslet_state::{CHUNK_BYTES, Durability, Element, Rule, Spec};
use faaslet_tier::{Copied, LockMode, MapMode, Task, Tier, TierError, Tracker};

use crate::faaslet::Faaslet;
use crate::owner::Owner;

const CHUNKS: u64 = 64;
const TASK: Task = Task(1);

fn owner() -> Owner {
    let len = CHUNKS * CHUNK_BYTES;
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, len).unwrap();
    let bytes: Vec<u8> = (0..len).map(|at| (at / CHUNK_BYTES + 1) as u8).collect();
    Owner::new(spec, &bytes)
}

fn tier(chunks: u64) -> Tier {
    Tier::new(chunks * CHUNK_BYTES, Tracker::open())
}

/// Reads a byte of a chunk, pulling that chunk if it is absent; whether it was.
fn visit(owner: &Owner, value: &faaslet_tier::Value, chunk: u64) -> bool {
    let (offset, mut byte) = (chunk * CHUNK_BYTES + 7, [0]);
    let absent = value.read(offset, &mut byte).unwrap() == Copied::Absent;
    if absent {
        let ranges = value.missing(offset, 1).unwrap();
        let (pulled, payload) = owner.pull(&ranges, false);
        value.install(&ranges, pulled, &payload).unwrap();
        assert_eq!(value.read(offset, &mut byte).unwrap(), Copied::Bytes(1));
    }
    assert_eq!(byte, [chunk as u8 + 1]);
    absent
}

#[test]
fn a_value_larger_than_the_budget_works_chunk_by_chunk() {
    let (owner, tier) = (owner(), tier(8));
    let value = owner.open(&tier);
    for _ in 0..3 {
        for chunk in 0..CHUNKS {
            assert!(visit(&owner, &value, chunk));
            assert!(tier.usage().bytes <= tier.usage().budget);
        }
    }
    assert!(!visit(&owner, &value, CHUNKS - 1), "what was used last stays");
}

#[test]
fn what_is_mapped_changed_or_locked_is_not_evicted() {
    let (mut owner, tier) = (owner(), tier(8));
    let value = owner.open(&tier);
    for chunk in 0..3 {
        visit(&owner, &value, chunk);
    }
    let mut faaslet = Faaslet::new(1);
    let mapped = faaslet.map(&value, 0, 10, MapMode::Read);
    assert_eq!(value.write(TASK, CHUNK_BYTES, &[9]).unwrap(), Copied::Bytes(1));
    for chunk in 10..30 {
        visit(&owner, &value, chunk);
    }
    assert!(!visit(&owner, &value, 0), "mapped");
    let mut byte = [0];
    assert_eq!(value.read(CHUNK_BYTES, &mut byte).unwrap(), Copied::Bytes(1));
    assert_eq!(byte, [9], "changed");
    assert_eq!(value.read(2 * CHUNK_BYTES, &mut byte).unwrap(), Copied::Absent, "neither");

    assert!(value.lock().lock(TASK, LockMode::Read).unwrap().is_ready());
    let refused =
        (30..60).find_map(|chunk| value.missing(chunk * CHUNK_BYTES, CHUNK_BYTES * 8).err());
    assert!(matches!(refused, Some(TierError::NoRoom { .. })), "locked: {refused:?}");
    let _ = value.lock().leave(TASK);
    assert_eq!(owner.flush(&value, TASK), 1);
    let _ = faaslet.unmap(&value, mapped);
    for chunk in 10..30 {
        visit(&owner, &value, chunk);
    }
    assert_eq!(value.read(0, &mut byte).unwrap(), Copied::Absent);
    assert_eq!(value.read(CHUNK_BYTES, &mut byte).unwrap(), Copied::Absent, "pushed");
}

#[test]
fn when_everything_is_changed_more_is_refused_by_name() {
    let (mut owner, tier) = (owner(), tier(8));
    let value = owner.open(&tier);
    for chunk in 0..4 {
        visit(&owner, &value, chunk);
        assert_eq!(value.write(TASK, chunk * CHUNK_BYTES, &[9]).unwrap(), Copied::Bytes(1));
    }
    let refused = value.missing(10 * CHUNK_BYTES, 1).unwrap_err();
    let TierError::NoRoom { key, asked, used, budget } = refused else { panic!("{refused}") };
    assert_eq!(
        (&*key, asked, used, budget),
        ("value", CHUNK_BYTES, 8 * CHUNK_BYTES, 8 * CHUNK_BYTES)
    );
    assert_eq!(tier.usage().dirty_chunks, 4);
    owner.flush(&value, TASK);
    assert!(visit(&owner, &value, 10), "bases go first, then what was used least");
    drop(tier);
}

#[test]
fn what_a_value_took_comes_back_with_it() {
    let (owner, tier) = (owner(), tier(8));
    let value = owner.open(&tier);
    visit(&owner, &value, 1);
    assert_eq!(tier.usage().bytes, CHUNK_BYTES);
    assert!(tier.deleted(value.key()).0.is_empty());
    assert!(matches!(value.read(0, &mut [0]), Err(TierError::Gone { .. })));
    drop(value);
    assert_eq!((tier.usage().bytes, tier.usage().values), (0, 0));
}

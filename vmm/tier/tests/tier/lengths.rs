//! Growing, cutting, ends inside elements and pages.

use faaslet_state::{CHUNK_BYTES, Durability, Element, Rule, Spec};
use faaslet_tier::{Copied, MapMode, Task, Tier, TierError, Tracker, Value};

use crate::faaslet::Faaslet;
use crate::owner::Owner;

const TASK: Task = Task(1);
const QUOTA: u64 = 3 * CHUNK_BYTES;

fn spec(element: Element, rule: Rule) -> Spec {
    Spec::new(element, rule, Durability::Memory, QUOTA).unwrap()
}

fn tier() -> Tier {
    Tier::new(8 << 20, Tracker::open())
}

fn all(value: &Value) -> Vec<u8> {
    let mut bytes = vec![0; value.stat().len as usize];
    assert_eq!(value.read(0, &mut bytes).unwrap(), Copied::Bytes(bytes.len()));
    bytes
}

#[test]
fn a_value_grows_by_writes_and_by_pushes_at_its_owner() {
    let mut owner = Owner::new(spec(Element::U8, Rule::Replace), b"");
    let tier = tier();
    let value = owner.open(&tier);
    assert_eq!(value.missing(0, u64::MAX).unwrap(), [], "what never was is not asked for");
    assert_eq!(value.write(TASK, CHUNK_BYTES + 5, b"end").unwrap(), Copied::Bytes(3));
    assert_eq!((value.stat().len, owner.len), (CHUNK_BYTES + 8, 0));
    assert_eq!(all(&value)[CHUNK_BYTES as usize..], *b"\0\0\0\0\0end");
    owner.flush(&value, TASK);
    // Others may have written to what this host skipped, now that the value is as long as that.
    assert_eq!(value.missing(0, u64::MAX).unwrap().len(), 1);
    owner.fetch(&value);
    assert_eq!(owner.bytes(), all(&value));
    let refused = value.write(TASK, QUOTA - 1, b"no").unwrap_err();
    assert!(matches!(refused, TierError::Range { limit: QUOTA, .. }), "{refused}");
    assert!(matches!(value.write(TASK, u64::MAX, b"no"), Err(TierError::Range { .. })));
}

#[test]
fn what_is_cut_off_is_zeros_when_the_value_grows_again() {
    let len = 2 * CHUNK_BYTES + 100;
    let mut owner = Owner::new(spec(Element::U8, Rule::Replace), &vec![7; len as usize]);
    let tier = tier();
    let value = owner.open(&tier);
    owner.fetch(&value);
    let mut faaslet = Faaslet::new(1);
    let mapped = faaslet.map(&value, 0, len, MapMode::Write);
    faaslet.store(mapped.addr + 5000, &[8; 10]);
    let version = owner.resize(100);
    value.resized(version, 100).unwrap();
    assert_eq!(all(&value), [7; 100]);
    let left = faaslet.load(mapped.addr, len as usize);
    assert!(left[100..].iter().all(|byte| *byte == 0));
    // Behind the end of what is mapped nobody is stopped from storing, and nobody else gets it.
    faaslet.store(mapped.addr + 200, &[9; 10]);
    assert_eq!(owner.flush(&value, TASK), 0);
    let version = owner.resize(len);
    value.resized(version, len).unwrap();
    assert_eq!(all(&value)[100..4096], [0; 3996]);
    owner.flush(&value, TASK);
    owner.refresh(&value, false);
    assert_eq!(all(&value), owner.bytes());
}

#[test]
fn another_host_cuts_the_value() {
    let mut owner =
        Owner::new(spec(Element::U8, Rule::Replace), &vec![7; 2 * CHUNK_BYTES as usize]);
    let (one, two) = (tier(), tier());
    let (here, there) = (owner.open(&one), owner.open(&two));
    owner.fetch(&here);
    owner.fetch(&there);
    let version = owner.resize(10);
    here.resized(version, 10).unwrap();
    assert_eq!(here.write(TASK, 10, b"more").unwrap(), Copied::Bytes(4));
    owner.flush(&here, TASK);
    owner.refresh(&there, false);
    assert_eq!(all(&there), *b"\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07more");
    let _ = there.write(TASK, 100, b"x").unwrap();
    owner.flush(&there, TASK);
    assert_eq!(owner.bytes()[14..], [&[0; 86][..], b"x"].concat());
}

#[test]
fn a_last_element_that_is_not_whole_is_merged_by_bytes() {
    let mut owner = Owner::new(spec(Element::U32, Rule::Replace), b"1234567");
    let (one, two) = (tier(), tier());
    let (here, there) = (owner.open(&one), owner.open(&two));
    owner.fetch(&here);
    owner.fetch(&there);
    let _ = here.write(TASK, 4, b"a").unwrap();
    let _ = there.write(TASK, 5, b"b").unwrap();
    owner.flush(&here, TASK);
    owner.refresh(&there, false);
    assert_eq!(all(&there), *b"1234ab7");
    owner.flush(&there, TASK);
    assert_eq!(owner.bytes(), *b"1234ab7");
    let whole = Owner::new(spec(Element::U32, Rule::Sum), b"12345678");
    let tier = tier();
    let value = whole.open(&tier);
    let refused = value.write(TASK, 8, b"no").unwrap_err();
    assert!(matches!(refused, TierError::Length { found: 10, .. }), "{refused}");
}

#[test]
fn an_answer_that_comes_late_does_not_cut_what_came_after() {
    let mut owner = Owner::new(spec(Element::U8, Rule::Replace), &[7; 1000]);
    let (one, two) = (tier(), tier());
    let (here, there) = (owner.open(&one), owner.open(&two));
    owner.fetch(&here);
    let cut = owner.resize(10);
    owner.refresh(&there, false);
    assert_eq!(there.write(TASK, 10, &[9; 990]).unwrap(), Copied::Bytes(990));
    owner.flush(&there, TASK);
    // Another call learns of all this before the answer to the cut comes.
    here.seen(&owner.stat()).unwrap();
    here.resized(cut, 10).unwrap();
    owner.refresh(&here, true);
    assert_eq!(all(&here), owner.bytes());
}

#[test]
fn a_refused_push_of_what_was_cut_off_leaves_nothing_behind() {
    let len = 2 * CHUNK_BYTES + 10;
    let mut owner = Owner::new(spec(Element::U8, Rule::Replace), &vec![7; len as usize]);
    let tier = tier();
    let value = owner.open(&tier);
    owner.fetch(&value);
    assert_eq!(value.write(TASK, 2 * CHUNK_BYTES, b"x").unwrap(), Copied::Bytes(1));
    let prepared = value.prepare_push(TASK, 0, u64::MAX).unwrap();
    owner.resize(10);
    value.seen(&owner.stat()).unwrap();
    value.push_failed(prepared).unwrap();
    assert_eq!(tier.usage().dirty_chunks, 0);
    owner.refresh(&value, true);
    assert_eq!(all(&value), owner.bytes());
}

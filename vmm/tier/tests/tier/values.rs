//! Mapping, pulling and pushing on one host, by example; and what is refused.

use faaslet_state::message::PullRange;
use faaslet_state::{CHUNK_BYTES, Durability, Element, Key, Rule, Spec, Version};
use faaslet_tier::{Copied, MapMode, Task, Tier, TierError, Tracker, Tracking};

use crate::faaslet::Faaslet;
use crate::owner::Owner;

const TASK: Task = Task(9);

fn owner(chunks: u64) -> Owner {
    let len = chunks * CHUNK_BYTES;
    let spec = Spec::new(Element::U64, Rule::Replace, Durability::Memory, len).unwrap();
    Owner::new(spec, &(0..len).map(|at| at as u8).collect::<Vec<_>>())
}

fn tier() -> Tier {
    Tier::new(64 << 20, Tracker::open())
}

#[test]
fn all_mappings_and_copies_show_the_same_bytes() {
    let (owner, tier) = (owner(3), tier());
    let value = owner.open(&tier);
    owner.fetch(&value);
    let (mut one, mut two) = (Faaslet::new(1), Faaslet::new(2));
    let whole = one.map(&value, 0, 3 * CHUNK_BYTES, MapMode::Write);
    let part = one.map(&value, CHUNK_BYTES - 100, 5000, MapMode::Write);
    let others = two.map(&value, 4096, 2 * CHUNK_BYTES, MapMode::Write);
    let private = two.map(&value, CHUNK_BYTES, 8, MapMode::Read);
    one.store(part.addr + 100, b"mapped by one");
    let _ = value.write(TASK, CHUNK_BYTES + 6, b"written").unwrap();
    let at = CHUNK_BYTES as u32;
    assert_eq!(one.load(whole.addr + at, 13), b"mappedwritten");
    assert_eq!(two.load(others.addr + at - 4096, 13), b"mappedwritten");
    two.store(private.addr, b"kept");
    assert_eq!(two.load(private.addr, 8), b"keptedwr");
    let mut bytes = [0; 8];
    assert_eq!(value.read(CHUNK_BYTES, &mut bytes).unwrap(), Copied::Bytes(8));
    assert_eq!(&bytes, b"mappedwr", "a private copy stays private");
}

#[test]
fn reads_and_writes_are_atomic_among_each_other() {
    const LEN: usize = CHUNK_BYTES as usize + 4096;
    const ROUNDS: u8 = 200;
    let (owner, tier) = (owner(2), tier());
    let value = owner.open(&tier);
    owner.fetch(&value);
    let _ = value.write(TASK, 0, &vec![0; LEN]).unwrap();
    std::thread::scope(|scope| {
        let value = &value;
        let write = move |first: u8| {
            for round in 0..ROUNDS {
                let _ = value.write(TASK, 0, &vec![first ^ round; LEN]).unwrap();
            }
        };
        let writers = [0, 255].map(|first| scope.spawn(move || write(first)));
        let mut bytes = vec![0; LEN];
        while writers.iter().any(|writer| !writer.is_finished()) {
            assert_eq!(value.read(0, &mut bytes).unwrap(), Copied::Bytes(LEN));
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "a mixture of two writes");
        }
    });
}

#[test]
fn stores_are_found_after_their_mapping_has_gone() {
    let (mut owner, tier) = (owner(4), tier());
    let value = owner.open(&tier);
    owner.fetch(&value);
    let mut faaslet = Faaslet::new(1);
    for (offset, byte) in [(0, 1), (CHUNK_BYTES, 2), (4 * CHUNK_BYTES - 8192, 3)] {
        let mapped = faaslet.map(&value, offset, 8192, MapMode::Write);
        faaslet.store(mapped.addr + 5000, &[byte; 8]);
        assert!(faaslet.unmap(&value, mapped).0.is_empty());
    }
    let prepared = value.prepare_push(TASK, 0, u64::MAX).unwrap();
    assert_eq!(prepared.chunks(), 3);
    assert_eq!(prepared.payload.len(), 3 * (8 + 4 + 8), "a run of one element each");
    value.push_failed(prepared).unwrap();
    assert_eq!(owner.flush(&value, TASK), 1);
    assert_eq!(owner.bytes()[5000..5008], [1; 8]);
}

#[test]
fn a_push_of_a_range_leaves_the_rest_for_later() {
    let (mut owner, tier) = (owner(2), tier());
    let value = owner.open(&tier);
    owner.fetch(&value);
    for offset in [0, 64, 5000, CHUNK_BYTES] {
        let _ = value.write(TASK, offset, &[0xee; 8]).unwrap();
    }
    let mark = value.push_mark();
    let prepared = value.prepare_push(TASK, 60, 5000).unwrap();
    assert!(matches!(value.prepare_push(TASK, 0, 1), Err(TierError::Invalid { .. })));
    let (version, before) = owner.push(&prepared);
    value.acknowledged(prepared, version, owner.len, &before).unwrap();
    let bytes = owner.bytes();
    let pushed = |offset: u64| bytes[offset as usize..][..8] == [0xee; 8];
    assert_eq!([0, 64, 5000, CHUNK_BYTES].map(pushed), [false, true, true, false]);
    assert_eq!(value.pushed_since(mark, 60, 100), Some(version));
    assert_eq!(value.pushed_since(mark, 0, 100), None);
    assert_eq!(value.pushed_since(value.push_mark(), 60, 100), None);
    assert_eq!(owner.flush(&value, TASK), 1);
    let all = value.missing(0, u64::MAX).unwrap();
    assert!(all.is_empty() && owner.bytes()[..8] == [0xee; 8]);
}

#[test]
fn versions_follow_pushes_that_nobody_came_between() {
    let (mut owner, one, two) = (owner(2), tier(), tier());
    let (here, there) = (owner.open(&one), owner.open(&two));
    owner.fetch(&here);
    owner.fetch(&there);
    let _ = here.write(TASK, 0, &[1; 8]).unwrap();
    owner.flush(&here, TASK);
    let since = |n| Version::new(faaslet_state::Epoch(1), n);
    let range = |first, count, n| PullRange { first, count, since: since(n) };
    assert_eq!(here.newer(0, u64::MAX).unwrap(), [range(0, 1, 2), range(1, 1, 1)]);
    let _ = here.write(TASK, CHUNK_BYTES, &[3; 8]).unwrap();
    owner.flush(&here, TASK);
    assert_eq!(here.newer(0, u64::MAX).unwrap(), [range(0, 1, 2), range(1, 1, 3)]);
    owner.refresh(&here, true);
    let _ = here.write(TASK, CHUNK_BYTES, &[4; 8]).unwrap();
    owner.flush(&here, TASK);
    assert_eq!(here.newer(0, u64::MAX).unwrap(), [range(0, 1, 3), range(1, 1, 4)]);
    let _ = there.write(TASK, 8, &[2; 8]).unwrap();
    owner.flush(&there, TASK);
    let asked = there.newer(0, u64::MAX).unwrap();
    let whole = PullRange { first: 0, count: 1, since: Version::NONE };
    assert_eq!(asked, [whole, range(1, 1, 1)], "it has not seen what came before");
    owner.refresh(&there, true);
    let mut bytes = [0; 16];
    let _ = there.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, *[[1; 8], [2; 8]].as_flattened());
}

#[test]
fn what_an_owner_should_not_say_is_refused_and_changes_nothing() {
    let (owner, tier) = (owner(2), tier());
    let value = owner.open(&tier);
    let ranges = value.missing(0, 1).unwrap();
    let (pulled, payload) = owner.pull(&ranges, false);
    let refused = |ranges: &[PullRange], pulled, payload: &[u8]| {
        value.install(ranges, pulled, payload).unwrap_err()
    };
    for len in 1..payload.len().min(40) {
        assert!(matches!(refused(&ranges, pulled, &payload[..len]), TierError::Malformed { .. }));
    }
    let other = [PullRange { first: 1, ..ranges[0] }];
    assert!(matches!(refused(&other, pulled, &payload), TierError::Malformed { .. }));
    let behind = [PullRange { first: 1, count: u32::MAX, ..ranges[0] }];
    assert!(matches!(refused(&behind, pulled, b""), TierError::Malformed { .. }));
    let made = faaslet_tier::Pulled { made: Version::NONE, ..pulled };
    assert!(matches!(refused(&ranges, made, &payload), TierError::Gone { .. }));
    let long = faaslet_tier::Pulled { len: u64::MAX, ..pulled };
    assert!(matches!(refused(&ranges, long, &payload), TierError::Length { .. }));
    assert_eq!(value.read(0, &mut [0]).unwrap(), Copied::Absent);
    value.install(&ranges, pulled, &payload).unwrap();
    assert_eq!(value.read(0, &mut [0]).unwrap(), Copied::Bytes(1));
}

#[test]
fn maps_of_nothing_of_absent_chunks_and_past_the_end_are_refused() {
    let (owner, tier) = (owner(2), tier());
    let value = owner.open(&tier);
    let map = |offset, len| value.map(TASK, offset, len, MapMode::Write);
    assert!(matches!(map(CHUNK_BYTES, 1), Err(TierError::Absent { chunk: 1, .. })));
    owner.fetch(&value);
    assert!(matches!(map(0, 0), Err(TierError::Invalid { .. })));
    assert!(matches!(map(1, 2 * CHUNK_BYTES), Err(TierError::Range { .. })));
    assert!(matches!(map(u64::MAX, 2), Err(TierError::Range { .. })));
    let id = map(0, 1).unwrap();
    let _ = value.unmapped(id);
    assert!(value.unmapped(id).0.is_empty(), "twice is nothing");
}

#[test]
fn another_value_of_the_same_name_takes_the_place() {
    let (owner, tier) = (owner(1), tier());
    let old = owner.open(&tier);
    owner.fetch(&old);
    let key = Key::new(b"value").unwrap();
    assert!(old.wait(Task(5), 0, u32::from_le_bytes([0, 1, 2, 3])).is_ok());
    let made = Version::new(faaslet_state::Epoch(1), 7);
    let stat = faaslet_state::message::Stat { made, version: made, ..owner.stat() };
    let (new, wake) = tier.value(&key, &stat).unwrap();
    assert_eq!(wake.0, [Task(5)]);
    assert!(matches!(old.read(0, &mut [0]), Err(TierError::Gone { .. })));
    assert_eq!(new.read(0, &mut [0]).unwrap(), Copied::Absent);
    assert!(
        matches!(tier.value(&key, &owner.stat()), Err(TierError::Gone { .. })),
        "an old answer"
    );
}

#[test]
fn a_large_value_is_mapped_in_parts_and_pushed_in_parts() {
    let quota = 3 << 30;
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, quota).unwrap();
    let tier = Tier::new(256 << 20, Tracker::open());
    let owner =
        Owner::new(Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1).unwrap(), b"");
    let stat = faaslet_state::message::Stat { spec, len: 0, ..owner.stat() };
    let (value, _) = tier.value(&Key::new(b"large").unwrap(), &stat).unwrap();
    let _ = value.write(TASK, quota - 8, &[1; 8]).unwrap();
    // Every other byte of 20 MiB over the bound of two mappings: more than one push holds.
    let (start, len) = ((1 << 30) - (10 << 20), 20 << 20);
    let copied = value.write_with(TASK, start, len, |at, piece| {
        for (number, byte) in piece.iter_mut().enumerate() {
            *byte = ((at + number) % 2) as u8;
        }
    });
    assert_eq!(copied.unwrap(), Copied::Bytes(len));
    let mut bytes = vec![9; len];
    assert_eq!(value.read(start, &mut bytes).unwrap(), Copied::Bytes(len));
    assert!(bytes.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 2));
    let prepared = value.prepare_push(TASK, 0, u64::MAX).unwrap();
    assert!(prepared.more && prepared.payload.len() <= faaslet_state::message::MAX_PAYLOAD_BYTES);
    value.push_failed(prepared).unwrap();
}

/// A mapping that is stored to all over, then in one place, then all over again.
#[test]
fn stores_are_found_however_many_there_were_before() {
    let (mut owner, tier) = (owner(16), tier());
    let value = owner.open(&tier);
    owner.fetch(&value);
    let (len, mut faaslet) = (16 * CHUNK_BYTES, Faaslet::new(1));
    let mapped = faaslet.map(&value, 0, len, MapMode::Write);
    for round in 0..20_u8 {
        let step = if round % 7 == 0 { 4096 } else { len / 2 };
        for at in (0..len).step_by(step as usize) {
            faaslet.store(mapped.addr + at as u32, &[100 + round; 8]);
        }
        assert_eq!(owner.flush(&value, TASK), 1);
        let mut bytes = vec![0; len as usize];
        assert_eq!(value.read(0, &mut bytes).unwrap(), Copied::Bytes(bytes.len()));
        assert!(bytes == owner.bytes() && bytes[len as usize / 2] == 100 + round, "round {round}");
    }
    let _ = faaslet.unmap(&value, mapped);
    assert_eq!(owner.flush(&value, TASK), 0);
}

#[test]
fn tracking_says_what_it_is() {
    assert_eq!(Tracker::comparing().tracking(), Tracking::Compare);
    assert_eq!(Tracker::comparing().descriptors().count(), 0);
    let open = Tracker::open();
    println!("tracking here: {:?}", open.tracking());
    let descriptors = if open.tracking() == Tracking::Protect { 2 } else { 0 };
    assert_eq!(open.descriptors().count(), descriptors);
}
